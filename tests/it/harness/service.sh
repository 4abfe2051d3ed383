# A PostgreSQL as an operator has one, for recipes that stop it, restore it and start it: pg_ctl and its folder are theirs.
# Wants: BIN (server programs), DIR (an empty directory), PORT, PASSWORD. Each line on standard input names a script that is run as
# the server's user; the answer is "done" or "failed", and what it said stands in DIR/said. Everything ends with standard input.
set -eu
server_user "$DIR"
trap '' INT
chmod 755 "$DIR"
cd "$DIR"
printf '%s' "$PASSWORD" >password
chmod 644 password
export PATH="$BIN:$PATH" PGDATA="$DIR/data" PGHOST="$DIR" PGPORT="$PORT" PGUSER=dlc_test PGDATABASE=postgres
export PGBACKREST_CONFIG="$DIR/pgbackrest.conf"
finish() {
    $as pg_ctl stop --silent --mode immediate >/dev/null 2>&1 || true
    rm -rf "$DIR"
}
trap finish EXIT
$as initdb -U dlc_test --auth-local=trust --auth-host=scram-sha-256 --pwfile=password -E UTF8 --locale=C --no-sync \
    --wal-segsize=1 >initdb.log 2>&1 || { cat initdb.log >&2; exit 1; }
$as sh -c "cat >>data/postgresql.conf" <<CONF
port = $PORT
listen_addresses = '127.0.0.1'
unix_socket_directories = '$DIR'
logging_collector = on
timezone = UTC
fsync = off
CONF
echo done
while read -r script; do
    if $as sh -eu "$script" >said 2>&1 </dev/null; then echo done; else echo failed; fi
done
