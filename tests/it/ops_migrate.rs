//! Migrations by many at once, in the way of each other and of others. Killed at any moment: `drill_killed`.

use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::harness::{
    ALL, Database, Dlc, Empty, Engine, Running, on_both_engines,
    program::{EXPAND, SLOW},
};

/// The number of the advisory lock.
const LOCK: i64 = i64::from_be_bytes(*b"dlc_migr");

fn applied(said: &str) -> usize {
    said.matches("applied m2").count()
}

/// A run that holds the lock and does not come to its end.
async fn holding(database: &Database) -> Running {
    database.execute("CREATE TABLE gate (id integer)").await;
    let holder = database.dlc().with_migrations("slow").start(&["migrate", "up"]);
    holder.until_said("running for").await;
    holder
}

on_both_engines! {
    async fn sixteen_processes_started_at_once_on_an_empty_database_apply_each_migration_once(database: Empty) {
        let database = database.0;
        let (mut commands, mut servers) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            commands.push(database.dlc().start(&["migrate", "up"]));
            servers.push(database.dlc().start(&["serve", "--port", "0"]));
        }
        let mut count = 0;
        for server in servers {
            server.until_said("ready in ").await;
            server.signal(Signal::TERM);
            let server = server.finished().await;
            assert_eq!(server.code, 0, "{server:?}");
            count += applied(&server.stderr);
        }
        for command in commands {
            let command = command.finished().await;
            assert_eq!(command.code, 0, "{command:?}");
            count += applied(&command.stdout);
        }
        assert_eq!(count, ALL, "each migration exactly once");
        assert_eq!(database.number("SELECT count(*) FROM seaql_migrations").await, ALL as i64);
        let verify = database.dlc().run(&["migrate", "verify"]).await;
        assert_eq!(verify.code, 0, "{verify:?}");
    }

    async fn whoever_waits_says_who_migrates_since_when_and_at_which_step(database: Database) {
        let holder = holding(&database).await;
        let waiting = database.dlc().with_migrations("slow").run(&["migrate", "up", "--lock-timeout", "300ms"]).await;
        waiting.assert_error(3, "held by dlc migrate up 0.1.0 ");
        waiting.assert_error(3, &format!(" s, at step 1 of 1: {SLOW}"));
        assert!(waiting.stderr.starts_with("waiting for the migration lock ("), "{waiting:?}");
        let status = database.dlc().run(&["migrate", "status"]).await;
        assert!(status.stdout.contains("a migration is running: dlc migrate up 0.1.0 "), "{status:?}");
        let status = database.dlc().run(&["migrate", "status", "--format", "json"]).await;
        assert!(status.json()["lock_held_by"].as_str().unwrap().contains(SLOW), "{status:?}");
        drop(holder);
    }

    async fn a_holder_that_is_killed_is_followed_within_two_seconds(database: Database) {
        let holder = holding(&database).await;
        if database.engine == Engine::Postgres {
            database.execute("DROP TABLE gate").await;
        }
        holder.signal(Signal::KILL);
        assert_eq!(holder.finished().await.code, -1);
        if database.engine == Engine::Sqlite {
            database.execute("DROP TABLE gate").await;
        }
        // On PostgreSQL the killed one's statement would sleep for a minute.
        let next = database.dlc().with_migrations("slow").run(&["migrate", "up", "--lock-timeout", "2s"]).await;
        assert_eq!((next.code, applied(&next.stdout)), (0, 1), "{next:?}");
        let status = database.dlc().with_migrations("slow").run(&["migrate", "status"]).await;
        assert!(!status.stdout.contains("a migration is running"), "{status:?}");
    }

    async fn a_holder_that_is_frozen_is_named_and_given_up_on(database: Database) {
        let holder = holding(&database).await;
        holder.signal(Signal::STOP);
        let waiting = database.dlc().with_migrations("slow").run(&["migrate", "up", "--lock-timeout", "6s"]).await;
        waiting.assert_error(3, "no sign of life for ");
        waiting.assert_error(3, "held by dlc migrate up 0.1.0 ");
        holder.signal(Signal::KILL);
    }
}

/// A build that comes upon a transaction in the middle of a statement waits until that transaction ends; were it one that waits
/// for the builder, both would wait until the one gives up.
#[tokio::test]
async fn whoever_waits_keeps_no_transaction_open_that_a_concurrent_build_could_wait_for() {
    let database = Database::migrated(Engine::Postgres).await;
    let holder = holding(&database).await;
    let waiting = database
        .dlc()
        .with_migrations("slow")
        .start(&["migrate", "up", "--lock-timeout", "30s"]);
    waiting.until_said("(2 s so far)").await;
    // The holder's lock is one; whoever waits began its last try a moment ago.
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state = 'idle in transaction' AND xact_start < clock_timestamp() - interval '1 second'";
    assert_eq!(database.number(open).await, 1);
    drop((holder, waiting));
}

