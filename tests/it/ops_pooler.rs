//! A real PgBouncer in transaction mode between dlc and PostgreSQL.

use serde_json::json;
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::harness::{ALL, Database, Dlc, Engine, PgBouncer, Prepared, Running, Server, postgres, program::SLOW};

const DECLARED: (&str, &str) = ("DLC_DATABASE__POOLER", "pgbouncer");

fn through(pooler: &PgBouncer, database: &Database) -> Dlc {
    Dlc::new()
        .env("DATABASE_URL", &pooler.url(database))
        .env(DECLARED.0, DECLARED.1)
}

async fn pooler(prepared: Prepared) -> PgBouncer {
    PgBouncer::start(prepared)
        .await
        .expect("a PgBouncer; scripts/pgbouncer gets one")
}

#[tokio::test]
async fn eight_processes_migrate_through_it_exactly_once_and_leave_no_lock_behind() {
    let database = Database::empty(Engine::Postgres).await;
    let pooler = pooler(Prepared::Known).await;
    let runs: Vec<Running> = (0..8)
        .map(|_| through(&pooler, &database).start(&["migrate", "up"]))
        .collect();
    let mut applied = 0;
    for run in runs {
        let run = run.finished().await;
        assert_eq!(run.code, 0, "{run:?}");
        applied += run.stdout.matches("applied m2").count();
    }
    assert_eq!(applied, ALL);
    let left = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(database.number(left).await, 0);
    // The pooler keeps its connections: nothing of the runs may have stayed with them.
    let verify = through(&pooler, &database).run(&["migrate", "verify"]).await;
    assert_eq!(verify.code, 0, "{verify:?}");
    let plan = through(&pooler, &database)
        .with_migrations("expanded")
        .run(&["migrate", "plan"])
        .await;
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(
        plan.stdout
            .contains("predicted, not rehearsed: a transaction pooler is in between"),
        "{plan:?}"
    );
    let down = through(&pooler, &database).run(&["migrate", "down", "--yes"]).await;
    assert_eq!(down.code, 0, "{down:?}");
}

#[tokio::test]
async fn whoever_waits_behind_it_names_the_holder_and_follows_one_that_was_killed() {
    let database = Database::migrated(Engine::Postgres).await;
    let pooler = pooler(Prepared::Known).await;
    database.execute("CREATE TABLE gate (id integer)").await;
    let slow = || through(&pooler, &database).with_migrations("slow");
    let holder = slow().start(&["migrate", "up"]);
    holder.until_said("running for").await;
    let refused = slow().run(&["migrate", "up", "--lock-timeout", "300ms"]).await;
    refused.assert_error(3, &format!(" s, at step 1 of 1: {SLOW}"));
    database.execute("DROP TABLE gate").await;
    holder.signal(rustix::process::Signal::KILL);
    let next = slow().run(&["migrate", "up", "--lock-timeout", "10s"]).await;
    assert_eq!(next.code, 0, "{next:?}");
}

#[tokio::test]
async fn the_service_works_through_it() {
    let database = Database::empty(Engine::Postgres).await;
    let pooler = pooler(Prepared::Known).await;
    let dlc = through(&pooler, &database);
    let server = Server::start_as(database, dlc, &[]).await;
    assert_eq!(
        server
            .post("/api/coupons", json!({"name": "c", "amount": 9}))
            .await
            .status,
        201
    );
    for user in 0..9 {
        let claim = json!({"user_id": user.to_string(), "coupon_name": "c"});
        assert_eq!(server.post("/api/coupons/claim", claim).await.status, 201);
    }
    assert_eq!(server.get("/api/v1/coupons/c").await.body["remaining_amount"], 0);
}

#[tokio::test]
async fn a_migration_that_is_no_transaction_wants_a_way_around_it() {
    let database = Database::migrated(Engine::Postgres).await;
    let pooler = pooler(Prepared::Known).await;
    let concurrent = || through(&pooler, &database).with_migrations("concurrent");
    let refused = concurrent().run(&["migrate", "up"]).await;
    refused.assert_error(
        78,
        "SRV006 session affinity: a transaction pooler is in between, and what is to be run cannot run in a transaction",
    );
    refused.assert_error(78, "DLC_DATABASE__MIGRATION_URL");
    assert_eq!(
        database.number("SELECT count(*) FROM seaql_migrations").await,
        ALL as i64
    );
    let around = concurrent()
        .env("DLC_DATABASE__MIGRATION_URL", &database.url)
        .run(&["migrate", "up"])
        .await;
    assert_eq!(around.code, 0, "{around:?}");
}

