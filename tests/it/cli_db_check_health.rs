//! `dlc db check`: what keeps a database healthy. Each check is made to fail on a real database, and passes on another.

use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{
    cli_db_check::{BUSY, assert_status, check, finding},
    harness::{ALL, Database, Dlc, Engine, Finished, PgBouncer, Prepared, Proxy, on_both_engines, postgres},
};

/// Nothing here takes longer to become true.
const LIMIT: Duration = Duration::from_secs(60);

/// One check of one database.
async fn one(database: &Database, id: &str, more: &[&str]) -> Finished {
    let arguments: Vec<&str> = ["db", "check", "--only", id, "--format", "json"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    database.dlc().run(&arguments).await
}

/// Asserts a check's status, and returns it.
fn assert_one(checked: &Finished, id: &str, status: &str, words: &str) -> Value {
    assert_status(checked, id, status);
    let report = checked.json();
    let found = finding(&report, id).clone();
    assert!(found.to_string().contains(words), "{words:?} is not in {found}");
    found
}

async fn session(database: &Database, name: &str) -> PgConnection {
    PgConnection::connect(&format!("{}?application_name={name}", database.url))
        .await
        .unwrap()
}

/// A role that may log in and nothing else.
struct Role<'a> {
    database: &'a Database,
    name: String,
}

impl<'a> Role<'a> {
    async fn new(database: &'a Database) -> Self {
        let name = format!("role_of_{}", database.name());
        database
            .execute(&format!("CREATE ROLE {name} LOGIN PASSWORD 'role'"))
            .await;
        Self { database, name }
    }

    async fn dlc(&self) -> Dlc {
        let port = postgres::cluster().await.port;
        let url = format!(
            "postgres://{}:role@127.0.0.1:{port}/{}",
            self.name,
            self.database.name()
        );
        Dlc::new().env("DATABASE_URL", &url)
    }

    async fn grant(&self, what: &str) {
        self.database.execute(&format!("GRANT {what} TO {}", self.name)).await;
    }

    async fn remove(self) {
        let name = &self.name;
        self.database
            .execute(&format!(
                "REASSIGN OWNED BY {name} TO dlc_test; DROP OWNED BY {name}; DROP ROLE {name}"
            ))
            .await;
    }
}

#[tokio::test]
async fn an_ordinary_owner_on_a_server_with_its_defaults_passes_every_check_deep_ones_too() {
    let database = Database::empty(Engine::Postgres).await;
    let role = Role::new(&database).await;
    let own = format!("ALTER DATABASE {} OWNER TO {}", database.name(), role.name);
    database.execute(&own).await;
    let wait = format!("ALTER DATABASE {} SET synchronous_commit = on", database.name());
    database.execute(&wait).await;
    assert_eq!(role.dlc().await.run(&["migrate", "up"]).await.code, 0);
    let arguments = [
        "db",
        "check",
        "--deep",
        "--strict",
        // The machine's server is as old as it is.
        "--skip",
        "SRV005",
        "--require-current",
        "--fail-on",
        "warn",
        "--format",
        "json",
    ];
    let checked = role.dlc().await.run(&[&arguments[..], &BUSY].concat()).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    let report = checked.json();
    let skipped: Vec<&str> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["status"] != "ok")
        .map(|check| check["id"].as_str().unwrap())
        .collect();
    assert_eq!(skipped, ["NET001", "PRF001", "BAK001"], "{report}");
    let own = format!("ALTER DATABASE {} OWNER TO dlc_test", database.name());
    database.execute(&own).await;
    role.remove().await;
}