#[tokio::test]
async fn an_index_is_built_concurrently_by_eight_processes_at_once_without_a_deadlock() {
    let database = Database::migrated(Engine::Postgres).await;
    let runs: Vec<Running> = (0..8)
        .map(|_| database.dlc().with_migrations("concurrent").start(&["migrate", "up"]))
        .collect();
    let mut count = 0;
    for run in runs {
        let run = run.finished().await;
        assert_eq!(run.code, 0, "{run:?}");
        count += applied(&run.stdout);
    }
    assert_eq!(count, 1);
    let valid = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
                 WHERE c.relname = 'idx_claims_created_at' AND i.indisvalid";
    assert_eq!(database.number(valid).await, 1);
}

/// Wants a table for 200 ms, twice.
fn impatient(database: &Database) -> Dlc {
    database
        .dlc()
        .with_migrations("expanded")
        .env("DLC_MIGRATE__TABLE_LOCK_TIMEOUT", "200ms")
        .env("DLC_MIGRATE__TABLE_LOCK_TRIES", "2")
}

async fn session(database: &Database, name: &str) -> PgConnection {
    PgConnection::connect(&format!("{}?application_name={name}", database.url))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_table_that_others_use_is_given_up_on_with_3_and_its_holder_is_named_and_readers_never_waited_longer() {
    let database = Database::migrated(Engine::Postgres).await;
    let mut holder = session(&database, "report").await;
    holder.execute("BEGIN; SELECT * FROM coupons").await.unwrap();
    // Readers that would say so if they waited for twice as long as the migration may wait.
    let mut reader = session(&database, "reader").await;
    reader.execute("SET lock_timeout = '400ms'").await.unwrap();
    let reading = tokio::spawn(async move {
        loop {
            if let Err(error) = reader.execute("SELECT count(*) FROM coupons").await {
                return error.to_string();
            }
            tokio::task::yield_now().await;
        }
    });
    let refused = impatient(&database).run(&["migrate", "up"]).await;
    refused.assert_error(3, &format!("{EXPAND} waited too long for a lock: held by report (pid "));
    refused.assert_error(3, ", idle in transaction, its query began ");
    assert!(refused.stderr.contains("it is tried again in 500 ms"), "{refused:?}");
    assert!(!reading.is_finished(), "{:?}", reading.await);
    reading.abort();
    assert_eq!(
        database.number("SELECT count(*) FROM seaql_migrations").await,
        ALL as i64
    );
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(impatient(&database).run(&["migrate", "up"]).await.code, 0);
}

#[tokio::test]
async fn a_table_that_is_let_go_of_in_time_is_had_at_the_next_try() {
    let database = Database::migrated(Engine::Postgres).await;
    let mut holder = session(&database, "report").await;
    holder.execute("BEGIN; SELECT * FROM coupons").await.unwrap();
    let run = impatient(&database).start(&["migrate", "up"]);
    run.until_said("it is tried again").await;
    holder.execute("ROLLBACK").await.unwrap();
    let run = run.finished().await;
    assert_eq!((run.code, applied(&run.stdout)), (0, 1), "{run:?}");
}

#[tokio::test]
async fn a_run_that_loses_its_lock_commits_nothing_more() {
    let database = Database::migrated(Engine::Postgres).await;
    database.execute("CREATE TABLE gate (id integer)").await;
    let holder = database.dlc().with_migrations("at the gate").start(&["migrate", "up"]);
    holder.until_said("running for").await;
    // The connection that holds the lock is cut; the migration itself comes to its end without an error.
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = {} \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        LOCK & 0xffff_ffff
    );
    database.execute(&cut).await;
    database.execute("DROP TABLE gate").await;
    let holder = holder.finished().await;
    holder.assert_error(69, "terminating connection due to administrator command");
    assert_eq!(
        database.number("SELECT count(*) FROM seaql_migrations").await,
        ALL as i64
    );
    assert_eq!(
        database
            .number("SELECT count(*) FROM pg_class WHERE relname = 'slow'")
            .await,
        0
    );
}

#[tokio::test]
async fn a_run_waits_for_the_last_statement_of_one_that_was_killed() {
    let database = Database::migrated(Engine::Postgres).await;
    let mut orphan = session(&database, "orphan").await;
    let fence = format!("BEGIN; SELECT pg_advisory_xact_lock({})", LOCK + 1);
    orphan.execute(AssertSqlSafe(fence)).await.unwrap();
    let expanded = || database.dlc().with_migrations("expanded");
    let refused = expanded().run(&["migrate", "up", "--lock-timeout", "300ms"]).await;
    refused.assert_error(3, "held by the last statement of a run that was killed");
    orphan.execute("ROLLBACK").await.unwrap();
    assert_eq!(expanded().run(&["migrate", "up"]).await.code, 0);
}

#[tokio::test]
async fn a_role_with_short_time_limits_does_not_cut_a_migration_short() {
    let database = Database::migrated(Engine::Postgres).await;
    let limit = format!("ALTER DATABASE {} SET statement_timeout = '1ms'", database.name());
    database.execute(&limit).await;
    let mut session = session(&database, "check").await;
    let cancelled = session.execute(AssertSqlSafe("SELECT pg_sleep(1)")).await.unwrap_err();
    assert!(cancelled.to_string().contains("statement timeout"), "{cancelled}");
    let up = database
        .dlc()
        .with_migrations("concurrent")
        .run(&["migrate", "up"])
        .await;
    assert_eq!(up.code, 0, "{up:?}");
}

