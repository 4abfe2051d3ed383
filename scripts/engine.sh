# Sourced: a container engine with Compose v2 and the base images, for scripts that need one.

# Succeeds when there is an engine; otherwise says why there is none. May start one (DLC_TEST_ENGINE=own).
engine() {
    own_engine=
    if ! command -v docker >/dev/null || ! docker info >/dev/null 2>&1; then
        if [ "${DLC_TEST_ENGINE:-}" != own ]; then echo "skipped: no container engine"; return 1; fi
        start_engine || return 1
    fi
    if ! docker compose version >/dev/null 2>&1; then
        # Where a registry of packages can be reached, the plugin comes from there.
        if [ -n "${DLC_STANDINS:-}" ]; then
            "$DLC_STANDINS" -q --plugins "${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins" >&2
        fi
        docker compose version >/dev/null 2>&1 || { echo "skipped: no Compose v2"; stop_engine; return 1; }
    fi
    if [ -n "${DLC_STANDINS:-}" ]; then
        "$DLC_STANDINS" -q postgres:17-alpine alpine:3.22 rust:1.95-alpine >&2 ||
            { echo "skipped: no base images: $DLC_STANDINS could not make them"; stop_engine; return 1; }
    fi
}

# An engine for the time of the script that asked for it. Its images and layers stay for the next one.
start_engine() {
    [ "$(id -u)" = 0 ] || { echo "skipped: no container engine, and only root can start one"; return 1; }
    if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io >&2 ||
            { echo "skipped: no container engine, and none to be installed"; return 1; }
    fi
    local home=${DLC_TEST_ENGINE_HOME:-/var/cache/dlc-test/engine} run
    mkdir -p "$home"
    exec 8>"$home.lock"
    flock -w 900 8 || { echo "skipped: another script has had the engine for a quarter of an hour"; return 1; }
    run=$(mktemp -d)
    # Whoever is interrupted while the base images are made leaves none behind, either.
    own_engine=$run
    trap stop_engine EXIT
    # One that was left behind nevertheless, by a script that was killed, has the folder still.
    local left
    left=$(cat "$home.pid" 2>/dev/null)
    if [ -n "$left" ] && [ -r "/proc/$left/cmdline" ] && tr '\0' ' ' <"/proc/$left/cmdline" | grep -q -- "^dockerd --data-root $home "; then
        kill "$left"
        for _ in $(seq 60); do kill -0 "$left" 2>/dev/null || break; sleep 0.5; done
    fi
    # 8>&-: whoever holds the lock is this script alone.
    setsid dockerd --data-root "$home" --exec-root "$run/exec" --pidfile "$run/pid" --host "unix://$run/docker.sock" \
        >"$run/log" 2>&1 8>&- &
    echo $! >"$home.pid"
    export DOCKER_HOST=unix://$run/docker.sock
    # It reads all its images first, from a disk that may be cold.
    for _ in $(seq 240); do
        docker info >/dev/null 2>&1 && return 0
        kill -0 $! 2>/dev/null || break
        sleep 0.5
    done
    echo "skipped: no container engine, and none can be started: $(grep -iE 'failed|error' "$run/log" | tail -n 1)"
    stop_engine
    return 1
}

stop_engine() {
    [ -n "${own_engine:-}" ] || return 0
    # Its folder lasts, and is not to grow with each run.
    docker image prune -f >/dev/null 2>&1
    docker builder prune -f --keep-storage 6GB >/dev/null 2>&1
    local pid
    pid=$(cat "$own_engine/pid" 2>/dev/null) && kill "$pid" 2>/dev/null
    for _ in $(seq 60); do kill -0 "$pid" 2>/dev/null || break; sleep 0.5; done
    # What it has mounted for networks and containers outlives it.
    sed -n "s|^[^ ]* \($own_engine/[^ ]*\) .*|\1|p" /proc/mounts | sort -r | xargs -r umount 2>/dev/null
    rm -rf "$own_engine"
    own_engine=
}