#[tokio::test]
async fn missing_grants_are_77_with_the_exact_grant() {
    let database = Database::migrated(Engine::Postgres).await;
    let role = Role::new(&database).await;
    let checked = check(&role.dlc().await).await;
    assert_eq!(checked.code, 77);
    let hint = format!("GRANT USAGE, CREATE ON SCHEMA public TO {};", role.name);
    assert_one(&checked, "PRV001", "fail", &hint);
    // Its own layer goes on, later ones do not, and health stands on a session alone.
    role.grant("SELECT, UPDATE, DELETE ON claims").await;
    role.grant("SELECT, INSERT, UPDATE, DELETE ON users, greet_history, coupons, bootstrap_metadata, idempotency_keys")
        .await;
    role.grant("SELECT, INSERT, UPDATE, DELETE ON sessions, refresh_tokens, sign_in_failures, password_resets")
        .await;
    // Nothing more: events are written only, and a version goes with its user.
    role.grant("SELECT, INSERT, UPDATE ON token_versions").await;
    role.grant("INSERT ON audit_events").await;
    role.grant("USAGE ON SEQUENCE users_id_seq, greet_history_id_seq, audit_events_id_seq")
        .await;
    role.grant("SELECT ON seaql_migrations, dlc_migrations, dlc_schema_snapshot")
        .await;
    let checked = check(&role.dlc().await).await;
    let found = assert_one(&checked, "PRV002", "fail", "GRANT INSERT ON claims TO");
    assert_eq!(
        found["hint"],
        format!(
            "GRANT INSERT ON claims TO {0}; GRANT USAGE ON SEQUENCE claims_id_seq TO {0};",
            role.name
        )
    );
    assert_one(&checked, "MIG001", "skipped", "PRV001 failed");
    // Nor does the service let anybody in only to fail them all.
    let refused = role.dlc().await.run(&["serve", "--port", "0"]).await;
    refused.assert_error(77, "before serving, PRV002 tables and sequences: ");
    assert!(
        refused.stderr.contains("hint: GRANT INSERT ON claims TO "),
        "{refused:?}"
    );
    assert_one(&checked, "LCK001", "ok", "none");
    assert_one(&checked, "PRV003", "ok", &role.name);
    let separate = role.dlc().await.env("DLC_DATABASE__MIGRATION_URL", &database.url);
    assert_one(
        &check(&separate).await,
        "PRV001",
        "ok",
        "migrations have a connection of their own",
    );
    assert_one(&one(&database, "PRV003", &[]).await, "PRV003", "warn", "is a superuser");
    role.remove().await;
}

#[tokio::test]
async fn a_search_path_that_selects_nothing_and_an_empty_database_are_told() {
    let database = Database::empty(Engine::Postgres).await;
    assert_one(&one(&database, "SCH002", &[]).await, "SCH002", "warn", "never migrated");
    let path = format!("ALTER DATABASE {} SET search_path = nowhere", database.name());
    database.execute(&path).await;
    assert_one(
        &one(&database, "SCH001", &[]).await,
        "SCH001",
        "fail",
        "no schema of the search path exists: nowhere",
    );
}

on_both_engines! {
    async fn a_schema_that_was_changed_past_dlc_is_drift(database: Database) {
        assert_one(&one(&database, "DRF001", &[]).await, "DRF001", "ok", "as recorded");
        database.execute("ALTER TABLE users DROP COLUMN description").await;
        let checked = one(&database, "DRF001", &[]).await;
        assert_one(&checked, "DRF001", "warn", "column users.description is missing");
        assert_eq!(checked.code, 0);
        assert_one(&one(&database, "DRF001", &["--strict"]).await, "DRF001", "fail", "1 changed");
        assert_one(&one(&database, "DRF002", &[]).await, "DRF002", "fail", "missing: users.description");
    }

    async fn pending_is_a_failure_when_current_is_required(database: Database) {
        database.dlc().run(&["migrate", "down", "--yes"]).await;
        assert_one(&one(&database, "MIG001", &[]).await, "MIG001", "warn", "1 pending");
        let required = one(&database, "MIG001", &["--require-current"]).await;
        assert_one(&required, "MIG001", "fail", "1 pending");
        assert_eq!(required.code, 1);
    }

    async fn books_that_do_not_add_up_are_found(database: Database) {
        database.execute("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 5, 3)").await;
        database.execute("INSERT INTO claims (user_id, coupon_name) VALUES ('a', 'c'), ('b', 'c')").await;
        assert_one(&one(&database, "BIZ001", &[]).await, "BIZ001", "ok", "every coupon adds up");
        database.execute("UPDATE coupons SET remaining_amount = 4").await;
        assert_one(&one(&database, "BIZ001", &[]).await, "BIZ001", "fail", "c: 4 of 5 left, 2 claims: 1 more claimed than taken from the stock");
    }

    async fn sizes_are_told_and_limits_can_be_others(database: Database) {
        let size = assert_one(&one(&database, "DSK002", &[]).await, "DSK002", "ok", "");
        assert!(size["value"].as_f64().unwrap() > 4096.0 && size["unit"] == "bytes", "{size}");
        let large = one(&database, "DSK002", &["--threshold", "DSK002=1,2"]).await;
        assert_one(&large, "DSK002", "fail", "");
        assert_eq!(large.code, 1);
    }
}

