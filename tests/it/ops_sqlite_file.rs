//! A SQLite file that is not where its name says, or not dlc's, or not there: the service looks before it writes, and what it has said
//! yes to is in the file that everybody reads.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::process::{Flock, FlockOffsetType, FlockType, Signal, fcntl_getlk};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};

use crate::harness::{Database, Dlc, Engine, Server, on_both_engines};

/// A database, and a link in another directory that leads to its file by way of a second one.
struct Linked {
    database: Database,
    _directory: tempfile::TempDir,
    link: PathBuf,
}

impl Linked {
    async fn migrated() -> Self {
        let database = Database::migrated(Engine::Sqlite).await;
        let directory = tempfile::Builder::new().prefix("dlc-test-").tempdir().unwrap();
        let link = directory.path().join("link.db");
        std::os::unix::fs::symlink(database.file(), directory.path().join("second.db")).unwrap();
        std::os::unix::fs::symlink("second.db", &link).unwrap();
        Self {
            database,
            _directory: directory,
            link,
        }
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.link.display())
    }

    /// The program, which knows the link alone.
    fn dlc(&self) -> Dlc {
        self.database.dlc().env("DATABASE_URL", &self.url())
    }

    async fn serve(&self) -> Server {
        let database = Database::at(Engine::Sqlite, &self.url());
        Server::start_as(database, self.dlc(), &[]).await
    }
}

/// What other programs do: open, look, close.
async fn look(file: &Path) {
    let mut session = SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    session.execute("SELECT count(*) FROM claims").await.unwrap();
    session.close().await.unwrap();
}

