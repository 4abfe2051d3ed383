//! `dlc db restore`: the target is the backup, or is what it was.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::{
    cli_db_backup::{backup, directory, dlc, edit, everything, fake, fill, names, text, verify},
    harness::{Database, Engine, Finished, Running, Terminal, on_both_engines, postgres},
};

/// A database that is restored to; on SQLite a file that is not there.
struct Target {
    database: Database,
}

impl Target {
    async fn empty(engine: Engine) -> Self {
        Self {
            database: Database::empty(engine).await,
        }
    }

    /// With something of somebody's in it.
    async fn with_a_table(engine: Engine) -> Self {
        let target = Self::empty(engine).await;
        let database = &target.database;
        if engine == Engine::Sqlite {
            // The harness opens only what is there.
            std::fs::write(database.file(), "").unwrap();
        }
        database.execute("CREATE TABLE precious (t text)").await;
        database.execute("INSERT INTO precious VALUES ('mine')").await;
        target
    }

    fn name(&self) -> &str {
        match self.database.engine {
            Engine::Sqlite => "dlc_test.db",
            Engine::Postgres => self.database.name(),
        }
    }

    fn there(&self) -> Vec<String> {
        names(self.database.file().parent().unwrap())
    }

    async fn restore(&self, source: &Database, file: &Path, more: &[&str]) -> Finished {
        let arguments: Vec<&str> = ["db", "restore", text(file), "--into", &self.database.url]
            .iter()
            .chain(more)
            .copied()
            .collect();
        dlc(source).run(&arguments).await
    }
}

/// Waits until a program of the test's own has said by a file beside it that it is at work.
async fn until_begun(programs: &TempDir, run: &Running) {
    let started = std::time::Instant::now();
    while !programs.path().join("begun").exists() {
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "{}", run.said());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

async fn backed_up(engine: Engine) -> (Database, TempDir, std::path::PathBuf) {
    let database = Database::migrated(engine).await;
    fill(&database).await;
    let to = directory();
    let file = backup(&database, to.path(), &[]).await;
    (database, to, file)
}

/// The rows of every kind, as they are shown.
async fn rows(database: &Database) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for sql in [
        "SELECT username, description, CAST(created_at AS text) FROM users ORDER BY id",
        "SELECT message, CAST(context AS text), CAST(user_id AS text) FROM greet_history ORDER BY id",
        "SELECT name, CAST(amount AS text), CAST(remaining_amount AS text), CAST(created_at AS text) FROM coupons",
        "SELECT user_id, coupon_name, CAST(id AS text), CAST(created_at AS text) FROM claims ORDER BY id",
        "SELECT key, answer, CAST(created_at AS text) FROM idempotency_keys",
        "SELECT CAST(\"a b\" AS text), CAST(\"of_dlc\" AS text), \"t\" FROM \"some body's\" ORDER BY 1, 2, 3",
    ] {
        found.extend(database.rows(sql).await);
    }
    let hex = match database.engine {
        Engine::Sqlite => "hex(fingerprint)",
        Engine::Postgres => "upper(encode(fingerprint, 'hex'))",
    };
    found.extend(database.rows(&format!("SELECT {hex} FROM idempotency_keys")).await);
    found
}

