//! Drill: coupons are created, claimed and looked at, all at once. Every look is right (I1, I2), goes on from the one before,
//! and a coupon is there as soon as somebody was told so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;

use crate::harness::{
    Database, Engine,
    drill::{Random, Tally, drill},
    ledger::Heard,
    on_both_engines,
    sales::{Look, PATIENT, Seen, Shop, Tills, Wish, verdicts},
};

const COUPONS: usize = 5;
const STOCK: usize = 12;
const PEOPLE: usize = 30;

fn coupon(number: usize) -> String {
    format!("coupon-{number}")
}

/// Looks at coupons in turn until told to stop, in both forms, and returns how often.
async fn watch(tills: Tills, mut random: Random, is_over: Arc<AtomicBool>) -> usize {
    let mut last: Vec<Option<Seen>> = vec![None; COUPONS];
    let mut looks = 0;
    while !is_over.load(Ordering::Relaxed) {
        let number = random.below(COUPONS);
        let is_literal = random.below(2) == 0;
        let look = tills.look(&coupon(number), looks, is_literal).await;
        looks += 1;
        let mut seen = match look {
            Look::Seen(seen) => seen,
            Look::Unknown => continue,
            Look::Missing => {
                assert!(last[number].is_none(), "{} is gone", coupon(number));
                continue;
            }
        };
        if let Some(before) = &last[number] {
            assert!(
                seen.remaining <= before.remaining,
                "stock came back: {before:?}, {seen:?}"
            );
            let is_continued = !is_literal || seen.claimed_by.starts_with(&before.claimed_by);
            assert!(is_continued, "not in the order of claims: {before:?}, {seen:?}");
            if !is_literal {
                seen.claimed_by.clone_from(&before.claimed_by);
            }
        }
        last[number] = Some(seen);
    }
    looks
}

/// Claims until there is such a coupon; unless it exists already, when nobody may be told that there is none.
async fn insist(tills: Tills, wish: Wish, number: usize, created: &[AtomicBool]) -> Heard {
    let index: usize = wish.coupon.rsplit('-').next().unwrap().parse().unwrap();
    loop {
        let was_created = created[index].load(Ordering::SeqCst);
        let heard = tills.learn_and_look(&wish, number).await;
        if heard != Heard::NotFound {
            return heard;
        }
        assert!(!was_created, "{wish:?}: created, and not found");
        // The creators need their time too.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn mixed(engine: Engine, servers: usize, mut random: Random) -> Tally {
    let shop = Shop::open(Database::migrated(engine).await, servers, PATIENT).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut watchers = JoinSet::new();
    for _ in 0..4 {
        watchers.spawn(watch(shop.tills.clone(), random.fork(), Arc::clone(&is_over)));
    }
    // Created one after the other, each by two at once, when so many claims were judged as chance has it.
    let created: Arc<[AtomicBool]> = (0..COUPONS).map(|_| AtomicBool::new(false)).collect();
    let mut moments = random.moments(COUPONS, PEOPLE * COUPONS / 2);
    moments[0] = 0;
    let creations = async {
        for (number, moment) in moments.into_iter().enumerate() {
            shop.tills.ledger.until_judged(moment).await;
            let name = coupon(number);
            let (one, other) = tokio::join!(shop.offer(&name, STOCK), shop.offer(&name, STOCK));
            assert!(one || other, "{name} was created by neither");
            created[number].store(true, Ordering::SeqCst);
        }
    };
    // Everybody wants one of each, in an order of their own, and every fourth wish is for something that never was.
    let mut wishes: Vec<_> = (0..COUPONS)
        .flat_map(|number| Wish::of_all_kinds(0..PEOPLE, &coupon(number)))
        .collect();
    for at in (1..wishes.len()).rev() {
        wishes.swap(at, random.below(at + 1));
    }
    let unknown = Wish::of_all(0..PEOPLE, "never-was");
    let asked = Arc::new(AtomicUsize::new(0));
    let claims = shop.tills.rush_of(24, wishes, {
        let (created, asked) = (Arc::clone(&created), Arc::clone(&asked));
        move |tills, wish, number| {
            let (created, unknown) = (Arc::clone(&created), unknown.clone());
            let asked = Arc::clone(&asked);
            async move {
                if number.is_multiple_of(4) {
                    let nothing = &unknown[asked.fetch_add(1, Ordering::Relaxed) % PEOPLE];
                    assert_eq!(tills.learn(nothing, number).await, Heard::NotFound);
                }
                insist(tills, wish, number, &created).await
            }
        }
    });
    let ((), heard) = tokio::join!(creations, claims);
    is_over.store(true, Ordering::Relaxed);
    let looks: usize = watchers.join_all().await.into_iter().sum();
    assert!(looks > 0);
    let expected = (COUPONS * STOCK, COUPONS * (PEOPLE - STOCK));
    assert_eq!(verdicts(&heard), expected, "{heard:?}");
    shop.close().await
}

on_both_engines! {
    async fn creating_claiming_and_looking_at_once(engine: Engine) {
        drill(format!("mixed ({engine:?})"), async |random| mixed(engine, 1, random).await).await;
    }

    async fn creating_claiming_and_looking_at_two_servers_at_once(engine: Engine) {
        drill(format!("mixed at two servers ({engine:?})"), async |random| mixed(engine, 2, random).await).await;
    }

    async fn a_coupon_that_was_missed_is_there_as_soon_as_it_is_created(engine: Engine) {
        drill(format!("missed before ({engine:?})"), async |_| {
            let shop = Shop::open(Database::migrated(engine).await, 2, PATIENT).await;
            for round in 0..5 {
                let name = format!("late-{round}");
                let wishes = Wish::of_all(0..8, &name);
                let missed = shop.tills.rush(wishes.clone()).await;
                assert!(missed.iter().all(|heard| *heard == Heard::NotFound), "{missed:?}");
                shop.offer(&name, 8).await;
                let heard = shop.tills.rush(wishes).await;
                assert_eq!(verdicts(&heard), (8, 0), "{heard:?}");
            }
            shop.close().await
        })
        .await;
    }
}
