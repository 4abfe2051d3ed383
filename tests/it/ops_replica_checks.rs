//! What `dlc db check` and `dlc config check` say of a replica for reads.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Database, Dlc, Engine, Finished, Pair, postgres::Order};

const LIMIT: Duration = Duration::from_secs(60);

async fn checked(dlc: Dlc) -> Finished {
    let checked = dlc.run(&["db", "check", "--only", "REP001", "--format", "json"]).await;
    checked.assert_no_secret();
    checked
}

fn rep001(checked: &Finished) -> Value {
    let report = checked.json();
    let checks = report["checks"].as_array().unwrap();
    checks
        .iter()
        .find(|check| check["id"] == "REP001")
        .unwrap_or_else(|| panic!("{report}"))
        .clone()
}

/// Looks until it is said so, and returns what is said.
async fn until(dlc: impl Fn() -> Dlc, status: &str, words: &str) -> Value {
    let started = Instant::now();
    loop {
        let checked = checked(dlc()).await;
        let found = rep001(&checked);
        let said = found["measured"].as_str().unwrap();
        if found["status"] == status && said.contains(words) {
            assert_eq!(checked.code, 0, "nothing has failed: {checked:?}");
            assert_eq!(found["hint"].is_string(), status == "warn", "{found}");
            return found;
        }
        assert!(started.elapsed() < LIMIT, "{status} {words:?} is not {found}");
    }
}

#[tokio::test]
async fn a_replica_that_is_not_used_is_told_with_the_reason_and_what_to_do() {
    let pair = Pair::with("").await;
    let migrated = pair.dlc().run(&["migrate", "up"]).await;
    assert_eq!(migrated.code, 0, "{migrated:?}");
    let here = || pair.dlc();
    let patient = || pair.dlc().env("DLC_DATABASE__REPLICA_MAX_LAG", "1h");
    until(here, "ok", "the one for reads is").await;
    // Behind, while it stands still; how much is too much is the configuration's to say.
    pair.pause().await;
    pair.execute("CREATE TABLE more (id integer); INSERT INTO more VALUES (1)")
        .await;
    let behind = until(here, "warn", "behind").await;
    let said = behind["measured"].as_str().unwrap();
    assert!(
        said.contains("more than 2.0 s") && said.contains("the primary answers all reads"),
        "{behind}"
    );
    assert!(
        behind["hint"].as_str().unwrap().contains("pg_is_wal_replay_paused"),
        "{behind}"
    );
    until(patient, "ok", "the one for reads is").await;
    pair.resume().await;
    until(here, "ok", "the one for reads is").await;
    // Neither another database nor the primary itself is a replica.
    let other = pair.replica_url().replace("/shop", "/postgres");
    let is = |url: &str| pair.dlc().env("DLC_DATABASE__REPLICA_URL", url);
    until(|| is(&other), "warn", "is no copy of this database").await;
    until(|| is(&pair.url()), "warn", "is no replica").await;
    let wrong = pair.replica_url().replace("/shop", "/nowhere");
    until(|| is(&wrong), "warn", "does not exist").await;
    // One that hangs holds the doctor up for no longer than what it has to say.
    pair.order(Order::FreezeStandby).await;
    until(here, "warn", "no answer within").await;
    pair.order(Order::ThawStandby).await;
    pair.order(Order::StopStandby).await;
    let gone = until(here, "warn", "connection refused").await;
    assert!(gone["hint"].as_str().unwrap().contains("start it"), "{gone}");
    pair.order(Order::StartStandby).await;
    until(here, "ok", "the one for reads is").await;
    pair.on_replica("SELECT pg_promote()").await;
    let promoted = until(here, "warn", "was promoted").await;
    assert!(promoted["hint"].as_str().unwrap().contains("pg_rewind"), "{promoted}");
    // Without one there is nothing to say of it.
    let without = || Dlc::new().env("DATABASE_URL", &pair.url());
    let alone = rep001(&checked(without()).await);
    assert!(!alone["measured"].as_str().unwrap().contains("for reads"), "{alone}");
}

#[tokio::test]
async fn a_role_without_privileges_is_told_of_its_replica_too_and_is_served_by_it() {
    let pair = Pair::with("").await;
    let role = "CREATE ROLE waiter LOGIN PASSWORD 'tulip'; GRANT ALL ON SCHEMA public TO waiter; \
                ALTER DATABASE shop OWNER TO waiter";
    pair.execute(role).await;
    let as_waiter = |url: &str| {
        let (_, place) = url.rsplit_once('@').unwrap();
        format!("postgres://waiter:tulip@{place}")
    };
    let (primary, replica) = (as_waiter(&pair.url()), as_waiter(&pair.replica_url()));
    let dlc = || {
        Dlc::new()
            .env("DATABASE_URL", &primary)
            .env("DLC_DATABASE__REPLICA_URL", &replica)
    };
    let started = Instant::now();
    // Until the role has come to the standby.
    while rep001(&checked(dlc()).await)["status"] != "ok" {
        assert!(started.elapsed() < LIMIT, "{:?}", checked(dlc()).await);
    }
    let server = crate::harness::Server::start_as(Database::at(Engine::Postgres, &primary), dlc(), &[]).await;
    server.until_replica_is_used().await;
}

#[tokio::test]
async fn what_cannot_be_a_replica_is_refused_before_anything_is_opened() {
    let sqlite = Database::empty(Engine::Sqlite).await;
    let replica = "postgres://ada:c%C3%A4nary@localhost:5433/shop";
    for (url, replica, lag, words) in [
        (sqlite.url.as_str(), replica, "2s", "SQLite has no replicas"),
        (
            "postgres://ada@localhost/shop",
            "sqlite://x.db",
            "2s",
            "must name a replica on PostgreSQL",
        ),
        (
            "postgres://ada@localhost/shop",
            replica,
            "500ms",
            "replica_max_lag must be at least 1s",
        ),
    ] {
        let dlc = || {
            Dlc::new()
                .env("DATABASE_URL", url)
                .env("DLC_DATABASE__REPLICA_URL", replica)
                .env("DLC_DATABASE__REPLICA_MAX_LAG", lag)
        };
        let refused = dlc().run(&["serve", "--port", "0"]).await;
        refused.assert_error(78, words);
        let checked = dlc().run(&["db", "check", "--only", "CFG004"]).await;
        assert!(checked.code == 78 && checked.stdout.contains(words), "{checked:?}");
        checked.assert_no_secret();
    }
    let dlc = Dlc::new()
        .env("DATABASE_URL", "postgres://ada@localhost/shop")
        .env("DLC_DATABASE__REPLICA_URL", "postgres://ada:cänary/+@localhost/shop");
    let refused = dlc.run(&["serve", "--port", "0"]).await;
    refused.assert_error(78, "the replica's URL from database.replica_url cannot be used");
    let dlc = Dlc::new()
        .env("DATABASE_URL", "postgres://ada@localhost/shop")
        .env("DLC_DATABASE__REPLICA_URL", replica);
    let shown = dlc.run(&["config", "show"]).await;
    assert!(shown.stdout.contains("replica_url"), "{shown:?}");
    shown.assert_no_secret();
}
