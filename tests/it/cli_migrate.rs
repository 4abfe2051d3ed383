//! `dlc migrate up | down | status` on both engines.

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{ALL, Database, Dlc, Empty, Engine, LAST, Terminal, on_both_engines, postgres};

const FIRST: &str = "m20261121_000001_create_bootstrap_metadata";
const SECOND: &str = "m20261121_000002_create_users";

on_both_engines! {
    async fn up_applies_and_says_what_and_a_second_time_has_nothing_to_do(database: Empty) {
        let dlc = database.0.dlc();
        let up = dlc.run(&["migrate", "up"]).await;
        assert_eq!(up.code, 0, "{up:?}");
        assert_eq!(up.lines().len(), ALL, "{up:?}");
        assert!(up.lines()[0].starts_with(&format!("applied {FIRST} (")), "{up:?}");
        let again = dlc.run(&["migrate", "up"]).await;
        assert_eq!((again.code, again.stdout.as_str()), (0, "nothing to do: no migration was applied\n"));
    }

    async fn status_never_writes_and_its_check_says_2_while_something_is_pending(database: Empty) {
        let database = database.0;
        let dlc = database.dlc();
        let status = dlc.run(&["migrate", "status"]).await;
        assert_eq!(status.code, 0, "{status:?}");
        assert!(status.lines().last().unwrap().starts_with(&format!("never migrated: {ALL} pending")), "{status:?}");
        assert_eq!(dlc.run(&["migrate", "status", "--check"]).await.code, 2);
        match database.engine {
            Engine::Sqlite => assert!(!database.file().exists()),
            Engine::Postgres => assert_eq!(database.number("SELECT count(*) FROM pg_class WHERE relname LIKE 'seaql%'").await, 0),
        }
        dlc.run(&["migrate", "up", "--steps", "1"]).await;
        let status = dlc.run(&["migrate", "status"]).await;
        assert!(status.lines()[0].starts_with("applied       20"), "{status:?}");
        assert_eq!(status.lines().last().unwrap(), &format!("1 applied, {} pending; apply them: dlc migrate up", ALL - 1));
        dlc.run(&["migrate", "up"]).await;
        assert_eq!(dlc.run(&["migrate", "status", "--check"]).await.code, 0);
    }

    async fn status_as_json_has_a_stable_shape(database: Empty) {
        let dlc = database.0.dlc();
        dlc.run(&["migrate", "up", "--to", SECOND]).await;
        let status = dlc.run(&["migrate", "status", "--format", "json", "--check"]).await;
        assert_eq!(status.code, 2);
        let mut report = status.json();
        for migration in report["migrations"].as_array_mut().unwrap() {
            if migration["state"] == "applied" {
                assert!(migration["applied_at"].as_str().unwrap().ends_with('Z'), "{migration}");
                assert!(migration["applied_by"].as_str().unwrap().starts_with("dlc migrate up "), "{migration}");
                assert_eq!(migration["checksum"].as_str().unwrap().len(), 64, "{migration}");
                assert!(migration["duration_ms"].is_u64(), "{migration}");
                for member in ["applied_at", "applied_by", "checksum", "duration_ms"] {
                    migration[member] = json!("…");
                }
            }
        }
        assert_eq!(report["migrations"][0], json!({"version": FIRST, "state": "applied", "applied_at": "…", "kind": "expand",
            "checksum": "…", "applied_by": "…", "dlc_version": env!("CARGO_PKG_VERSION"), "duration_ms": "…"}));
        assert_eq!(report["migrations"][ALL - 1], json!({"version": LAST, "state": "pending", "applied_at": null, "kind": null,
            "checksum": null, "applied_by": null, "dlc_version": null, "duration_ms": null}));
        report["migrations"] = json!([]);
        assert_eq!(report, json!({"schema": 1, "command": "migrate status", "exit_code": 2, "initialized": true,
            "current": SECOND, "applied": 2, "pending": ALL - 2, "error": null, "lock_held_by": null, "migrations": []}));
    }

    async fn down_reverts_the_newest_and_everything_can_be_undone(database: Empty) {
        let database = database.0;
        let dlc = database.dlc();
        dlc.run(&["migrate", "up"]).await;
        // What a revert leaves is what the migrations before it make: each `down` undoes its `up` exactly.
        for left in (0..ALL).rev() {
            assert_eq!(dlc.run(&["migrate", "down", "--yes"]).await.code, 0);
            let verify = dlc.run(&["migrate", "verify"]).await;
            assert_eq!((verify.code, verify.stdout.contains(&format!("{left} applied"))), (0, true), "{verify:?}");
        }
        dlc.run(&["migrate", "up"]).await;
        let down = dlc.run(&["migrate", "down", "--yes"]).await;
        assert_eq!(down.code, 0, "{down:?}");
        assert!(down.stdout.starts_with(&format!("reverted {LAST} (")), "{down:?}");
        let down = dlc.run(&["migrate", "down", "--to", FIRST, "--yes", "--format", "json"]).await;
        assert_eq!(down.json()["reverted"].as_array().unwrap().len(), ALL - 2);
        assert_eq!(dlc.run(&["migrate", "down", "--to", "0", "--yes"]).await.code, 0);
        let tables = match database.engine {
            Engine::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
            Engine::Postgres => "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
        };
        let left: Vec<String> = database.rows(tables).await.concat();
        assert!(left.iter().all(|table| table == "seaql_migrations" || table.starts_with("dlc_")), "{left:?}");
        assert_eq!(dlc.run(&["migrate", "up"]).await.lines().len(), ALL);
    }

    async fn down_without_a_terminal_wants_a_yes(database: Database) {
        let refused = database.dlc().run(&["migrate", "down"]).await;
        refused.assert_error(64, "confirm with --yes");
        assert_eq!(database.number("SELECT count(*) FROM seaql_migrations").await, ALL as i64);
    }

    async fn status_waits_until_everything_is_current(database: Empty) {
        let database = database.0;
        let late = database.dlc().run(&["migrate", "status", "--wait", "2s"]).await;
        assert_eq!(late.code, 2, "{late:?}");
        assert!(late.stderr.contains(&format!("s left: {ALL} pending: m2026")), "{late:?}");
        let waiting = database.dlc().start(&["migrate", "status", "--wait", "60s"]);
        waiting.until_said(&format!("{ALL} pending")).await;
        assert_eq!(database.dlc().run(&["migrate", "up"]).await.code, 0);
        let current = waiting.finished().await;
        assert_eq!((current.code, current.stdout.ends_with(&format!("{ALL} applied, nothing pending\n"))), (0, true), "{current:?}");
    }

    async fn status_does_not_wait_for_what_cannot_become_current(database: Database) {
        let edited = database.dlc().with_migrations("edited").run(&["migrate", "status", "--wait", "60s"]).await;
        assert_eq!((edited.code, edited.stderr.as_str()), (4, ""), "{edited:?}");
    }

    async fn a_long_statement_is_told_of_on_a_terminal_and_off_it(database: Database) {
        database.execute("CREATE TABLE gate (id integer)").await;
        let lines = database.dlc().with_migrations("slow").start(&["migrate", "up"]);
        lines.until_said("running for 1 s: m20270101_000006_slow, statement 2 of 2: ").await;
        lines.signal(Signal::INT);
        assert_eq!(lines.finished().await.code, 130);
        let terminal = Terminal::start(database.dlc().with_migrations("slow"), &["migrate", "up"]);
        // A spinner draws one line again and again, cut to the terminal's width.
        terminal.until_shown("1 s: m20270101_000006_slow, statement 2 of 2: ").await;
        terminal.until_shown("2 s: m20270101_000006_slow, statement 2 of 2: ").await;
        assert!(terminal.shown().lines().count() < 3, "{:?}", terminal.shown());
        terminal.type_in("\u{3}");
        assert_eq!(terminal.finished().await, 130);
    }

    async fn down_asks_on_a_terminal_and_takes_yes_only(database: Database) {
        let claims_last = ["migrate", "down", "--to", "m20261121_000005_create_claims", "--yes"];
        assert_eq!(database.dlc().run(&claims_last).await.code, 0);
        for (typed, code, left) in [("no\n", 1, 5), ("\u{3}", 130, 5), ("yes\n", 0, 4)] {
            let terminal = Terminal::start(database.dlc(), &["migrate", "down"]);
            terminal.until_shown("would lose:\r\n  table claims: 0 rows\r\nType yes to go on:").await;
            terminal.type_in(typed);
            assert_eq!(terminal.finished().await, code, "{typed:?}");
            assert_eq!(database.number("SELECT count(*) FROM seaql_migrations").await, left, "{typed:?}");
        }
    }

    async fn an_unknown_target_is_64(database: Database) {
        database.dlc().run(&["migrate", "up", "--to", "m1"]).await.assert_error(64, "no migration is called m1");
        database.dlc().run(&["migrate", "down", "--to", "m1", "--yes"]).await.assert_error(64, "no migration is called m1");
    }

    async fn a_newer_database_is_4_and_can_still_be_looked_at(database: Database) {
        database.execute("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29990101_000001_future', 0)").await;
        let dlc = database.dlc();
        dlc.run(&["migrate", "up"]).await.assert_error(4, "m29990101_000001_future");
        dlc.run(&["serve", "--port", "0"]).await.assert_error(4, "m29990101_000001_future");
        let status = dlc.run(&["migrate", "status"]).await;
        assert_eq!(status.code, 0, "{status:?}");
        assert!(status.stdout.contains("newer         1970-01-01T00:00:00Z  m2999"), "{status:?}");
        assert_eq!(dlc.run(&["migrate", "status", "--check"]).await.code, 4);
    }

    async fn a_migration_that_fails_leaves_nothing_of_itself(database: Empty) {
        let database = database.0;
        let dlc = database.dlc();
        dlc.run(&["migrate", "up", "--steps", "1"]).await;
        // The index of the second migration's second statement exists already, so its first statement has to be undone.
        let obstacle = match database.engine {
            Engine::Sqlite => "CREATE TABLE idx_users_username_lower (id INTEGER)",
            Engine::Postgres => "CREATE SEQUENCE idx_users_username_lower",
        };
        database.execute(obstacle).await;
        dlc.run(&["migrate", "up"]).await.assert_error(1, "migration m20261121_000002_create_users failed");
        assert_eq!(database.number("SELECT count(*) FROM seaql_migrations").await, 1);
        let users = match database.engine {
            Engine::Sqlite => "SELECT count(*) FROM sqlite_master WHERE name = 'users'",
            Engine::Postgres => "SELECT count(*) FROM pg_class WHERE relname = 'users'",
        };
        assert_eq!(database.number(users).await, 0);
    }
}

