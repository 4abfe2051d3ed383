//! `dlc db check`: each layer fails for real once, and passes once.

use std::{net::TcpListener, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::harness::{Database, Dlc, Engine, Finished, SECRET, on_both_engines, postgres};

pub(crate) fn finding<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["id"] == id)
        .unwrap_or_else(|| panic!("no {id}: {report}"))
}

/// Asserts one check's status, and that the exit code in the report is the process's.
pub(crate) fn assert_status(checked: &Finished, id: &str, status: &str) {
    let report = checked.json();
    assert_eq!(finding(&report, id)["status"], status, "{id}: {report}");
    assert_eq!(report["exit_code"], checked.code);
    checked.assert_no_secret();
}

/// What is measured in time is as long as the machine is busy.
pub(crate) const BUSY: [&str; 4] = ["--threshold", "CAP003=60,60", "--threshold", "CAP004=60,60"];

pub(crate) async fn check(dlc: &Dlc) -> Finished {
    dlc.run(&["db", "check", "--format", "json"]).await
}

on_both_engines! {
    async fn a_healthy_database_passes_every_check(database: Database) {
        // The suite's server does not wait for commits, its role is a superuser, it is as old as it is, and the machine's disk is
        // as full as it is.
        let arguments = ["--skip", "SET001,PRV003,SRV005", "--threshold", "DSK001=101,101", "--format", "json"];
        let checked = database.dlc().run(&[&["db", "check"][..], &BUSY, &arguments].concat()).await;
        assert_eq!(checked.code, 0, "{checked:?}");
        let report = checked.json();
        assert_eq!((&report["schema"], &report["command"]), (&1.into(), &"db check".into()));
        for check in report["checks"].as_array().unwrap() {
            assert!(check["status"] == "ok" || check["status"] == "skipped", "{check}");
            for member in ["id", "title", "layer", "measured", "duration_ms"] {
                assert!(!check[member].is_null(), "{member} of {check}");
            }
        }
        let family = if database.engine == Engine::Sqlite { "SQL" } else { "SRV" };
        let judged = report["checks"].as_array().unwrap().iter().filter(|c| c["status"] == "ok");
        assert!(judged.filter(|c| c["id"].as_str().unwrap().starts_with(family)).count() >= 6, "{report}");
        let text = database.dlc().run(&[&["db", "check"][..], &BUSY].concat()).await;
        assert!(text.stdout.contains("✓ ok       MIG001  pending migrations: none"), "{text:?}");
        assert!(text.lines().last().unwrap().starts_with("0 fail, "), "{text:?}");
        assert!(text.lines().last().unwrap().ends_with(" ok; exit code 0"), "{text:?}");
    }

    async fn looking_changes_nothing(database: Database) {
        let files = |database: &Database| {
            let directory = database.file().parent().unwrap().to_path_buf();
            let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|f| f.unwrap().file_name()).collect();
            files.sort();
            files
        };
        let before = (files(&database), std::fs::read(database.file()).ok());
        check(&database.dlc()).await;
        database.dlc().run(&["migrate", "status"]).await;
        assert_eq!((files(&database), std::fs::read(database.file()).ok()), before);
    }

    async fn pending_unknown_and_out_of_order_migrations_are_told_apart(database: Database) {
        let dlc = database.dlc();
        dlc.run(&["migrate", "down", "--yes"]).await;
        let pending = check(&dlc).await;
        assert_status(&pending, "MIG001", "warn");
        assert_eq!(pending.code, 0);
        assert_eq!(dlc.run(&["db", "check", "--fail-on", "warn"]).await.code, 1);
        database.execute("DELETE FROM seaql_migrations WHERE version LIKE '%create_users'").await;
        let gap = check(&dlc).await;
        assert_status(&gap, "MIG004", "fail");
        assert_eq!(gap.code, 1);
        database.execute("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m2999', 0)").await;
        assert_status(&check(&dlc).await, "MIG002", "fail");
    }

    async fn a_check_of_the_other_engine_is_skipped_and_said_so(database: Database) {
        let (id, engine) = if database.engine == Engine::Sqlite { ("SRV001", "postgres") } else { ("SQL001", "sqlite") };
        let only = database.dlc().run(&["db", "check", "--only", id, "--format", "json"]).await;
        assert_status(&only, id, "skipped");
        assert_eq!(finding(&only.json(), id)["measured"], format!("it is about {engine} only"));
    }

    async fn only_and_skip_choose(database: Database) {
        let only = database.dlc().run(&["db", "check", "--only", "mig001,CFG001", "--format", "json"]).await;
        assert_eq!(only.json()["checks"].as_array().unwrap().len(), 2, "{only:?}");
        let skip = database.dlc().run(&["db", "check", "--skip", "MIG001", "--format", "json"]).await;
        assert!(!skip.stdout.contains("MIG001"), "{skip:?}");
    }
}

