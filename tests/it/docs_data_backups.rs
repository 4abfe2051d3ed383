//! The recipes of `docs/data.md` about backups by dlc. Its test is in `docs_data`.

use crate::{
    cli_db_backup::{directory, fake, names, text},
    harness::{Console, Database, Dlc, Document, Engine},
};

/// What differs from run to run, in the words of the document.
pub const USUAL: &[(&str, &str)] = &[
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2027-01-01T09:00:00Z"),
    (r"dlc-\d{8}T\d{6}Z-[0-9a-f]{8}", "dlc-20270101T090000Z-1f2e3d4c"),
    (r"\(\d+ ms\)", "(24 ms)"),
    (r"[0-9.]+ (ms|s): the age", "380.0 ms: the age"),
    (
        r"SHA-256 is [0-9a-f]{12}…, not [0-9a-f]{12}…",
        "SHA-256 is 8d21b7704ce9…, not 3f6c0e5b9a12…",
    ),
    (r"(/[^ /]+)+/dlc-test-cwd-[^/]+", "/srv/shop"),
    (r"(/[^ /]+)+/dlc-test-backups-[^/ ,]+", "/opt/pg/bin"),
    (r"PostgreSQL \d+ ", "PostgreSQL 16 "),
    (r"of version \d+ ", "of version 16 "),
    (r", \d+ KiB", ", 188 KiB"),
];

pub async fn a_backup_is_made_verified_and_restored(document: Document) {
    let dlc = Dlc::new();
    assert_eq!(dlc.run(&["migrate", "up"]).await.code, 0);
    assert_eq!(dlc.run(&["coupon", "create", "tulips", "--amount", "5"]).await.code, 0);

    let mut console = Console::default();
    console.run(&dlc, "dlc db backup --keep 7").await;
    document.assert_replayed("backup", console);

    let backups = dlc.directory().join("backups");
    let newest = names(&backups)[0].clone();
    let mut console = Console::default();
    console.run(&dlc, &format!("dlc db verify backups/{newest}")).await;
    console.run(&dlc, "dlc db check --only BAK001").await;
    document.assert_replayed("verify", console);

    let mut console = Console::default();
    console
        .run(
            &dlc,
            &format!("dlc db restore backups/{newest} --into sqlite://copy.db"),
        )
        .await;
    console
        .run(
            &dlc,
            &format!("dlc db restore backups/{newest} --into sqlite://copy.db"),
        )
        .await;
    let replace = format!("dlc db restore backups/{newest} --into sqlite://copy.db --replace --yes-replace copy.db");
    console.run(&dlc, &replace).await;
    let mut damaged = std::fs::read(backups.join(&newest)).unwrap();
    damaged[100_000] ^= 1;
    std::fs::write(backups.join(&newest), damaged).unwrap();
    console.run(&dlc, &replace).await;
    document.assert_replayed("restore", console);

    let database = Database::migrated(Engine::Postgres).await;
    let to = directory();
    let older = fake("pg_dump", "pg_dump (PostgreSQL) 9.6.24", "exit 1");
    let dlc = database
        .dlc()
        .env("DLC_BACKUP__PROGRAMS", text(older.path()))
        .env("DLC_BACKUP__DIRECTORY", text(to.path()));
    let mut console = Console::default();
    console.run(&dlc, "dlc db backup").await;
    document.assert_replayed("programs", console);
}
