//! Drill: clients that hang up at any moment, and ask again later. What they had begun is done whole or not at all, and they
//! hear which.

use std::time::Duration;

use crate::harness::{
    Database, Engine, Proxy,
    drill::{Random, Tally, drill},
    on_both_engines, postgres,
    sales::{Shop, Wish, verdicts},
};

const PEOPLE: usize = 120;
const STOCK: usize = 50;
/// Coupons that are created meanwhile.
const OTHERS: i64 = 40;
/// A claim in a crowd is answered within a few of them.
const LATEST_MS: usize = 40;

async fn hang_up_and_ask_again(engine: Engine, servers: usize, random: Random) -> Tally {
    let shop = Shop::open(Database::migrated(engine).await, servers, &[]).await;
    hang_up_at(shop, LATEST_MS, random).await
}

async fn hang_up_at(shop: Shop, latest_ms: usize, mut random: Random) -> Tally {
    shop.offer("c", STOCK).await;
    // Two of three hang up, some of them more than once.
    let moments: Vec<Vec<usize>> = (0..PEOPLE)
        .map(|_| (0..random.below(3)).map(|_| random.below(latest_ms * 1_000)).collect())
        .collect();
    let wishes = Wish::of_all_kinds(0..PEOPLE, "c");
    let heard = shop.tills.rush_of(48, wishes, move |tills, wish, number| {
        let moments = moments[number].clone();
        async move {
            for moment in moments {
                tills.hang_up(&wish, number, Duration::from_micros(moment as u64)).await;
            }
            tills.learn_and_look(&wish, number + 1).await
        }
    });
    // What is written meanwhile on connections that somebody hung up on is kept, too.
    let others = async {
        for number in 0..OTHERS {
            assert!(shop.offer(&format!("other-{number}"), 1).await);
        }
    };
    let (heard, ()) = tokio::join!(heard, others);
    assert_eq!(verdicts(&heard), (STOCK, PEOPLE - STOCK), "{heard:?}");
    let kept = shop.database().number("SELECT count(*) FROM coupons").await;
    assert_eq!(kept, 1 + OTHERS, "said to be created, and not kept");
    let tally = shop.close().await;
    assert!(tally.unknown > 0, "nobody hung up in time");
    tally
}

on_both_engines! {
    async fn who_hangs_up_and_asks_again_hears_the_truth(engine: Engine) {
        drill(format!("hang-ups ({engine:?})"), async |random| hang_up_and_ask_again(engine, 1, random).await).await;
    }

    async fn who_hangs_up_and_asks_another_server_hears_the_truth(engine: Engine) {
        let name = format!("hang-ups at two servers ({engine:?})");
        drill(name, async |random| hang_up_and_ask_again(engine, 2, random).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_on_a_server_that_is_far_from_its_database_hears_the_truth() {
    drill("hang-ups far from the database (Postgres)", async |random| {
        let database = Database::migrated(Engine::Postgres).await;
        let port = postgres::cluster().await.port;
        let proxy = Proxy::to(port).await;
        let far = database.url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port));
        // Few connections, so that whatever is left on one is soon somebody else's.
        let variables = [("DATABASE_URL", far.as_str()), ("DLC_DATABASE__MAX_OPEN_CONNS", "4")];
        let shop = Shop::open(database, 1, &variables).await;
        // Each statement is under way for that long, so that each is hung up on.
        proxy.delay(4);
        hang_up_at(shop, LATEST_MS * 4, random).await
    })
    .await;
}
