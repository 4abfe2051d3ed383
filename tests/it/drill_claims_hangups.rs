//! Drill: clients that hang up at any moment, and ask again later. What they had begun is done whole or not at all, and they
//! hear which.

use std::time::Duration;

use crate::harness::{
    Database, Engine,
    drill::{Random, Tally, drill},
    on_both_engines,
    sales::{Shop, Wish, verdicts},
};

const PEOPLE: usize = 120;
const STOCK: usize = 50;
/// A claim in a crowd is answered within a few of them.
const LATEST_MS: usize = 40;

async fn hang_up_and_ask_again(engine: Engine, servers: usize, mut random: Random) -> Tally {
    let shop = Shop::open(Database::migrated(engine).await, servers, &[]).await;
    shop.offer("c", STOCK).await;
    // Two of three hang up, some of them more than once.
    let moments: Vec<Vec<usize>> = (0..PEOPLE)
        .map(|_| (0..random.below(3)).map(|_| random.below(LATEST_MS * 1_000)).collect())
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
    let heard = heard.await;
    assert_eq!(verdicts(&heard), (STOCK, PEOPLE - STOCK), "{heard:?}");
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
