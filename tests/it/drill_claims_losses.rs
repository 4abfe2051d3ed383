//! Drill: the database's sessions, or all of it, are lost in the middle of a sale. What was granted is kept, what was refused is
//! not, and whoever was told neither asks again and hears the truth.

use std::time::Duration;

use crate::harness::{
    Database, Engine, Proxy,
    drill::{Random, Tally, drill},
    ledger::Heard,
    postgres::{self, Cluster, Order},
    sales::{Shop, Wish, verdicts},
};

/// A third of them have keys.
const PEOPLE: usize = 240;
const STOCK: usize = 150;
/// How many ask at a time: enough that claims travel together, where they do.
const AT_ONCE: usize = 32;

/// Runs a sale in which something happens whenever so many claims are judged, and nobody gives up.
async fn sell(shop: &Shop, moments: Vec<usize>, happen: impl AsyncFn(usize)) {
    shop.offer("c", STOCK).await;
    let wishes = Wish::of_all_kinds(0..PEOPLE, "c");
    let sale = shop.tills.rush_of(AT_ONCE, wishes, async |tills, wish, number| {
        tills.learn_and_look(&wish, number).await
    });
    let accidents = async {
        for (number, moment) in moments.into_iter().enumerate() {
            shop.tills.ledger.until_judged(moment).await;
            happen(number).await;
        }
    };
    let (heard, ()) = tokio::join!(sale, accidents);
    assert_eq!(verdicts(&heard), (STOCK, PEOPLE - STOCK), "{heard:?}");
    // Everybody once more, now that it is quiet.
    let again = shop.tills.rush(Wish::of_all_kinds(0..PEOPLE, "c")).await;
    for (first, second) in heard.iter().zip(&again) {
        let same = match first {
            Heard::OutOfStock => *second == Heard::OutOfStock,
            Heard::Granted { body, .. } => {
                let replay = Heard::Granted {
                    body: body.clone(),
                    replayed: true,
                };
                [Heard::AlreadyClaimed, replay].contains(second)
            }
            _ => second == first,
        };
        assert!(same, "first {first:?}, then {second:?}");
    }
}

async fn terminate(servers: usize, mut random: Random) -> Tally {
    let database = Database::migrated(Engine::Postgres).await;
    let name = database.name().to_owned();
    let shop = Shop::open(database, servers, &[]).await;
    let moments = random.moments(10, PEOPLE * 3 / 4);
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    let random = tokio::sync::Mutex::new(random);
    sell(&shop, moments, async |_| {
        let within = random.lock().await.below(10_000);
        tokio::time::sleep(Duration::from_micros(within as u64)).await;
        postgres::cluster().await.execute("postgres", &end).await;
    })
    .await;
    shop.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_ended_again_and_again() {
    drill("ended sessions (Postgres)", async |random| terminate(1, random).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_two_servers_that_are_ended_again_and_again() {
    drill("ended sessions of two servers (Postgres)", async |random| {
        terminate(2, random).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_in_the_middle_of_a_sale() {
    drill("killed database (Postgres)", async |mut random| {
        // What was granted has to be on the disk: the suite's own servers wait for no commit.
        let cluster = Cluster::own("-c synchronous_commit=on -c fsync=on", None).await;
        let database = Database::at(Engine::Postgres, &cluster.url("postgres"));
        let shop = Shop::open(database, 2, &[]).await;
        let moments = random.moments(2, PEOPLE * 3 / 4);
        let random = tokio::sync::Mutex::new(random);
        sell(&shop, moments, async |_| {
            let [within, away] = {
                let mut random = random.lock().await;
                [random.below(10_000), random.below(300_000)]
            };
            tokio::time::sleep(Duration::from_micros(within as u64)).await;
            cluster.order(Order::Kill).await;
            tokio::time::sleep(Duration::from_micros(away as u64)).await;
            cluster.order(Order::Start).await;
        })
        .await;
        let tally = shop.close().await;
        assert!(tally.unknown > 0, "nobody noticed");
        tally
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_whose_answer_is_lost_are_never_made_twice_nor_told_as_somebody_elses() {
    drill("lost answers to commits (Postgres)", async |mut random| {
        let database = Database::migrated(Engine::Postgres).await;
        let port = postgres::cluster().await.port;
        let proxy = Proxy::to(port).await;
        let far = database.url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port));
        // In clear, so that the proxy can read along.
        let far = format!("{far}?sslmode=disable");
        let shop = Shop::open(database, 1, &[("DATABASE_URL", &far)]).await;
        let moments = random.moments(8, STOCK * 3 / 4);
        sell(&shop, moments, async |_| proxy.lose_the_answer_to("COMMIT").await).await;
        let tally = shop.close().await;
        assert!(tally.unknown > 0, "nobody noticed");
        tally
    })
    .await;
}