/// The process that keeps the file open, as SQLite's lock says (SHARED: 510 bytes behind 1 GiB and two, in its `os.h`).
fn reader(file: &Path) -> Option<u32> {
    let question = Flock {
        start: 0x4000_0002,
        length: 510,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let file = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let holder = fcntl_getlk(&file, &question).unwrap()?.pid?;
    u32::try_from(holder.as_raw_nonzero().get()).ok()
}

async fn claim(server: &Server, user: &str) {
    let claimed = server
        .post("/api/coupons/claim", json!({"user_id": user, "coupon_name": "SALSA"}))
        .await;
    assert_eq!(claimed.status, 201, "{claimed:?}");
}

#[tokio::test]
async fn behind_a_link_no_claim_is_lost_when_another_program_looks_and_the_service_is_killed() {
    let linked = Linked::migrated().await;
    let server = linked.serve().await;
    let made = server
        .post("/api/coupons", json!({"name": "SALSA", "amount": 50}))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    claim(&server, "ann").await;
    // The doctor looks at the file, too, which this process has open already.
    let health = server.get("/api/health/db").await;
    assert!(health.body["checks"].is_array(), "{health:?}");
    // Without the lock programs with a SQLite before 3.51, which look at nothing else, take the log away when they close the file.
    assert_eq!(reader(&linked.database.file()), Some(server.pid()));
    look(&linked.database.file()).await;
    claim(&server, "cyd").await;
    claim(&server, "dan").await;
    server.signal(Signal::KILL);
    server.finished().await;
    assert_eq!(linked.database.number("SELECT count(*) FROM claims").await, 3);
}

#[tokio::test]
async fn behind_a_link_a_change_is_seen_that_is_in_the_log_alone() {
    let linked = Linked::migrated().await;
    let mut other = SqliteConnection::connect(&linked.database.url).await.unwrap();
    other.execute("DROP TABLE claims").await.unwrap();
    for url in [linked.database.url.clone(), linked.url()] {
        let dlc = linked.database.dlc().env("DATABASE_URL", &url);
        let verified = dlc.run(&["migrate", "verify"]).await;
        assert_eq!(verified.code, 1, "{verified:?}");
        let checked = dlc.run(&["db", "check", "--only", "DRF002"]).await;
        assert_eq!(checked.code, 1, "{checked:?}");
        assert!(checked.stdout.contains("claims"), "{checked:?}");
    }
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_restore_replaces_what_a_link_leads_to_and_nothing_that_is_served_by_way_of_one() {
    let linked = Linked::migrated().await;
    let backups = tempfile::Builder::new().prefix("dlc-test-").tempdir().unwrap();
    let copy = backups.path().join("copy.sqlite3");
    let copy = copy.to_str().unwrap();
    let backed_up = linked.dlc().run(&["db", "backup", "--to", copy]).await;
    assert_eq!(backed_up.code, 0, "{backed_up:?}");
    linked
        .database
        .execute("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('LATE', 1, 1)")
        .await;

    let server = linked.serve().await;
    let replace = [
        "db",
        "restore",
        copy,
        "--into",
        "configured",
        "--replace",
        "--yes-replace",
    ];
    let with = |name: &'static str| [&replace[..], &[name]].concat();
    let refused = linked.database.dlc().run(&with("dlc_test.db")).await;
    refused.assert_error(3, "is in use");
    server.stopped().await;

    let restored = linked.dlc().run(&with("link.db")).await;
    assert_eq!(restored.code, 0, "{restored:?}");
    assert!(linked.link.is_symlink());
    assert_eq!(linked.database.number("SELECT count(*) FROM coupons").await, 0);
}

#[tokio::test]
async fn a_file_that_somebody_has_locked_is_waited_for() {
    let database = Database::migrated(Engine::Sqlite).await;
    let mut other = SqliteConnection::connect(&database.url).await.unwrap();
    for sql in [
        "PRAGMA locking_mode = EXCLUSIVE",
        "CREATE TABLE other (x)",
        "DROP TABLE other",
    ] {
        other.execute(sql).await.unwrap();
    }
    let dlc = database.dlc();
    let server = Server::start_unready(database, dlc, &[]).await;
    server.until_logged("waiting for the database").await;
    other.close().await.unwrap();
    server.until_ready().await;
}

#[tokio::test]
async fn a_service_that_may_not_migrate_makes_no_file() {
    for mode in ["check", "off"] {
        let dlc = Dlc::new();
        let refused = dlc.run(&["serve", "--port", "0", "--migrate", mode]).await;
        refused.assert_error(1, "dlc migrate up");
        assert!(!dlc.directory().join("data/dlc.db").exists(), "{mode}");
    }
}

#[tokio::test]
async fn a_file_of_another_program_stays_as_it_is() {
    let database = Database::empty(Engine::Sqlite).await;
    let url = format!("{}?mode=rwc", database.url);
    let mut session = SqliteConnection::connect(&url).await.unwrap();
    for sql in [
        "PRAGMA journal_mode = DELETE",
        "PRAGMA application_id = 7",
        "CREATE TABLE t (x)",
    ] {
        session.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    session.close().await.unwrap();
    let before = std::fs::read(database.file()).unwrap();
    for mode in ["auto", "check", "off"] {
        let refused = database.dlc().run(&["serve", "--port", "0", "--migrate", mode]).await;
        assert_eq!(refused.code, 1, "{mode}: {refused:?}");
        assert!(std::fs::read(database.file()).unwrap() == before, "{mode}");
    }
}

#[tokio::test]
async fn a_directory_that_may_not_be_entered_is_77_and_not_an_empty_database() {
    let database = Database::migrated(Engine::Sqlite).await;
    let directory = database.file().parent().unwrap().to_path_buf();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o000)).unwrap();
    let dlc = database.dlc().without_privileges();
    for command in [
        &["migrate", "status"][..],
        &["migrate", "verify"],
        &["migrate", "up"],
        &["serve", "--port", "0"],
        &["coupon", "list"],
    ] {
        dlc.run(command)
            .await
            .assert_error(77, "cannot be looked at: permission denied");
    }
    let checked = dlc.run(&["db", "check"]).await;
    assert_eq!(checked.code, 69, "{checked:?}");
    assert!(
        checked.stdout.contains("cannot be looked at: permission denied"),
        "{checked:?}"
    );
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_directory_is_no_database() {
    let dlc = Dlc::new().env("DATABASE_URL", "sqlite://.");
    for command in [
        &["migrate", "status"][..],
        &["migrate", "up"],
        &["serve", "--port", "0"],
    ] {
        dlc.run(command).await.assert_error(69, "is a directory");
    }
}

on_both_engines! {
    async fn a_service_that_does_not_migrate_serves_nothing_that_was_never_migrated(engine: Engine) {
        let database = Database::empty(engine).await;
        let refused = database.dlc().run(&["serve", "--port", "0", "--migrate", "off"]).await;
        refused.assert_error(1, "the database was never migrated, and migrate.mode is off");
        let database = Database::migrated(engine).await;
        let dlc = database.dlc();
        let server = Server::start_as(database, dlc, &["--migrate", "off"]).await;
        assert_eq!(server.get("/readyz").await.status, 200);
    }
}

#[tokio::test]
async fn a_file_that_dlc_makes_is_its_owners_alone_and_another_one_keeps_its_mode() {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let beside = |file: &Path, suffix: &str| PathBuf::from(format!("{}{suffix}", file.display()));
    let database = Database::empty(Engine::Sqlite).await;
    let file = database.file().to_owned();
    let server = Server::start(database).await;
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&beside(&file, suffix)), 0o600, "{suffix}");
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let database = server.stopped().await;
    let server = Server::start(database).await;
    assert_eq!(mode(&file), 0o640);
    assert_eq!(server.stop().await.code, 0);
}

#[tokio::test]
async fn a_file_with_two_names_is_told_by_the_doctor() {
    let database = Database::migrated(Engine::Sqlite).await;
    let file = database.file();
    std::fs::hard_link(&file, file.with_file_name("second.db")).unwrap();
    let checked = database.dlc().run(&["db", "check", "--only", "SQL001"]).await;
    assert_eq!(checked.code, 69, "{checked:?}");
    assert!(checked.stdout.contains("is one of 2 names of its file"), "{checked:?}");
    std::fs::remove_file(file.with_file_name("second.db")).unwrap();
    assert_eq!(database.dlc().run(&["db", "check", "--only", "SQL001"]).await.code, 0);
}
