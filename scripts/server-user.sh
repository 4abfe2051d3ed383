# shellcheck shell=sh disable=SC2034 # Variables for whoever sources it.
# Who runs a throwaway server that refuses to be run by root: for scripts, and for those of the tests. Not a program of its own.

server_user() { # what is to be theirs…; sets `user`, and `as` to go before a command; both are empty where nobody else is needed
    as='' user=''
    [ "$(id -u)" = 0 ] || return 0
    user=postgres
    id "$user" >/dev/null 2>&1 || user=nobody
    [ $# = 0 ] || chown "$user" "$@"
    as="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups"
}