#[tokio::test]
async fn a_full_file_system_is_told() {
    let database = Database::migrated(Engine::Sqlite).await;
    assert_one(
        &one(&database, "DSK001", &["--threshold", "DSK001=101,101"]).await,
        "DSK001",
        "ok",
        "free",
    );
    assert_one(
        &one(&database, "DSK001", &["--threshold", "DSK001=0,0.001"]).await,
        "DSK001",
        "fail",
        "free",
    );
}

#[tokio::test]
async fn invalid_indexes_and_constraints_are_named_with_the_line_that_mends_them() {
    let database = Database::migrated(Engine::Postgres).await;
    assert_one(&one(&database, "DRF003", &[]).await, "DRF003", "ok", "none");
    database
        .execute("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 2, 0)")
        .await;
    database
        .execute("INSERT INTO claims (user_id, coupon_name) VALUES ('a', 'c'), ('b', 'c')")
        .await;
    database
        .refusal("CREATE UNIQUE INDEX CONCURRENTLY broken ON claims (coupon_name)")
        .await;
    database
        .execute("ALTER TABLE claims ADD CONSTRAINT late CHECK (length(user_id) > 0) NOT VALID")
        .await;
    let found = assert_one(
        &one(&database, "DRF003", &[]).await,
        "DRF003",
        "warn",
        "index broken is invalid",
    );
    assert_eq!(
        found["hint"],
        "ALTER TABLE claims VALIDATE CONSTRAINT late; REINDEX INDEX CONCURRENTLY broken;"
    );
}

#[tokio::test]
async fn a_pool_that_is_too_large_is_told_with_the_largest_that_fits() {
    let database = Database::migrated(Engine::Postgres).await;
    assert_one(
        &one(&database, "CAP002", &[]).await,
        "CAP002",
        "ok",
        "10 per instance × 1 × 2 = 20 of 297",
    );
    let large = database
        .dlc()
        .env("DLC_DATABASE__MAX_OPEN_CONNS", "50")
        .env("DLC_DATABASE__INSTANCES", "4")
        .run(&["db", "check", "--only", "CAP002", "--format", "json"])
        .await;
    assert_one(
        &large,
        "CAP002",
        "fail",
        "largest safe pool: DLC_DATABASE__MAX_OPEN_CONNS=37",
    );
    assert_eq!(large.code, 1);
}

#[tokio::test]
async fn what_is_measured_is_held_against_its_limits() {
    let database = Database::migrated(Engine::Postgres).await;
    database
        .execute("INSERT INTO users (username, password_hash) SELECT n, 'x' FROM generate_series(1, 3000) n")
        .await;
    database.execute("DELETE FROM users WHERE id % 2 = 0").await;
    for id in ["CAP001", "CAP003", "CAP004", "CLK001", "WRP001", "BLT001", "BLT002"] {
        let limits = if id == "BLT001" { &["--deep"][..] } else { &BUSY };
        assert_one(&one(&database, id, limits).await, id, "ok", "");
        let threshold = format!("{id}=0,0.000000001");
        let strict = one(&database, id, &["--threshold", &threshold]).await;
        let found = assert_one(&strict, id, "fail", "");
        assert!(found["value"].as_f64().unwrap() > 0.0, "{found}");
    }
}

