//! `dlc migrate verify`, and what `down` says before it takes something away.

use crate::harness::{ALL, Database, Empty, Engine, on_both_engines};

/// A change behind the program's back, and the line that names it.
type Drift = (&'static str, &'static str);

const ON_BOTH: &[Drift] = &[
    ("DROP TABLE greet_history", "table greet_history is missing"),
    (
        "CREATE TABLE extra (id integer)",
        "table extra is not made by any migration",
    ),
    (
        "DROP INDEX idx_claims_coupon_name",
        "index idx_claims_coupon_name on claims is missing: CREATE INDEX",
    ),
    (
        "CREATE INDEX extra ON claims (user_id)",
        "index extra on claims is not made by any migration: CREATE INDEX",
    ),
    (
        "ALTER TABLE users DROP COLUMN description",
        "column users.description is missing: ",
    ),
    (
        "ALTER TABLE users ADD COLUMN extra text",
        "column users.extra is not made by any migration: ",
    ),
];

const ON_POSTGRES: &[Drift] = &[
    (
        "ALTER TABLE claims ALTER COLUMN user_id TYPE text",
        "column claims.user_id is text NOT NULL, and should be character varying(255) NOT NULL",
    ),
    (
        "ALTER TABLE users ALTER COLUMN is_admin SET DEFAULT true",
        "column users.is_admin is boolean DEFAULT true, and should be boolean DEFAULT false",
    ),
    (
        "ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL",
        "column users.password_hash is character varying(255), and should be character varying(255) NOT NULL",
    ),
    (
        "ALTER TABLE coupons DROP CONSTRAINT coupons_amount_check",
        "constraint coupons_amount_check on coupons is missing: CHECK ((amount > 0))",
    ),
    (
        "ALTER TABLE claims DROP CONSTRAINT claims_coupon_name_fkey; ALTER TABLE claims ADD CONSTRAINT \
         claims_coupon_name_fkey FOREIGN KEY (coupon_name) REFERENCES coupons (name) NOT VALID",
        "REFERENCES coupons(name) NOT VALID, and should be FOREIGN KEY",
    ),
    (
        "ALTER TABLE bootstrap_metadata SET UNLOGGED",
        "table bootstrap_metadata is UNLOGGED",
    ),
    (
        "ALTER TABLE users ALTER COLUMN description TYPE text COLLATE \"C\"",
        "column users.description is text COLLATE \"C\", and should be text",
    ),
    (
        "ALTER TABLE claims DISABLE TRIGGER ALL",
        "REFERENCES coupons(name) DISABLED, and should be FOREIGN KEY",
    ),
];

/// What PostgreSQL has learned in version 18.
const ON_POSTGRES_18: &[Drift] = &[
    (
        "ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL; \
         ALTER TABLE users ADD CONSTRAINT from_now_on NOT NULL password_hash NOT VALID",
        "column users.password_hash is character varying(255) NOT NULL NOT VALID, and should be character varying(255) NOT NULL",
    ),
    (
        "ALTER TABLE coupons ADD COLUMN extra integer GENERATED ALWAYS AS (amount + 1) VIRTUAL",
        "column coupons.extra is not made by any migration: integer GENERATED ALWAYS AS ((amount + 1)) VIRTUAL",
    ),
    (
        "ALTER TABLE claims ALTER CONSTRAINT claims_coupon_name_fkey NOT ENFORCED",
        "REFERENCES coupons(name) NOT ENFORCED, and should be FOREIGN KEY",
    ),
];

/// SQLite changes a table by making another one.
const ON_SQLITE: &[Drift] = &[
    (
        "DROP TABLE bootstrap_metadata; CREATE TABLE bootstrap_metadata (bootstrap_version INTEGER PRIMARY KEY, created_at INTEGER NOT NULL)",
        "column bootstrap_metadata.created_at is INTEGER NOT NULL, and should be TEXT NOT NULL DEFAULT",
    ),
    (
        "DROP TABLE greet_history; CREATE TABLE greet_history (id INTEGER PRIMARY KEY AUTOINCREMENT, \
         created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')), user_id INTEGER, message TEXT NOT NULL, context TEXT)",
        "constraint foreign key (user_id) on greet_history is missing: REFERENCES users(id)",
    ),
];

async fn assert_drift(engine: Engine, (change, line): Drift) {
    let database = Database::migrated(engine).await;
    database.execute(change).await;
    let verify = database.dlc().run(&["migrate", "verify"]).await;
    assert_eq!(verify.code, 1, "{change}: {verify:?}");
    assert!(verify.stdout.contains(line), "{change}: {verify:?}");
    assert!(verify.stdout.contains("fail  schema: "), "{change}: {verify:?}");
    assert!(
        verify.stdout.contains("fail  since the last run: "),
        "{change}: {verify:?}"
    );
}

