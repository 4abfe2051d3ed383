//! `dlc db move`: every value arrives, whichever way; what the target would refuse is told before anything is copied; and a copy is
//! whole or not there.
//!
//! What is compared is read by SQL of this file's own, not by dlc.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::harness::{Database, Dlc, Engine, Finished, Server, Terminal, on_both_engines};

fn other(engine: Engine) -> Engine {
    match engine {
        Engine::Sqlite => Engine::Postgres,
        Engine::Postgres => Engine::Sqlite,
    }
}

async fn run_move(source: &Database, target: &Database, more: &[&str]) -> Finished {
    let arguments = ["db", "move", "--from", &source.url, "--to", &target.url];
    let finished = Dlc::new().run(&[&arguments, more].concat()).await;
    finished.assert_no_secret();
    finished
}

/// Tables of the schema with their columns and PostgreSQL's types.
async fn tables() -> BTreeMap<String, Vec<(String, String)>> {
    let model = Database::migrated(Engine::Postgres).await;
    let rows = model
        .rows(
            "SELECT CAST(table_name AS text), CAST(column_name AS text), CAST(data_type AS text) FROM information_schema.columns \
             WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
        )
        .await;
    let mut tables: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for row in rows {
        let [table, column, kind] = <[String; 3]>::try_from(row).unwrap();
        if ![
            "seaql_migrations",
            "dlc_migrations",
            "dlc_migration_holder",
            "dlc_schema_snapshot",
            "backups",
        ]
        .contains(&table.as_str())
        {
            tables.entry(table).or_default().push((column, kind));
        }
    }
    tables
}

/// 1e3 and 1000 are one number.
fn same_numbers(value: Value) -> Value {
    match value {
        // Nor is there a zero below zero.
        Value::Number(number) => json!(number.as_f64().unwrap() + 0.0),
        Value::Array(values) => values.into_iter().map(same_numbers).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(key, value)| (key, same_numbers(value)))
            .collect(),
        value => value,
    }
}

/// All rows of all tables in words that are the same for both engines, sorted.
async fn contents(database: &Database) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut all = BTreeMap::new();
    for (table, columns) in tables().await {
        let list: Vec<String> = columns
            .iter()
            .map(|(column, kind)| match (database.engine, kind.as_str()) {
                (Engine::Postgres, "bytea") => format!("encode(\"{column}\", 'hex')"),
                (Engine::Sqlite, "bytea") => {
                    format!("CASE WHEN \"{column}\" IS NULL THEN NULL ELSE lower(hex(\"{column}\")) END")
                }
                (Engine::Postgres, "boolean") => format!("CAST(CAST(\"{column}\" AS integer) AS text)"),
                (Engine::Postgres, "timestamp with time zone") => {
                    format!("to_char(\"{column}\" AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
                }
                _ => format!("CAST(\"{column}\" AS text)"),
            })
            .collect();
        let mut rows = database
            .rows(&format!("SELECT {} FROM \"{table}\"", list.join(", ")))
            .await;
        for row in &mut rows {
            for (value, (_, kind)) in row.iter_mut().zip(&columns) {
                if kind == "timestamp with time zone" && value != "-" {
                    let time: DateTime<Utc> = value.parse().unwrap_or_else(|_| panic!("{table}: {value}"));
                    *value = time.to_rfc3339_opts(SecondsFormat::Micros, true);
                } else if kind == "jsonb" && value != "-" {
                    // One that is nested too deep for this reader has nothing in it that could be written in two ways.
                    let Ok(parsed) = serde_json::from_str(value) else {
                        continue;
                    };
                    *value = same_numbers(parsed).to_string();
                    // Members in one order.
                    let sorted: BTreeMap<String, Value> = serde_json::from_str(value).unwrap_or_default();
                    if !sorted.is_empty() {
                        *value = json!(sorted).to_string();
                    }
                }
            }
        }
        rows.sort();
        all.insert(table, rows);
    }
    all
}

fn blob(engine: Engine, bytes: &[u8]) -> String {
    let text = bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    match engine {
        Engine::Sqlite => format!("X'{text}'"),
        Engine::Postgres => format!("'\\x{text}'::bytea"),
    }
}

