//! `dlc migrate plan`: what is said, and that nobody notices that it was asked.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::harness::{
    ALL, Database, Empty, Engine, on_both_engines, postgres,
    program::{CONCURRENT, REWRITE},
};

/// The live structure in the words of PostgreSQL's own tool.
async fn dump(database: &Database) -> String {
    let output = tokio::process::Command::new(postgres::programs().join("pg_dump"))
        .args(["--schema-only", "--restrict-key=dlc", "--dbname", &database.url])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A million claims, written fast.
async fn a_million_claims(database: &Database) {
    for sql in [
        "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 2000000, 1000000)",
        "SET session_replication_role = replica; \
         INSERT INTO claims (user_id, coupon_name) SELECT 'user ' || n, 'c' FROM generate_series(1, 1000000) n",
        "ANALYZE claims",
    ] {
        database.execute(sql).await;
    }
}

/// The effect of a statement of the first migration on a table.
fn effect<'a>(plan: &'a Value, statement: usize, table: &str) -> &'a Value {
    let tables = &plan["migrations"][0]["statements"][statement]["tables"];
    tables
        .as_array()
        .unwrap()
        .iter()
        .find(|effect| effect["table"] == table)
        .unwrap_or_else(|| panic!("{table} is not in {tables}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrite_of_a_million_rows_is_called_out_with_its_size_while_nobody_waits_and_nothing_changes() {
    let database = Database::migrated(Engine::Postgres).await;
    a_million_claims(&database).await;
    let before = dump(&database).await;
    // Somebody migrates, somebody reads for ever, somebody writes: none of them may matter, or be kept waiting.
    let mut migrating = PgConnection::connect(&database.url).await.unwrap();
    let lock = i64::from_be_bytes(*b"dlc_migr");
    let lock = format!("BEGIN; SELECT pg_advisory_xact_lock({lock})");
    migrating.execute(AssertSqlSafe(lock)).await.unwrap();
    let mut reading = PgConnection::connect(&database.url).await.unwrap();
    reading.execute("BEGIN; SELECT 1 FROM claims LIMIT 1").await.unwrap();
    let url = database.url.clone();
    let writing = tokio::spawn(async move {
        let mut session = PgConnection::connect(&url).await.unwrap();
        session.execute("SET lock_timeout = '50ms'").await.unwrap();
        let (mut written, started) = (0, Instant::now());
        while started.elapsed() < Duration::from_secs(60) {
            let insert = "INSERT INTO claims (user_id, coupon_name) VALUES (gen_random_uuid()::text, 'c')";
            if let Err(error) = session.execute(insert).await {
                panic!("after {written} rows: {error}");
            }
            written += 1;
        }
        written
    });
    let plan = database
        .dlc()
        .with_migrations("rewriting")
        .run(&["migrate", "plan", "--format", "json"])
        .await;
    assert!(!writing.is_finished(), "{:?}", writing.await);
    writing.abort();
    assert_eq!(plan.code, 0, "{plan:?}");
    let plan = plan.json();
    assert_eq!(plan["migrations"][0]["version"], REWRITE);

    let added = effect(&plan, 0, "claims");
    assert_eq!(
        (&added["lock"], &added["rewrites"], &added["scans"]),
        (&json!("ACCESS EXCLUSIVE"), &json!(false), &json!(false))
    );
    let widened = effect(&plan, 1, "claims");
    assert_eq!(
        (&widened["lock"], &widened["rewrites"]),
        (&json!("ACCESS EXCLUSIVE"), &json!(true)),
        "{widened}"
    );
    assert_eq!(widened["blocks"], "reads and writes");
    assert!(
        (1_000_000..1_100_000).contains(&widened["rows"].as_u64().unwrap()),
        "{widened}"
    );
    assert!(widened["bytes"].as_u64().unwrap() > 50 << 20, "{widened}");
    assert!(widened["sessions"].as_u64().unwrap() >= 1, "{widened}");
    let checked = effect(&plan, 2, "claims");
    assert_eq!(
        (&checked["rewrites"], &checked["scans"]),
        (&json!(false), &json!(true)),
        "{checked}"
    );
    let indexed = effect(&plan, 3, "claims");
    assert_eq!(
        (&indexed["lock"], &indexed["blocks"], &indexed["scans"]),
        (&json!("SHARE"), &json!("writes"), &json!(true)),
        "{indexed}"
    );

    assert_eq!(dump(&database).await, before);
    let waited = Instant::now();
    let temporary = "SELECT count(*) FROM pg_class WHERE relnamespace::regnamespace::text LIKE 'pg_temp%'";
    // The server clears a session's temporary tables away a moment after its end.
    while database.number(temporary).await != 0 {
        assert!(waited.elapsed() < Duration::from_secs(10));
    }
    let text = database
        .dlc()
        .with_migrations("rewriting")
        .run(&["migrate", "up", "--plan"])
        .await
        .stdout;
    assert!(
        text.contains("WRITES EVERY ROW ANEW; reads and writes wait until it is done; "),
        "{text}"
    );
    assert_eq!(
        database.number("SELECT count(*) FROM seaql_migrations").await,
        ALL as i64
    );
}

on_both_engines! {
    async fn the_plan_for_people_is_as_kept(database: Database) {
        database.execute("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 2, 1)").await;
        database.execute("INSERT INTO claims (user_id, coupon_name) VALUES ('a', 'c')").await;
        if database.engine == Engine::Postgres {
            database.execute("ANALYZE").await;
        }
        let up = database.dlc().with_migrations("rewriting").run(&["migrate", "plan"]).await;
        assert_eq!(up.code, 0, "{up:?}");
        let down = database.dlc().run(&["migrate", "down", "--steps", "2", "--plan"]).await;
        assert_eq!(down.code, 0, "{down:?}");
        let kept = format!("tests/it/snapshots/plan.{:?}.txt", database.engine).to_lowercase();
        let text = format!("$ dlc migrate plan\n{}\n$ dlc migrate down --steps 2 --plan\n{}", up.stdout, down.stdout);
        crate::harness::snapshot::assert_file(&kept, &text);
    }

    async fn an_empty_database_can_be_planned_for_and_stays_empty(database: Empty) {
        let database = database.0;
        let plan = database.dlc().run(&["migrate", "plan", "--format", "json"]).await;
        assert_eq!((plan.code, plan.json()["migrations"].as_array().unwrap().len()), (0, ALL), "{plan:?}");
        // The foreign key's other table is made by the same run.
        assert_eq!(plan.json()["migrations"][4]["statements"][0]["basis"], "rehearsed");
        match database.engine {
            Engine::Sqlite => assert!(!database.file().exists()),
            Engine::Postgres => assert_eq!(database.number("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").await, 0),
        }
        let steps = database.dlc().run(&["migrate", "plan", "--steps", "2"]).await;
        assert!(steps.stdout.starts_with("2 migrations to apply, in this order\n"), "{steps:?}");
    }

    async fn nothing_to_do_is_said(database: Database) {
        let plan = database.dlc().run(&["migrate", "plan"]).await;
        assert_eq!((plan.code, plan.stdout.as_str()), (0, "nothing to apply\n"));
    }

    async fn a_plan_on_a_schema_that_has_drifted_says_so(database: Database) {
        database.execute("ALTER TABLE users ADD COLUMN extra text").await;
        let plan = database.dlc().with_migrations("expanded").run(&["migrate", "plan"]).await;
        assert!(plan.stdout.contains("note: the live schema is not what its migrations make (dlc migrate verify)"), "{plan:?}");
    }

    async fn a_rehearsal_on_a_clone_adds_times_and_is_refused_on_the_database_itself(database: Database) {
        let clone = Database::migrated(database.engine).await;
        let dlc = || database.dlc().with_migrations("rewriting");
        dlc().run(&["migrate", "plan", "--rehearse-on", &database.url]).await.assert_error(64, "would run on the database itself");
        let plan = dlc().run(&["migrate", "plan", "--rehearse-on", &clone.url, "--format", "json"]).await;
        assert_eq!(plan.code, 0, "{plan:?}");
        for statement in plan.json()["migrations"][0]["statements"].as_array().unwrap() {
            assert!(statement["duration_ms"].is_u64(), "{statement}");
        }
        assert_eq!(database.number("SELECT count(*) FROM seaql_migrations").await, ALL as i64);
        assert_eq!(clone.number("SELECT count(*) FROM seaql_migrations").await, ALL as i64 + 1);
        dlc().run(&["migrate", "plan", "--rehearse-on", &clone.url]).await.assert_error(1, "1 pending here, 0 there");
    }
}

#[tokio::test]
async fn what_cannot_run_in_a_transaction_is_predicted_and_says_so() {
    let database = Database::migrated(Engine::Postgres).await;
    let plan = database
        .dlc()
        .with_migrations("concurrent")
        .run(&["migrate", "plan", "--format", "json"])
        .await
        .json();
    assert_eq!(
        (&plan["migrations"][0]["version"], &plan["migrations"][0]["transaction"]),
        (&json!(CONCURRENT), &json!(false))
    );
    let built = &plan["migrations"][0]["statements"][1];
    assert_eq!(built["basis"], "predicted", "{built}");
    assert_eq!(effect(&plan, 1, "claims")["lock"], "SHARE UPDATE EXCLUSIVE");
}

#[tokio::test]
async fn what_reaches_beyond_the_copy_is_not_tried() {
    let database = Database::migrated(Engine::Postgres).await;
    database
        .execute("INSERT INTO greet_history (message) VALUES ('kept')")
        .await;
    let before = dump(&database).await;
    let plan = database
        .dlc()
        .with_migrations("beyond")
        .run(&["migrate", "plan", "--format", "json"])
        .await;
    assert_eq!(plan.code, 0, "{plan:?}");
    let report = plan.json();
    let statements = report["migrations"][0]["statements"].as_array().unwrap();
    let whys: Vec<&str> = statements
        .iter()
        .map(|statement| statement["why"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(
        whys,
        [
            "it may reach beyond tables and indexes",
            "it names the schema public, where the live tables are",
            "it may reach beyond tables and indexes",
            ""
        ]
    );
    assert_eq!(dump(&database).await, before);
    assert_eq!(database.number("SELECT count(*) FROM greet_history").await, 1);
    assert_eq!(database.number("SELECT count(*) FROM users").await, 0);
}

#[tokio::test]
async fn a_role_that_may_not_make_temporary_tables_is_told_which_grant_is_missing() {
    let database = Database::migrated(Engine::Postgres).await;
    let role = format!("plain_of_{}", database.name());
    for sql in [
        format!("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC", database.name()),
        format!("CREATE ROLE {role} LOGIN PASSWORD 'plain'"),
        format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"),
    ] {
        database.execute(&sql).await;
    }
    let port = postgres::cluster().await.port;
    let url = format!("postgres://{role}:plain@127.0.0.1:{port}/{}", database.name());
    let refused = crate::harness::Dlc::new()
        .env("DATABASE_URL", &url)
        .run(&["migrate", "verify"])
        .await;
    refused.assert_error(77, "GRANT TEMPORARY ON DATABASE");
    database
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
}
