# A throwaway PostgreSQL that lives exactly as long as whoever holds this script's standard input.
# Wants: BIN (server programs), DIR (an empty directory), PORT, PASSWORD. As root it runs the server as another user.
# DISK: the size of a disk of its own; then it is in a namespace of mounts, and MAPPED if root is only called so there.
set -eu
if [ -z "${MAPPED:-}" ]; then server_user "$DIR"; else as='unshare --user --map-user=1 --' user=; fi
finish() { [ -z "${DISK:-}" ] || umount -l "$DIR/data" || true; rm -rf "$DIR"; }
trap finish EXIT
# Ctrl-C in a terminal reaches this shell too; the server must outlive the tests that still use it.
trap '' INT
if [ -n "${DISK:-}" ]; then
    mkdir "$DIR/data"
    mount -t tmpfs -o "size=$DISK" none "$DIR/data"
    [ -z "$user" ] || chown "$user" "$DIR/data"
fi
printf '%s' "$PASSWORD" >"$DIR/password"
chmod 644 "$DIR/password"
$as "$BIN/initdb" -D "$DIR/data" -U dlc_test -A scram-sha-256 --pwfile="$DIR/password" -E UTF8 --locale=C \
    --no-sync --wal-segsize=1 >"$DIR/initdb.log" 2>&1 || { cat "$DIR/initdb.log" >&2; exit 1; }
# A certificate for "localhost" (not for its address) by an authority that nobody knows but who is given tls/ca.crt.
mkdir "$DIR/tls"
cd "$DIR/tls"
key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
{
    openssl req -x509 $key -keyout ca.key -out ca.crt -subj /CN=test-authority -days 90
    openssl req $key -keyout server.key -out server.csr -subj /CN=localhost
    printf 'subjectAltName=DNS:localhost' >extensions
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 90 -extfile extensions
} >"$DIR/openssl.log" 2>&1 || { cat "$DIR/openssl.log" >&2; exit 1; }
[ -z "$user" ] || chown "$user" server.key server.crt
chmod 600 server.key
chmod 755 "$DIR"
cd /

# Commits are not waited for: these tests are about behaviour. What must survive a crash is tried on a cluster with the
# defaults. EXTRA has the last word.
# authentication_timeout: a connection that a test silences in the middle of its handshake holds up every CREATE and DROP
# DATABASE of the cluster for that long, because they wait until all server processes have answered.
# restore_command counts only with a recovery.signal: then the server starts up for as long as there is no gate.
start() {
    $as "$BIN/postgres" -D "$DIR/data" -p "$PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$DIR" \
        -c ssl=on -c ssl_cert_file="$DIR/tls/server.crt" -c ssl_key_file="$DIR/tls/server.key" \
        -c synchronous_commit=off -c wal_level=minimal -c max_wal_senders=0 -c max_prepared_transactions=20 -c timezone=UTC \
        -c autovacuum=off -c authentication_timeout=5s -c shared_buffers=64MB -c max_connections=300 \
        -c restore_command="until [ -e '$DIR/gate' ]; do sleep 0.02; done; false" ${EXTRA:-} \
        </dev/null >>"$DIR/server.log" 2>&1 &
    server=$!
}
start_standby() {
    $as "$BIN/postgres" -D "$DIR/standby" -p "$STANDBY_PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$DIR" \
        -c hot_standby=on -c max_prepared_transactions=20 -c timezone=UTC -c max_connections=300 ${EXTRA:-} \
        </dev/null >>"$DIR/standby.log" 2>&1 &
    standby=$!
}
# The postmaster first, so that no process is born meanwhile; one that ends meanwhile is no trouble.
all() {
    kill -"$1" "$2"
    processes=$(cat "/proc/$2/task/$2/children" 2>/dev/null) || true
    for pid in $processes; do kill -"$1" "$pid" 2>/dev/null || true; done
}
stop() { kill -INT "$1"; wait "$1" || true; }
end() { all STOP "$1"; doomed=$processes; kill -KILL $doomed "$1"; wait "$1" || true; gone $doomed; }
gone() { for pid in "$@"; do while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done; done; }

start
standby=
if [ -n "${STANDBY_PORT:-}" ]; then
    until "$BIN/pg_isready" -q -h "$DIR" -p "$PORT"; do sleep 0.05; done
    PGPASSWORD=$PASSWORD $as "$BIN/pg_basebackup" -h "$DIR" -p "$PORT" -U dlc_test -D "$DIR/standby" -R -X stream -c fast --no-sync
    start_standby
fi
# One order per line, answered when it is done.
while read -r order; do
    case $order in
        stop) stop "$server" ;;
        kill) end "$server" ;;
        freeze) all STOP "$server" ;;
        thaw) all CONT "$server" ;;
        start) start ;;
        'fill the disk') dd if=/dev/zero of="$DIR/data/ballast" bs=64k 2>/dev/null || true ;;
        'free the disk') rm "$DIR/data/ballast" ;;
        revive) kill -0 "$server" 2>/dev/null || start ;;
        'stop standby') stop "$standby" ;;
        'kill standby') end "$standby" ;;
        'freeze standby') all STOP "$standby" ;;
        'thaw standby') all CONT "$standby" ;;
        'start standby') start_standby ;;
        'start behind the gate') $as touch "$DIR/data/recovery.signal"; start ;;
        'open the gate') touch "$DIR/gate" ;;
        *) echo "no such order: $order" >&2; exit 1 ;;
    esac
    echo done
done
# Whoever is frozen hears of no end.
[ -z "$standby" ] || { all CONT "$standby"; kill -INT "$standby"; wait "$standby"; } 2>/dev/null || true
kill -INT "$server" 2>/dev/null || true
wait "$server" || true