#[tokio::test]
async fn a_blocked_session_and_a_long_transaction_are_named_with_their_blockers() {
    let database = Database::migrated(Engine::Postgres).await;
    assert_one(&one(&database, "LCK001", &[]).await, "LCK001", "ok", "none");
    let mut holder = session(&database, "holder").await;
    holder.execute("BEGIN; LOCK TABLE coupons").await.unwrap();
    let mut waiter = session(&database, "waiter").await;
    let waiting = tokio::spawn(async move { waiter.execute("SELECT * FROM coupons").await.map(drop) });
    let limits = ["--threshold", "LCK001=0,0.001", "--threshold", "LCK002=0,0.001"];
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < LIMIT);
        let checked = one(&database, "LCK001", &limits).await;
        if finding(&checked.json(), "LCK001")["status"] == "fail" {
            let found = assert_one(&checked, "LCK001", "fail", "(waiter) waits for pid ");
            assert!(
                found["measured"]
                    .as_str()
                    .unwrap()
                    .contains("(holder, idle in transaction)"),
                "{found}"
            );
            assert!(
                found["hint"]
                    .as_str()
                    .unwrap()
                    .starts_with("SELECT pg_terminate_backend("),
                "{found}"
            );
            break;
        }
    }
    assert_one(
        &one(&database, "LCK002", &limits).await,
        "LCK002",
        "fail",
        "(holder), idle in transaction",
    );
    holder.execute("ROLLBACK").await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_forgotten_prepared_transaction_is_named_with_the_line_that_ends_it() {
    let database = Database::migrated(Engine::Postgres).await;
    let gid = format!("forgotten in {}", database.name());
    let mut session = session(&database, "forgetful").await;
    session
        .execute(AssertSqlSafe(format!("BEGIN; PREPARE TRANSACTION '{gid}'")))
        .await
        .unwrap();
    session
        .execute(AssertSqlSafe(format!("ROLLBACK PREPARED '{gid}'")))
        .await
        .unwrap();
    session
        .execute(AssertSqlSafe(format!(
            "BEGIN; LOCK TABLE coupons; PREPARE TRANSACTION '{gid}'"
        )))
        .await
        .unwrap();
    let url = database.url.clone();
    let waiting = tokio::spawn(async move {
        let mut waiter = PgConnection::connect(&url).await.unwrap();
        waiter.execute("SELECT * FROM coupons").await.map(drop)
    });
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < LIMIT);
        let checked = one(&database, "LCK001", &["--threshold", "LCK001=0,0.001"]).await;
        if finding(&checked.json(), "LCK001")["status"] == "fail" {
            let found = assert_one(&checked, "LCK001", "fail", "waits for a prepared transaction");
            assert!(found["hint"].as_str().unwrap().contains("ROLLBACK PREPARED"), "{found}");
            break;
        }
    }
    let found = assert_one(
        &one(&database, "LCK003", &["--threshold", "LCK003=0,0.001"]).await,
        "LCK003",
        "fail",
        "forgotten",
    );
    assert_eq!(found["hint"], format!("ROLLBACK PREPARED '{gid}';"));
    session
        .execute(AssertSqlSafe(format!("ROLLBACK PREPARED '{gid}'")))
        .await
        .unwrap();
    assert_one(&one(&database, "LCK003", &[]).await, "LCK003", "ok", "none");
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dump_is_in_the_way_of_pending_migrations_alone() {
    let database = Database::migrated(Engine::Postgres).await;
    let mut dump = session(&database, "pg_dump").await;
    dump.execute("BEGIN; LOCK TABLE claims IN ACCESS SHARE MODE")
        .await
        .unwrap();
    let nothing = "nothing that is pending needs it";
    assert_one(&one(&database, "LCK004", &[]).await, "LCK004", "ok", nothing);
    // What is pending adds a column to coupons, and a dump of claims is in nobody's way.
    let newer = database.dlc().with_migrations("expanded");
    let looked = ["db", "check", "--only", "LCK004", "--format", "json"];
    assert_one(&newer.run(&looked).await, "LCK004", "ok", nothing);
    dump.execute("LOCK TABLE coupons IN ACCESS SHARE MODE").await.unwrap();
    let words = "(pg_dump) uses coupons, and a pending migration needs it";
    assert_one(&newer.run(&looked).await, "LCK004", "warn", words);
    newer.run(&["migrate", "up"]).await.assert_error(3, words);
    dump.execute("ROLLBACK").await.unwrap();
    assert_eq!(newer.run(&["migrate", "up"]).await.code, 0);
}

#[tokio::test]
async fn sequences_that_run_out_or_lag_behind_are_told_with_the_line_that_mends_them() {
    let database = Database::migrated(Engine::Postgres).await;
    database
        .execute("INSERT INTO users (id, username, password_hash) VALUES (41, 'a', 'x')")
        .await;
    let found = assert_one(
        &one(&database, "WRP003", &[]).await,
        "WRP003",
        "fail",
        "users_id_seq is at 1, users.id at 41",
    );
    database
        .execute(found["hint"].as_str().unwrap().trim_end_matches(';'))
        .await;
    assert_one(&one(&database, "WRP003", &[]).await, "WRP003", "ok", "none");
    assert_one(&one(&database, "WRP002", &[]).await, "WRP002", "ok", "is at");
    database.execute("SELECT setval('claims_id_seq', 2100000000)").await;
    assert_one(
        &one(&database, "WRP002", &[]).await,
        "WRP002",
        "fail",
        "claims.id is at 2100000000",
    );
}

