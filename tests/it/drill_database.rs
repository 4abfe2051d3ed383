//! Drill: PostgreSQL is stopped, killed, restarted, frozen, and rid of its sessions, while a crowd claims. No server ends; each says
//! that it is not ready while the database is away, and is ready when it is back; whatever was granted is there.

use std::time::{Duration, Instant};

use sqlx::{Connection, Executor, PgConnection};

use crate::harness::{
    Database, Engine,
    drill::{Figures, Random, drill},
    load::Load,
    postgres::{Cluster, Order},
    sales::Shop,
};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// Faults that are followed by the database's return.
const FAULTS: [Fault; 5] = [
    Fault::Stop,
    Fault::Kill,
    Fault::Restart,
    Fault::Freeze,
    Fault::Terminate,
];

#[derive(Clone, Copy, Debug)]
enum Fault {
    Stop,
    Kill,
    /// A stop and a start at once: nobody waits until it was noticed.
    Restart,
    Freeze,
    /// `pg_terminate_backend`, on each session, several times.
    Terminate,
}

/// Until the server lets somebody in and answers.
async fn until_back(cluster: &Cluster) {
    let started = Instant::now();
    loop {
        if let Ok(mut session) = PgConnection::connect(&cluster.url("postgres")).await
            && session.execute("SELECT 1").await.is_ok()
        {
            return;
        }
        assert!(started.elapsed() < LIMIT, "PostgreSQL does not come back");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn until_all(shop: &Shop, status: u16) {
    for server in shop.servers() {
        let answer = server.until("/readyz", status).await;
        if status == 503 {
            assert_eq!(server.get("/livez").await.status, 200, "{answer:?}");
        }
    }
}

async fn befall(shop: &Shop, cluster: &Cluster, fault: Fault) -> Duration {
    match fault {
        Fault::Stop | Fault::Kill => {
            let order = if matches!(fault, Fault::Stop) {
                Order::Stop
            } else {
                Order::Kill
            };
            cluster.order(order).await;
            until_all(shop, 503).await;
            cluster.order(Order::Start).await;
        }
        Fault::Restart => {
            cluster.order(Order::Stop).await;
            cluster.order(Order::Start).await;
        }
        Fault::Freeze => {
            cluster.order(Order::Freeze).await;
            until_all(shop, 503).await;
            cluster.order(Order::Thaw).await;
        }
        Fault::Terminate => {
            let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
                          AND backend_type = 'client backend'";
            for _ in 0..5 {
                cluster.execute("postgres", others).await;
            }
        }
    }
    until_back(cluster).await;
    let back = Instant::now();
    until_all(shop, 200).await;
    back.elapsed()
}

async fn under_load(mut random: Random) -> Figures {
    // What was granted has to be on the disk: the suite's own servers wait for no commit.
    let cluster = Cluster::own("-c synchronous_commit=on -c fsync=on").await;
    let database = Database::at(Engine::Postgres, &cluster.url("postgres"));
    let shop = Shop::open(database, 2, &[]).await;
    let load = Load::on(&shop, 16).await;
    let mut faults = FAULTS;
    for at in (1..faults.len()).rev() {
        faults.swap(at, random.below(at + 1));
    }
    let mut latest = Duration::ZERO;
    for fault in faults {
        latest = latest.max(befall(&shop, &cluster, fault).await);
        load.goes_on().await;
    }
    load.ends().await;
    let tally = shop.close().await;
    assert!(tally.unknown > 0, "nobody noticed");
    Figures::default()
        .count("faults", faults.len())
        .count("claims granted", tally.granted)
        .count("answers that said to come again", tally.unknown)
        .longest("ready after the database's return within", latest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_it_under_load_no_granted_claim_is_lost_and_readiness_follows() {
    drill("faults of the database under load (Postgres)", under_load).await;
}
