//! Drill: the database's sessions, or all of it, are lost in the middle of a sale. What was granted is kept, what was refused is
//! not, and whoever was told neither asks again and hears the truth.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::Mutex;

use crate::harness::{
    Database, Engine, Proxy,
    drill::{Random, Tally, drill},
    ledger::Heard,
    postgres::{self, Cluster, Order},
    sales::{Shop, Wish, verdicts},
};

/// People come in waves, a third of them with keys. In each wave but the first something happens.
const WAVES: usize = 8;
const IN_A_WAVE: usize = 30;
const PEOPLE: usize = WAVES * IN_A_WAVE;
const STOCK: usize = PEOPLE * 5 / 8;

/// Runs a sale in which something happens in the middle of each wave, and nobody gives up.
async fn sell(shop: &Shop, random: &mut Random, happen: impl AsyncFn(usize)) {
    shop.offer("c", STOCK).await;
    let mut heard = Vec::new();
    let mut shortest = Duration::MAX;
    for wave in 0..WAVES {
        let people = wave * IN_A_WAVE..(wave + 1) * IN_A_WAVE;
        let started = Instant::now();
        let claims = shop.tills.rush_of(
            IN_A_WAVE,
            Wish::of_all_kinds(people, "c"),
            async |tills, wish, number| tills.learn_and_look(&wish, number).await,
        );
        let accident = async {
            if wave > 0 {
                // As if drawn from the time that a wave takes on this machine.
                tokio::time::sleep(shortest * u32::try_from(random.below(1_000)).unwrap() / 1_000).await;
                happen(wave).await;
            }
        };
        let (told, ()) = tokio::join!(claims, accident);
        heard.extend(told);
        shortest = shortest.min(started.elapsed());
    }
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

/// Makes such a sale, and another one where nobody noticed: now and then all that happens comes when everybody of a wave has an answer.
async fn until_noticed(mut random: Random, sale: impl AsyncFn(&mut Random) -> Tally) -> Tally {
    let mut all = Tally::default();
    for _ in 0..3 {
        all += sale(&mut random).await;
        if all.unknown > 0 {
            return all;
        }
    }
    panic!("nobody noticed in three sales");
}

async fn terminate(servers: usize, random: &mut Random) -> Tally {
    let database = Database::migrated(Engine::Postgres).await;
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
        database.name()
    );
    // Connected before, so that it happens when it should.
    let session = PgConnection::connect(&postgres::cluster().await.url("postgres"))
        .await
        .unwrap();
    let session = Mutex::new(session);
    let shop = Shop::open(database, servers, &[]).await;
    sell(&shop, random, async |_| {
        session.lock().await.execute(AssertSqlSafe(end.as_str())).await.unwrap();
    })
    .await;
    shop.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_ended_again_and_again() {
    drill("ended sessions (Postgres)", async |random| {
        until_noticed(random, async |random| terminate(1, random).await).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_two_servers_that_are_ended_again_and_again() {
    drill("ended sessions of two servers (Postgres)", async |random| {
        until_noticed(random, async |random| terminate(2, random).await).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_in_the_middle_of_a_sale() {
    drill("killed database (Postgres)", async |random| {
        until_noticed(random, kill).await
    })
    .await;
}

async fn kill(random: &mut Random) -> Tally {
    // What was granted has to be on the disk: the suite's own servers wait for no commit.
    let cluster = Cluster::own("-c synchronous_commit=on -c fsync=on").await;
    let database = Database::at(Engine::Postgres, &cluster.url("postgres"));
    let shop = Shop::open(database, 2, &[]).await;
    sell(&shop, random, async |_| {
        cluster.order(Order::Kill).await;
        cluster.order(Order::Start).await;
    })
    .await;
    shop.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_whose_answer_is_lost_are_never_made_twice_nor_told_as_somebody_elses() {
    drill("lost answers to commits (Postgres)", async |random| {
        until_noticed(random, lose_answers).await
    })
    .await;
}

async fn lose_answers(random: &mut Random) -> Tally {
    let database = Database::migrated(Engine::Postgres).await;
    let port = postgres::cluster().await.port;
    let proxy = Proxy::to(port).await;
    let far = database.url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port));
    // In clear, so that the proxy can read along.
    let far = format!("{far}?sslmode=disable");
    let shop = Shop::open(database, 1, &[("DATABASE_URL", &far)]).await;
    sell(&shop, random, async |wave| {
        // The wave may be over before, and after the last piece there is nothing to commit.
        let is_over = shop.tills.ledger.until_judged((wave + 1) * IN_A_WAVE);
        tokio::select! {
            () = proxy.lose_the_answer_to("COMMIT") => {}
            () = is_over => {}
        }
    })
    .await;
    shop.close().await
}