#[tokio::test]
async fn indexes_that_are_the_same_and_foreign_keys_without_one_are_told() {
    let database = Database::migrated(Engine::Postgres).await;
    assert_one(&one(&database, "PRF002", &[]).await, "PRF002", "ok", "nothing to see");
    database.execute("CREATE INDEX twice ON claims (coupon_name)").await;
    assert_one(
        &one(&database, "PRF002", &["--deep"]).await,
        "PRF002",
        "warn",
        "indexes idx_claims_coupon_name and twice are the same",
    );
    database.execute("DROP INDEX twice").await;
    // The other way round it serves other questions.
    database
        .execute("CREATE INDEX other ON claims (coupon_name DESC)")
        .await;
    assert_one(
        &one(&database, "PRF002", &["--deep"]).await,
        "PRF002",
        "ok",
        "nothing to see",
    );
    database
        .execute(
            "DROP INDEX greet_history_user_id; \
             INSERT INTO greet_history (message) SELECT 'm' FROM generate_series(1, 2000); ANALYZE greet_history",
        )
        .await;
    assert_one(
        &one(&database, "PRF002", &["--deep"]).await,
        "PRF002",
        "warn",
        "foreign key greet_history_user_id_fkey on greet_history has no index",
    );
    // A partial one does not serve it.
    database
        .execute("CREATE INDEX part ON greet_history (user_id) WHERE user_id > 9")
        .await;
    assert_one(
        &one(&database, "PRF002", &["--deep"]).await,
        "PRF002",
        "warn",
        "has no index",
    );
    database.execute("CREATE INDEX whole ON greet_history (user_id)").await;
    assert_one(
        &one(&database, "PRF002", &["--deep"]).await,
        "PRF002",
        "ok",
        "nothing to see",
    );
}

#[tokio::test]
async fn collation_encoding_and_time_zone_are_looked_at() {
    let database = Database::migrated(Engine::Postgres).await;
    assert_one(&one(&database, "COL001", &[]).await, "COL001", "ok", "");
    let version = format!(
        "UPDATE pg_database SET datcollversion = '1.0' WHERE datname = '{}'",
        database.name()
    );
    database.execute(&version).await;
    assert_one(
        &one(&database, "COL001", &[]).await,
        "COL001",
        "warn",
        "REFRESH COLLATION VERSION",
    );
    assert_one(
        &one(&database, "COL002", &[]).await,
        "COL002",
        "ok",
        "UTF8; no time zone of its own",
    );
    let zone = format!("ALTER DATABASE {} SET TimeZone = 'Europe/Berlin'", database.name());
    database.execute(&zone).await;
    assert_one(
        &one(&database, "COL002", &[]).await,
        "COL002",
        "warn",
        "UTF8, Europe/Berlin",
    );
    let ascii = format!("{}_ascii", database.name());
    let make = format!("CREATE DATABASE {ascii} ENCODING 'SQL_ASCII' TEMPLATE template0");
    postgres::cluster().await.execute("postgres", &make).await;
    let dlc = Dlc::new().env("DATABASE_URL", &postgres::cluster().await.url(&ascii));
    let checked = dlc.run(&["db", "check", "--only", "COL002", "--format", "json"]).await;
    postgres::cluster().await.remove(&ascii).await;
    assert_one(&checked, "COL002", "fail", "SQL_ASCII");
}

#[tokio::test]
async fn what_a_crash_would_lose_and_what_nothing_ends_is_told() {
    let database = Database::migrated(Engine::Postgres).await;
    assert_one(
        &one(&database, "SET001", &[]).await,
        "SET001",
        "warn",
        "synchronous_commit = off",
    );
    let wait = format!("ALTER DATABASE {} SET synchronous_commit = on", database.name());
    database.execute(&wait).await;
    assert_one(&one(&database, "SET001", &[]).await, "SET001", "ok", "");
    let unlimited = database.dlc().env("DLC_DATABASE__STATEMENT_TIMEOUT", "0s");
    let checked = unlimited
        .run(&["db", "check", "--only", "SET001", "--format", "json"])
        .await;
    assert_one(&checked, "SET001", "warn", "DLC_DATABASE__STATEMENT_TIMEOUT");
}

#[tokio::test]
async fn a_transaction_pooler_is_noticed_and_its_role_must_bring_limits() {
    let database = Database::migrated(Engine::Postgres).await;
    let hidden = PgBouncer::start(Prepared::KnownAndHidden).await.unwrap();
    let dlc = Dlc::new().env("DATABASE_URL", &hidden.url(&database));
    let checked = dlc.run(&["db", "check", "--only", "SRV006", "--format", "json"]).await;
    assert_one(&checked, "SRV006", "warn", "a transaction pooler");
    let declared = Dlc::new()
        .env("DATABASE_URL", &hidden.url(&database))
        .env("DLC_DATABASE__POOLER", "pgbouncer");
    let checked = declared
        .run(&["db", "check", "--only", "SET001", "--format", "json"])
        .await;
    assert_one(
        &checked,
        "SET001",
        "warn",
        "ALTER ROLE dlc_test SET statement_timeout = '5s';",
    );
}