#[tokio::test]
async fn a_failed_layer_makes_the_later_ones_skipped() {
    let refused = check(&Dlc::new().env("DATABASE_URL", "postgres://u:p@127.0.0.1:9/dlc_test")).await;
    assert_eq!(refused.code, 69);
    assert_status(&refused, "CFG001", "ok");
    assert_status(&refused, "NET002", "fail");
    for id in ["SRV001", "SRV002", "MIG001"] {
        assert_status(&refused, id, "skipped");
        assert_eq!(finding(&refused.json(), id)["measured"], "NET002 failed");
    }
}

#[tokio::test]
async fn each_failure_on_the_way_to_the_server_is_its_own_check_s() {
    let cluster = postgres::cluster().await;
    let port = cluster.port;
    let on = |url: String| async move { check(&Dlc::new().env("DATABASE_URL", &url)).await };
    let unknown_host = on("postgres://u:p@no-such-host.invalid/x".into()).await;
    assert_status(&unknown_host, "NET001", "fail");
    assert_eq!(unknown_host.code, 69);
    let by_name = on(cluster.url("postgres").replace("@127.0.0.1:", "@localhost:")).await;
    assert_status(&by_name, "NET001", "ok");
    let wrong_password = on(format!("postgres://dlc_test:c%C3%A4nary@127.0.0.1:{port}/postgres")).await;
    assert_status(&wrong_password, "NET002", "ok");
    assert_status(&wrong_password, "SRV002", "fail");
    assert_eq!(wrong_password.code, 77);
    let no_database = on(cluster.url("missing_test")).await;
    assert_status(&no_database, "SRV003", "fail");
    assert_eq!(no_database.code, 69);
}

#[tokio::test]
async fn a_server_that_hangs_fails_within_the_time_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dlc = Dlc::new().env(
        "DATABASE_URL",
        &format!("postgres://u:p@{}/x", silent.local_addr().unwrap()),
    );
    let checked = dlc
        .run(&["db", "check", "--timeout", "300ms", "--format", "json"])
        .await;
    assert_status(&checked, "NET002", "ok");
    assert_status(&checked, "SRV001", "fail");
    assert_eq!(checked.code, 69);
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_78() {
    let checked = check(&Dlc::new().env("DATABASE_URL", "mysql://u:cänary@db/x")).await;
    assert_status(&checked, "CFG001", "fail");
    assert_eq!(checked.code, 78);
    let dlc = Dlc::new()
        .env("DATABASE_URL", "sqlite://x.db")
        .env("DLC_DATABASE__TYPE", "postgres");
    let checked = check(&dlc).await;
    assert_status(&checked, "CFG004", "fail");
    assert_eq!(checked.code, 78);
}

