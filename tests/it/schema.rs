//! The live schema against the words of the seeds, and the snapshots in `migration/`.

use std::collections::BTreeMap;

use dlc::database::catalogue;

use crate::harness::{Database, Engine, snapshot};

/// The tables as the seeds S1 (coupons, claims) and S2 (users, greet_history) wrote them, to the letter.
const SEEDS: &[&str] = &[
    "CREATE TABLE coupons (
    name VARCHAR(255) PRIMARY KEY,
    amount INTEGER NOT NULL CHECK (amount > 0),
    remaining_amount INTEGER NOT NULL CHECK (remaining_amount >= 0),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
)",
    "CREATE TABLE claims (
    id SERIAL PRIMARY KEY,
    user_id VARCHAR(255) NOT NULL,
    coupon_name VARCHAR(255) NOT NULL REFERENCES coupons(name),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    UNIQUE(user_id, coupon_name)
)",
    "CREATE INDEX idx_claims_coupon_name ON claims(coupon_name)",
    "CREATE TABLE users ( id SERIAL PRIMARY KEY, created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP, deleted_at TIMESTAMP WITH TIME ZONE, username VARCHAR(50) UNIQUE NOT NULL, password_hash VARCHAR(255) NOT NULL, description TEXT, current_goal TEXT, is_admin BOOLEAN DEFAULT FALSE, allow_password_reset BOOLEAN DEFAULT FALSE, last_login TIMESTAMP WITH TIME ZONE )",
    "CREATE TABLE greet_history ( id SERIAL PRIMARY KEY, created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP, user_id INTEGER REFERENCES users(id), message TEXT NOT NULL, context JSONB )",
];

/// What the requirements add to the seeds: S0-9's table, and names that are compared case-insensitively (S2-2).
const ADDITIONS: &[&str] = &[
    "CREATE TABLE bootstrap_metadata (bootstrap_version INTEGER PRIMARY KEY, created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now())",
    "CREATE UNIQUE INDEX idx_users_username_lower ON users (lower(username))",
    "CREATE INDEX claims_coupon_name_id ON claims (coupon_name, id)",
];

async fn live(database: &Database) -> String {
    catalogue(&database.options()).await.unwrap()
}

#[tokio::test]
async fn the_live_catalogue_is_what_the_seeds_say() {
    let said = Database::empty(Engine::Postgres).await;
    for sql in SEEDS.iter().chain(ADDITIONS) {
        said.execute(sql).await;
    }
    let migrated = Database::migrated(Engine::Postgres).await;
    // Whatever else there is has tables of its own.
    let live = live(&migrated).await;
    for table in catalogue(&said.options()).await.unwrap().split("\n\n") {
        assert!(live.contains(table.trim_end()), "{table}\nis not in\n{live}");
    }
}

#[tokio::test]
async fn the_doctor_looks_for_every_column_that_there_is() {
    let database = Database::migrated(Engine::Postgres).await;
    let columns = "SELECT format('(''%s'', ''%s'')', table_name, column_name) FROM information_schema.columns \
                   WHERE table_schema = 'public' AND table_name NOT LIKE 'dlc_%' AND table_name <> 'seaql_migrations'";
    let looked_for = include_str!("../../src/application/operations/check/catalogue/columns.rs");
    for column in database.rows(columns).await.concat() {
        assert!(looked_for.contains(&column), "{column}");
    }
}

/// What a column is, in words that both engines share.
fn sqlite_type(postgres: &str) -> &'static str {
    match postgres {
        "integer" | "bigint" | "boolean" => "INTEGER",
        "bytea" => "BLOB",
        "character varying" | "text" | "timestamp with time zone" | "jsonb" => "TEXT",
        other => panic!("no rule for {other}"),
    }
}

