# A PgBouncer that lives exactly as long as whoever holds this script's standard input.
# Wants: PROGRAM, DIR (with pgbouncer.ini; removed at the end). As root it becomes another user after it has read its files.
set -eu
server_user
trap '' INT
"$PROGRAM" -q ${user:+-u "$user"} "$DIR/pgbouncer.ini" >"$DIR/pgbouncer.log" 2>&1 &
server=$!
cat >/dev/null
# Nothing else ends every version at once, clients or not.
kill -KILL "$server"
wait "$server" 2>/dev/null || true
rm -rf "$DIR"