#[tokio::test]
async fn one_that_does_not_know_prepared_statements_is_found_out_and_can_be_gone_around() {
    // Whether an old one can be had depends on the machine; a new one that is told to behave like it always can.
    for prepared in [Prepared::SwitchedOff, Prepared::TooOld] {
        let Some(pooler) = PgBouncer::start(prepared).await else {
            continue;
        };
        let database = Database::migrated(Engine::Postgres).await;
        let dlc = || through(&pooler, &database).with_migrations("expanded");
        let refused = dlc().run(&["migrate", "up"]).await;
        refused.assert_error(
            69,
            "this pooler does not know prepared statements: PgBouncer 1.21 or newer does",
        );
        assert_eq!(
            database.number("SELECT count(*) FROM seaql_migrations").await,
            ALL as i64,
            "{prepared:?}"
        );
        let around = dlc()
            .env("DLC_DATABASE__MIGRATION_URL", &database.url)
            .run(&["migrate", "up"])
            .await;
        assert_eq!(around.code, 0, "{prepared:?}: {around:?}");
    }
}

#[tokio::test]
async fn a_service_that_needs_what_its_own_way_does_not_know_does_not_begin_and_says_what_to_set() {
    for prepared in [Prepared::SwitchedOff, Prepared::TooOld] {
        let Some(pooler) = PgBouncer::start(prepared).await else {
            continue;
        };
        let database = Database::migrated(Engine::Postgres).await;
        // Migrations go around it, and have nothing to complain of.
        let dlc = || through(&pooler, &database).env("DLC_DATABASE__MIGRATION_URL", &database.url);
        let verify = dlc().run(&["migrate", "verify"]).await;
        assert_eq!(verify.code, 0, "{prepared:?}: {verify:?}");
        let refused = dlc().run(&["serve", "--port", "0"]).await;
        refused.assert_error(69, "this pooler does not know prepared statements");
        refused.assert_error(69, "set max_prepared_statements in a PgBouncer of 1.21 or newer");
        refused.assert_no_secret();
        let direct = dlc().env("DATABASE_URL", &database.url).env(DECLARED.0, "none");
        Server::start_as(Database::at(Engine::Postgres, &database.url), direct, &[]).await;
    }
}

#[tokio::test]
async fn one_that_nobody_declared_is_an_error_that_says_how_to() {
    let database = Database::migrated(Engine::Postgres).await;
    let pooler = pooler(Prepared::Known).await;
    let undeclared = Dlc::new().env("DATABASE_URL", &pooler.url(&database));
    let refused = undeclared.run(&["migrate", "up"]).await;
    refused.assert_error(69, "set database.pooler: pgbouncer");
}

#[tokio::test]
async fn one_that_hides_is_left_as_it_was_by_looks_and_refused_by_what_needs_a_session() {
    let database = Database::migrated(Engine::Postgres).await;
    database
        .execute("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 1, 1)")
        .await;
    let pooler = pooler(Prepared::KnownAndHidden).await;
    let hidden = || Dlc::new().env("DATABASE_URL", &pooler.url(&database));
    for arguments in [
        &["migrate", "verify"][..],
        &["migrate", "plan"],
        &["migrate", "down", "--plan"],
    ] {
        let look = hidden().with_migrations("expanded").run(arguments).await;
        assert_eq!(look.code, 0, "{look:?}");
    }
    // Whoever comes next finds the live tables, and writes there.
    let mut session = PgConnection::connect(&pooler.url(&database)).await.unwrap();
    let path: String = session.fetch_one("SHOW search_path").await.unwrap().get(0);
    assert_eq!(path, "\"$user\", public");
    session
        .execute("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('d', 1, 1)")
        .await
        .unwrap();
    assert_eq!(database.number("SELECT count(*) FROM coupons").await, 2);
    let refused = hidden().with_migrations("concurrent").run(&["migrate", "up"]).await;
    refused.assert_error(78, "SRV006 session affinity: a transaction pooler is in between");
}

/// Otherwise `DLC_TEST_POOLER=pgbouncer cargo test` could be green for nothing.
#[tokio::test]
async fn a_run_that_asks_for_it_has_its_servers_behind_it() {
    let server = Server::start(Database::migrated(Engine::Postgres).await).await;
    let port = match PgBouncer::shared().await {
        Some(shared) => shared.port(),
        None => postgres::cluster().await.port,
    };
    let place = format!("@127.0.0.1:{port}/{}", server.database.name());
    assert!(server.log().contains(&place), "{place} is not in {}", server.log());
}
