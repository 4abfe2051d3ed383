//! `dlc coupon audit`: whatever was broken past dlc is found, by how much, and nothing else is.

use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, Executor};

use crate::harness::{Database, Engine, Finished, Server, on_both_engines, postgres};

/// Takes every rule out of the way that keeps a database from being broken.
async fn without_rules(database: &Database) {
    database
        .execute(match database.engine {
            Engine::Postgres => {
                "ALTER TABLE coupons DROP CONSTRAINT coupons_amount_check, DROP CONSTRAINT coupons_remaining_amount_check; \
                 ALTER TABLE claims DROP CONSTRAINT claims_coupon_name_fkey, DROP CONSTRAINT claims_user_id_coupon_name_key"
            }
            // A table of the same columns, and of nothing else.
            Engine::Sqlite => {
                "PRAGMA foreign_keys = OFF; BEGIN; \
                 CREATE TABLE bare AS SELECT * FROM claims; DROP TABLE claims; ALTER TABLE bare RENAME TO claims; \
                 CREATE TABLE bare AS SELECT * FROM coupons; DROP TABLE coupons; ALTER TABLE bare RENAME TO coupons; COMMIT"
            }
        })
        .await;
}

async fn coupon(database: &Database, name: &str, amount: i64, remaining: i64) {
    database
        .execute(&format!(
            "INSERT INTO coupons (name, amount, remaining_amount, created_at) \
             VALUES ('{name}', {amount}, {remaining}, '2026-01-01T00:00:00.000000+00:00')"
        ))
        .await;
}

async fn claims(database: &Database, coupon: &str, users: &[&str]) {
    let rows: Vec<String> = users.iter().map(|user| format!("('{user}', '{coupon}')")).collect();
    database
        .execute(&format!(
            "INSERT INTO claims (user_id, coupon_name) VALUES {}",
            rows.join(", ")
        ))
        .await;
}

async fn audit(database: &Database, name: Option<&str>) -> Finished {
    let arguments: Vec<&str> = ["coupon", "audit"].into_iter().chain(name).collect();
    database.dlc().run(&arguments).await
}

fn clean(finished: &Finished, line: &str) {
    assert_eq!(
        (finished.code, finished.stdout.as_str(), finished.stderr.as_str()),
        (0, format!("{line}\n").as_str(), ""),
        "{finished:?}"
    );
}

/// Asserts that these lines, and the sum, are all that is said.
fn wrong(finished: &Finished, lines: &[&str], sum: &str) {
    let mut said: Vec<String> = lines.iter().map(|line| format!("fail  {line}")).collect();
    said.push(sum.to_owned());
    assert_eq!(
        (finished.code, finished.lines()),
        (1, said.iter().map(String::as_str).collect()),
        "{finished:?}"
    );
    assert!(
        finished.stderr.contains("dlc db check --explain BIZ001"),
        "{finished:?}"
    );
}

