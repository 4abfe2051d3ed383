//! Drill: a crowd at one server. Exactly what there is gets sold, to people who each have one.

use std::ops::Range;

use crate::harness::{
    Database, Engine,
    drill::{drill, in_all_sizes},
    on_both_engines,
    sales::{PATIENT, Shop, Wish, verdicts},
};

async fn shop(engine: Engine, variables: &[(&str, &str)]) -> Shop {
    let variables: Vec<_> = PATIENT.iter().chain(variables).copied().collect();
    Shop::open(Database::migrated(engine).await, 1, &variables).await
}

/// Sells a stock to different people, who all come at once and once more when it is over.
async fn sell(shop: &Shop, coupon: &str, people: Range<usize>, stock: usize) {
    shop.offer(coupon, stock).await;
    let wishes = Wish::of_all(people, coupon);
    let all = wishes.len();
    let heard = shop.tills.rush(wishes.clone()).await;
    assert_eq!(verdicts(&heard), (stock, all - stock), "{coupon}: {heard:?}");
    // Whoever has one hears that, sold out or not (I6); the ledger knows who that is.
    let again = shop.tills.rush(wishes).await;
    assert_eq!(verdicts(&again), (stock, all - stock), "{coupon}: {again:?}");
}

on_both_engines! {
    async fn flash_sale(engine: Engine) {
        let small = [(50, 5), (100, 10), (200, 20)];
        let large = [(500, 50), (5_000, 500)];
        let sizes = if in_all_sizes() { [&small[..], &large].concat() } else { small.to_vec() };
        drill(format!("flash sales ({engine:?})"), async |_| {
            let shop = shop(engine, &[]).await;
            for (people, stock) in &sizes {
                sell(&shop, &format!("{people}-for-{stock}"), 0..*people, *stock).await;
            }
            shop.close().await
        })
        .await;
    }

    async fn stampede_for_a_single_piece(engine: Engine) {
        drill(format!("stampede ({engine:?})"), async |_| {
            let shop = shop(engine, &[]).await;
            for sale in 0..3 {
                sell(&shop, &format!("the-only-one-{sale}"), 0..100, 1).await;
            }
            shop.close().await
        })
        .await;
    }

    async fn flash_sale_through_two_connections(engine: Engine) {
        let narrow = [("DLC_DATABASE__MAX_OPEN_CONNS", "2"), ("DLC_DATABASE__MAX_IDLE_CONNS", "2")];
        drill(format!("pool of two ({engine:?})"), async |_| {
            let shop = shop(engine, &narrow).await;
            sell(&shop, "narrow", 0..200, 20).await;
            shop.close().await
        })
        .await;
    }

    async fn one_person_many_times_at_once(engine: Engine) {
        drill(format!("double dips and constraint storms ({engine:?})"), async |_| {
            let shop = shop(engine, &[]).await;
            for (coupon, times) in [("dip", 10), ("storm", 50)] {
                shop.offer(coupon, 60).await;
                for person in 0..4 {
                    let heard = shop.tills.rush(vec![Wish::of(person, coupon); times]).await;
                    assert_eq!(verdicts(&heard), (times, 0), "{coupon}: {heard:?}");
                }
            }
            // Several people, each many times, and less than there are people: who has one never hears that it is sold out.
            shop.offer("crush", 5).await;
            let wishes: Vec<_> = (0..10).flat_map(|_| Wish::of_all(0..10, "crush")).collect();
            let heard = shop.tills.rush(wishes).await;
            assert_eq!(verdicts(&heard), (50, 50), "{heard:?}");
            shop.close().await
        })
        .await;
    }

    async fn one_request_many_times_at_once_under_its_key(engine: Engine) {
        drill(format!("keyed storms ({engine:?})"), async |_| {
            let shop = shop(engine, &[]).await;
            shop.offer("keyed", 3).await;
            // People with a key, each many times, among people without; again and again until each time is answered.
            let wishes: Vec<_> = (0..12).flat_map(|_| Wish::of_all_kinds(0..8, "keyed")).collect();
            let heard = shop.tills.rush(wishes).await;
            assert_eq!(verdicts(&heard), (36, 60), "{heard:?}");
            shop.close().await
        })
        .await;
    }
}
