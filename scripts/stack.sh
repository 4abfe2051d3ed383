# Sourced: a stack of its own, for scripts that try one: a copy of the checkout without what belongs to this machine, names of
# images, containers and volumes that are nobody else's, and the words in which checks are written. Not here: the engine (engine.sh).

[ -n "${EPOCHREALTIME:-}" ] || { echo "error: bash 5 or newer is needed; this is $BASH_VERSION" >&2; exit 1; }

# Moves into a copy of what is in the repository or would be: nothing that is ignored, such as deployments/.env. No variable that
# a Compose file reads comes from outside but those that are named.
own_stack() { # name of the project, variables to keep…
    local name kept=" ${*:2} "
    while read -r name; do
        # Where images come from is this machine's business.
        case $kept in *" $name "*) ;; *) case $name in *_IMAGE) ;; *) unset "$name" ;; esac ;; esac
    done < <(sed -n '/--- Read by dlc itself/q; s/^# \([A-Z_][A-Z_0-9]*\)=.*/\1/p' deployments/.env.example)
    # Other spellings of the same would win over the parts.
    unset COMPOSE_FILE COMPOSE_PROFILES COMPOSE_ENV_FILES DLC_DATABASE__URL
    here=$(mktemp -d)
    git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' name; do
        if [ -e "$name" ]; then printf '%s\0' "$name"; fi
    done | tar --null -T - -cf - | tar -xf - -C "$here" || { echo "error: no copy of the checkout can be made" >&2; exit 1; }
    cd "$here" || exit 1
    export COMPOSE_PROJECT_NAME=$1 DLC_IMAGE=$1
}
remove_images() { docker rmi -f "$DLC_IMAGE" "$DLC_IMAGE-backup" "$DLC_IMAGE-pgbouncer" >/dev/null 2>&1; }

# A free port: the one that is asked for, or the next.
free_port() { # port
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 10000)); done
    echo "$port"
}

passed=0 failed=0
check() { # name, command…
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1)); echo "ok      $name"
    else
        failed=$((failed + 1)); echo "FAILED  $name"; printf '%s\n' "$output" | tail -n 20 | sed 's/^/        /'
    fi
}
equal() { [ "$1" = "$2" ] || { printf 'expected %s, found %s\n' "$1" "$2"; return 1; }; }
holds() { case $2 in *"$1"*) ;; *) printf 'expected %s in:\n%s\n' "$1" "$2"; return 1 ;; esac }
says() { # text, command…
    local text=$1 output
    shift
    output=$("$@" 2>&1) || { printf '%s\n' "$output"; return 1; }
    holds "$text" "$output"
}
refuses() { # text, command…
    local text=$1 output
    shift
    if output=$("$@" 2>&1); then printf 'it succeeded:\n%s\n' "$output"; return 1; fi
    holds "$text" "$output"
}
sql() { compose exec -T postgres psql -h 127.0.0.1 -U dlc -d dlc -Atc "$1"; }
# The containers of a service; fails where there is none, so that nothing is said of nothing.
containers() { # service
    local ids
    ids=$(compose ps -q "$1")
    [ -n "$ids" ] || { echo "no container of $1 runs"; return 1; }
    echo "$ids"
}
until_true() { # seconds, command…
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $until ] || return 1; sleep 0.3; done
}
