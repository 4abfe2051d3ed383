# shellcheck shell=bash disable=SC2034,SC2154 # Variables of, and for, whoever sources it.
# A throwaway PostgreSQL (its durability as by default, unless told otherwise) and dlc served on a database, for the scripts that
# source this: they have a folder `work` (mode 711) and `fail`, and call stop_all when they end. Not a program of its own.

# shellcheck source=scripts/server-user.sh
. "$(dirname "${BASH_SOURCE[0]}")/server-user.sh"

server='' service='' port='' url=''

find_postgres() { # Puts the server's programs first, because Debian's psql is a script around the one in there.
    local needed
    if [ -n "${server_programs:-}" ]; then
        server_programs=$(realpath -s "$server_programs")
        [ -x "$server_programs/postgres" ] || fail "no PostgreSQL server in DLC_TEST_PG_BIN"
    fi
    PATH=${server_programs:-$(printf '%s:' /usr/lib/postgresql/*/bin)}:$PATH
    for needed in postgres initdb psql "$@"; do
        type -P "$needed" >/dev/null || fail "no $needed found; scripts/test installs PostgreSQL"
    done
}

free_port() { # Below those that the kernel gives to outgoing connections.
    local candidate=$((20000 + RANDOM % 12000))
    while (: <>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null; do candidate=$((candidate + 1)); done
    echo "$candidate"
}

sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U bench -d "$1" -c "$2"; }

start_postgres() { # settings of the server…; sets `port` and PGPASSWORD
    local as user password
    mkdir "$work/postgres"
    password=$(head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n')
    (umask 077 && printf %s "$password" >"$work/password")
    server_user "$work/postgres" "$work/password"
    # Not from this folder: the other user may not read it.
    # shellcheck disable=SC2086 # Several words.
    (cd / && exec $as initdb -D "$work/postgres/data" -U bench -A scram-sha-256 --pwfile="$work/password" \
        -E UTF8 --locale=C) >"$work/postgres.log" 2>&1 || { cat "$work/postgres.log" >&2; fail "initdb failed"; }
    rm "$work/password"
    export PGPASSWORD=$password
    export PGSSLMODE=disable # Or libpq would ask for TLS first: a round trip that dlc is told to leave out.
    port=$(free_port)
    # shellcheck disable=SC2086 # Several words.
    (cd / && exec $as postgres -D "$work/postgres/data" -p "$port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= "${@/#/--}") >"$work/postgres.log" 2>&1 &
    server=$!
    for _ in {1..600}; do
        if sql postgres 'SELECT 1' >/dev/null 2>&1; then return; fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    cat "$work/postgres.log" >&2
    fail "PostgreSQL did not start"
}

postgres_url() { echo "postgres://bench@127.0.0.1:$port/$1?sslmode=disable"; }

# Starts `dlc serve` in a folder of its own; returns when it is ready. What it is to be told comes as variables in front of the
# call. Sets `service` and `url`; its log is in $work/serve.log.
start_dlc() { # database's URL
    local listening
    mkdir -p "$work/run"
    : >"$work/serve.log" # Or the one before would be read until the new one is there.
    (cd "$work/run" && DLC_LOG__FORMAT=pretty DATABASE_URL=$1 exec "$binary" serve --host 127.0.0.1 --port 0) >"$work/serve.log" 2>&1 </dev/null &
    service=$!
    for _ in {1..600}; do
        if grep -q 'ready in' "$work/serve.log"; then
            listening=$(grep -m 1 -oE 'address="?127\.0\.0\.1:[0-9]+' "$work/serve.log")
            url=http://127.0.0.1:${listening##*:}
            return
        fi
        kill -0 "$service" 2>/dev/null || break
        sleep 0.05
    done
    cat "$work/serve.log" >&2
    fail "dlc did not start"
}
stop_dlc() { # Returns what dlc returns.
    local status=0 pid=$service
    [ -n "$pid" ] || return 0
    service=
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" || status=$?
    return $status
}

stop_all() {
    [ -z "$service" ] || kill -KILL "$service" 2>/dev/null || true
    [ -z "$server" ] || kill -INT "$server" 2>/dev/null || true
    wait ${server:+"$server"} ${service:+"$service"} 2>/dev/null || true
}