on_both_engines! {
    async fn books_that_add_up_are_said_to(database: Database) {
        clean(&audit(&database, None).await, "every coupon adds up; looked at 0 coupons and 0 claims");
        coupon(&database, "a", 5, 3).await;
        coupon(&database, "b", 2_147_483_647, 2_147_483_647).await;
        coupon(&database, "sold", 1, 0).await;
        claims(&database, "a", &["ann", "bob"]).await;
        claims(&database, "sold", &["ann"]).await;
        clean(&audit(&database, None).await, "every coupon adds up; looked at 3 coupons and 3 claims");
        clean(&audit(&database, Some("a")).await, "a adds up; looked at 1 coupon and 2 claims");
        for unknown in ["none", "A", "ann", "a' OR '1'='1"] {
            audit(&database, Some(unknown)).await.assert_error(1, &format!("{unknown}: there is no such coupon hint: dlc coupon list"));
        }
    }

    async fn a_stock_that_cannot_be_is_found(database: Database) {
        without_rules(&database).await;
        coupon(&database, "good", 5, 5).await;
        coupon(&database, "more", 5, 7).await;
        coupon(&database, "less", 5, -1).await;
        claims(&database, "less", &["a", "b", "c", "d", "e", "f"]).await;
        coupon(&database, "nothing", 0, 0).await;
        // Farther apart than the columns' own type can say.
        coupon(&database, "far", 2_147_483_647, -2_147_483_648).await;
        wrong(
            &audit(&database, None).await,
            &[
                "far: -2147483648 of 2147483647 left, 0 claims: no such stock can be; 4294967295 more taken from the stock than claimed",
                "less: -1 of 5 left, 6 claims: no such stock can be",
                "more: 7 of 5 left, 0 claims: no such stock can be; 2 more claimed than taken from the stock",
                "nothing: 0 of 0 left, 0 claims: no such stock can be",
            ],
            "4 coupons do not add up; looked at 5 coupons and 6 claims",
        );
        wrong(&audit(&database, Some("less")).await, &["less: -1 of 5 left, 6 claims: no such stock can be"], "1 coupon does not add up; looked at 1 coupon and 6 claims");
        clean(&audit(&database, Some("good")).await, "good adds up; looked at 1 coupon and 0 claims");
    }

    async fn a_stock_that_is_not_what_was_claimed_is_found_by_how_much(database: Database) {
        for name in ["a", "b", "c"] {
            coupon(&database, name, 9, 7).await;
        }
        claims(&database, "a", &["ann", "bob", "eve"]).await;
        claims(&database, "b", &["ann", "bob"]).await;
        wrong(
            &audit(&database, None).await,
            &["a: 7 of 9 left, 3 claims: 1 more claimed than taken from the stock", "c: 7 of 9 left, 0 claims: 2 more taken from the stock than claimed"],
            "2 coupons do not add up; looked at 3 coupons and 5 claims",
        );
        // The doctor says the same.
        let checked = database.dlc().run(&["db", "check", "--only", "BIZ001"]).await;
        assert!(checked.stdout.contains("a: 7 of 9 left, 3 claims: 1 more claimed than taken from the stock; c: 7 of 9 left"), "{checked:?}");
    }

    async fn whoever_claimed_twice_is_found_where_the_sums_are_right(database: Database) {
        without_rules(&database).await;
        coupon(&database, "c", 9, 5).await;
        claims(&database, "c", &["ann", "bob", "ann", "ann"]).await;
        coupon(&database, "d", 9, 5).await;
        claims(&database, "d", &["zoe", "eve", "zoe", "eve"]).await;
        coupon(&database, "e", 9, 7).await;
        claims(&database, "e", &["ann", "zoe"]).await;
        wrong(
            &audit(&database, None).await,
            &[
                "c: 5 of 9 left, 4 claims: 1 user claimed more than once, 2 claims too many: ann",
                "d: 5 of 9 left, 4 claims: 2 users claimed more than once, 2 claims too many: eve, …",
            ],
            "2 coupons do not add up; looked at 3 coupons and 10 claims",
        );
        let report = database.dlc().run(&["coupon", "audit", "d", "--format", "json"]).await.json();
        assert_eq!(
            report,
            json!({
                "schema": 1, "command": "coupon audit", "exit_code": 1, "coupons": 1, "claims": 4, "wrong": 1,
                "wrong_coupons": [{
                    "name": "d", "amount": 9, "remaining_amount": 5, "claims": 4, "faults": ["claimed_again"], "claims_too_many": null,
                    "repeated_claims": 2, "users_with_repeated_claims": 2, "one_of_them": "eve",
                }],
            })
        );
    }

    async fn claims_of_no_coupon_are_found(database: Database) {
        without_rules(&database).await;
        coupon(&database, "a", 5, 5).await;
        claims(&database, "ghost", &["ann", "bob", "ann"]).await;
        let line = "ghost: 3 claims: there is no such coupon; 1 user claimed more than once, 1 claim too many: ann";
        wrong(&audit(&database, None).await, &[line], "1 coupon does not add up; looked at 1 coupon and 3 claims");
        wrong(&audit(&database, Some("ghost")).await, &[line], "1 coupon does not add up; looked at 0 coupons and 3 claims");
        clean(&audit(&database, Some("a")).await, "a adds up; looked at 1 coupon and 0 claims");
    }

    async fn the_first_twenty_are_told_and_the_others_counted(database: Database) {
        for n in 0..45 {
            coupon(&database, &format!("c-{n:02}"), 5, if n % 2 == 0 { 4 } else { 5 }).await;
        }
        let audited = audit(&database, None).await;
        assert_eq!((audited.code, audited.lines().len()), (1, 22), "{audited:?}");
        assert!(audited.lines()[0].starts_with("fail  c-00: ") && audited.lines()[19].starts_with("fail  c-38: "), "{audited:?}");
        assert_eq!(audited.lines()[20..], ["      and 3 more", "23 coupons do not add up; looked at 45 coupons and 0 claims"]);
        let checked = database.dlc().run(&["db", "check", "--only", "BIZ001"]).await;
        assert!(checked.stdout.contains("c-08: ") && checked.stdout.contains("; 18 more coupons"), "{checked:?}");
        let quiet = database.dlc().run(&["-q", "coupon", "audit"]).await;
        assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (1, "", ""));
    }

    async fn names_in_the_books_steer_no_terminal(database: Database) {
        without_rules(&database).await;
        coupon(&database, "\u{1b}[2J", 5, 5).await;
        claims(&database, "\u{1b}[2J", &["\u{1b}[1m", "\u{1b}[1m"]).await;
        let audited = audit(&database, None).await;
        assert!(audited.code == 1 && !audited.stdout.contains('\u{1b}'), "{audited:?}");
        assert!(audited.stdout.contains("fail  \"\\u{1b}[2J\": 5 of 5 left, 2 claims: "), "{audited:?}");
    }

    async fn an_audit_waits_for_nobody(database: Database) {
        coupon(&database, "c", 5, 5).await;
        let holder = database.hold_coupons().await;
        clean(&audit(&database, None).await, "every coupon adds up; looked at 1 coupon and 0 claims");
        clean(&audit(&database, Some("c")).await, "c adds up; looked at 1 coupon and 0 claims");
        holder.release().await;
    }

    async fn an_audit_during_a_sale_sees_one_moment_of_it(server: Server) {
        for name in ["a", "b"] {
            server.post("/api/v1/coupons", json!({"name": name, "amount": 30})).await;
        }
        let claims: Vec<_> = (0..80)
            .map(|user| {
                let path = format!("/api/v1/coupons/{}/claims", if user % 2 == 0 { "a" } else { "b" });
                tokio::spawn(server.request(Method::POST, &path).json(&json!({"user_id": format!("u{user}")})).send())
            })
            .collect();
        for name in [None, Some("a"), None, Some("b"), None] {
            let audited = audit(&server.database, name).await;
            assert_eq!(audited.code, 0, "{audited:?}");
        }
        for claim in claims {
            // Whatever became of it on a busy machine: the books have to know.
            claim.await.unwrap().unwrap();
        }
        let claimed = server.database.number("SELECT count(*) FROM claims").await;
        let sum = format!("every coupon adds up; looked at 2 coupons and {claimed} claims");
        clean(&audit(&server.database, None).await, &sum);
    }
}

