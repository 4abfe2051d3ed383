# Sourced: programs that are missing, by packages of Debian or Ubuntu.

install() { # packages…
    local sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    printf '\n== %s\n' "installing $*" >&2
    $sudo apt-get update -qq >&2
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}