#[tokio::test]
async fn sqlite_has_the_same_tables_columns_keys_and_indexes() {
    let postgres = Database::migrated(Engine::Postgres).await;
    let sqlite = Database::migrated(Engine::Sqlite).await;
    let mut expected: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    let columns = "SELECT table_name::text, column_name::text, data_type::text, (is_nullable = 'NO')::text, \
                   (column_default IS NOT NULL AND column_default NOT LIKE 'nextval%')::text, character_maximum_length::text \
                   FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'dlc_%' AND table_name <> 'seaql_migrations' \
                   ORDER BY table_name, ordinal_position";
    let mut lengths = Vec::new();
    for row in postgres.rows(columns).await {
        let [table, column, kind, not_null, default, length] = &row[..] else {
            panic!("{row:?}")
        };
        if length != "-" {
            lengths.push((table.clone(), column.clone(), length.parse::<usize>().unwrap()));
        }
        let is_serial = (column == "id" && sqlite_type(kind) == "INTEGER") || column == "bootstrap_version";
        // An INTEGER PRIMARY KEY of SQLite is never NULL, and does not say so.
        let not_null = if is_serial { "false" } else { not_null };
        let row = vec![
            column.clone(),
            sqlite_type(kind).into(),
            not_null.into(),
            default.clone(),
        ];
        expected.entry(table.clone()).or_default().push(row);
    }
    assert!(expected.len() >= 6, "{expected:?}");
    for (table, columns) in &expected {
        let found = format!(
            "SELECT name, type, CASE \"notnull\" WHEN 1 THEN 'true' ELSE 'false' END, \
             CASE WHEN dflt_value IS NULL THEN 'false' ELSE 'true' END FROM pragma_table_info('{table}') ORDER BY cid"
        );
        assert_eq!(&sqlite.rows(&found).await, columns, "{table}");
    }
    let foreign_keys = "SELECT m.name, f.\"from\", f.\"table\", f.\"to\", f.on_delete FROM sqlite_master m, \
                        pragma_foreign_key_list(m.name) f WHERE m.type = 'table' ORDER BY 1, 2";
    assert_eq!(
        sqlite.rows(foreign_keys).await,
        [
            ["claims", "coupon_name", "coupons", "name", "NO ACTION"],
            ["greet_history", "user_id", "users", "id", "NO ACTION"],
            ["password_resets", "user_id", "users", "id", "CASCADE"],
            ["refresh_tokens", "session_id", "sessions", "id", "CASCADE"],
            ["sessions", "user_id", "users", "id", "CASCADE"],
            ["token_versions", "user_id", "users", "id", "CASCADE"],
        ]
    );
    let indexes = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1";
    let of_postgres = "SELECT indexname::text FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE 'dlc_%' \
                       AND indexname NOT IN (SELECT conname FROM pg_constraint) ORDER BY indexname COLLATE \"C\"";
    let of_postgres = postgres.rows(of_postgres).await;
    assert!(of_postgres.len() >= 3, "{of_postgres:?}");
    assert_eq!(sqlite.rows(indexes).await, of_postgres);
    assert!(lengths.len() >= 8, "{lengths:?}");
}

#[tokio::test]
async fn both_engines_refuse_the_same_rows() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let database = Database::migrated(engine).await;
        database
            .execute("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 1, 1)")
            .await;
        database
            .execute("INSERT INTO claims (user_id, coupon_name) VALUES ('u', 'c')")
            .await;
        database
            .execute("INSERT INTO users (username, password_hash) VALUES ('Ann', 'h')")
            .await;
        let long = "x".repeat(256);
        let time = "'2026-11-21T00:00:00+00:00'";
        let session = |id: &str, user: &str| {
            format!("INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES ({id}, {user}, {time}, {time})")
        };
        let bytes = if engine == Engine::Sqlite { "x'00'" } else { "'\\x00'" };
        let token = |session: &str| {
            format!("INSERT INTO refresh_tokens (digest, session_id, expires_at) VALUES ({bytes}, {session}, {time})")
        };
        let event = |actor: &str, request: &str| {
            format!(
                "INSERT INTO audit_events (created_at, actor, action, request_id) VALUES ({time}, {actor}, 'a', {request})"
            )
        };
        // What these refuse is what is wrong with it.
        for taken in [session("'good'", "1"), token("'good'"), event("'a'", "NULL")] {
            database.execute(&taken).await;
        }
        for refused in [
            "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('d', 0, 0)",
            "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('d', 1, -1)",
            "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 1, 1)",
            "INSERT INTO coupons (name, amount, remaining_amount) VALUES (NULL, 1, 1)",
            &format!("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('{long}', 1, 1)"),
            "INSERT INTO claims (user_id, coupon_name) VALUES ('u', 'c')",
            "INSERT INTO claims (user_id, coupon_name) VALUES ('u', 'none')",
            &format!("INSERT INTO claims (user_id, coupon_name) VALUES ('{long}', 'c')"),
            "INSERT INTO users (username, password_hash) VALUES ('ann', 'h')",
            &format!(
                "INSERT INTO users (username, password_hash) VALUES ('{}', 'h')",
                &long[..51]
            ),
            &format!("INSERT INTO users (username, password_hash) VALUES ('bob', '{long}')"),
            "INSERT INTO users (username) VALUES ('bob')",
            "INSERT INTO greet_history (user_id, message) VALUES (99, 'hello')",
            "INSERT INTO greet_history (message, context) VALUES ('hello', 'no json')",
            "INSERT INTO greet_history (message) VALUES (NULL)",
            "INSERT INTO bootstrap_metadata (bootstrap_version) VALUES (1)",
            "INSERT INTO token_versions (user_id, version) VALUES (99, 1)",
            &session("NULL", "1"),
            &session("'s'", "99"),
            &session(&format!("'{}'", &long[..65]), "1"),
            &token("'none'"),
            &event("NULL", "NULL"),
            &event("'a'", &format!("'{}'", &long[..129])),
        ] {
            let why = database.refusal(refused).await;
            assert!(!why.contains("syntax error"), "{engine:?}: {refused}: {why}");
        }
    }
}

#[tokio::test]
async fn the_snapshots_for_readers_are_the_live_schema() {
    for (engine, path) in [
        (Engine::Postgres, "migration/schema.sql"),
        (Engine::Sqlite, "migration/schema.sqlite.sql"),
    ] {
        let database = Database::migrated(engine).await;
        let text = format!(
            "-- The schema after every migration, for readers. Made from a live database by `just snapshots`; never edited.\n\n{}",
            live(&database).await
        );
        snapshot::assert_file(path, &text);
    }
}