on_both_engines! {
    async fn what_is_restored_is_what_was_backed_up(engine: Engine) {
        let (source, _to, file) = backed_up(engine).await;
        let target = Target::empty(engine).await;
        let restored = target.restore(&source, &file, &[]).await;
        assert_eq!(restored.code, 0, "{restored:?}");
        restored.assert_no_secret();
        assert!(restored.stdout.contains("compared with its manifest and audited"), "{restored:?}");
        assert_eq!(rows(&target.database).await, rows(&source).await);
        // It is a database that dlc goes on with: schema, history and sequences are whole.
        let verified = target.database.dlc().run(&["migrate", "verify"]).await;
        assert!(!verified.stdout.contains("is missing"), "{verified:?}");
        let claimed = "INSERT INTO claims (user_id, coupon_name) VALUES ('cleo', 'tulip 🌷')";
        target.database.execute(claimed).await;
        let nothing_left = target.there();
        assert!(nothing_left.iter().all(|name| !name.contains(".part") && !name.contains("restoring")), "{nothing_left:?}");
    }

    async fn scripts_are_told_in_json_what_was_verified_and_what_was_restored(engine: Engine) {
        let (source, _to, file) = backed_up(engine).await;
        let verified = dlc(&source).run(&["db", "verify", text(&file), "--format", "json"]).await;
        // On a busy machine it says what takes long.
        assert_eq!(verified.code, 0, "{verified:?}");
        let verified = verified.json();
        let target = Target::empty(engine).await;
        let restored = target.restore(&source, &file, &["--format", "json"]).await;
        assert_eq!(restored.code, 0, "{restored:?}");
        restored.assert_no_secret();
        let restored = restored.json();
        for (report, command) in [(&verified, "db verify"), (&restored, "db restore")] {
            assert_eq!((&report["schema"], &report["command"], &report["exit_code"]), (&json!(1), &json!(command), &json!(0)));
            let backup = &report["backup"];
            assert_eq!((&backup["file"], &backup["engine"]), (&json!(text(&file)), &json!(if engine == Engine::Sqlite { "sqlite" } else { "postgres" })), "{report}");
            assert!(backup["rows"].as_u64().unwrap() > 0 && backup["tables"].as_u64().unwrap() > 0, "{report}");
        }
        assert_eq!(verified["recorded"], true, "{verified}");
        assert_eq!(restored["replaced"], false, "{restored}");
        assert!(restored["into"].as_str().unwrap().contains(target.name()), "{restored}");
    }

    async fn a_target_with_something_in_it_stays_as_it_is(engine: Engine) {
        let (source, _to, file) = backed_up(engine).await;
        let target = Target::with_a_table(engine).await;
        let before = everything(&target.database).await;
        target.restore(&source, &file, &[]).await.assert_error(64, "is not empty: it has");
        // Nobody is there to confirm it, or somebody confirms something else.
        target.restore(&source, &file, &["--replace"]).await.assert_error(64, "nobody is here to confirm it");
        let other = ["--replace", "--yes-replace", "another"];
        target.restore(&source, &file, &other).await.assert_error(64, "names another database");
        target.restore(&source, &file, &["--yes-replace", target.name()]).await.assert_error(64, "--replace");
        assert_eq!(everything(&target.database).await, before);
        // What is confirmed is done.
        let replaced = target.restore(&source, &file, &["--replace", "--yes-replace", target.name()]).await;
        assert_eq!(replaced.code, 0, "{replaced:?}");
        assert_eq!(rows(&target.database).await, rows(&source).await);
        let gone = match engine {
            Engine::Sqlite => "SELECT count(*) FROM sqlite_schema WHERE name = 'precious'",
            Engine::Postgres => "SELECT count(*) FROM pg_tables WHERE tablename = 'precious'",
        };
        assert_eq!(target.database.number(gone).await, 0);
        assert_eq!(target.there().iter().filter(|name| name.contains("part")).count(), 0);
    }

    async fn what_is_wrong_with_a_backup_leaves_the_target_as_it_was(engine: Engine) {
        let (source, _to, file) = backed_up(engine).await;
        let (beside, whole) = (format!("{}.json", file.display()), std::fs::read(&file).unwrap());
        let kept = std::fs::read(&beside).unwrap();
        let schema = match engine { Engine::Sqlite => "", Engine::Postgres => "public." };
        let (empty, full) = (Target::empty(engine).await, Target::with_a_table(engine).await);
        let before = [everything(&empty.database).await, everything(&full.database).await];
        for case in 0..6 {
            let mut flipped = whole.clone();
            flipped[whole.len() / 3] ^= 16;
            let (code, words) = match case {
                0 => { std::fs::write(&file, &whole[..100]).unwrap(); (1, "was cut short") }
                1 => { std::fs::write(&file, &flipped).unwrap(); (1, "is damaged") }
                2 => { std::fs::remove_file(&file).unwrap(); (1, "there is no file") }
                3 => { std::fs::remove_file(&beside).unwrap(); (1, "has no manifest") }
                4 => {
                    edit(&file, |manifest| manifest["migrations"].as_array_mut().unwrap().push("m20990101_000001_later".into()));
                    (4, "is of a newer schema")
                }
                // Found out only when it is restored already.
                _ => {
                    edit(&file, |manifest| manifest["tables"][format!("{schema}claims")]["hash"] = "0".into());
                    (1, "is not what was backed up")
                }
            };
            empty.restore(&source, &file, &[]).await.assert_error(code, words);
            let replace = ["--replace", "--yes-replace", full.name()];
            full.restore(&source, &file, &replace).await.assert_error(code, words);
            let after = [everything(&empty.database).await, everything(&full.database).await];
            assert_eq!(after, before, "{words}");
            assert_eq!(empty.there(), [""; 0], "{words}");
            std::fs::write(&file, &whole).unwrap();
            std::fs::write(&beside, &kept).unwrap();
        }
        assert_eq!(empty.restore(&source, &file, &[]).await.code, 0);
    }

    async fn a_database_that_somebody_uses_is_not_replaced(engine: Engine) {
        let (source, _to, file) = backed_up(engine).await;
        let server = crate::harness::Server::start(Database::migrated(engine).await).await;
        let url = server.database.url.clone();
        let name = match engine { Engine::Sqlite => "dlc_test.db".to_owned(), Engine::Postgres => server.database.name().to_owned() };
        let arguments = ["db", "restore", text(&file), "--into", &url, "--replace", "--yes-replace", &name];
        let refused = dlc(&source).run(&arguments).await;
        refused.assert_error(3, "is in use: ");
        assert_eq!(server.get("/readyz").await.status, 200);
        let database = server.stopped().await;
        let replaced = dlc(&source).run(&arguments).await;
        assert_eq!(replaced.code, 0, "{replaced:?}");
        assert_eq!(rows(&database).await, rows(&source).await);
    }

    async fn the_name_of_what_goes_is_typed(engine: Engine) {
        let (source, _to, file) = backed_up(engine).await;
        let target = Target::with_a_table(engine).await;
        let arguments = ["db", "restore", text(&file), "--into", &target.database.url, "--replace"];
        let before = everything(&target.database).await;
        let terminal = Terminal::start(dlc(&source), &arguments);
        terminal.until_shown("Type its name to go on:").await;
        assert!(terminal.shown().contains("it has "), "{}", terminal.shown());
        terminal.type_in("yes\n");
        assert_eq!(terminal.finished().await, 1);
        assert_eq!(everything(&target.database).await, before);
        let terminal = Terminal::start(dlc(&source), &arguments);
        terminal.until_shown("Type its name to go on:").await;
        terminal.type_in(&format!("{}\n", target.name()));
        assert_eq!(terminal.finished().await, 0);
        assert_eq!(rows(&target.database).await, rows(&source).await);
    }

    async fn the_word_configured_names_the_database_of_the_configuration(engine: Engine) {
        let (_source, _to, file) = backed_up(engine).await;
        let target = Target::empty(engine).await;
        let restored = dlc(&target.database).run(&["db", "restore", text(&file), "--into", "configured"]).await;
        assert_eq!(restored.code, 0, "{restored:?}");
        assert_eq!(target.database.number("SELECT count(*) FROM claims").await, 2);
        let nowhere = dlc(&target.database).run(&["db", "restore", text(&file), "--into", "elsewhere"]).await;
        nowhere.assert_error(78, "--into: it has no scheme");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_one_engine_is_not_restored_into_the_other() {
    let (postgres, _to, file) = backed_up(Engine::Postgres).await;
    let target = Target::empty(Engine::Sqlite).await;
    let refused = target.restore(&postgres, &file, &[]).await;
    refused.assert_error(64, "the backup is of postgres");
    assert!(refused.stderr.contains("dlc db move"), "{refused:?}");
    let (sqlite, _to, file) = backed_up(Engine::Sqlite).await;
    let target = Target::empty(Engine::Postgres).await;
    target
        .restore(&sqlite, &file, &[])
        .await
        .assert_error(64, "the backup is of sqlite");
    assert_eq!(everything(&target.database).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_fails_or_is_interrupted_leaves_no_database_behind() {
    // A server of its own: whatever is left on it was left by this test.
    let cluster = postgres::Cluster::own("").await;
    let at = |name: &str| Database::at(Engine::Postgres, &cluster.url(name));
    for name in ["source", "target"] {
        cluster.execute("postgres", &format!("CREATE DATABASE {name}")).await;
    }
    let (source, target) = (at("source"), at("target"));
    assert_eq!(source.dlc().run(&["migrate", "up"]).await.code, 0);
    for sql in [
        "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 5, 4)",
        "INSERT INTO claims (user_id, coupon_name) VALUES ('a', 'c')",
        // Another schema, a type, a routine, an extension: whatever a restore makes and has to take away again.
        "CREATE SCHEMA other; CREATE TYPE other.mood AS ENUM ('sad'); CREATE TABLE other.t (m other.mood); \
         CREATE TYPE colour AS ENUM ('red'); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; \
         CREATE VIEW v AS SELECT f() AS one; CREATE DOMAIN small AS int CHECK (VALUE < 10)",
        "ALTER DATABASE source SET search_path = public, other",
    ] {
        cluster.execute("source", sql).await;
    }
    let to = directory();
    let file = backup(&source, to.path(), &["--verify"]).await;
    let databases = async || {
        let found = at("postgres")
            .rows("SELECT CAST(datname AS text) FROM pg_database WHERE NOT datistemplate ORDER BY 1")
            .await;
        found.into_iter().flatten().collect::<Vec<_>>()
    };
    assert_eq!(databases().await, ["postgres", "source", "target"]);
    let objects = "SELECT CAST((SELECT count(*) FROM pg_class WHERE relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_' OR nspname = 'information_schema')) \
                   + (SELECT count(*) FROM pg_type WHERE typnamespace = 'public'::regnamespace) \
                   + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace) \
                   + (SELECT count(*) FROM pg_namespace WHERE nspname = 'other') AS text)";
    let into = cluster.url("target");
    let restore = ["db", "restore", text(&file), "--into", &into];
    // It differs once it is restored: what was restored goes again, all of it.
    let beside = format!("{}.json", file.display());
    let kept = std::fs::read(&beside).unwrap();
    edit(&file, |manifest| manifest["tables"]["public.claims"]["rows"] = 9.into());
    dlc(&source)
        .run(&restore)
        .await
        .assert_error(1, "public.claims has 1 rows, not 9");
    assert_eq!(target.rows(objects).await, [["0"]]);
    verify(&source, &file)
        .await
        .assert_error(1, "public.claims has 1 rows, not 9");
    std::fs::write(&beside, kept).unwrap();
    // pg_restore comes to no end, and is interrupted.
    let real = std::process::Command::new(postgres::programs().join("pg_restore"))
        .arg("--version")
        .output()
        .unwrap();
    let major = String::from_utf8(real.stdout).unwrap();
    let major = major.trim();
    let slow = fake("pg_restore", major, "touch $(dirname $0)/begun; exec sleep 600");
    let failing = fake(
        "pg_restore",
        major,
        "echo 'pg_restore: error: out of paper' >&2; exit 1",
    );
    for arguments in [&["db", "verify", text(&file)][..], &restore[..]] {
        let dlc = source.dlc().env("DLC_BACKUP__PROGRAMS", text(failing.path()));
        dlc.run(arguments)
            .await
            .assert_error(1, "pg_restore failed: out of paper");
        let running = source
            .dlc()
            .env("DLC_BACKUP__PROGRAMS", text(slow.path()))
            .start(arguments);
        until_begun(&slow, &running).await;
        std::fs::remove_file(slow.path().join("begun")).unwrap();
        running.signal(rustix::process::Signal::INT);
        assert_eq!(running.finished().await.code, 130);
        assert_eq!(databases().await, ["postgres", "source", "target"]);
        assert_eq!(target.rows(objects).await, [["0"]]);
    }
    // What a killed one has left goes with the next, once it is old enough.
    cluster
        .execute("postgres", "CREATE DATABASE dlc_verify_018000000000_00000001")
        .await;
    assert_eq!(verify(&source, &file).await.code, 0);
    assert_eq!(databases().await, ["postgres", "source", "target"]);
    assert_eq!(dlc(&source).run(&restore).await.code, 0);
    // And replaced: nothing is left of the old one, nor of anything on the way, nor of others who were killed long ago.
    for left in [
        "dlc_restore_018000000000_00000001",
        "dlc_restore_018000000000_00000002_replaced",
    ] {
        cluster.execute("postgres", &format!("CREATE DATABASE {left}")).await;
    }
    let more = [&restore[..], &["--replace", "--yes-replace", "target"]].concat();
    let replaced = dlc(&source).run(&more).await;
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert_eq!(databases().await, ["postgres", "source", "target"]);
    assert_eq!(target.rows("SELECT user_id FROM claims").await, [["a"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_its_database_is_not_given_to_another_one() {
    let (source, _to, file) = backed_up(Engine::Sqlite).await;
    let target = Target::empty(Engine::Sqlite).await;
    std::fs::write(
        format!("{}-wal", target.database.file().display()),
        "the log of something",
    )
    .unwrap();
    target
        .restore(&source, &file, &[])
        .await
        .assert_error(64, "the log of a database that is not");
    assert_eq!(target.there(), ["dlc_test.db-wal"]);
    let replaced = target
        .restore(&source, &file, &["--replace", "--yes-replace", "dlc_test.db"])
        .await;
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert_eq!(rows(&target.database).await, rows(&source).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_is_replaced_and_a_damaged_one_keeps_its_owner_and_mode() {
    use std::os::unix::fs::PermissionsExt;
    let (source, _to, file) = backed_up(Engine::Sqlite).await;
    let target = Target::empty(Engine::Sqlite).await;
    let place = target.database.file();
    std::fs::write(
        &place,
        "this is no database at all, and it is longer than a header of one would be",
    )
    .unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o640)).unwrap();
    target
        .restore(&source, &file, &[])
        .await
        .assert_error(69, "cannot use the database");
    let replaced = target
        .restore(&source, &file, &["--replace", "--yes-replace", "dlc_test.db"])
        .await;
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(rows(&target.database).await, rows(&source).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_programs_of_a_later_major_have_backed_up_is_restored_by_them_on_the_older_server() {
    let source = Database::migrated(Engine::Postgres).await;
    fill(&source).await;
    // Looks like the line that only a newer server knows, and is data, or a part of a routine.
    source
        .execute(
            "INSERT INTO greet_history (message) VALUES (E'SET transaction_timeout = 0;\nSET transaction_timeout = 0;\n\\\\.\nCOMMIT;'); \
             CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $f$SELECT '\nSET transaction_timeout = 0;\n'$f$",
        )
        .await;
    let programs = postgres::programs_of("18");
    let dlc = || source.dlc().env("DLC_BACKUP__PROGRAMS", text(&programs));
    let to = directory();
    let made = dlc().run(&["db", "backup", "--verify", "--to", text(to.path())]).await;
    assert_eq!(made.code, 0, "{made:?}");
    let file = to.path().join(&names(to.path())[0]);
    for (target, more) in [
        (Target::empty(Engine::Postgres).await, false),
        (Target::with_a_table(Engine::Postgres).await, true),
    ] {
        let mut arguments = vec!["db", "restore", text(&file), "--into", &target.database.url];
        if more {
            arguments.extend(["--replace", "--yes-replace", target.name()]);
        }
        let restored = dlc().run(&arguments).await;
        assert_eq!(restored.code, 0, "{restored:?}");
        restored.assert_no_secret();
        assert_eq!(rows(&target.database).await, rows(&source).await);
        let text = "SELECT f() || (SELECT message FROM greet_history WHERE message LIKE 'SET%')";
        assert_eq!(target.database.rows(text).await, source.rows(text).await);
    }
    if source.number("SELECT current_setting('server_version_num')::int").await >= 170_000 {
        // Such a server has nothing against it.
        return;
    }
    // What runs the script has to be there, and fails in its own words; nothing is left then.
    let newer = fake(
        "pg_restore",
        "pg_restore (PostgreSQL) 98.1",
        "echo 'CREATE TABLE t ();'",
    );
    let target = Target::empty(Engine::Postgres).await;
    let restore = ["db", "restore", text(&file), "--into", &target.database.url];
    let by = async || {
        source
            .dlc()
            .env("DLC_BACKUP__PROGRAMS", text(newer.path()))
            .run(&restore)
            .await
    };
    by().await
        .assert_error(1, "no psql of PostgreSQL 98 or newer was found");
    let psql = "psql:<stdin>:7: ERROR:  out of ink";
    let other = fake(
        "psql",
        "psql (PostgreSQL) 98.1",
        &format!("cat > /dev/null; echo '{psql}' >&2; exit 3"),
    );
    std::fs::copy(other.path().join("psql"), newer.path().join("psql")).unwrap();
    by().await.assert_error(1, "psql failed: out of ink");
    // A reader that fails half way: what it has written until then is taken back.
    let real = fake(
        "psql",
        "psql (PostgreSQL) 98.1",
        &format!("exec {}/psql \"$@\"", programs.display()),
    );
    std::fs::copy(real.path().join("psql"), newer.path().join("psql")).unwrap();
    let half = fake(
        "pg_restore",
        "pg_restore (PostgreSQL) 98.1",
        "echo 'BEGIN;'; echo 'CREATE TABLE t ();'; echo 'pg_restore: error: out of paper' >&2; exit 1",
    );
    std::fs::copy(half.path().join("pg_restore"), newer.path().join("pg_restore")).unwrap();
    by().await.assert_error(1, "pg_restore failed: out of paper");
    assert_eq!(everything(&target.database).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn which_privileges_a_restore_lacks_is_told_with_what_grants_them_before_anything_is_done() {
    let (source, _to, file) = backed_up(Engine::Postgres).await;
    // A server of its own: whatever is left on it was left by this test.
    let cluster = postgres::Cluster::own("").await;
    for sql in [
        "CREATE DATABASE target",
        "CREATE DATABASE empty",
        "CREATE ROLE \"no body\" LOGIN PASSWORD 'role'",
    ] {
        cluster.execute("postgres", sql).await;
    }
    cluster.execute("target", "CREATE TABLE precious (t text)").await;
    cluster
        .execute("target", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        .await;
    cluster
        .execute("empty", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        .await;
    let restore = async |database: &str| {
        let into = format!("postgres://no%20body:role@127.0.0.1:{}/{database}", cluster.port);
        let arguments = [
            "db",
            "restore",
            text(&file),
            "--into",
            &into,
            "--replace",
            "--yes-replace",
            "target",
        ];
        dlc(&source).run(&arguments).await
    };
    /// The statements of a hint, as somebody copies them.
    fn statements(refused: &Finished) -> Vec<String> {
        let hint = refused
            .stderr
            .split("as a superuser: ")
            .nth(1)
            .unwrap_or_else(|| panic!("{refused:?}"));
        hint.split("; or name")
            .next()
            .unwrap()
            .split("; ")
            .map(str::to_owned)
            .collect()
    }
    let databases = "SELECT CAST(datname AS text) FROM pg_database WHERE NOT datistemplate ORDER BY 1";
    let server = Database::at(Engine::Postgres, &cluster.url("postgres"));
    let before = server.rows(databases).await;
    let refused = restore("target").await;
    refused.assert_error(77, "this role may not replace postgres://no body@");
    assert!(
        refused
            .stderr
            .contains("it lacks CREATEDB, to be a member of dlc_test, the owner"),
        "{refused:?}"
    );
    let grants = statements(&refused);
    assert_eq!(grants[0], "ALTER ROLE \"no body\" CREATEDB");
    for grant in grants {
        cluster.execute("target", &grant).await;
    }
    let replaced = restore("target").await;
    assert_eq!(replaced.code, 0, "{replaced:?}");
    let owner = "SELECT CAST(pg_get_userbyid(datdba) AS text) FROM pg_database WHERE datname = 'target'";
    assert_eq!(server.rows(owner).await, [["dlc_test"]]);
    // Into nothing.
    cluster.execute("empty", "REVOKE dlc_test FROM \"no body\"").await;
    let refused = restore("empty").await;
    refused.assert_error(77, "it lacks CREATE in the schema public");
    for grant in statements(&refused) {
        cluster.execute("empty", &grant).await;
    }
    let restored = restore("empty").await;
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(server.rows(databases).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_replaced_keeps_what_it_has_beside_its_contents() {
    let (source, _to, file) = backed_up(Engine::Postgres).await;
    let cluster = postgres::Cluster::own("-c allow_in_place_tablespaces=on").await;
    for sql in [
        "CREATE ROLE owner; CREATE ROLE \"some body\" LOGIN; CREATE ROLE other",
        "CREATE TABLESPACE elsewhere LOCATION ''",
        "CREATE DATABASE \"tar get\" OWNER owner TABLESPACE elsewhere CONNECTION LIMIT 7",
        "COMMENT ON DATABASE \"tar get\" IS 'it''s mine; ours'",
        "ALTER DATABASE \"tar get\" SET search_path = public, \"Odd, one\", ''",
        "ALTER DATABASE \"tar get\" SET work_mem = '5MB'",
        "ALTER DATABASE \"tar get\" SET default_transaction_read_only = on",
        "ALTER DATABASE \"tar get\" SET app.mode = 'a=b, ''c'' d'",
        "ALTER ROLE \"some body\" IN DATABASE \"tar get\" SET search_path = \"$user\", public",
        "ALTER ROLE \"some body\" IN DATABASE \"tar get\" SET role = other",
        "REVOKE CONNECT ON DATABASE \"tar get\" FROM PUBLIC",
        "GRANT CONNECT ON DATABASE \"tar get\" TO \"some body\" WITH GRANT OPTION",
        "GRANT CREATE, TEMPORARY ON DATABASE \"tar get\" TO other",
    ] {
        cluster.execute("postgres", sql).await;
    }
    cluster
        .execute("tar get", "BEGIN READ WRITE; CREATE TABLE precious (t text); COMMIT")
        .await;
    let server = Database::at(Engine::Postgres, &cluster.url("postgres"));
    let has = "SELECT CAST(d.datconnlimit AS text), CAST(pg_get_userbyid(d.datdba) AS text), CAST(t.spcname AS text), \
                   shobj_description(d.oid, 'pg_database'), \
                   (SELECT string_agg(concat_ws(' ', grantor, grantee, privilege_type, is_grantable), ', ' ORDER BY grantee, privilege_type) \
                       FROM aclexplode(d.datacl)), \
                   (SELECT string_agg(concat_ws(' ', s.setrole, CAST(s.setconfig AS text)), ', ' ORDER BY s.setrole) \
                       FROM pg_db_role_setting s WHERE s.setdatabase = d.oid) \
               FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE datname = 'tar get'";
    let oid = "SELECT CAST(oid AS text) FROM pg_database WHERE datname = 'tar get'";
    let (before, old) = (server.rows(has).await, server.rows(oid).await);
    assert!(before[0].iter().all(|value| value != "-"), "{before:?}");
    let into = cluster.url("tar%20get");
    let arguments = [
        "db",
        "restore",
        text(&file),
        "--into",
        &into,
        "--replace",
        "--yes-replace",
        "tar get",
    ];
    let replaced = dlc(&source).run(&arguments).await;
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert_eq!(server.rows(has).await, before);
    assert_ne!(server.rows(oid).await, old);
    let target = Database::at(Engine::Postgres, &into);
    assert_eq!(rows(&target).await, rows(&source).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_make_in_an_empty_database_during_a_restore_stays_theirs() {
    let (source, _to, file) = backed_up(Engine::Postgres).await;
    let programs = postgres::programs();
    let version = std::process::Command::new(programs.join("pg_restore"))
        .arg("--version")
        .output()
        .unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let wait = format!(
        "touch $(dirname $0)/begun; until [ -e $(dirname $0)/go ]; do sleep 0.02; done; exec {}/pg_restore \"$@\"",
        programs.display()
    );
    let migrate = async |target: &Database| {
        assert_eq!(target.dlc().run(&["migrate", "up"]).await.code, 0);
        assert_eq!(
            target
                .dlc()
                .run(&["coupon", "create", "precious", "--amount", "100"])
                .await
                .code,
            0
        );
    };
    // The restore fails, because its tables are there; or it is found out only at its end that there is one too many.
    for (words, is_migrated) in [("already exists", true), ("is none of the backup's", false)] {
        let target = Target::empty(Engine::Postgres).await;
        let slow = fake("pg_restore", version.trim(), &wait);
        let restoring = dlc(&source).env("DLC_BACKUP__PROGRAMS", text(slow.path()));
        let restoring = restoring.start(&["db", "restore", text(&file), "--into", &target.database.url]);
        until_begun(&slow, &restoring).await;
        if is_migrated {
            migrate(&target.database).await;
        } else {
            target
                .database
                .execute("CREATE TABLE precious AS SELECT 'mine' AS t")
                .await;
        }
        std::fs::write(slow.path().join("go"), "").unwrap();
        restoring.finished().await.assert_error(1, words);
        let kept = if is_migrated { "coupons" } else { "precious" };
        assert_eq!(
            target.database.number(&format!("SELECT count(*) FROM {kept}")).await,
            1,
            "{words}"
        );
    }
}

#[tokio::test]
async fn a_prepared_transaction_is_told_before_anything_is_restored() {
    let (source, _to, file) = backed_up(Engine::Postgres).await;
    let target = Target::with_a_table(Engine::Postgres).await;
    let database = &target.database;
    let prepare = "BEGIN; INSERT INTO precious VALUES ('yours'); PREPARE TRANSACTION 'half done'";
    database.execute(prepare).await;
    let replace = ["--replace", "--yes-replace", target.name()];
    let refused = target.restore(&source, &file, &replace).await;
    refused.assert_error(3, "for COMMIT PREPARED or ROLLBACK PREPARED: 'half done'");
    database.execute("COMMIT PREPARED 'half done'").await;
    let replaced = target.restore(&source, &file, &replace).await;
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert_eq!(rows(database).await, rows(&source).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_ended_during_a_long_restore_is_no_reason_to_fail_or_to_leave_anything() {
    // Whoever is idle for as long as a restore of this takes is ended by the server.
    let cluster = postgres::Cluster::own("-c idle_session_timeout=1s").await;
    let at = |name: &str| Database::at(Engine::Postgres, &cluster.url(name));
    for name in ["source", "target"] {
        cluster.execute("postgres", &format!("CREATE DATABASE {name}")).await;
    }
    let (source, target) = (at("source"), at("target"));
    assert_eq!(source.dlc().run(&["migrate", "up"]).await.code, 0);
    let to = directory();
    let file = backup(&source, to.path(), &[]).await;
    let programs = postgres::programs();
    let programs = programs.display();
    let version = std::process::Command::new(postgres::programs().join("pg_restore"))
        .arg("--version")
        .output()
        .unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let slow = fake(
        "pg_restore",
        version.trim(),
        &format!("sleep 2; exec {programs}/pg_restore \"$@\""),
    );
    // Ends every other session.
    let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
    let ruthless = fake(
        "pg_restore",
        version.trim(),
        &format!("{programs}/psql -qAtX -d postgres -c \"{all}\" > /dev/null; exec {programs}/pg_restore \"$@\""),
    );
    let databases = "SELECT CAST(datname AS text) FROM pg_database WHERE NOT datistemplate ORDER BY 1";
    let into = cluster.url("target");
    let restore = ["db", "restore", text(&file), "--into", &into];
    let replace = [&restore[..], &["--replace", "--yes-replace", "target"]].concat();
    let verify = ["db", "verify", text(&file)];
    for by in [&slow, &ruthless] {
        for arguments in [&verify[..], &restore, &replace] {
            let done = source
                .dlc()
                .env("DLC_BACKUP__PROGRAMS", text(by.path()))
                .run(arguments)
                .await;
            assert_eq!(done.code, 0, "{arguments:?} {done:?}");
            assert_eq!(
                at("postgres").rows(databases).await,
                [["postgres"], ["source"], ["target"]]
            );
        }
        cluster
            .execute("target", "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            .await;
    }
    // What was no good is taken back by another session, too.
    edit(&file, |manifest| manifest["tables"]["public.claims"]["rows"] = 9.into());
    for arguments in [&verify[..], &restore] {
        let done = source
            .dlc()
            .env("DLC_BACKUP__PROGRAMS", text(ruthless.path()))
            .run(arguments)
            .await;
        done.assert_error(1, "public.claims has 0 rows, not 9");
        assert_eq!(
            at("postgres").rows(databases).await,
            [["postgres"], ["source"], ["target"]]
        );
        assert_eq!(everything(&target).await, "");
    }
}