/// Rows in every table, none of them easy.
async fn fill(database: &Database) {
    let engine = database.engine;
    let (party, all_bytes) = ("🎉".repeat(255), (0..=255_u8).collect::<Vec<_>>());
    let mixed: String = "aé漢🎉'\"\\\t\n\u{301}\u{200d}\u{feff}\u{10ffff}"
        .chars()
        .cycle()
        .take(255)
        .collect();
    let quoted = |text: &str| text.replace('\'', "''");
    let (bytes, none, digest) = (blob(engine, &all_bytes), blob(engine, &[]), blob(engine, &[0; 32]));
    let deep = "[".repeat(900) + &"]".repeat(900);
    let statements = [
        "INSERT INTO users (id, created_at, updated_at, deleted_at, username, password_hash, description, current_goal, is_admin, \
         allow_password_reset, last_login) VALUES \
         (1, '2026-01-02T03:04:05.000001+00:00', '2026-01-02T03:04:05.999999+00:00', NULL, 'ann', 'canary', NULL, '', TRUE, FALSE, \
          '9999-12-31T23:59:59.999999+00:00'), \
         (7, NULL, NULL, '0001-01-01T00:00:00+00:00', 'Bob.gone', '', 'é😀', 'g', NULL, NULL, '1969-12-31T23:59:59.999999+00:00'), \
         (2147483000, '2026-01-02T03:04:05.120+00:00', '2026-01-02T03:04:05+00:00', NULL, 'ÄÖ', 'x', '-', NULL, FALSE, TRUE, NULL)"
            .to_owned(),
        format!(
            "INSERT INTO greet_history (id, created_at, user_id, message, context) VALUES (3, '2026-05-06T07:08:09.5+00:00', 1, '{}', \
             '{{\"b\": 1e3, \"a\": [1.50, -0, null, true, \"\\ud83d\\ude00 \\\\ \\n\"], \"é\": {{}}, \"b\": 12.25}}'), \
             (4, NULL, NULL, '', NULL), (9, '2026-05-06T07:08:09.000001+00:00', 7, 'deep', '{deep}'), \
             (12, '2026-05-06T07:08:09+00:00', 7, 'number', '123456789012345')",
            quoted(&mixed)
        ),
        format!(
            "INSERT INTO coupons (name, amount, remaining_amount, created_at) VALUES ('{party}', 2147483647, 2147483646, NULL), \
             ('{}', 3, 1, '2026-01-01T00:00:00.000100+00:00'), (' ', 1, 0, NULL)",
            quoted(&mixed)
        ),
        format!(
            "INSERT INTO claims (id, user_id, coupon_name, created_at) VALUES (5, '{}', '{party}', NULL), \
             (6, '{party}', '{}', '2026-01-01T00:00:00.654321+00:00'), (40, 'é', '{}', NULL), (41, 'e\u{301}', ' ', NULL)",
            quoted(&mixed),
            quoted(&mixed),
            quoted(&mixed)
        ),
        format!(
            "INSERT INTO idempotency_keys (principal, route, key, fingerprint, answer, created_at) VALUES \
             ('', 'POST /x', '{party}', {bytes}, '{{\"a\":1}}', '2026-01-01T00:00:00+00:00'), \
             ('1', '', '', {none}, '', '2026-01-01T00:00:00+00:00')"
        ),
        "INSERT INTO token_versions (user_id, version) VALUES (1, 2147483647), (7, -2147483648)".to_owned(),
        "INSERT INTO sessions (id, user_id, created_at, expires_at, ended_at) VALUES \
         ('s1', 1, '2026-01-01T00:00:00+00:00', '2027-01-01T00:00:00.123456+00:00', NULL), \
         ('s2', 7, '2026-01-01T00:00:00+00:00', '2027-01-01T00:00:00+00:00', '2026-01-01T00:00:00.000010+00:00')"
            .to_owned(),
        format!(
            "INSERT INTO refresh_tokens (digest, session_id, expires_at, used_at) VALUES \
             ({digest}, 's1', '2027-01-01T00:00:00+00:00', NULL), ({bytes}, 's2', '2027-01-01T00:00:00+00:00', \
             '2026-01-01T00:00:00+00:00')"
        ),
        format!(
            "INSERT INTO sign_in_failures (name_digest, failures, failed_at, locked_until) VALUES \
             ({bytes}, 5, '2026-01-01T00:00:00+00:00', NULL), ({none}, 0, '2026-01-01T00:00:00+00:00', '2026-01-02T00:00:00+00:00')"
        ),
        format!(
            "INSERT INTO password_resets (user_id, code_digest, created_at, expires_at) VALUES \
             (7, {digest}, '2026-01-01T00:00:00+00:00', '2026-01-02T00:00:00+00:00')"
        ),
        "INSERT INTO audit_events (id, created_at, actor, action, subject_id, address, request_id) VALUES \
         (9223372036854770000, '2026-01-01T00:00:00.000001+00:00', 'ann', 'user.created', 1, '::1', NULL), \
         (-3, '2026-01-01T00:00:00+00:00', '', '', -2147483648, NULL, 'r'), (500, '2026-01-01T00:00:00+00:00', 'x', 'y', NULL, NULL, '')"
            .to_owned(),
        "UPDATE bootstrap_metadata SET created_at = '2020-02-29T12:00:00.000007+00:00'".to_owned(),
    ];
    for statement in statements {
        database.execute(&statement).await;
    }
    // Numbers that were given, and whose rows are gone.
    match engine {
        Engine::Sqlite => {
            database
                .execute(
                    "INSERT INTO claims (id, user_id, coupon_name) VALUES (1000, 'gone', ' '); DELETE FROM claims WHERE id = 1000; \
                     INSERT INTO greet_history (id, message) VALUES (2000, 'gone'); DELETE FROM greet_history WHERE id = 2000",
                )
                .await;
        }
        Engine::Postgres => {
            for (sequence, number) in [
                ("claims_id_seq", 1000_i64),
                ("greet_history_id_seq", 2000),
                ("users_id_seq", 2_147_483_000),
                ("audit_events_id_seq", 9_223_372_036_854_770_000),
            ] {
                database
                    .execute(&format!("SELECT setval('{sequence}', {number})"))
                    .await;
            }
        }
    }
}