#[tokio::test]
async fn what_is_odd_about_the_configuration_is_a_warning() {
    let database = Database::migrated(Engine::Sqlite).await;
    let checked = check(&database.dlc().env("DLC_DATABSE__URL", "x")).await;
    assert_status(&checked, "CFG002", "warn");
    assert!(
        checked.stdout.contains("did you mean DLC_DATABASE__URL?"),
        "{checked:?}"
    );
    let secret = database.dlc().file("secret", SECRET);
    let path = secret.directory().join("secret");
    let secret = secret.env("DLC_AUTH__SECRET_FILE", path.to_str().unwrap());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_status(&check(&secret).await, "CFG003", "warn");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_status(&check(&secret).await, "CFG003", "ok");
    std::fs::remove_file(&path).unwrap();
    let missing = check(&secret).await;
    assert_status(&missing, "CFG003", "fail");
    assert_eq!(missing.code, 78);
    let sample = check(&Dlc::new().env("DATABASE_URL", "postgres://postgres:postgres@127.0.0.1:9/x")).await;
    assert_status(&sample, "CFG005", "warn");
    for (mode, status) in [
        ("disable", "warn"),
        ("allow", "warn"),
        ("prefer", "ok"),
        ("verify-full", "ok"),
    ] {
        let url = format!("postgres://u:Zr9@no-such-host.invalid/x?sslmode={mode}");
        assert_status(&check(&Dlc::new().env("DATABASE_URL", &url)).await, "CFG005", status);
    }
}

#[tokio::test]
async fn the_lies_a_sqlite_file_can_tell_are_found() {
    let database = Database::empty(Engine::Sqlite).await;
    let missing = check(&database.dlc()).await;
    assert_status(&missing, "SQL001", "fail");
    assert_eq!(missing.code, 69);
    assert!(!database.file().exists());
    let nowhere = Dlc::new().env("DATABASE_URL", &database.url.replace("dlc_test.db", "no/dlc_test.db"));
    assert!(check(&nowhere).await.stdout.contains("does not exist"));

    database.dlc().run(&["migrate", "up"]).await;
    database.execute("PRAGMA journal_mode = DELETE").await;
    assert_status(&check(&database.dlc()).await, "SQL003", "warn");
    database.execute("PRAGMA journal_mode = WAL").await;
    database
        .execute("PRAGMA foreign_keys = OFF; INSERT INTO claims (user_id, coupon_name) VALUES ('u', 'none')")
        .await;
    assert_status(&check(&database.dlc()).await, "SQL005", "fail");
    database.execute("DELETE FROM claims").await;
    database.execute("PRAGMA application_id = 7").await;
    assert_status(&check(&database.dlc()).await, "SQL008", "fail");

    std::fs::write(database.file(), "no database at all, just words ".repeat(99)).unwrap();
    let words = check(&database.dlc()).await;
    assert_status(&words, "SQL004", "fail");
    assert_eq!(words.code, 1);
}

#[tokio::test]
async fn a_corrupted_page_is_found() {
    let database = Database::migrated(Engine::Sqlite).await;
    for batch in 0..20 {
        let rows: Vec<_> = (0..50).map(|n| format!("('coupon-{batch}-{n}', 1, 1)")).collect();
        database
            .execute(&format!(
                "INSERT INTO coupons (name, amount, remaining_amount) VALUES {}",
                rows.join(",")
            ))
            .await;
    }
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let mut bytes = std::fs::read(database.file()).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 512].fill(0xff);
    std::fs::write(database.file(), bytes).unwrap();
    let checked = check(&database.dlc()).await;
    assert_status(&checked, "SQL004", "fail");
    assert_eq!(checked.code, 1);
}

#[tokio::test]
async fn a_file_or_directory_that_this_user_may_not_write_is_a_failure() {
    let database = Database::migrated(Engine::Sqlite).await;
    let file = database.file();
    let directory = file.parent().unwrap();
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(directory, 0o777);
    mode(&file, 0o666);
    let dlc = database.dlc().without_privileges();
    assert_status(&check(&dlc).await, "SQL001", "ok");
    mode(&file, 0o444);
    let read_only = check(&dlc).await;
    assert_status(&read_only, "SQL001", "fail");
    assert!(
        read_only.stdout.contains("the file cannot be written by this user"),
        "{read_only:?}"
    );
    mode(&file, 0o666);
    mode(directory, 0o555);
    let companions = check(&dlc).await;
    assert_status(&companions, "SQL001", "fail");
    assert!(
        companions
            .stdout
            .contains("its directory cannot be written by this user"),
        "{companions:?}"
    );
    mode(directory, 0o777);
    mode(&file, 0o000);
    let unreadable = check(&dlc).await;
    assert_status(&unreadable, "SQL001", "fail");
    assert_eq!(unreadable.code, 69);
}