#[tokio::test]
async fn whoever_waits_for_the_lock_says_for_whom_and_gives_up_with_3() {
    use sqlx::{AssertSqlSafe, Connection, Executor};
    let database = Database::empty(Engine::Postgres).await;
    let mut holder = sqlx::PgConnection::connect(&format!("{}?application_name=somebody", database.url))
        .await
        .unwrap();
    holder.execute("BEGIN").await.unwrap();
    let lock = i64::from_be_bytes(*b"dlc_migr");
    holder
        .execute(AssertSqlSafe(format!("SELECT pg_advisory_xact_lock({lock})")))
        .await
        .unwrap();
    let refused = database.dlc().run(&["migrate", "up", "--lock-timeout", "300ms"]).await;
    refused.assert_error(3, "held by somebody (pid ");
    assert!(
        refused.stderr.starts_with("waiting for the migration lock ("),
        "{refused:?}"
    );
    let check = database.dlc().run(&["db", "check", "--only", "MIG006"]).await;
    assert!(check.stdout.contains("held by somebody"), "{check:?}");
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(database.dlc().run(&["migrate", "up"]).await.code, 0);
}

#[tokio::test]
async fn whoever_waits_for_the_lock_is_not_ended_as_an_idle_session() {
    use sqlx::{AssertSqlSafe, Connection, Executor};
    let database = Database::empty(Engine::Postgres).await;
    let idle = format!("ALTER DATABASE {} SET idle_session_timeout = '1s'", database.name());
    database.execute(&idle).await;
    let mut holder = sqlx::PgConnection::connect(&database.url).await.unwrap();
    let lock = i64::from_be_bytes(*b"dlc_migr");
    let hold = format!("SET idle_session_timeout = 0; BEGIN; SELECT pg_advisory_xact_lock({lock})");
    holder.execute(AssertSqlSafe(hold)).await.unwrap();
    let waiting = database.dlc().start(&["migrate", "up"]);
    waiting.until_said("waiting for the migration lock").await;
    let long = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dlc%' \
                AND state = 'idle' AND now() - state_change > interval '2 s'";
    let started = std::time::Instant::now();
    while database.number(long).await == 0 {
        assert!(
            started.elapsed() < std::time::Duration::from_secs(10),
            "{}",
            waiting.said()
        );
    }
    holder.execute("ROLLBACK").await.unwrap();
    let finished = waiting.finished().await;
    assert_eq!(finished.code, 0, "{finished:?}");
}

