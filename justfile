# Recipes for developers; `just` alone lists them.

compose := "docker compose -f deployments/docker-compose.yml"

# List the recipes
default:
    @just --list

# Bring up PostgreSQL and dlc in containers, and wait until both are healthy
up:
    {{compose}} up --build --wait

# Bring up dlc alone in a container, with its embedded SQLite database
up-sqlite:
    docker compose -f deployments/docker-compose.sqlite.yml up --build --wait

# Bring up PostgreSQL alone, on localhost:5432
up-postgres:
    {{compose}} up --wait postgres

# Write deployments/.env with a password and a secret of its own (mode 600); never overwrites
env:
    @test ! -e deployments/.env || { echo "deployments/.env exists already; nothing was changed" >&2; exit 1; }
    @umask 077; new() { head -c 33 /dev/urandom | base64 | tr '+/' '-_'; }; \
        { cat deployments/.env.example; printf '\nPOSTGRES_PASSWORD=%s\nDLC_AUTH__SECRET=%s\n' "$(new)" "$(new)"; } > deployments/.env
    @echo "wrote deployments/.env; a database that is there already keeps its own password (docs/deployment.md, What goes wrong)"

# Write deployments/secrets/ with a password and a secret for docker-compose.secrets.yml; never overwrites
secrets:
    @mkdir -m 700 deployments/secrets || { echo "nothing was changed" >&2; exit 1; }
    @new() { head -c 33 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' > "deployments/secrets/$1"; chmod 444 "deployments/secrets/$1"; }; \
        new postgres_password; new auth_secret
    @echo "wrote deployments/secrets/; a database that is there already keeps its own password (docs/deployment.md, What goes wrong)"

# Say what stands in the way of the containers: engine, versions, ports and who has them, volume
doctor:
    @scripts/doctor

# Stop the containers; the data stays
down:
    {{compose}} --profile '*' down
    docker compose -f deployments/docker-compose.sqlite.yml down

# Stop the containers and delete their data for good, but not the backups; asks first
[confirm("All data of the containers is deleted, backups aside. Go on? [y/N]")]
nuke: down
    docker volume ls -q --filter label=com.docker.compose.project="${COMPOSE_PROJECT_NAME:-dlc}" | grep -v backups | xargs -r docker volume rm

# Follow the containers' logs
logs *SERVICE:
    {{compose}} logs -f {{SERVICE}}

# Open psql in the database's container
[positional-arguments]
psql *ARGS:
    {{compose}} exec postgres sh -c 'exec psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" "$@"' psql "$@"

# Serve from the sources on the embedded SQLite database
run *ARGS:
    cargo run -- serve {{ARGS}}

# Examine the database that is configured
check *ARGS:
    cargo run -q -- db check {{ARGS}}

# Run every check and the whole suite on both databases
test:
    scripts/test

# Run the tests whose name holds a word
test-only WORD:
    cargo test --test it -- {{WORD}}

# Run the features on both databases, and write what became of them: target/features/index.html, sqlite.xml, postgres.xml (JUnit)
features *WORDS:
    cargo test --test features -- --report=target/features {{WORDS}}

# Run the suite on SQLite, on PostgreSQL 15 to 18 and through PgBouncer, and print a table (one row: just test-matrix 18; --write keeps it)
test-matrix *ARGS:
    scripts/test-matrix {{ARGS}}

# Lint
lint:
    cargo clippy --workspace --all-targets -- -D warnings
    cargo fmt --all --check

# Format
fmt:
    cargo fmt --all

# Write anew what the repository keeps of the program's output: help texts, templates, schema
snapshots:
    DLC_UPDATE_SNAPSHOTS=1 INSTA_UPDATE=always cargo test --workspace

# Check licences, banned crates, sources and known vulnerabilities of the dependencies, and write a bill of materials (--write keeps the report)
supply-chain *ARGS:
    scripts/supply-chain {{ARGS}}

# Build the image's program twice, the second time without a cache, and compare the two byte for byte
reproducible *ARGS:
    scripts/reproducible {{ARGS}}

# Say which lines the suite runs, and which it never does (--write keeps the report)
coverage *ARGS:
    scripts/coverage {{ARGS}}

# Run all that shows that dlc does what it promises, and write docs/evidence.md of what came out (hours; one part: just evidence features)
evidence *PARTS:
    scripts/evidence {{PARTS}}

# Time `migrate status` and a no-op `migrate up` beside other tools (--install gets them)
bench-migrate *ARGS:
    scripts/bench-migrate {{ARGS}}

# Time `db check` beside pg_isready, psql and check_postgres (--install gets it)
bench-check *ARGS:
    scripts/bench-check {{ARGS}}

# Time the service over HTTP beside pgbench, and in a crowd; refreshes benches/REPORT.md with --write (--install gets wrk, nginx)
bench-http *ARGS:
    scripts/bench-http {{ARGS}}

# Time signing in: kinds of refusal told apart by time, and a crowd that signs in at once; --write keeps the figures
bench-signin *ARGS:
    scripts/bench-signin {{ARGS}}

# Time claims beside pgbench, on both databases, with an audit after each (--peer PROGRAM reads from another service, too)
bench-claims *ARGS:
    scripts/bench-claims {{ARGS}}

# Time `dlc db move` with a million rows, both ways, beside the plainest copy that the engines' own programs can make
bench-move *ARGS:
    scripts/bench-move {{ARGS}}

# Send 10,000 hostile requests, made from the OpenAPI document, to dlc on both databases (fewer: just fuzz 1000)
fuzz *ARGS:
    scripts/fuzz {{ARGS}}

# Fuzz the parsers that dlc owns, guided by coverage, a minute each (longer: just fuzz-parsers 600)
fuzz-parsers *ARGS:
    scripts/fuzz-parsers {{ARGS}}

# Run the nine drills ten times and in all sizes: faults, crowds, full disks, poolers, secrets (one: just drill disk; --short, --write)
drill *ARGS:
    scripts/drill {{ARGS}}

# Try the stack in real containers
smoke:
    scripts/smoke

# Faults in real containers: instances replaced under load, a database that dies, old volumes, wrong passwords (one: just drill-containers rollout)
drill-containers *NAMES:
    scripts/drill-containers {{NAMES}}

# Replace the running instances by the image that is there now, one after the other, behind the proxy
rollout:
    scripts/rollout

# Build what is shipped
dist:
    cargo build --profile dist --locked
