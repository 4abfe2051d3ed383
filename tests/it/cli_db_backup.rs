//! `dlc db backup` and `dlc db verify`: what is in a backup, and what is no backup. Restoring: `cli_db_restore`.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

use crate::{
    cli_db_check::{assert_status, finding},
    harness::{Database, Dlc, Engine, Finished, PgBouncer, Prepared, on_both_engines, postgres},
};

const LIMIT: Duration = Duration::from_secs(60);

/// The program, with PostgreSQL's programs of the test's server.
pub fn dlc(database: &Database) -> Dlc {
    let programs = postgres::programs();
    database.dlc().env("DLC_BACKUP__PROGRAMS", programs.to_str().unwrap())
}

pub fn directory() -> TempDir {
    tempfile::Builder::new().prefix("dlc-test-backups-").tempdir().unwrap()
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Makes a backup, and returns its file.
pub async fn backup(database: &Database, to: &Path, more: &[&str]) -> PathBuf {
    let arguments: Vec<&str> = ["db", "backup", "--to", text(to), "--format", "json"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    let made = dlc(database).run(&arguments).await;
    assert_eq!(made.code, 0, "{made:?}");
    made.assert_no_secret();
    PathBuf::from(made.json()["backup"]["file"].as_str().unwrap())
}

pub async fn verify(database: &Database, file: &Path) -> Finished {
    dlc(database).run(&["db", "verify", text(file)]).await
}

pub fn manifest(file: &Path) -> Value {
    let text = std::fs::read_to_string(format!("{}.json", file.display())).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Changes a manifest.
pub fn edit(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = manifest(file);
    change(&mut value);
    std::fs::write(format!("{}.json", file.display()), value.to_string()).unwrap();
}

/// What lies in a directory.
pub fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Everything that is in a database, as one text that changes with it.
pub async fn everything(database: &Database) -> String {
    match database.engine {
        Engine::Sqlite => {
            let beside = ["", "-wal"].map(|suffix| format!("{}{suffix}", database.file().display()));
            format!("{:?}", beside.map(|path| std::fs::read(path).unwrap_or_default()))
        }
        Engine::Postgres => {
            let names = database
                .rows("SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema' ORDER BY 1")
                .await;
            let mut found = String::new();
            for name in names.into_iter().flatten() {
                let rows = database
                    .rows(&format!(
                        "SELECT coalesce(string_agg(t::text, '|' ORDER BY t::text), '') FROM {name} t"
                    ))
                    .await;
                found.push_str(&format!("{name}: {rows:?}\n"));
            }
            found
        }
    }
}

/// Rows of every kind: all of Unicode, nothing, bytes, JSON, microseconds, the ends of numbers; and a table of somebody else's.
pub async fn fill(database: &Database) {
    let (bytes, json, now, real) = match database.engine {
        Engine::Sqlite => (
            "x'00ff10'",
            "'{\"π\": [1, null, \"\\u00e9\"]}'",
            "'2026-11-22T01:02:03.123456+00:00'",
            "REAL",
        ),
        Engine::Postgres => (
            "'\\x00ff10'::bytea",
            "'{\"π\": [1, null, \"\\u00e9\"]}'",
            "'2026-11-22T01:02:03.123456Z'",
            "double precision",
        ),
    };
    for sql in [
        format!("INSERT INTO users (username, password_hash, description, created_at) VALUES ('ann', 'h', '👩‍🚒 \"quoted\", ''single'', back\\slash\nnew line', {now}), ('bob', 'h', NULL, NULL)"),
        format!("INSERT INTO greet_history (user_id, message, context) VALUES (1, 'Grüße 🎟️', {json}), (NULL, '', NULL)"),
        "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('tulip 🌷', 2147483647, 2147483645)".to_owned(),
        "INSERT INTO claims (user_id, coupon_name) VALUES ('ann', 'tulip 🌷'), ('bob', 'tulip 🌷')".to_owned(),
        format!("INSERT INTO idempotency_keys (principal, route, key, fingerprint, answer, created_at) VALUES ('p', 'r', 'k', {bytes}, '{{}}', {now})"),
        format!("INSERT INTO audit_events (created_at, actor, action) VALUES ({now}, 'cli', 'user.created')"),
        format!("CREATE TABLE \"some body's\" (\"a b\" integer, \"of_dlc\" {real}, \"t\" text)"),
        "INSERT INTO \"some body's\" VALUES (-2147483648, 0.1, 'x'), (NULL, 1e300, ''), (NULL, NULL, NULL), (NULL, NULL, NULL)".to_owned(),
    ] {
        database.execute(&sql).await;
    }
}

/// A directory with a program that claims to be this one and does this.
pub fn fake(program: &str, version: &str, does: &str) -> TempDir {
    let directory = directory();
    let path = directory.path().join(program);
    let script = format!("#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{version}'; exit 0; fi\n{does}\n");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

on_both_engines! {
    async fn a_backup_is_a_file_and_a_manifest_for_nobody_else_to_read(database: Database) {
        fill(&database).await;
        let to = directory();
        let before = everything(&database).await;
        let made = dlc(&database).run(&["db", "backup", "--to", text(to.path())]).await;
        assert_eq!(made.code, 0, "{made:?}");
        made.assert_no_secret();
        let found = names(to.path());
        let [file, beside] = &found[..] else { panic!("{found:?}") };
        let ending = match database.engine { Engine::Sqlite => "sqlite3", Engine::Postgres => "dump" };
        assert!(file.starts_with("dlc-2") && file.ends_with(ending), "{file}");
        assert_eq!(*beside, format!("{file}.json"));
        for name in &found {
            let mode = std::fs::metadata(to.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let file = to.path().join(file);
        assert!(made.stdout.contains(&format!("not verified yet: dlc db verify {}", file.display())), "{made:?}");
        let manifest = manifest(&file);
        assert_eq!(manifest["schema"], 1);
        assert_eq!(manifest["size"], std::fs::metadata(&file).unwrap().len());
        assert_eq!(manifest["audit"], serde_json::json!({"coupons": 1, "claims": 2, "wrong": 0}));
        assert_eq!(manifest["migrations"].as_array().unwrap().len(), crate::harness::ALL);
        assert_eq!(manifest["verified_at"], Value::Null);
        let schema = match database.engine { Engine::Sqlite => "", Engine::Postgres => "public." };
        let rows = |table: &str| manifest["tables"][format!("{schema}{table}")]["rows"].as_u64();
        assert_eq!([rows("claims"), rows("users"), rows("some body's"), rows("sessions")], [Some(2), Some(2), Some(4), Some(0)]);
        // The source knows of it, and is otherwise what it was.
        let noted = "SELECT place || ' ' || CAST(size AS text) || ' ' || CASE WHEN verified_at IS NULL THEN 'no' ELSE 'yes' END FROM backups";
        assert_eq!(database.rows(noted).await, [[format!("{} {} no", file.display(), manifest["size"])]]);
        database.execute("DELETE FROM backups").await;
        if database.engine == Engine::Postgres {
            assert_eq!(everything(&database).await, before);
        }
    }

    async fn a_backup_counts_when_it_was_verified(database: Database) {
        fill(&database).await;
        let to = directory();
        let file = backup(&database, to.path(), &[]).await;
        let checked = dlc(&database).run(&["db", "check", "--only", "BAK001", "--format", "json"]).await;
        assert_status(&checked, "BAK001", "warn");
        assert!(checked.stdout.contains("no backup was ever verified"), "{checked:?}");
        let verified = verify(&database, &file).await;
        assert_eq!(verified.code, 0, "{verified:?}");
        verified.assert_no_secret();
        assert!(verified.stdout.contains("restored, compared with its manifest and audited"), "{verified:?}");
        assert_ne!(manifest(&file)["verified_at"], Value::Null);
        assert_eq!(names(to.path()).len(), 2);
        let checked = dlc(&database).run(&["db", "check", "--only", "BAK001", "--format", "json"]).await;
        assert_status(&checked, "BAK001", "ok");
        // A backup of today that was not verified does not make yesterday's worthless.
        backup(&database, to.path(), &[]).await;
        let checked = dlc(&database).run(&["db", "check", "--only", "BAK001", "--format", "json"]).await;
        assert_status(&checked, "BAK001", "ok");
        assert!(checked.stdout.contains("the last verified one is"), "{checked:?}");
        let old = match database.engine {
            Engine::Sqlite => "UPDATE backups SET created_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-27 hours')",
            Engine::Postgres => "UPDATE backups SET created_at = now() - interval '27 hours'",
        };
        database.execute(old).await;
        let checked = dlc(&database).run(&["db", "check", "--only", "BAK001", "--format", "json"]).await;
        assert_status(&checked, "BAK001", "warn");
        let report = checked.json();
        assert!(finding(&report, "BAK001").to_string().contains("1620 min"), "{report}");
        let patient = ["db", "check", "--only", "BAK001", "--format", "json", "--threshold", "BAK001=200000"];
        assert_status(&dlc(&database).run(&patient).await, "BAK001", "ok");
        database.execute(&old.replace("27 hours", "200 hours")).await;
        let patient = ["db", "check", "--only", "BAK001", "--format", "json", "--threshold", "BAK001=2000000"];
        assert_status(&dlc(&database).run(&patient).await, "BAK001", "warn");
    }

    async fn keep_deletes_the_oldest_but_never_the_last_verified_one_and_nothing_else(database: Database) {
        let to = directory();
        let verified = backup(&database, to.path(), &["--verify"]).await;
        let second = backup(&database, to.path(), &[]).await;
        for name in ["dlc-notes.dump", "dlc-notes.dump.json", "other.json"] {
            std::fs::write(to.path().join(name), "{}").unwrap();
        }
        // Of another database: as it says.
        let other = to.path().join("other-database.dump");
        std::fs::copy(&second, &other).unwrap();
        std::fs::copy(format!("{}.json", second.display()), format!("{}.json", other.display())).unwrap();
        edit(&other, |manifest| manifest["database"] = "postgres://elsewhere/shop".into());
        let third = backup(&database, to.path(), &["--keep", "1"]).await;
        let mut expected: Vec<String> = [&verified, &third, &other]
            .iter()
            .flat_map(|file| {
                let name = file.file_name().unwrap().to_str().unwrap();
                [name.to_owned(), format!("{name}.json")]
            })
            .chain(["dlc-notes.dump", "dlc-notes.dump.json", "other.json"].map(str::to_owned))
            .collect();
        expected.sort();
        assert_eq!(names(to.path()), expected);
        // With a newer one that is verified, the older one may go.
        backup(&database, to.path(), &["--verify", "--keep", "1"]).await;
        assert!(!verified.exists() && !third.exists() && other.exists());
    }

    async fn what_is_no_backup_any_more_is_named_and_nothing_is_restored(database: Database) {
        fill(&database).await;
        let to = directory();
        let file = backup(&database, to.path(), &[]).await;
        let whole = std::fs::read(&file).unwrap();
        let before = everything(&database).await;
        let refused = async |words: &str| {
            let verified = verify(&database, &file).await;
            verified.assert_error(1, words);
        };
        std::fs::write(&file, &whole[..whole.len() - 7]).unwrap();
        refused("was cut short").await;
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        std::fs::write(&file, &flipped).unwrap();
        refused("is damaged: its SHA-256 is").await;
        std::fs::remove_file(&file).unwrap();
        refused("there is no file").await;
        std::fs::write(&file, &whole).unwrap();
        let beside = format!("{}.json", file.display());
        let kept = std::fs::read(&beside).unwrap();
        std::fs::remove_file(&beside).unwrap();
        refused("has no manifest beside it").await;
        std::fs::write(&beside, &kept[..kept.len() / 2]).unwrap();
        refused("cannot be read").await;
        std::fs::write(&beside, &kept).unwrap();
        edit(&file, |manifest| manifest["schema"] = 2.into());
        refused("is of version 2, and this binary knows up to 1").await;
        // The file is what it was, and the manifest says something else.
        let schema = match database.engine { Engine::Sqlite => "", Engine::Postgres => "public." };
        for (change, words) in [
            (("rows", Value::from(7)), format!("{schema}claims has 2 rows, not 7")),
            (("hash", Value::from("0")), format!("{schema}claims has other values")),
        ] {
            std::fs::write(&beside, &kept).unwrap();
            edit(&file, |manifest| manifest["tables"][format!("{schema}claims")][change.0] = change.1);
            refused(&words).await;
        }
        std::fs::write(&beside, &kept).unwrap();
        edit(&file, |manifest| manifest["migrations"].as_array_mut().unwrap().push("m20990101_000001_later".into()));
        verify(&database, &file).await.assert_error(4, "is of a newer schema");
        std::fs::write(&beside, &kept).unwrap();
        assert_eq!(names(to.path()).len(), 2);
        assert_eq!(everything(&database).await, before);
        assert_eq!(verify(&database, &file).await.code, 0);
    }

    async fn a_backup_of_books_that_do_not_add_up_is_not_verified(database: Database) {
        fill(&database).await;
        database.execute("UPDATE coupons SET remaining_amount = 5").await;
        let to = directory();
        let file = backup(&database, to.path(), &[]).await;
        verify(&database, &file).await.assert_error(1, "does not pass the audit: 1 coupons");
        assert_eq!(manifest(&file)["verified_at"], Value::Null);
    }

    async fn nothing_is_written_over(database: Database) {
        let to = directory();
        let place = to.path().join("mine.dump");
        backup(&database, &place, &[]).await;
        let whole = std::fs::read(&place).unwrap();
        let again = dlc(&database).run(&["db", "backup", "--to", text(&place)]).await;
        again.assert_error(64, "is there already");
        assert_eq!(std::fs::read(&place).unwrap(), whole);
        let missing = to.path().join("no/such/mine.dump");
        dlc(&database).run(&["db", "backup", "--to", text(&missing)]).await.assert_error(1, "cannot write the file");
        assert_eq!(names(to.path()), ["mine.dump", "mine.dump.json"]);
    }

    async fn a_disk_that_fills_up_leaves_nothing(database: Database) {
        fill(&database).await;
        let noise = match database.engine {
            Engine::Sqlite => "INSERT INTO greet_history (message) SELECT hex(randomblob(4000)) FROM coupons, sessions UNION ALL SELECT hex(randomblob(200000))",
            // What does not compress well.
            Engine::Postgres => "INSERT INTO greet_history (message) SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 20000)",
        };
        database.execute(noise).await;
        let before = everything(&database).await;
        let to = directory();
        let full = on_a_small_disk(&dlc(&database), to.path(), &["db", "backup", "--to", text(to.path())]).await;
        full.assert_error(1, "no room left for");
        assert_eq!(full.stdout, "left:\n", "{full:?}");
        assert_eq!(everything(&database).await, before);
        // A restore of SQLite writes beside its target.
        if database.engine == Engine::Sqlite {
            let file = backup(&database, to.path(), &[]).await;
            let target = directory();
            let into = format!("sqlite://{}/target.db", target.path().display());
            let full = on_a_small_disk(&dlc(&database), target.path(), &["db", "restore", text(&file), "--into", &into]).await;
            full.assert_error(1, "no room left for");
            assert_eq!(full.stdout, "left:\n", "{full:?}");
        }
    }

    async fn a_database_that_is_not_there_is_said_and_nothing_is_made(engine: Engine) {
        let database = match engine {
            Engine::Sqlite => Database::empty(engine).await,
            Engine::Postgres => Database::at(engine, &postgres::cluster().await.url("dlc_nowhere_test")),
        };
        let to = directory();
        let made = dlc(&database).run(&["db", "backup", "--to", text(to.path())]).await;
        made.assert_error(69, "cannot use the database");
        assert_eq!(names(to.path()), [""; 0]);
    }
}

/// Runs it while a disk of 64 KiB is mounted at a place, for it alone; stdout ends with what is left there.
async fn on_a_small_disk(dlc: &Dlc, place: &Path, arguments: &[&str]) -> Finished {
    const SHELL: &str = r#"mount -t tmpfs -o size=64k none "$PLACE" && { "$0" "$@" > /dev/null; code=$?; echo left:; ls -A "$PLACE"; exit $code; }"#;
    let inner = dlc.command(arguments);
    let inner = inner.as_std();
    let user = if rustix::process::geteuid().is_root() {
        "--mount"
    } else {
        "--map-root-user"
    };
    let output = tokio::process::Command::new("unshare")
        .args([user, "--mount", "sh", "-c", SHELL])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(inner.get_current_dir().unwrap())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PLACE", place)
        .output()
        .await
        .unwrap();
    Finished {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_missing_or_older_than_the_server_is_said() {
    let database = Database::migrated(Engine::Postgres).await;
    let before = everything(&database).await;
    let to = directory();
    let run = async |programs: &Path| {
        let dlc = database.dlc().env("DLC_BACKUP__PROGRAMS", text(programs));
        dlc.run(&["db", "backup", "--to", text(to.path())]).await
    };
    let nothing = directory();
    run(nothing.path()).await.assert_error(1, "no pg_dump of PostgreSQL 1");
    let older = fake("pg_dump", "pg_dump (PostgreSQL) 9.6.24", "exit 1");
    let refused = run(older.path()).await;
    refused.assert_error(1, &format!("{}/pg_dump is 9.6.24", older.path().display()));
    assert!(refused.stderr.contains("hint: "), "{refused:?}");
    let failing = fake(
        "pg_dump",
        "pg_dump (PostgreSQL) 99.1",
        "echo 'pg_dump: error: the moon is in the wrong phase' >&2; exit 1",
    );
    run(failing.path())
        .await
        .assert_error(1, "pg_dump failed: the moon is in the wrong phase");
    let silent = fake("pg_dump", "pg_dump (PostgreSQL) 99.1", "exit 0");
    run(silent.path())
        .await
        .assert_error(1, "pg_dump failed: it ended well, and has written no dump");
    assert_eq!(names(to.path()), [""; 0]);
    assert_eq!(everything(&database).await, before);
    // And where nothing is set: wherever this machine has them, newer ones are no reason not to use those of the server's.
    let found = database.dlc().run(&["db", "backup", "--to", text(to.path())]).await;
    let is_usual = postgres::programs().starts_with("/usr/lib/postgresql");
    assert!(found.code == 0 || !is_usual, "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_is_in_the_arguments_or_the_environment_of_a_program() {
    let database = Database::migrated(Engine::Postgres).await;
    let (to, seen) = (directory(), directory());
    let pg_dump = postgres::programs().join("pg_dump");
    // Asked twice: as the kernel shows it to others, and as the program has it. Then the real one does it.
    let does = format!(
        "seen={}; tr '\\0' ' ' < /proc/$$/cmdline > $seen/arguments; env > $seen/environment; stat -L -c %A \"$PGPASSFILE\" > $seen/mode; \
         cp \"$PGPASSFILE\" $seen/passwords; exec {} \"$@\"",
        seen.path().display(),
        pg_dump.display()
    );
    let programs = fake("pg_dump", "pg_dump (PostgreSQL) 98.1", &does);
    let temporary = directory();
    let dlc = database
        .dlc()
        .env("DLC_BACKUP__PROGRAMS", text(programs.path()))
        .env("TMPDIR", text(temporary.path()));
    let made = dlc.run(&["-vv", "db", "backup", "--to", text(to.path())]).await;
    assert_eq!(made.code, 0, "{made:?}");
    made.assert_no_secret();
    let read = |name: &str| std::fs::read_to_string(seen.path().join(name)).unwrap();
    for name in ["arguments", "environment"] {
        let text = read(name);
        assert!(!text.contains("cänary") && !text.contains("A4nary"), "{name}: {text}");
    }
    assert!(read("arguments").contains("--snapshot="), "{}", read("arguments"));
    assert!(read("mode").starts_with("-rw-------"), "{}", read("mode"));
    assert!(read("passwords").contains("cänary"));
    assert_eq!(names(temporary.path()), [""; 0]);
    // Whoever is killed leaves none behind, either.
    let slow = fake("pg_dump", "pg_dump (PostgreSQL) 98.1", "exec sleep 600");
    let running = dlc.env("DLC_BACKUP__PROGRAMS", text(slow.path())).start(&[
        "db",
        "backup",
        "--to",
        text(&to.path().join("killed.dump")),
    ]);
    until_begun(to.path()).await;
    running.signal(Signal::KILL);
    running.finished().await;
    assert_eq!(names(temporary.path()), [""; 0]);
    drop(std::fs::remove_file(to.path().join("killed.dump.dlc.part")));
    assert!(
        !manifest(&to.path().join(&names(to.path())[0]))
            .to_string()
            .contains("nary")
    );
}

/// Waits until something is being written there.
async fn until_begun(directory: &Path) {
    let started = Instant::now();
    while !names(directory).iter().any(|name| name.ends_with(".part")) {
        assert!(started.elapsed() < LIMIT, "nothing is written");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A backup that takes its time, under way.
async fn begun(database: &Database, programs: &Path, to: &Path) -> crate::harness::Running {
    let dlc = database.dlc().env("DLC_BACKUP__PROGRAMS", text(programs));
    let running = dlc.start(&["db", "backup", "--to", text(to)]);
    until_begun(to).await;
    running
}

on_both_engines! {
    async fn whoever_is_interrupted_leaves_nothing_and_whoever_is_killed_leaves_no_backup(database: Database) {
        // One that never comes to its end, and one that takes a while.
        let slow = fake("pg_dump", "pg_dump (PostgreSQL) 98.1", "exec sleep 600");
        if database.engine == Engine::Sqlite {
            let many = "INSERT INTO greet_history (message) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000) SELECT 'message ' || i FROM n";
            database.execute(many).await;
        }
        let to = directory();
        for signal in [Signal::INT, Signal::TERM] {
            let running = begun(&database, slow.path(), to.path()).await;
            running.signal(signal);
            let ended = running.finished().await;
            assert_eq!(ended.code, 130, "{ended:?}");
            assert_eq!(names(to.path()), [""; 0], "{ended:?}");
        }
        let running = begun(&database, slow.path(), to.path()).await;
        running.signal(Signal::KILL);
        running.finished().await;
        let left = names(to.path());
        assert!(!left.is_empty() && left.iter().all(|name| name.contains(".part")), "{left:?}");
        let part = to.path().join(left.iter().find(|name| name.ends_with(".part")).unwrap());
        verify(&database, &part).await.assert_error(1, "has no manifest");
        assert_eq!(database.number("SELECT count(*) FROM backups").await, 0);
        // The next one clears up, and not what another one is writing.
        let other = begun(&database, slow.path(), to.path()).await;
        let started = Instant::now();
        while part.exists() {
            assert!(started.elapsed() < LIMIT, "{part:?} stays");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        until_begun(to.path()).await;
        let begun_by_the_other = names(to.path());
        let file = backup(&database, to.path(), &[]).await;
        if database.engine == Engine::Postgres {
            assert!(names(to.path()).contains(&begun_by_the_other[0]));
        }
        other.signal(Signal::INT);
        other.finished().await;
        assert!(names(to.path()).iter().all(|name| !name.contains(".part")), "{:?}", names(to.path()));
        assert_eq!(verify(&database, &file).await.code, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_read_and_no_more_makes_a_backup_that_nobody_noted() {
    let database = Database::migrated(Engine::Postgres).await;
    let role = format!("reader_of_{}", database.name());
    for sql in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'role'"),
        format!("GRANT pg_read_all_data TO {role}"),
    ] {
        database.execute(&sql).await;
    }
    let port = postgres::cluster().await.port;
    let url = format!("postgres://{role}:role@127.0.0.1:{port}/{}", database.name());
    let to = directory();
    let made = dlc(&Database::at(Engine::Postgres, &url))
        .run(&["db", "backup", "--to", text(to.path())])
        .await;
    assert_eq!(made.code, 0, "{made:?}");
    assert!(
        made.stderr
            .contains("warning: the database could not be told of this backup"),
        "{made:?}"
    );
    let file = to.path().join(&names(to.path())[0]);
    // It may make no scratch database, either; another one may.
    let verified = verify(&Database::at(Engine::Postgres, &url), &file).await;
    verified.assert_error(77, "a scratch database is needed on the server");
    assert!(verified.stderr.contains("CREATEDB"), "{verified:?}");
    assert_eq!(verify(&database, &file).await.code, 0);
    // What it may not read is said.
    database.execute(&format!("REVOKE pg_read_all_data FROM {role}")).await;
    let to = directory();
    let refused = dlc(&Database::at(Engine::Postgres, &url))
        .run(&["db", "backup", "--to", text(to.path())])
        .await;
    refused.assert_error(77, "this role may not read everything");
    assert_eq!(names(to.path()), [""; 0]);
    database
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_one_engine_is_not_verified_on_the_other() {
    let (postgres, sqlite) = (
        Database::migrated(Engine::Postgres).await,
        Database::migrated(Engine::Sqlite).await,
    );
    let to = directory();
    let file = backup(&postgres, to.path(), &[]).await;
    verify(&sqlite, &file)
        .await
        .assert_error(64, "the backup is of postgres");
    // That of SQLite needs no server.
    let file = backup(&sqlite, to.path(), &[]).await;
    assert_eq!(verify(&postgres, &file).await.code, 0);
}

#[tokio::test]
async fn backups_of_a_database_that_was_emptied_take_nobody_s_place() {
    let to = directory();
    let dlc = Dlc::new().env("DLC_BACKUP__DIRECTORY", text(to.path()));
    assert_eq!(dlc.run(&["migrate", "up"]).await.code, 0);
    let good = dlc.run(&["db", "backup", "--verify", "--keep", "1"]).await;
    assert_eq!(good.code, 0, "{good:?}");
    let kept = names(to.path());
    let file = dlc.directory().join("data/dlc.db");
    std::fs::write(&file, "").unwrap();
    for companion in ["data/dlc.db-wal", "data/dlc.db-shm"] {
        drop(std::fs::remove_file(dlc.directory().join(companion)));
    }
    for _ in 0..2 {
        let empty = dlc.run(&["db", "backup", "--keep", "1"]).await;
        assert_eq!(empty.code, 0, "{empty:?}");
        assert!(empty.stderr.contains("no older backup was deleted"), "{empty:?}");
    }
    let left = names(to.path());
    assert!(kept.iter().all(|name| left.contains(name)), "{kept:?} of {left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_only_libpq_s_own_file_has_is_found_by_its_programs_too() {
    let database = Database::migrated(Engine::Postgres).await;
    let (to, kept) = (directory(), directory());
    let file = kept.path().join("passwords");
    let password = postgres::PASSWORD.replace('\\', "\\\\").replace(':', "\\:");
    std::fs::write(&file, format!("*:*:*:dlc_test:{password}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let port = postgres::cluster().await.port;
    let bare = Database::at(
        Engine::Postgres,
        &format!("postgres://dlc_test@127.0.0.1:{port}/{}", database.name()),
    );
    let run = async |arguments: &[&str]| {
        let finished = dlc(&bare).env("PGPASSFILE", text(&file)).run(arguments).await;
        assert_eq!(finished.code, 0, "{finished:?}");
        finished.assert_no_secret();
    };
    run(&["db", "backup", "--verify", "--to", text(to.path())]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_a_backup_goes_by_the_way_that_migrations_go() {
    let database = Database::migrated(Engine::Postgres).await;
    fill(&database).await;
    let pooler = PgBouncer::start(Prepared::Known)
        .await
        .expect("a PgBouncer; scripts/pgbouncer gets one");
    let to = directory();
    let dlc = dlc(&database)
        .env("DATABASE_URL", &pooler.url(&database))
        .env("DLC_DATABASE__POOLER", "pgbouncer")
        .env("DLC_DATABASE__MIGRATION_URL", &database.url);
    let made = dlc.run(&["db", "backup", "--verify", "--to", text(to.path())]).await;
    assert_eq!(made.code, 0, "{made:?}");
    let file = to.path().join(&names(to.path())[0]);
    // What it is a backup of is the database, whichever way somebody goes there.
    assert!(manifest(&file)["database"].as_str().unwrap().ends_with(&format!(
        ":{}/{}",
        postgres::cluster().await.port,
        database.name()
    )));
    let verified = dlc.run(&["db", "verify", text(&file)]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_status(
        &dlc.run(&["db", "check", "--only", "BAK001", "--format", "json"]).await,
        "BAK001",
        "ok",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_dlc_has_left_itself_is_cleared_away() {
    let database = Database::migrated(Engine::Sqlite).await;
    let to = directory();
    let place = to.path().join("mine.dump");
    let part = to.path().join("mine.dump.dlc.part");
    let is_left = async || {
        let refused = dlc(&database).run(&["db", "backup", "--to", text(&place)]).await;
        refused.assert_error(64, "mine.dump.dlc.part is there already");
        assert!(part.symlink_metadata().is_ok());
    };
    // A folder, a file that others may read, and a way to another file: none of them is what dlc makes.
    std::fs::create_dir(&part).unwrap();
    is_left().await;
    std::fs::remove_dir(&part).unwrap();
    std::fs::write(&part, "of somebody else").unwrap();
    std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o644)).unwrap();
    is_left().await;
    std::fs::remove_file(&part).unwrap();
    let precious = to.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    std::fs::set_permissions(&precious, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&precious, &part).unwrap();
    is_left().await;
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    std::fs::remove_file(&part).unwrap();
    // In the directory of backups, too.
    for (name, mode) in [
        ("dlc-download.sqlite3.part", 0o600),
        ("dlc-notes.dlc.part", 0o644),
        ("dlc-left.dlc.part", 0o600),
    ] {
        std::fs::write(to.path().join(name), "x").unwrap();
        std::fs::set_permissions(to.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    backup(&database, to.path(), &[]).await;
    let left = names(to.path());
    let is_there = |name: &str| left.iter().any(|left| left == name);
    assert!(
        is_there("dlc-download.sqlite3.part") && is_there("dlc-notes.dlc.part"),
        "{left:?}"
    );
    assert!(!is_there("dlc-left.dlc.part"), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_keeps_its_owner_and_its_mode_whoever_verifies() {
    use std::os::unix::fs::{MetadataExt, chown};
    let database = Database::migrated(Engine::Sqlite).await;
    let to = directory();
    let file = backup(&database, to.path(), &[]).await;
    let beside = format!("{}.json", file.display());
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o640)).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&beside, Some(65_534), Some(65_534)).unwrap();
    }
    let whose = || {
        let found = std::fs::metadata(&beside).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o777)
    };
    let before = whose();
    assert_eq!(verify(&database, &file).await.code, 0);
    assert_ne!(manifest(&file)["verified_at"], Value::Null);
    assert_eq!(whose(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_whose_name_is_no_utf_8_is_as_good_as_any() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let database = Database::migrated(Engine::Sqlite).await;
    let parent = directory();
    let to = parent.path().join(OsStr::from_bytes(b"b\xff %41"));
    let dlc = dlc(&database);
    for _ in 0..2 {
        let mut command = dlc.command(&["db", "backup", "--verify", "--keep", "1", "--to"]);
        let output = command.arg(&to).output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(names(&to).len(), 2);
    }
}

#[tokio::test]
async fn a_backup_whose_list_is_locked_or_read_only_comes_to_its_end() {
    let database = Database::migrated(Engine::Postgres).await;
    let to = directory();
    let mut holder = PgConnection::connect(&database.url).await.unwrap();
    holder.execute("BEGIN; LOCK TABLE backups IN SHARE MODE").await.unwrap();
    let made = database.dlc().run(&["db", "backup", "--to", text(to.path())]).await;
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.stderr.contains("lock timeout"), "{made:?}");
    holder.execute("ROLLBACK").await.unwrap();
    database
        .execute(&format!(
            "ALTER DATABASE {} SET default_transaction_read_only = on",
            database.name()
        ))
        .await;
    backup(&database, to.path(), &[]).await;
    assert_eq!(database.number("SELECT count(*) FROM backups").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_odd_about_a_database_is_backed_up_and_verified_as_anything_else() {
    let cluster = postgres::Cluster::own("").await;
    let encoding = "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'";
    for sql in [
        format!("CREATE DATABASE source {encoding}"),
        "CREATE DATABASE target".to_owned(),
    ] {
        cluster.execute("postgres", &sql).await;
    }
    for sql in [
        // Bytes that are no text in any encoding.
        "CREATE TABLE bytes (t text); INSERT INTO bytes VALUES (E'\\xff\\xfe'), (E'\\x80')",
        // Restored, it has the columns of its parent first.
        "CREATE TABLE parent (a int, b text); CREATE TABLE child (x int, b text, gone int, a int); \
         ALTER TABLE child DROP COLUMN gone; INSERT INTO child VALUES (1, 'one', 11), (2, 'two', 22); ALTER TABLE child INHERIT parent",
        "CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES",
        // Nothing, a little, and more than one piece.
        "SELECT lo_from_bytea(4001, ''), lo_from_bytea(4002, 'abc'), lo_from_bytea(4003, decode(repeat('00ff', 5000000), 'hex'))",
    ] {
        cluster.execute("source", sql).await;
    }
    let at = |name: &str| Database::at(Engine::Postgres, &cluster.url(name));
    let (source, target) = (at("source"), at("target"));
    let to = directory();
    let file = backup(&source, to.path(), &["--verify"]).await;
    let tables = &manifest(&file)["tables"];
    let rows = |name: &str| tables[name]["rows"].as_u64();
    assert_eq!(
        [
            "public.bytes",
            "public.child",
            "public.parent",
            "public.nothing",
            "large objects"
        ]
        .map(rows),
        [Some(2), Some(2), Some(0), Some(1), Some(3)]
    );
    // What differs in a large object is found, and leaves none behind; other ones are in the way.
    cluster
        .execute("source", "SELECT lo_put(4003, 9000000, 'x'); DROP TABLE bytes")
        .await;
    let other = backup(&source, &to.path().join("other.dump"), &[]).await;
    let changed = manifest(&other)["tables"]["large objects"].clone();
    assert_ne!(changed["hash"], tables["large objects"]["hash"]);
    edit(&other, |manifest| {
        manifest["tables"]["large objects"] = tables["large objects"].clone();
    });
    let into = cluster.url("target");
    let restore = async || {
        dlc(&source)
            .run(&["db", "restore", text(&other), "--into", &into])
            .await
    };
    restore().await.assert_error(1, "large objects has other values");
    let left = "SELECT CAST(count(*) AS text) FROM pg_largeobject_metadata";
    assert_eq!(target.rows(left).await, [["0"]]);
    assert_eq!(everything(&target).await, "");
    edit(&other, |manifest| manifest["tables"]["large objects"] = changed);
    cluster.execute("target", "SELECT lo_from_bytea(5, 'mine')").await;
    restore().await.assert_error(64, "is not empty: it has large objects");
    cluster.execute("target", "SELECT lo_unlink(5)").await;
    let restored = restore().await;
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(target.rows(left).await, [["3"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_interrupted_while_a_table_is_added_up_waits_for_no_end_of_it() {
    let database = Database::migrated(Engine::Postgres).await;
    // The program is done, and a table takes its time.
    let quick = fake(
        "pg_dump",
        "pg_dump (PostgreSQL) 98.1",
        "for a; do case $a in --file=*) printf PGDMP > \"${a#--file=}\";; esac; done; touch $(dirname $0)/done",
    );
    let mut holder = PgConnection::connect(&database.url).await.unwrap();
    holder
        .execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let to = directory();
    let running = begun(&database, quick.path(), to.path()).await;
    let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                   WHERE NOT granted AND datname = current_database()";
    let started = Instant::now();
    while !quick.path().join("done").exists() || database.number(waiting).await == 0 {
        assert!(started.elapsed() < LIMIT, "{}", running.said());
        tokio::task::yield_now().await;
    }
    // Less than the lock is waited for.
    let patience = Duration::from_secs(15);
    let started = Instant::now();
    running.signal(Signal::INT);
    let ended = running.finished().await;
    assert_eq!(ended.code, 130, "{ended:?}");
    assert_eq!(names(to.path()), [""; 0]);
    while database.number(waiting).await > 0 {
        assert!(started.elapsed() < patience, "its statement goes on");
        tokio::task::yield_now().await;
    }
    assert!(started.elapsed() < patience);
    holder.execute("ROLLBACK").await.unwrap();
}