#[tokio::test]
async fn a_writer_of_the_sqlite_file_is_waited_for_and_then_given_up_on_with_3() {
    use sqlx::{Connection, Executor};
    let database = Database::migrated(Engine::Sqlite).await;
    database.dlc().run(&["migrate", "down", "--yes"]).await;
    let mut writer = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
    writer.execute("BEGIN IMMEDIATE").await.unwrap();
    let refused = database.dlc().run(&["migrate", "up", "--lock-timeout", "300ms"]).await;
    refused.assert_error(
        3,
        &format!("held by process {}, which writes to the file", std::process::id()),
    );
    let check = database.dlc().run(&["db", "check", "--only", "SQL006"]).await;
    let words = format!("process {} holds it, for ", std::process::id());
    assert!(check.code == 3 && check.stdout.contains(&words), "{check:?}");
    writer.execute("ROLLBACK").await.unwrap();
    assert_eq!(database.dlc().run(&["migrate", "up"]).await.code, 0);
}

#[tokio::test]
async fn down_makes_no_database() {
    let database = Database::empty(Engine::Sqlite).await;
    let down = database.dlc().run(&["migrate", "down", "--yes"]).await;
    assert_eq!(
        (down.code, down.stdout.as_str()),
        (0, "nothing to do: no migration was reverted\n")
    );
    assert!(!database.file().exists());
}

#[tokio::test]
async fn status_plan_and_verify_work_for_a_role_that_may_only_read_and_write_nothing() {
    let database = Database::migrated(Engine::Postgres).await;
    let role = format!("reader_of_{}", database.name());
    for sql in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'reader'"),
        // What would write fails, whatever the grants say; temporary tables are no writes in its eyes.
        format!("ALTER ROLE {role} SET default_transaction_read_only = on"),
        format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"),
    ] {
        database.execute(&sql).await;
    }
    let port = postgres::cluster().await.port;
    let reader = Dlc::new().env(
        "DATABASE_URL",
        &format!("postgres://{role}:reader@127.0.0.1:{port}/{}", database.name()),
    );
    for arguments in [
        &["migrate", "status", "--check"][..],
        &["migrate", "verify"],
        &["migrate", "up"],
        &["migrate", "down", "--plan"],
    ] {
        let finished = reader.run(arguments).await;
        assert_eq!(finished.code, 0, "{arguments:?}: {finished:?}");
    }
    let refused = reader.run(&["migrate", "down", "--yes"]).await;
    refused.assert_error(1, "read-only");
    database
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
}
