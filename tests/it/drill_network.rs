//! Drill: the network between the servers and PostgreSQL drops everything, and tells nobody, while a crowd claims. Nobody waits
//! without end, no server ends, and when packets pass again everything goes on by itself.

use std::time::{Duration, Instant};

use crate::harness::{
    Database, Engine, Proxy,
    drill::{Figures, Random, drill},
    load::Load,
    postgres,
    sales::Shop,
};

async fn go_dark(mut random: Random) -> Figures {
    let database = Database::migrated(Engine::Postgres).await;
    let port = postgres::cluster().await.port;
    let proxy = Proxy::to(port).await;
    let far = database.url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port));
    let shop = Shop::open(database, 2, &[("DATABASE_URL", &far)]).await;
    let load = Load::on(&shop, 16).await;
    let mut latest = Duration::ZERO;
    const TIMES: usize = 2;
    for _ in 0..TIMES {
        // At whatever moment: something is always under way.
        let moment = Duration::from_micros(random.below(50_000) as u64);
        tokio::time::sleep(moment).await;
        proxy.darken(true);
        for server in shop.servers() {
            server.until("/readyz", 503).await;
            assert_eq!(server.get("/livez").await.status, 200);
        }
        proxy.darken(false);
        let light = Instant::now();
        for server in shop.servers() {
            server.until("/readyz", 200).await;
        }
        latest = latest.max(light.elapsed());
        load.goes_on().await;
    }
    load.ends().await;
    let tally = shop.close().await;
    assert!(tally.unknown > 0, "nobody noticed");
    Figures::default()
        .count("blackouts", TIMES)
        .count("claims granted", tally.granted)
        .count("answers that said to come again", tally.unknown)
        .longest("ready after the last of the dark within", latest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_drops_packets_silently_loses_no_granted_claim_and_is_recovered_from() {
    drill("silent network (Postgres)", go_dark).await;
}