#[tokio::test]
async fn a_log_that_a_reader_keeps_from_being_written_back_is_told() {
    use sqlx::{Connection, Executor};
    let database = Database::migrated(Engine::Sqlite).await;
    let mut reader = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
    reader.execute("BEGIN; SELECT count(*) FROM coupons").await.unwrap();
    let mut writer = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
    writer
        .execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
                  INSERT INTO coupons (name, amount, remaining_amount) SELECT 'c' || i, 1, 1 FROM n",
        )
        .await
        .unwrap();
    writer.execute("PRAGMA wal_checkpoint").await.unwrap();
    assert_status(&check(&database.dlc()).await, "SQL007", "ok");
    let strict = database
        .dlc()
        .run(&["db", "check", "--threshold", "SQL007=500000", "--format", "json"])
        .await;
    assert_status(&strict, "SQL007", "warn");
    assert!(
        finding(&strict.json(), "SQL007")["value"].as_f64().unwrap() > 500_000.0,
        "{strict:?}"
    );
}

#[tokio::test]
async fn a_file_that_another_process_has_locked_for_itself_is_told_with_its_holder() {
    use sqlx::{Connection, Executor};
    let database = Database::migrated(Engine::Sqlite).await;
    database.execute("PRAGMA journal_mode = DELETE").await;
    let mut holder = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();
    let checked = check(&database.dlc()).await;
    assert_status(&checked, "SQL006", "fail");
    let words = format!("process {} holds it", std::process::id());
    assert!(checked.stdout.contains(&words), "{checked:?}");
    assert_status(&checked, "SQL004", "skipped");
    assert_eq!(checked.code, 3);
    holder.execute("ROLLBACK").await.unwrap();
    assert_status(&check(&database.dlc()).await, "SQL006", "ok");
}

#[tokio::test]
async fn waiting_ends_when_the_database_comes_and_at_once_when_waiting_cannot_help() {
    let port = postgres::cluster().await.port;
    let hopeless = format!("postgres://dlc_test:wrong@127.0.0.1:{port}/postgres");
    let started = std::time::Instant::now();
    assert_eq!(
        Dlc::new()
            .env("DATABASE_URL", &hopeless)
            .run(&["db", "check", "--wait=60s"])
            .await
            .code,
        77
    );
    assert!(started.elapsed().as_secs() < 30, "it waited for what cannot heal");
    let refused = Dlc::new()
        .env("DATABASE_URL", "postgres://u@127.0.0.1:9/x")
        .run(&["db", "check", "--wait=600ms"])
        .await;
    assert_eq!(refused.code, 69);
    assert!(refused.stderr.contains("waiting for the database"), "{refused:?}");
}

#[tokio::test]
async fn the_catalogue_is_listed() {
    let listed = Dlc::new().run(&["db", "check", "--list"]).await;
    assert_eq!(listed.code, 0);
    for id in ["CFG001", "NET003", "SRV007", "SQL008", "MIG006"] {
        assert!(listed.stdout.contains(id), "{id}: {listed:?}");
    }
}

