//! `dlc db check`: what heals is waited for when that is asked for, and what does not is told at once.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

use crate::{
    cli_db_check::{assert_status, finding},
    harness::{Database, Dlc, Engine, Running, postgres},
};

fn on(url: &str) -> Dlc {
    Dlc::new().env("DATABASE_URL", url)
}

/// Longer than any test may take: whoever waits is found out.
const LONG: &str = "--wait=10m";

#[tokio::test]
async fn a_server_that_starts_is_waited_for() {
    let cluster = postgres::Cluster::own("-c wal_level=replica").await;
    let url = cluster.url("postgres");
    cluster.order(postgres::Order::Kill).await;
    let waiting: Running = on(&url).start(&["db", "check", "--only", "SRV001", LONG]);
    waiting.until_said("connection refused").await;
    cluster.order(postgres::Order::StartBehindTheGate).await;
    waiting.until_said("s left: the database system is starting up").await;
    let looked = on(&url)
        .run(&["db", "check", "--only", "SRV001", "--format", "json"])
        .await;
    assert_status(&looked, "SRV001", "fail");
    assert_eq!(looked.code, 69);
    cluster.order(postgres::Order::OpenTheGate).await;
    let finished = waiting.finished().await;
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(finished.stdout.contains("✓ ok       SRV001"), "{finished:?}");
}

#[tokio::test]
async fn a_server_that_hangs_is_told_in_time_and_waited_for() {
    let cluster = postgres::Cluster::own("").await;
    let url = cluster.url("postgres");
    cluster.order(postgres::Order::Freeze).await;
    let arguments = [
        "db",
        "check",
        "--timeout",
        "300ms",
        "--only",
        "SRV001",
        "--format",
        "json",
    ];
    let looked = on(&url).run(&arguments).await;
    assert_status(&looked, "SRV001", "fail");
    assert!(looked.stdout.contains("no answer within "), "{looked:?}");
    let waiting: Running = on(&url).start(&[&arguments[..], &[LONG]].concat());
    waiting.until_said("s left: no answer within ").await;
    cluster.order(postgres::Order::Thaw).await;
    assert_eq!(waiting.finished().await.code, 0);
    cluster.order(postgres::Order::Stop).await;
    cluster.order(postgres::Order::Start).await;
    assert_eq!(on(&url).run(&["db", "check", "--only", "SRV001", LONG]).await.code, 0);
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_told_and_waited_for() {
    let extra = "-c max_connections=5 -c superuser_reserved_connections=0";
    let cluster = postgres::Cluster::own(extra).await;
    let url = cluster.url("postgres");
    let mut taken = Vec::new();
    while let Ok(session) = PgConnection::connect(&url).await {
        taken.push(session);
    }
    let looked = on(&url).run(&["db", "check", "--format", "json"]).await;
    assert_status(&looked, "SRV001", "fail");
    assert!(looked.stdout.contains("too many clients"), "{looked:?}");
    assert_eq!(looked.code, 69);
    let waiting: Running = on(&url).start(&["db", "check", "--only", "CAP001", "--format", "json", LONG]);
    waiting.until_said("too many clients").await;
    taken.pop().unwrap().close().await.unwrap();
    let finished = waiting.finished().await;
    assert_status(&finished, "CAP001", "fail");
    assert!(
        finding(&finished.json(), "CAP001")["measured"]
            .as_str()
            .unwrap()
            .contains("5 of 5"),
        "{finished:?}"
    );
    drop(taken);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_yet_is_waited_for_as_long_as_is_wanted() {
    let refused = on("postgres://u@no-such-host.invalid/x")
        .run(&["db", "check", "--wait=600ms"])
        .await;
    assert_eq!(refused.code, 69);
    assert!(
        refused
            .stderr
            .contains("waiting for the database, 0s left: the host name does not resolve"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_does_not_heal_is_told_at_once() {
    let cluster = postgres::cluster().await;
    let database = Database::migrated(Engine::Postgres).await;
    let role = format!("nobody_of_{}", database.name());
    let revoke = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'role'; REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
        database.name()
    );
    database.execute(&revoke).await;
    let port = cluster.port;
    let by_name = database.url.replace("@127.0.0.1:", "@localhost:");
    let cases = [
        (
            "SRV002",
            77,
            format!("postgres://dlc_test:wrong@127.0.0.1:{port}/postgres"),
        ),
        (
            "SRV002",
            77,
            format!("postgres://{role}:role@127.0.0.1:{port}/{}", database.name()),
        ),
        ("SRV003", 69, cluster.url("missing_test")),
        ("NET003", 69, format!("{by_name}?sslmode=verify-full")),
        ("CFG001", 78, "mysql://u@db/x".to_owned()),
    ];
    for (id, code, url) in cases {
        let started = Instant::now();
        let told = on(&url).run(&["db", "check", "--format", "json", LONG]).await;
        assert_status(&told, id, "fail");
        assert_eq!((told.code, told.stderr.as_str()), (code, ""), "{told:?}");
        assert!(started.elapsed() < Duration::from_secs(60), "it waited: {told:?}");
    }
    database.execute(&format!("DROP ROLE {role}")).await;
}