#[tokio::test]
async fn a_standby_a_lag_a_forgotten_slot_and_a_server_without_fsync_are_told() {
    let cluster = postgres::Cluster::with_standby("-c wal_level=replica -c max_wal_senders=4 -c fsync=off").await;
    let standby = cluster.standby_port();
    let primary = cluster.url("postgres");
    let replica = primary.replace(&format!(":{}/", cluster.port), &format!(":{standby}/"));
    let on = |url: &str, id: &'static str, more: &'static [&'static str]| {
        let dlc = Dlc::new().env("DATABASE_URL", url);
        async move {
            let arguments = ["db", "check", "--only", id, "--format", "json"];
            dlc.run(&arguments.iter().chain(more).copied().collect::<Vec<_>>())
                .await
        }
    };
    let started = Instant::now();
    while on(&replica, "SRV007", &[]).await.json()["checks"][0]["id"] != "SRV007" {
        assert!(started.elapsed() < LIMIT);
    }
    assert_one(&on(&replica, "SRV007", &[]).await, "SRV007", "warn", "a replica");
    assert_one(&on(&primary, "SRV007", &[]).await, "SRV007", "ok", "yes");
    assert_one(&on(&primary, "SET001", &[]).await, "SET001", "fail", "fsync = off");
    assert_one(&on(&replica, "REP001", &[]).await, "REP001", "ok", "this is a replica");
    let mut paused = PgConnection::connect(&replica).await.unwrap();
    // A lag is told by the time of the last transaction, so there must be one.
    cluster.execute("postgres", "CREATE TABLE first (id integer)").await;
    while paused.execute("SELECT * FROM first").await.is_err() {
        assert!(started.elapsed() < LIMIT);
    }
    paused.execute("SELECT pg_wal_replay_pause()").await.unwrap();
    cluster.execute("postgres", "CREATE TABLE behind (id integer)").await;
    while on(&replica, "REP001", &["--threshold", "REP001=0,0.001"]).await.code == 0 {
        assert!(started.elapsed() < LIMIT);
    }
    assert_one(
        &on(&replica, "REP001", &["--threshold", "REP001=0,0.001"]).await,
        "REP001",
        "fail",
        "this is a replica",
    );
    cluster
        .execute("postgres", "SELECT pg_create_physical_replication_slot('forgotten')")
        .await;
    assert_one(
        &on(&primary, "REP001", &[]).await,
        "REP001",
        "warn",
        "slot forgotten is inactive",
    );
    paused.execute("ALTER SYSTEM SET primary_conninfo = ''").await.unwrap();
    paused
        .execute("SELECT pg_wal_replay_resume(), pg_reload_conf()")
        .await
        .unwrap();
    let cut_off = "it receives nothing from its primary";
    while !on(&replica, "REP001", &[]).await.stdout.contains(cut_off) {
        assert!(started.elapsed() < LIMIT);
    }
    assert_one(&on(&replica, "REP001", &[]).await, "REP001", "warn", cut_off);
}