#[tokio::test]
async fn every_kind_of_drift_is_named_object_by_object_on_sqlite() {
    for drift in ON_BOTH.iter().chain(ON_SQLITE) {
        assert_drift(Engine::Sqlite, *drift).await;
    }
}

#[tokio::test]
async fn every_kind_of_drift_is_named_object_by_object_on_postgres() {
    let server = Database::empty(Engine::Postgres).await;
    let version = server.number("SELECT current_setting('server_version_num')").await;
    let newer = if version >= 180_000 { ON_POSTGRES_18 } else { &[] };
    for drift in ON_BOTH.iter().chain(ON_POSTGRES).chain(newer) {
        assert_drift(Engine::Postgres, *drift).await;
    }
}

on_both_engines! {
    async fn a_schema_as_its_migrations_make_it_is_verified_and_nothing_is_written(database: Database) {
        let verify = database.dlc().run(&["migrate", "verify"]).await;
        assert_eq!(
            (verify.code, verify.stdout.as_str()),
            (
                0,
                format!(
                    "ok    history: {ALL} applied, 0 pending\n\
                     ok    schema: exactly what the applied migrations make\n\
                     ok    since the last run: nothing has changed\n"
                )
                .as_str()
            )
        );
        let json = database.dlc().run(&["migrate", "verify", "--format", "json"]).await.json();
        assert_eq!(json, serde_json::json!({"schema": 1, "command": "migrate verify", "exit_code": 0, "error": null,
            "without_checksum": [], "drift": [], "changed_since_last_run": []}));
    }

    async fn an_empty_database_has_no_drift(database: Empty) {
        let verify = database.0.dlc().run(&["migrate", "verify"]).await;
        assert_eq!(verify.code, 0, "{verify:?}");
        assert!(verify.stdout.starts_with(&format!("ok    history: 0 applied, {ALL} pending\n")), "{verify:?}");
    }

    async fn what_was_changed_and_changed_back_is_recorded_by_repair(database: Database) {
        database.execute("ALTER TABLE users ADD COLUMN extra text").await;
        // A run records the schema as it finds it, drift included.
        let dlc = database.dlc();
        dlc.run(&["migrate", "down", "--yes"]).await;
        dlc.run(&["migrate", "up"]).await;
        let verify = dlc.run(&["migrate", "verify", "--format", "json"]).await;
        assert_eq!((verify.code, &verify.json()["changed_since_last_run"]), (1, &serde_json::json!([])), "{verify:?}");
        assert_eq!(verify.json()["drift"][0]["name"], "extra");
        database.execute("ALTER TABLE users DROP COLUMN extra").await;
        let verify = dlc.run(&["migrate", "verify"]).await;
        assert!(verify.stdout.contains("warn  since the last run: 1 object changed, to what the migrations make"), "{verify:?}");
        assert_eq!(verify.code, 0, "{verify:?}");
        let mended = dlc.run(&["migrate", "repair", "--yes"]).await;
        assert!(mended.stdout.starts_with("mended  the recorded schema is not the live one"), "{mended:?}");
        assert!(!dlc.run(&["migrate", "verify"]).await.stdout.contains("warn"));
    }

    async fn down_shows_what_would_be_lost_and_refuses_without_a_terminal(database: Database) {
        let claims_last = ["migrate", "down", "--to", "m20261121_000005_create_claims", "--yes"];
        assert_eq!(database.dlc().run(&claims_last).await.code, 0);
        database.execute("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 2, 1)").await;
        database.execute("INSERT INTO claims (user_id, coupon_name) VALUES ('a', 'c')").await;
        let refused = database.dlc().run(&["migrate", "down", "--steps", "2"]).await;
        refused.assert_error(64, "confirm with --yes");
        assert!(refused.stderr.starts_with(
            "would revert:\n  m20261121_000005_create_claims\n  m20261121_000004_create_coupons\n\
             would lose:\n  table claims: 1 row\n  table coupons: 1 row\n"
        ), "{refused:?}");
        assert_eq!(database.number("SELECT count(*) FROM claims").await, 1);
        let plan = database.dlc().run(&["migrate", "down", "--plan", "--format", "json"]).await.json();
        assert_eq!(plan["losses"], serde_json::json!([{"table": "claims", "column": null, "rows": 1}]));
        assert_eq!(plan["direction"], "down");
    }
}