#[tokio::test]
async fn a_replica_or_read_only_database_is_told() {
    let database = Database::migrated(Engine::Postgres).await;
    let name = database.name();
    for whose in [format!("DATABASE {name}"), format!("ROLE dlc_test IN DATABASE {name}")] {
        let sql = format!("ALTER {whose} SET default_transaction_read_only = on");
        database.execute(&sql).await;
        let checked = check(&database.dlc()).await;
        assert_status(&checked, "SRV007", "warn");
        let refused = database.dlc().run(&["migrate", "down", "--yes"]).await;
        refused.assert_error(1, "SRV007 writable primary: read-only by default_transaction_read_only");
        // The hint is pasted by somebody whose sessions are read-only themselves.
        let hint = finding(&checked.json(), "SRV007")["hint"].as_str().unwrap().to_owned();
        database.execute(&hint).await;
        assert_status(&check(&database.dlc()).await, "SRV007", "ok");
    }
}

#[tokio::test]
async fn encryption_is_judged_by_the_certificate() {
    let cluster = postgres::cluster().await;
    let Some(authority) = cluster.authority.as_ref().map(|path| path.display()) else {
        panic!("DLC_TEST_DATABASE_URL names a server whose certificates are not this test's to make");
    };
    let by_address = cluster.url("postgres");
    let by_name = by_address.replace("@127.0.0.1:", "@localhost:");
    let on = |url: String| async move { check(&Dlc::new().env("DATABASE_URL", &url)).await };
    for good in [
        format!("{by_address}?sslmode=require"),
        format!("{by_name}?sslmode=verify-full&sslrootcert={authority}"),
        format!("{by_address}?sslmode=verify-ca&sslrootcert={authority}"),
    ] {
        let checked = on(good).await;
        assert_status(&checked, "NET003", "ok");
        let measured = finding(&checked.json(), "NET003")["measured"].to_string();
        assert!(measured.starts_with("\"TLSv1.3; for localhost, "), "{measured}");
    }
    for (bad, why) in [
        (
            format!("{by_address}?sslmode=verify-full&sslrootcert={authority}"),
            "not valid for name",
        ),
        (format!("{by_name}?sslmode=verify-full"), "UnknownIssuer"),
        (
            format!("{by_name}?sslmode=verify-full&sslrootcert=/nonexistent"),
            "the file /nonexistent of sslrootcert",
        ),
    ] {
        let checked = on(bad.clone()).await;
        assert_status(&checked, "NET003", "fail");
        assert_eq!(checked.code, 69);
        assert!(checked.stdout.contains(why), "{why}: {checked:?}");
        Dlc::new()
            .env("DATABASE_URL", &bad)
            .run(&["migrate", "status"])
            .await
            .assert_error(69, why);
    }
}

#[tokio::test]
async fn a_check_that_could_not_be_made_does_not_look_like_one_that_passed() {
    let dlc = Dlc::new().env("DATABASE_URL", "postgres://u@127.0.0.1:9/dlc_test");
    for arguments in [&["--only", "MIG001"][..], &["--skip", "NET002"]] {
        let checked = dlc
            .run(&[&["db", "check", "--format", "json"], arguments].concat())
            .await;
        assert_eq!(checked.code, 69, "{checked:?}");
        assert_status(&checked, "NET002", "fail");
    }
    assert_eq!(dlc.run(&["db", "check", "--only", "CFG001"]).await.code, 0);
}

#[tokio::test]
async fn a_locked_history_ends_the_round_in_time() {
    use sqlx::{Connection, Executor};
    let database = Database::migrated(Engine::Postgres).await;
    let mut holder = sqlx::PgConnection::connect(&database.url).await.unwrap();
    holder.execute("BEGIN").await.unwrap();
    holder.execute("LOCK TABLE seaql_migrations").await.unwrap();
    let checked = database
        .dlc()
        .run(&["db", "check", "--timeout", "4s", "--format", "json"])
        .await;
    assert_status(&checked, "SCH002", "fail");
    assert_eq!(checked.code, 1);
    let status = database.dlc().run(&["migrate", "status"]).await;
    status.assert_error(3, "reading the schema waited too long for a lock");
}

