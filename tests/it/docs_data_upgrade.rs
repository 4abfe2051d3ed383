//! The recipe of `docs/data.md` for the next major version of PostgreSQL, from one real server to another. Its test is in `docs_data`.

use crate::harness::{Console, Document, Service, postgres::programs_of};

const DOCUMENT: Document = Document {
    path: "docs/data.md",
    usual: &[
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2027-01-01T09:00:00Z"),
        (r"\(\d+ ms\)", "(24 ms)"),
        (r", \d+ KiB", ", 48 KiB"),
        (r"/\S+/upgrade\.dump", "upgrade.dump"),
        (r"postgres://\S+/dlc", "postgres://dlc@db/dlc"),
    ],
};

pub async fn a_database_comes_to_a_server_of_the_next_major() {
    let programs = programs_of("18");
    let (mut old, mut new) = (Service::new(&programs_of("15")), Service::new(&programs));
    for server in [&mut old, &mut new] {
        server.run("pg_ctl start --wait --silent; createdb dlc");
    }
    let by = |server: &Service| {
        server
            .dlc("dlc")
            .env("DLC_BACKUP__PROGRAMS", &programs.display().to_string())
            .env(
                "DLC_BACKUP__DIRECTORY",
                &old.directory.join("backups").display().to_string(),
            )
    };
    for command in [&["migrate", "up"][..], &["coupon", "create", "SALSA", "--amount", "50"]] {
        let done = by(&old).run(command).await;
        assert_eq!(done.code, 0, "{done:?}");
    }
    let file = tempfile::tempdir().unwrap();
    let mut console = Console::default();
    let at = |command: &str| command.replace("upgrade.dump", &file.path().join("upgrade.dump").display().to_string());
    console.run(by(&old), &at("dlc db backup --to upgrade.dump")).await;
    DOCUMENT.assert_replayed("upgrade backup", console);
    let mut console = Console::default();
    console
        .run(by(&new), &at("dlc db restore upgrade.dump --into configured"))
        .await;
    console.run(by(&new), "dlc migrate verify").await;
    DOCUMENT.assert_replayed("upgrade restore", console);
    assert_eq!(
        new.run("psql -Atd dlc -c 'SELECT remaining_amount FROM coupons'"),
        "50\n"
    );
}