#[tokio::test]
async fn independent_questions_travel_together_so_that_a_distance_costs_little() {
    let database = Database::migrated(Engine::Postgres).await;
    let proxy = Proxy::to(postgres::cluster().await.port).await;
    let far = database.url.replace(
        &format!(":{}/", postgres::cluster().await.port),
        &format!(":{}/", proxy.port),
    );
    let checked = Dlc::new().env("DATABASE_URL", &far).run(&["db", "check"]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    // Two seconds are two hundred round trips of 10 ms, and some of them are spent before the longest connection is made.
    let trips = proxy.most_round_trips();
    assert!((20..60).contains(&trips), "{trips}");
}

#[tokio::test]
async fn looking_leaves_no_trace_in_the_server() {
    let cluster = postgres::Cluster::own("").await;
    let dlc = Dlc::new().env("DATABASE_URL", &cluster.url("postgres"));
    assert_eq!(dlc.run(&["migrate", "up"]).await.code, 0);
    // Any reader tidies up pages with dead rows in passing; there should be none left.
    cluster.execute("postgres", "ANALYZE").await;
    cluster.execute("postgres", "VACUUM (FREEZE)").await;
    let mut session = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    // Where the log ends, which transaction comes next, and every object there is: nobody else is here to move them.
    let trace = "SELECT format('%s %s %s %s', pg_current_wal_insert_lsn(), pg_snapshot_xmax(pg_current_snapshot()), \
                        (SELECT md5(string_agg(c::text, ',' ORDER BY oid)) FROM pg_class c), \
                        (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_all_tables))";
    session.execute("CHECKPOINT; CHECKPOINT").await.unwrap();
    let before: String = sqlx::query_scalar(trace).fetch_one(&mut session).await.unwrap();
    for more in [&[][..], &["--deep", "--strict"], &["--format", "prometheus"]] {
        let checked = dlc.run(&[&["db", "check"], more].concat()).await;
        assert_eq!(checked.code, 0, "{checked:?}");
    }
    let after: String = sqlx::query_scalar(trace).fetch_one(&mut session).await.unwrap();
    assert_eq!(before, after);
    session.execute("CREATE TABLE trace (id integer)").await.unwrap();
    let other: String = sqlx::query_scalar(trace).fetch_one(&mut session).await.unwrap();
    assert_ne!(before, other, "a trace would not be seen");
}

#[tokio::test]
async fn sequences_are_judged_by_where_they_go_next() {
    let database = Database::migrated(Engine::Postgres).await;
    let schema = format!("ALTER DATABASE {} SET search_path = \"Sales \"\"A%\"", database.name());
    database.execute("CREATE SCHEMA \"Sales \"\"A%\"").await;
    database.execute(&schema).await;
    database
        .execute(
            "SET search_path = \"Sales \"\"A%\"; \
             CREATE TABLE restarted (id serial PRIMARY KEY); INSERT INTO restarted VALUES (100); \
             ALTER SEQUENCE restarted_id_seq RESTART WITH 101; \
             CREATE TABLE down (id integer PRIMARY KEY); CREATE SEQUENCE down_seq INCREMENT -1 OWNED BY down.id; \
             INSERT INTO down SELECT nextval('down_seq') FROM generate_series(1, 3); \
             CREATE TABLE words (id text); CREATE SEQUENCE words_seq OWNED BY words.id; INSERT INTO words VALUES ('A17')",
        )
        .await;
    assert_one(&one(&database, "WRP003", &[]).await, "WRP003", "ok", "none");
    assert_one(&one(&database, "WRP002", &[]).await, "WRP002", "ok", "is at");
    database
        .execute("SET search_path = \"Sales \"\"A%\"; INSERT INTO down VALUES (-9)")
        .await;
    let found = assert_one(
        &one(&database, "WRP003", &[]).await,
        "WRP003",
        "fail",
        "down_seq is at -3, down.id at -9",
    );
    database
        .execute(found["hint"].as_str().unwrap().trim_end_matches(';'))
        .await;
    assert_one(&one(&database, "WRP003", &[]).await, "WRP003", "ok", "none");
    // Used by a default and owned by nobody.
    database
        .execute(
            "SET search_path = \"Sales \"\"A%\"; CREATE SEQUENCE short MAXVALUE 100; SELECT setval('short', 97); \
             CREATE TABLE borrowing (id integer DEFAULT nextval('short'))",
        )
        .await;
    assert_one(
        &one(&database, "WRP002", &[]).await,
        "WRP002",
        "fail",
        "borrowing.id is at 97",
    );
}

#[tokio::test]
async fn what_a_role_may_not_see_is_skipped_with_the_grant_and_not_ok() {
    let database = Database::migrated(Engine::Postgres).await;
    let role = Role::new(&database).await;
    let mut theirs = session(&database, "theirs").await;
    theirs.execute("BEGIN; LOCK TABLE coupons").await.unwrap();
    let strict = [
        "db",
        "check",
        "--only",
        "LCK002",
        "--format",
        "json",
        "--threshold",
        "LCK002=0,0.001",
    ];
    let hidden = role.dlc().await.run(&strict).await;
    let words = format!("hidden: GRANT pg_read_all_stats TO {};", role.name);
    assert_one(&hidden, "LCK002", "skipped", &words);
    let grant = format!(
        "4 sequences are hidden: GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {};",
        role.name
    );
    for id in ["WRP002", "WRP003"] {
        let arguments = ["db", "check", "--only", id, "--format", "json"];
        assert_one(&role.dlc().await.run(&arguments).await, id, "skipped", &grant);
    }
    role.grant("SELECT ON ALL SEQUENCES IN SCHEMA public").await;
    let arguments = ["db", "check", "--only", "WRP002", "--format", "json"];
    assert_one(&role.dlc().await.run(&arguments).await, "WRP002", "ok", "is at");
    role.database
        .execute(&format!("GRANT pg_read_all_stats TO {}", role.name))
        .await;
    assert_one(&role.dlc().await.run(&strict).await, "LCK002", "fail", "(theirs)");
    theirs.execute("ROLLBACK").await.unwrap();
    role.remove().await;
}

#[tokio::test]
async fn names_that_would_steer_a_terminal_are_shown_and_not_obeyed() {
    let database = Database::migrated(Engine::Postgres).await;
    let table = "CREATE TABLE \"esc\u{1b}]0;title\u{7}\nfaked\" (id serial PRIMARY KEY); INSERT INTO \"esc\u{1b}]0;title\u{7}\nfaked\" VALUES (9)";
    database.execute(table).await;
    for format in ["text", "nagios", "junit"] {
        let told = database
            .dlc()
            .run(&["db", "check", "--only", "WRP003", "--format", format])
            .await;
        assert!(told.stdout.contains("esc"), "{told:?}");
        assert!(
            !told.stdout.contains(['\u{1b}', '\u{7}']) && !told.stdout.contains("\nfaked"),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_goes_silent_in_the_middle_ends_no_round_late() {
    let database = Database::migrated(Engine::Postgres).await;
    let cluster = postgres::cluster().await;
    // It goes silent at different moments of the look.
    for answers in [1, 3, 6, 9, 14, 20] {
        let proxy = Proxy::to(cluster.port).await;
        proxy.silence_after(answers);
        let far = database
            .url
            .replace(&format!(":{}/", cluster.port), &format!(":{}/", proxy.port));
        let checked = Dlc::new()
            .env("DATABASE_URL", &format!("{far}?sslmode=disable"))
            .run(&["db", "check", "--timeout", "1s", "--format", "json"])
            .await;
        // Whatever was seen is judged, and the rest is skipped or failed: it ends, and is no success.
        let left = checked.json()["checks"].as_array().unwrap().iter().any(|check| {
            let words = check["measured"].to_string();
            words.contains("no answer within") || words.contains("in time") || words.contains("the whole look")
        });
        assert!(left, "after {answers} answers: {checked:?}");
    }
}

#[tokio::test]
async fn somebody_else_s_tables_are_no_reason_to_migrate() {
    let database = Database::empty(Engine::Postgres).await;
    database.execute("CREATE TABLE theirs (id serial PRIMARY KEY)").await;
    let theirs = "1 tables and no history of dlc's";
    assert_one(&one(&database, "SCH002", &[]).await, "SCH002", "skipped", theirs);
    assert_one(
        &one(&database, "MIG001", &[]).await,
        "MIG001",
        "skipped",
        "never migrated",
    );
    let required = one(&database, "MIG001", &["--require-current"]).await;
    assert_one(&required, "MIG001", "fail", &format!("never migrated: {ALL} pending"));
}

#[tokio::test]
async fn a_server_that_is_far_away_is_told_by_its_round_trip_and_by_the_time_to_connect() {
    let database = Database::migrated(Engine::Postgres).await;
    let cluster = postgres::cluster().await;
    let proxy = Proxy::to(cluster.port).await;
    proxy.delay(200);
    let far = database
        .url
        .replace(&format!(":{}/", cluster.port), &format!(":{}/", proxy.port));
    let arguments = [
        "db",
        "check",
        "--only",
        "CAP003,CAP004",
        "--threshold",
        "CAP003=1,60",
        "--threshold",
        "CAP004=0.05,60",
        "--timeout",
        "30s",
        "--format",
        "json",
    ];
    let checked = Dlc::new().env("DATABASE_URL", &far).run(&arguments).await;
    let trip = assert_one(&checked, "CAP004", "warn", "");
    assert!(trip["value"].as_f64().unwrap() >= 0.2, "{trip}");
    assert_one(&checked, "CAP003", "warn", "");
}

#[tokio::test]
async fn a_history_that_may_not_be_read_is_not_taken_for_none() {
    let database = Database::migrated(Engine::Postgres).await;
    let role = format!("{}_svc", database.name());
    for sql in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'role'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"),
        format!("REVOKE ALL ON seaql_migrations FROM {role}"),
    ] {
        database.execute(&sql).await;
    }
    let port = postgres::cluster().await.port;
    let url = format!("postgres://{role}:role@127.0.0.1:{port}/{}", database.name());
    let dlc = database.dlc().env("DATABASE_URL", &url);
    let checked = dlc.run(&["db", "check", "--only", "SCH002,PRV002,BIZ001"]).await;
    assert!(
        checked
            .stdout
            .contains("the history of migrations cannot be read (SCH002)"),
        "{checked:?}"
    );
    assert!(!checked.stdout.contains("never migrated"), "{checked:?}");
    database
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
}