#[tokio::test]
async fn a_log_that_a_killed_process_left_is_told_and_nothing_is_made_beside_it() {
    use sqlx::{Connection, Executor};
    let database = Database::migrated(Engine::Sqlite).await;
    let mut writer = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
    writer
        .execute("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 1, 1)")
        .await
        .unwrap();
    // A copy of what a process that is killed now would leave.
    let left = Database::empty(Engine::Sqlite).await;
    std::fs::copy(database.file(), left.file()).unwrap();
    let log = |database: &Database| format!("{}-wal", database.file().display());
    std::fs::copy(log(&database), log(&left)).unwrap();
    let checked = check(&left.dlc()).await;
    assert_status(&checked, "SQL001", "warn");
    assert_status(&checked, "SQL004", "skipped");
    assert!(!std::path::Path::new(&format!("{}-shm", left.file().display())).exists());
    left.dlc().run(&["migrate", "repair"]).await;
    assert_eq!(left.number("SELECT count(*) FROM coupons").await, 1);
    assert_status(&check(&left.dlc()).await, "SQL001", "ok");
}

#[tokio::test]
async fn what_is_no_file_is_not_waited_for() {
    let directory = Database::empty(Engine::Sqlite).await;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        directory.file(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let checked = check(&directory.dlc()).await;
    assert_status(&checked, "SQL001", "fail");
    assert!(checked.stdout.contains("is no file"), "{checked:?}");
}

on_both_engines! {
    async fn a_check_that_was_asked_for_and_could_not_be_made_is_no_success(database: Database) {
        database.execute("ALTER TABLE claims RENAME TO elsewhere").await;
        let asked = database.dlc().run(&["db", "check", "--only", "BIZ001", "--format", "json"]).await;
        assert_status(&asked, "BIZ001", "skipped");
        assert_eq!(asked.code, 1, "{asked:?}");
        let nothing = database.dlc().run(&["db", "check", "--only", "BIZ001", "--skip", "BIZ001"]).await;
        nothing.assert_error(64, "no check is left to be made");
    }
}

#[tokio::test]
async fn a_journal_that_a_killed_process_left_is_no_matter_of_permissions() {
    use sqlx::{Connection, Executor};
    let database = Database::migrated(Engine::Sqlite).await;
    database.execute("PRAGMA journal_mode = DELETE").await;
    let mut writer = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
    writer
        .execute(
            // More than its memory holds, so that pages of the file are changed before the commit.
            "PRAGMA cache_size = 1; BEGIN IMMEDIATE; WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) \
             INSERT INTO coupons (name, amount, remaining_amount) SELECT 'c' || i, 1, 1 FROM n",
        )
        .await
        .unwrap();
    let left = Database::empty(Engine::Sqlite).await;
    let journal = |database: &Database| format!("{}-journal", database.file().display());
    std::fs::copy(database.file(), left.file()).unwrap();
    std::fs::copy(journal(&database), journal(&left)).unwrap();
    let checked = check(&left.dlc()).await;
    assert_status(&checked, "SQL001", "fail");
    assert!(
        checked.stdout.contains("left a journal") && checked.stdout.contains("dlc migrate up"),
        "{checked:?}"
    );
    left.execute("SELECT count(*) FROM coupons").await;
    assert_status(&check(&left.dlc()).await, "SQL001", "ok");
}

#[tokio::test]
async fn in_depth_a_sqlite_file_tells_its_largest_tables_and_has_its_indexes_read() {
    let database = Database::migrated(Engine::Sqlite).await;
    let deep = database
        .dlc()
        .run(&["db", "check", "--deep", "--only", "DSK002,SQL004", "--format", "json"])
        .await;
    let report = deep.json();
    let sizes = finding(&report, "DSK002")["measured"].to_string();
    assert!(sizes.contains("dlc_migrations 4 kB"), "{sizes}");
    assert_status(&deep, "SQL004", "ok");
    let explained = Dlc::new().run(&["db", "check", "--explain", "SQL004"]).await;
    assert!(explained.stdout.contains("integrity_check"), "{explained:?}");
}