#[tokio::test]
async fn what_a_killed_run_commits_after_all_is_not_done_again() {
    let database = Database::migrated(Engine::Postgres).await;
    // As the server process of a killed run whose COMMIT is still on its way.
    let mut orphan = session(&database, "orphan").await;
    let fence = format!("BEGIN; SELECT pg_advisory_xact_lock({})", LOCK + 1);
    orphan.execute(AssertSqlSafe(fence)).await.unwrap();
    let done = format!(
        "ALTER TABLE coupons ADD COLUMN note text; \
         INSERT INTO seaql_migrations (version, applied_at) VALUES ('{EXPAND}', 0)"
    );
    orphan.execute(AssertSqlSafe(done)).await.unwrap();
    let run = database.dlc().with_migrations("expanded").start(&["migrate", "up"]);
    run.until_said("held by the last statement of a run that was killed")
        .await;
    orphan.execute("COMMIT").await.unwrap();
    let run = run.finished().await;
    assert_eq!((run.code, applied(&run.stdout)), (0, 0), "{run:?}");
}

#[tokio::test]
async fn an_index_is_built_concurrently_whatever_the_default_isolation_is() {
    let database = Database::migrated(Engine::Postgres).await;
    let sql = format!(
        "ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'",
        database.name()
    );
    database.execute(&sql).await;
    let up = database
        .dlc()
        .with_migrations("concurrent")
        .run(&["migrate", "up"])
        .await;
    assert_eq!(up.code, 0, "{up:?}");
}

#[tokio::test]
async fn a_history_that_is_locked_is_not_waited_for_for_ever() {
    let database = Database::migrated(Engine::Postgres).await;
    let mut holder = session(&database, "holder").await;
    holder.execute("BEGIN; LOCK TABLE seaql_migrations").await.unwrap();
    let refused = database.dlc().run(&["migrate", "up"]).await;
    refused.assert_error(3, "somebody has locked a table");
}

on_both_engines! {
    async fn what_was_done_before_a_failure_is_reported(database: Empty) {
        let database = database.0;
        if database.engine == Engine::Sqlite {
            std::fs::File::create(database.file()).unwrap();
        }
        database.execute("CREATE TABLE coupons (name text)").await;
        let failed = database.dlc().run(&["migrate", "up", "--format", "json"]).await;
        failed.assert_error(1, "m20261121_000004_create_coupons failed");
        let report = failed.json();
        assert_eq!((&report["exit_code"], &report["error"]["code"]), (&1.into(), &"migration_failed".into()));
        // SQLite has undone all of it.
        let done = if database.engine == Engine::Postgres { 3 } else { 0 };
        assert_eq!(report["applied"].as_array().unwrap().len(), done, "{report}");
        if done > 0 {
            assert_eq!(database.number("SELECT count(*) FROM seaql_migrations").await, 3);
            database.dlc().run(&["migrate", "down", "--yes"]).await;
            let failed = database.dlc().run(&["migrate", "up"]).await;
            assert_eq!(applied(&failed.stdout), 1, "{failed:?}");
        }
    }

    async fn a_table_that_others_refer_to_is_rebuilt_with_its_rows(database: Database) {
        database.execute("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 1, 0)").await;
        database.execute("INSERT INTO claims (user_id, coupon_name) VALUES ('a', 'c')").await;
        if database.engine == Engine::Sqlite {
            let broken = database.dlc().with_migrations("rebuilding without rows").run(&["migrate", "up"]).await;
            broken.assert_error(1, "rows are left that refer to nothing: claims row 1 refers to coupons");
        }
        let rebuilt = database.dlc().with_migrations("rebuilding").run(&["migrate", "up"]).await;
        assert_eq!(rebuilt.code, 0, "{rebuilt:?}");
        assert_eq!(database.number("SELECT count(*) FROM claims").await, 1);
        assert_eq!(database.number("SELECT count(*) FROM coupons").await, 1);
    }
}

#[tokio::test]
async fn the_lock_file_of_sqlite_follows_no_link_and_another_program_s_file_is_refused() {
    let database = Database::migrated(Engine::Sqlite).await;
    database.dlc().run(&["migrate", "down", "--yes"]).await;
    let precious = database.file().with_file_name("precious");
    std::fs::write(&precious, "precious").unwrap();
    let mut link = database.file().into_os_string();
    link.push("-migrating");
    std::os::unix::fs::symlink(&precious, &link).unwrap();
    let refused = database.dlc().run(&["migrate", "up"]).await;
    refused.assert_error(1, "-migrating cannot be locked");
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    std::fs::remove_file(link).unwrap();
    database.execute("PRAGMA application_id = 1234").await;
    let refused = database.dlc().run(&["migrate", "up"]).await;
    refused.assert_error(1, "SQL008 application id: 0x000004d2 is another program's");
}