#[tokio::test]
async fn an_audit_takes_as_long_as_it_takes() {
    let database = Database::migrated(Engine::Postgres).await;
    coupon(&database, "c", 5, 4).await;
    claims(&database, "c", &["ann"]).await;
    // Claims that it takes three times as long to read as anybody allows: the configuration, or the database itself.
    database
        .execute(&format!(
            "ALTER TABLE claims RENAME TO slow; CREATE VIEW claims AS SELECT slow.* FROM slow, pg_sleep(0.6); \
             ALTER DATABASE {} SET statement_timeout = '200ms'",
            database.name()
        ))
        .await;
    for pooler in ["none", "pgbouncer"] {
        let hurried = database
            .dlc()
            .env("DLC_DATABASE__STATEMENT_TIMEOUT", "200ms")
            .env("DLC_DATABASE__POOLER", pooler);
        for arguments in [&["coupon", "audit"][..], &["coupon", "audit", "c"]] {
            let audited = hurried.run(arguments).await;
            let said = audited.stdout.ends_with("looked at 1 coupon and 1 claim\n");
            assert!(audited.code == 0 && said, "{pooler}: {audited:?}");
        }
    }
}

#[tokio::test]
async fn an_index_that_does_not_know_of_a_claim_hides_nothing() {
    let database = Database::migrated(Engine::Postgres).await;
    coupon(&database, "c", 5, 3).await;
    claims(&database, "c", &["ann"]).await;
    let index = async |knows: bool| {
        let sql = format!(
            "UPDATE pg_index SET indisready = {knows} WHERE indrelid = 'claims'::regclass AND NOT indisprimary"
        );
        postgres::cluster().await.execute(database.name(), &sql).await;
    };
    index(false).await;
    claims(&database, "c", &["ann"]).await;
    index(true).await;
    // So that whoever believes indexes would ask them, small as the table is.
    database
        .execute(&format!(
            "ALTER DATABASE {} SET seq_page_cost = 1000000",
            database.name()
        ))
        .await;
    wrong(
        &audit(&database, None).await,
        &["c: 3 of 5 left, 2 claims: 1 user claimed more than once, 1 claim too many: ann"],
        "1 coupon does not add up; looked at 1 coupon and 2 claims",
    );
}

#[tokio::test]
async fn claims_that_a_policy_hides_are_not_taken_for_none() {
    let database = Database::migrated(Engine::Postgres).await;
    coupon(&database, "c", 3, 2).await;
    claims(&database, "c", &["ann"]).await;
    let role = format!("{}_svc", database.name());
    for sql in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'role'"),
        format!(
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
        ),
        "ALTER TABLE claims ENABLE ROW LEVEL SECURITY".to_owned(),
    ] {
        database.execute(&sql).await;
    }
    let port = postgres::cluster().await.port;
    let dlc = database.dlc().env(
        "DATABASE_URL",
        &format!("postgres://{role}:role@127.0.0.1:{port}/{}", database.name()),
    );
    let audited = dlc.run(&["coupon", "audit", "c"]).await;
    audited.assert_error(77, "row-level security");
    assert!(audited.stderr.contains("BYPASSRLS"), "{audited:?}");
    let checked = dlc.run(&["db", "check", "--only", "BIZ001"]).await;
    assert!(checked.stdout.contains("row-level security"), "{checked:?}");
    database
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
}

#[tokio::test]
async fn a_table_that_is_locked_is_3_and_who_locked_it_can_be_asked() {
    let database = Database::migrated(Engine::Postgres).await;
    let mut other = sqlx::PgConnection::connect(&database.url).await.unwrap();
    other.execute("BEGIN; LOCK TABLE claims").await.unwrap();
    let dlc = database.dlc();
    let (audited, verified) = tokio::join!(dlc.run(&["coupon", "audit"]), dlc.run(&["migrate", "verify"]));
    for refused in [audited, verified] {
        refused.assert_error(3, "db check --only LCK001,LCK002");
    }
    other.close().await.unwrap();
}