async fn rows_in(database: &Database) -> i64 {
    let mut rows = 0;
    for table in tables().await.into_keys().filter(|table| table != "bootstrap_metadata") {
        let exists = match database.engine {
            Engine::Sqlite => format!("SELECT count(*) FROM sqlite_master WHERE name = '{table}'"),
            Engine::Postgres => format!("SELECT count(*) FROM pg_class WHERE relname = '{table}'"),
        };
        if database.number(&exists).await > 0 {
            rows += database.number(&format!("SELECT count(*) FROM {table}")).await;
        }
    }
    rows
}

fn files_beside(database: &Database) -> Vec<String> {
    let entries = std::fs::read_dir(database.file().parent().unwrap()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits until this test's own connections have gone, which end on threads of their own.
async fn until_closed(database: &Database) {
    while database.engine == Engine::Sqlite && files_beside(database) != ["dlc_test.db"] {
        tokio::task::yield_now().await;
    }
}

/// Neither a table, nor a file.
async fn assert_untouched(target: &Database) {
    match target.engine {
        Engine::Sqlite => {
            assert!(!target.file().exists());
            let left: Vec<_> = std::fs::read_dir(target.file().parent().unwrap()).unwrap().collect();
            assert!(left.is_empty(), "{left:?}");
        }
        Engine::Postgres => {
            let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
            assert_eq!(target.number(tables).await, 0);
        }
    }
}

on_both_engines! {
    async fn every_value_arrives_and_the_next_number_is_one_that_nobody_had(engine: Engine) {
        let (source, target) = (Database::migrated(engine).await, Database::empty(other(engine)).await);
        fill(&source).await;
        let before = contents(&source).await;
        until_closed(&source).await;
        let finished = run_move(&source, &target, &["--format", "json"]).await;
        assert_eq!(finished.code, 0, "{finished:?}");
        if engine == Engine::Sqlite {
            assert_eq!(files_beside(&source), ["dlc_test.db"], "files are left beside the source");
        }
        let report = finished.json();
        assert_eq!((&report["schema"], &report["exit_code"], &report["moved"]), (&json!(1), &json!(0), &json!(true)));
        assert!(report["tables"].as_array().unwrap().iter().all(|table| table["equal"] == json!(true)));
        // Whatever is written to other databases of the same server.
        assert_eq!(report["source_written_meanwhile"], json!(false));
        assert!(before.values().all(|rows| !rows.is_empty()), "a table has no rows to be moved");
        let after = contents(&target).await;
        for (table, rows) in &before {
            assert_eq!(&after[table], rows, "{table}");
        }
        assert_eq!(contents(&source).await, before, "the source was changed");
        // The doctor looks at sequences on PostgreSQL alone.
        let check = target.dlc().run(&["db", "check", "--require-current", "--strict", "--skip", "BAK001,WRP002"]).await;
        assert_eq!(check.code, 0, "{check:?}");
        if target.engine == Engine::Postgres {
            let check = target.dlc().run(&["db", "check", "--only", "WRP003"]).await;
            assert!(check.stdout.contains("ok"), "{check:?}");
        }
        let server = Server::start(target).await;
        let account = server.register("newcomer").await;
        assert_eq!(account.status, 201, "{account:?}");
        assert_eq!(account.body["id"], json!(2_147_483_001));
        let taken = server.register("ANN").await;
        assert_eq!(taken.status, 409, "{taken:?}");
        let greeting = server.post("/api/v1/greetings", json!({"name": "x"})).await;
        assert_eq!(greeting.status, 201, "{greeting:?}");
        let party = "🎉".repeat(255);
        let claim = server.post("/api/coupons/claim", json!({"user_id": "next", "coupon_name": party})).await;
        assert_eq!(claim.status, 201, "{claim:?}");
        let target = server.stopped().await;
        assert_eq!(target.number("SELECT max(id) FROM claims").await, 1001);
        assert_eq!(target.number("SELECT min(id) FROM greet_history WHERE id > 12").await, 2001);
        let audits = "SELECT count(*) FROM audit_events WHERE id > 9223372036854770000";
        assert!(target.number(audits).await > 0);
    }

    async fn a_check_tells_and_copies_nothing(engine: Engine) {
        let (source, target) = (Database::migrated(engine).await, Database::empty(other(engine)).await);
        fill(&source).await;
        let finished = run_move(&source, &target, &["--check"]).await;
        assert_eq!(finished.code, 0, "{finished:?}");
        assert!(finished.stdout.contains("nothing was copied"), "{finished:?}");
        assert_untouched(&target).await;
    }

    async fn a_target_with_rows_is_refused_and_stays_as_it_is(engine: Engine) {
        let (source, target) = (Database::migrated(engine).await, Database::migrated(other(engine)).await);
        fill(&source).await;
        target.execute("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 1, 1)").await;
        let before = contents(&target).await;
        run_move(&source, &target, &[]).await.assert_error(1, "the target is not empty: coupons");
        assert_eq!(contents(&target).await, before);
    }

    async fn tables_of_somebody_else_are_no_place_to_move_to(engine: Engine) {
        let (source, target) = (Database::migrated(engine).await, Database::empty(other(engine)).await);
        if target.engine == Engine::Sqlite {
            std::fs::write(target.file(), "").unwrap();
        }
        target.execute("CREATE TABLE somebody (id integer)").await;
        let finished = run_move(&source, &target, &[]).await;
        finished.assert_error(1, "the target is not empty: somebody");
    }

    async fn a_source_that_is_behind_or_was_never_migrated_is_refused(engine: Engine) {
        let (source, target) = (Database::migrated(engine).await, Database::empty(other(engine)).await);
        let down = source.dlc().run(&["migrate", "down", "--yes"]).await;
        assert_eq!(down.code, 0, "{down:?}");
        run_move(&source, &target, &[]).await.assert_error(1, "1 migrations are pending on the source");
        assert_untouched(&target).await;
        let empty = Database::empty(engine).await;
        let finished = run_move(&empty, &target, &[]).await;
        match engine {
            Engine::Sqlite => finished.assert_error(69, "the file does not exist"),
            Engine::Postgres => finished.assert_error(1, "never migrated"),
        }
        assert_untouched(&target).await;
    }

    async fn a_source_with_tables_beyond_the_migrations_is_refused(engine: Engine) {
        let (source, target) = (Database::migrated(engine).await, Database::empty(other(engine)).await);
        source.execute("CREATE TABLE beside (id integer)").await;
        source.execute("ALTER TABLE users ADD COLUMN extra integer").await;
        let finished = run_move(&source, &target, &[]).await;
        finished.assert_error(1, "beside.id is only in the source, users.extra is only in the source");
        assert_untouched(&target).await;
    }

    async fn a_target_that_changes_what_it_is_given_is_found_out(engine: Engine) {
        let (source, target) = (Database::migrated(engine).await, Database::migrated(other(engine)).await);
        fill(&source).await;
        match target.engine {
            Engine::Sqlite => {
                target
                    .execute("CREATE TRIGGER t AFTER INSERT ON claims WHEN NEW.id = 41 BEGIN UPDATE claims SET user_id = 'x' WHERE id = 41; END")
                    .await;
            }
            Engine::Postgres => {
                target
                    .execute(
                        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS \
                         'BEGIN IF NEW.id = 41 THEN NEW.created_at = now(); END IF; RETURN NEW; END'; \
                         CREATE TRIGGER t BEFORE INSERT ON claims FOR EACH ROW EXECUTE FUNCTION f()",
                    )
                    .await;
            }
        }
        let given = "SELECT count(*) FROM pg_sequences WHERE last_value IS NOT NULL";
        let before = if target.engine == Engine::Postgres { target.number(given).await } else { 0 };
        let finished = run_move(&source, &target, &["--format", "json"]).await;
        finished.assert_error(1, "the copy is not what the source has, in claims");
        if target.engine == Engine::Postgres {
            // A sequence is not rolled back.
            assert_eq!(target.number(given).await, before);
        }
        assert_eq!(finished.json()["error"]["code"], "move_differs");
        assert_eq!(rows_in(&target).await, 0);
        assert_eq!(target.number("SELECT count(*) FROM bootstrap_metadata").await, 1);
        target.execute(if target.engine == Engine::Sqlite { "DROP TRIGGER t" } else { "DROP TRIGGER t ON claims" }).await;
        let finished = run_move(&source, &target, &[]).await;
        assert_eq!(finished.code, 0, "{finished:?}");
        assert_eq!(contents(&target).await, contents(&source).await);
    }

    async fn a_migrated_database_has_no_rows_but_the_known_one(engine: Engine) {
        let database = Database::migrated(engine).await;
        assert_eq!(rows_in(&database).await, 0, "a migration writes rows: FILLED_BY_MIGRATIONS must know it");
    }

    async fn one_moment_is_moved_while_somebody_sells(engine: Engine) {
        let (source, target) = (Database::migrated(engine).await, Database::empty(other(engine)).await);
        let many = 20_000;
        crowd(&source, many).await;
        let server = Server::start(source).await;
        let selling = async {
            for buyer in 0.. {
                let claim = json!({"user_id": format!("late {buyer}"), "coupon_name": "c"});
                let answer = server.post("/api/coupons/claim", claim).await;
                assert_eq!(answer.status, 201, "{answer:?}");
            }
        };
        let finished = tokio::select! {
            finished = run_move(&server.database, &target, &[]) => finished,
            () = selling => unreachable!(),
        };
        assert_eq!(finished.code, 0, "{finished:?}");
        assert!(finished.stderr.contains("the source is in use"), "{finished:?}");
        assert!(finished.stdout.contains("was not moved"), "{finished:?}");
        assert!(finished.stderr.contains("next: stop the service, empty the target, and move again"), "{finished:?}");
        assert!(!finished.stderr.contains("set DATABASE_URL"), "{finished:?}");
        let audit = target.dlc().run(&["coupon", "audit"]).await;
        assert_eq!(audit.code, 0, "{audit:?}");
        let moved = target.number("SELECT count(*) FROM claims").await;
        let sold = server.database.number("SELECT count(*) FROM claims").await;
        assert!(moved >= many && moved <= sold, "{many} {moved} {sold}");
    }

    async fn fifty_thousand_rows_are_moved_with_progress_on_a_terminal(engine: Engine) {
        let (source, target) = (Database::migrated(engine).await, Database::empty(other(engine)).await);
        crowd(&source, 50_000).await;
        let arguments = ["db", "move", "--from", &source.url, "--to", &target.url];
        let terminal = Terminal::start(Dlc::new(), &arguments);
        terminal.until_shown("checking ").await;
        terminal.until_shown("copying ").await;
        terminal.until_shown("next: stop the service").await;
        assert_eq!(terminal.finished().await, 0);
        assert_eq!(rows_in(&target).await, 50_001);
        let sum = "SELECT sum(id) FROM claims";
        assert_eq!(target.number(sum).await, source.number(sum).await);
    }
}

/// So many claims for one coupon.
async fn crowd(database: &Database, claims: i64) {
    let numbers = match database.engine {
        Engine::Sqlite => {
            format!(
                "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {claims}) SELECT n FROM s)"
            )
        }
        Engine::Postgres => format!("(SELECT generate_series(1, {claims}) AS n)"),
    };
    database
        .execute(&format!(
            "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 2000000000, 2000000000 - {claims}); \
             INSERT INTO claims (user_id, coupon_name, created_at) SELECT 'user ' || n, 'c', '2026-01-01T00:00:00.123456+00:00' \
             FROM {numbers} numbers"
        ))
        .await;
}

#[tokio::test]
async fn there_and_back_again_everything_is_as_it_was() {
    let [first, there, back] = [
        Database::migrated(Engine::Sqlite).await,
        Database::migrated(Engine::Postgres).await,
        Database::migrated(Engine::Sqlite).await,
    ];
    fill(&first).await;
    for (from, to) in [(&first, &there), (&there, &back)] {
        let finished = run_move(from, to, &[]).await;
        assert_eq!(finished.code, 0, "{finished:?}");
    }
    assert_eq!(contents(&back).await, contents(&first).await);
    let sequences = "SELECT name, CAST(seq AS text) FROM sqlite_sequence ORDER BY name";
    assert_eq!(back.rows(sequences).await, first.rows(sequences).await);
    // As the service writes times, because SQLite compares their text.
    let written = "SELECT created_at FROM sessions WHERE id = 's1'";
    assert_eq!(back.rows(written).await, first.rows(written).await);
}

#[tokio::test]
async fn what_postgresql_would_refuse_is_told_before_anything_is_copied() {
    let (source, target) = (
        Database::migrated(Engine::Sqlite).await,
        Database::empty(Engine::Postgres).await,
    );
    fill(&source).await;
    let long = "🎉".repeat(51);
    let canary = "cänary".repeat(60);
    let statements = [
        format!("INSERT INTO users (id, username, password_hash) VALUES (101, '{long}', '{canary}')"),
        "INSERT INTO users (id, username, password_hash, is_admin) VALUES (102, 'two', 'x', 7)".into(),
        "INSERT INTO users (id, username, password_hash, created_at) VALUES (106, 'six', 'x', 'yesterday')".into(),
        "INSERT INTO users (id, username, password_hash, created_at) VALUES (107, 'seven', 'x', '2026-01-01T00:00:00.0000001Z')".into(),
        "INSERT INTO greet_history (id, message) VALUES (201, 'nul' || char(0) || 'nul'), (202, CAST(X'C328' AS text))".into(),
        "INSERT INTO greet_history (id, message, context) VALUES (203, '', '\"\\u0000\"'), (204, '', '\"\\ud800\"'), (205, '', '1e999999')"
            .into(),
        "INSERT INTO greet_history (id, message, user_id) VALUES (206, '', 999)".into(),
        "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('wide', 4294967296, 1), ('less', 1, -1)".into(),
        "INSERT INTO claims (id, user_id, coupon_name) VALUES (301, 'x', 'no such coupon')".into(),
        "INSERT INTO audit_events (id, created_at, actor, action, subject_id) VALUES (401, '2026-01-01T00:00:00Z', '', '', 3000000000)"
            .into(),
        "UPDATE sqlite_sequence SET seq = 2147483648 WHERE name = 'claims'".into(),
    ];
    let careless = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; ";
    for statement in &statements {
        source.execute(&format!("{careless}{statement}")).await;
    }
    let finished = run_move(&source, &target, &[]).await;
    assert_eq!(finished.code, 1, "{finished:?}");
    for line in [
        "users 101: username has 51 characters, the target takes 50",
        "users 101: password_hash has 360 characters, the target takes 255",
        "users 102: is_admin is neither 0 nor 1",
        "users 106: created_at is no timestamp",
        "users 107: created_at is finer than a microsecond",
        "greet_history 201: message has a NUL character",
        "greet_history 202: message is not valid UTF-8",
        "greet_history 203: context has a \\u0000",
        "greet_history 204: context has half of a surrogate pair",
        "greet_history 205: context has a number in its JSON",
        "greet_history 206: user_id refers to a row of users that does not exist",
        "coupons wide: amount is beyond an integer of 32 bits",
        "coupons less: breaks CHECK",
        "claims 301: coupon_name refers to a row of coupons that does not exist",
        "audit_events 401: subject_id is beyond an integer of 32 bits",
        "claims its sequence: id is at 2147483648",
    ] {
        assert!(finished.stdout.contains(line), "{line:?} is not in {finished:?}");
    }
    assert!(finished.stdout.contains("nothing was copied"), "{finished:?}");
    assert_untouched(&target).await;
    let report = run_move(&source, &target, &["--format", "json"]).await.json();
    assert_eq!((&report["exit_code"], &report["moved"]), (&json!(1), &json!(false)));
    let told = report["refused_values"].as_array().unwrap().len() as u64;
    assert!(report["refused"].as_u64().unwrap() >= told, "{report}");
    assert!(
        report["refused_values"]
            .as_array()
            .unwrap()
            .contains(&json!({"table": "users", "key": "102", "column": "is_admin", "why": "is neither 0 nor 1"}))
    );
}

#[tokio::test]
async fn names_that_are_one_by_the_targets_rules_are_told() {
    let source = Database::migrated(Engine::Sqlite).await;
    source
        .execute(
            "INSERT INTO users (id, username, password_hash) VALUES (102, 'ÄÖ', 'x'), (103, 'äö', 'x'), (104, '\u{212a}im', 'x'), \
             (105, 'KIM', 'x'), (106, 'ß', 'x'), (107, 'ss', 'x')",
        )
        .await;
    // The suite's own databases know upper and lower case of ASCII alone, too; one with a language knows more.
    let cluster = crate::harness::postgres::cluster().await;
    let name = format!("dlc_{}_icu_test", std::process::id());
    let make = "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'und'";
    cluster
        .execute("postgres", &format!("CREATE DATABASE {name} {make}"))
        .await;
    let target = Database::at(Engine::Postgres, &cluster.url(&name));
    let finished = run_move(&source, &target, &[]).await;
    assert_eq!(finished.code, 1, "{finished:?}");
    for key in [102, 103, 104] {
        let line =
            format!("users {key}: username is another row's too, by what the target takes for upper and lower case");
        assert!(finished.stdout.contains(&line), "{line:?} is not in {finished:?}");
    }
    assert!(finished.stdout.contains("would refuse 3 values"), "{finished:?}");
    cluster.remove(&name).await;
    let plain = Database::empty(Engine::Postgres).await;
    let finished = run_move(&source, &plain, &[]).await;
    assert_eq!(finished.code, 0, "{finished:?}");
}

#[tokio::test]
async fn what_sqlite_would_refuse_is_told_before_anything_is_copied() {
    let (source, target) = (
        Database::migrated(Engine::Postgres).await,
        Database::empty(Engine::Sqlite).await,
    );
    fill(&source).await;
    let deep = "[".repeat(1001) + &"]".repeat(1001);
    source
        .execute(&format!(
            "SET session_replication_role = replica; \
             INSERT INTO users (id, username, password_hash, created_at, updated_at) VALUES \
             (101, 'one', 'x', 'infinity', '-infinity'), (102, 'two', 'x', '10000-01-01T00:00:00Z', '0044-03-15T00:00:00Z BC'); \
             INSERT INTO greet_history (id, message, context) VALUES (201, '', '{deep}'); \
             INSERT INTO claims (id, user_id, coupon_name) VALUES (301, 'x', 'no such coupon'); \
             ALTER TABLE coupons DROP CONSTRAINT coupons_remaining_amount_check; \
             INSERT INTO coupons (name, amount, remaining_amount) VALUES ('less', 1, -1); \
             ALTER TABLE coupons ADD CONSTRAINT coupons_remaining_amount_check CHECK (remaining_amount >= 0) NOT VALID"
        ))
        .await;
    let finished = run_move(&source, &target, &[]).await;
    assert_eq!(finished.code, 1, "{finished:?}");
    for line in [
        "users 101: created_at is infinite",
        "users 101: updated_at is infinite",
        "users 102: created_at is infinite, or in a year without four digits",
        "users 102: updated_at is infinite, or in a year without four digits",
        "greet_history 201: context has JSON that is nested deeper than 1000 levels",
        "claims 301: coupon_name refers to a row of coupons that does not exist",
        "coupons less: breaks CHECK",
    ] {
        assert!(finished.stdout.contains(line), "{line:?} is not in {finished:?}");
    }
    assert_untouched(&target).await;
}

#[tokio::test]
async fn the_first_twenty_values_are_told_and_the_others_counted() {
    let (source, target) = (
        Database::migrated(Engine::Sqlite).await,
        Database::empty(Engine::Postgres).await,
    );
    let numbers = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1234) SELECT n FROM s";
    source
        .execute(&format!(
            "INSERT INTO greet_history (id, message, created_at) SELECT n, '', 'never' FROM ({numbers})"
        ))
        .await;
    let finished = run_move(&source, &target, &[]).await;
    assert_eq!(finished.code, 1, "{finished:?}");
    assert_eq!(finished.stdout.matches("is no timestamp").count(), 20);
    assert!(finished.stdout.contains("and 1,214 more"), "{finished:?}");
}

#[tokio::test]
async fn wrong_ends_are_told() {
    let [one, two] = [
        Database::migrated(Engine::Sqlite).await,
        Database::empty(Engine::Sqlite).await,
    ];
    run_move(&one, &two, &[])
        .await
        .assert_error(64, "source and target are both SQLite");
    one.dlc().run(&["db", "move"]).await.assert_error(64, "--from");
    let wrong = one
        .dlc()
        .run(&["db", "move", "--to", "mysql://ann:c%C3%A4nary@db/x"])
        .await;
    wrong.assert_error(78, "--to: the scheme \"mysql\" is not known");
    let nobody = "postgres://ann@127.0.0.1:1/x?sslmode=disable";
    one.dlc()
        .run(&["db", "move", "--to", nobody])
        .await
        .assert_error(69, "connection refused");
}

#[tokio::test]
async fn the_configured_database_is_the_end_that_is_not_named() {
    let (source, target) = (
        Database::migrated(Engine::Sqlite).await,
        Database::empty(Engine::Postgres).await,
    );
    crowd(&source, 10).await;
    let there = source.dlc().run(&["db", "move", "--to", &target.url]).await;
    assert_eq!(there.code, 0, "{there:?}");
    let back = Database::empty(Engine::Sqlite).await;
    let again = back.dlc().run(&["db", "move", "--from", &target.url]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(rows_in(&back).await, 11);
    again.assert_no_secret();
}

/// A generator of numbers that a test can repeat.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

on_both_engines! {
    async fn killed_at_any_moment_it_leaves_nothing_or_all_and_the_same_command_succeeds(engine: Engine) {
        let source = Database::migrated(engine).await;
        crowd(&source, 10_000).await;
        let mut target = Database::empty(other(engine)).await;
        let began = std::time::Instant::now();
        let finished = run_move(&source, &target, &[]).await;
        assert_eq!(finished.code, 0, "{finished:?}");
        let whole = u64::try_from(began.elapsed().as_millis()).unwrap();
        target = Database::empty(other(engine)).await;
        let mut dice = Dice(2031);
        for round in 0..12 {
            let running = Dlc::new().start(&["db", "move", "--from", &source.url, "--to", &target.url]);
            // A moment is what this is about; none of them decides how it ends.
            let moment = dice.below(whole);
            tokio::time::sleep(Duration::from_millis(moment)).await;
            running.signal(Signal::KILL);
            let ended = running.finished().await;
            if target.engine == Engine::Sqlite && !target.file().exists() {
                continue;
            }
            let rows = rows_in(&target).await;
            assert!([0, 10_001].contains(&rows), "round {round}, {moment} ms: {rows} rows, {ended:?}");
            if rows > 0 {
                target = Database::empty(other(engine)).await;
            }
        }
        let finished = run_move(&source, &target, &[]).await;
        assert_eq!(finished.code, 0, "{finished:?}");
        assert_eq!(contents(&target).await, contents(&source).await);
        if target.engine == Engine::Sqlite {
            let left: Vec<_> = std::fs::read_dir(target.file().parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(left, ["dlc_test.db"]);
        }
    }

    async fn ctrl_c_leaves_the_target_as_it_was(engine: Engine) {
        let source = Database::migrated(engine).await;
        fill(&source).await;
        // Whichever of them is on PostgreSQL, a table of it is held, so that the move waits there.
        let target = if engine == Engine::Sqlite {
            Database::migrated(Engine::Postgres).await
        } else {
            Database::empty(Engine::Sqlite).await
        };
        let held = if engine == Engine::Sqlite { &target } else { &source };
        let mut holder = PgConnection::connect(&held.url).await.unwrap();
        holder.execute("BEGIN; LOCK TABLE claims IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let running = Dlc::new().start(&["db", "move", "--from", &source.url, "--to", &target.url]);
        let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                       WHERE NOT granted AND datname = current_database()";
        while held.number(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
        running.signal(Signal::INT);
        let finished = running.finished().await;
        assert_eq!(finished.code, 130, "{finished:?}");
        holder.execute("ROLLBACK").await.unwrap();
        match target.engine {
            Engine::Sqlite => assert_untouched(&target).await,
            Engine::Postgres => assert_eq!(rows_in(&target).await, 0),
        }
    }
}

#[tokio::test]
async fn a_log_without_its_database_is_not_given_to_what_was_moved() {
    let (source, target) = (
        Database::migrated(Engine::Postgres).await,
        Database::empty(Engine::Sqlite).await,
    );
    fill(&source).await;
    for suffix in ["-wal", "-journal"] {
        let log = format!("{}{suffix}", target.file().display());
        std::fs::write(&log, "the log of something").unwrap();
        let refused = run_move(&source, &target, &[]).await;
        refused.assert_error(1, "the log of a database that is not");
        assert!(!target.file().exists());
        std::fs::remove_file(log).unwrap();
    }
    assert_eq!(run_move(&source, &target, &[]).await.code, 0);
}

#[tokio::test]
async fn a_target_that_somebody_writes_to_is_busy() {
    let (source, target) = (
        Database::migrated(Engine::Postgres).await,
        Database::migrated(Engine::Sqlite).await,
    );
    let held = target.hold_coupons().await;
    run_move(&source, &target, &[])
        .await
        .assert_error(3, "the target is in use");
    held.release().await;
    let finished = run_move(&source, &target, &[]).await;
    assert_eq!(finished.code, 0, "{finished:?}");
}

#[tokio::test]
async fn whatever_is_written_to_a_source_on_postgresql_meanwhile_is_told() {
    let written = [
        "DELETE FROM sign_in_failures",
        "UPDATE users SET description = description",
        "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('late', 1, 1)",
        // One that is taken back, and one elsewhere, are none.
        "SAVEPOINT s; INSERT INTO coupons (name, amount, remaining_amount) VALUES ('late', 1, 1); ROLLBACK TO s",
        "INSERT INTO backups (id, created_at, place, size) VALUES ('b', now(), 'p', 1)",
    ];
    for (number, sql) in written.into_iter().enumerate() {
        let (source, target) = (
            Database::migrated(Engine::Postgres).await,
            Database::migrated(Engine::Sqlite).await,
        );
        fill(&source).await;
        // It comes to no end as long as somebody writes to the target.
        let held = target.hold_coupons().await;
        let running = Dlc::new().start(&[
            "db",
            "move",
            "--from",
            &source.url,
            "--to",
            &target.url,
            "--format",
            "json",
        ]);
        // Rows are read, so the snapshot is taken.
        let reading = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'";
        let started = std::time::Instant::now();
        while source.number(reading).await == 0 {
            assert!(started.elapsed() < Duration::from_secs(30), "{}", running.said());
            tokio::task::yield_now().await;
        }
        source.execute(&format!("BEGIN; {sql}; COMMIT")).await;
        held.release().await;
        let finished = running.finished().await;
        assert_eq!(finished.code, 0, "{finished:?}");
        assert_eq!(finished.json()["source_written_meanwhile"], json!(number < 3), "{sql}");
    }
}
