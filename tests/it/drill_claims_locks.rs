//! Drill: somebody else holds on to a coupon's row for longer than the limits allow. Whoever claims that one is told to come
//! again and then hears the truth; whoever claims another one is not in their way.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::harness::{
    Database, Engine,
    drill::{Random, Tally, drill},
    ledger::Heard,
    on_both_engines,
    sales::{MOST_AT_ONCE, PATIENT, Shop, Tills, Wish, verdicts},
};

/// Which limit ends the wait for the row.
const LIMITS: [[(&str, &str); 2]; 2] = [
    [
        ("DLC_DATABASE__LOCK_TIMEOUT", "400ms"),
        ("DLC_DATABASE__STATEMENT_TIMEOUT", "20s"),
    ],
    [
        ("DLC_DATABASE__LOCK_TIMEOUT", "0s"),
        ("DLC_DATABASE__STATEMENT_TIMEOUT", "400ms"),
    ],
];

async fn all_unknown(shop: &Shop, wishes: Vec<Wish>) {
    let ask = async |tills: Tills, wish: Wish, number| tills.claim(&wish, number).await;
    let heard = shop.tills.rush_of(MOST_AT_ONCE, wishes, ask).await;
    let is_unknown = |heard: &Heard| matches!(heard, Heard::Unknown(_));
    assert!(heard.iter().all(is_unknown), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_coupon_is_in_nobody_elses_way() {
    drill("a held coupon among others (Postgres)", async |_| {
        let mut tally = Tally::default();
        for limits in LIMITS {
            let shop = Shop::open(Database::migrated(Engine::Postgres).await, 1, &limits).await;
            // Before and after it, in whatever order they are locked.
            for coupon in ["a", "held", "z"] {
                shop.offer(coupon, 10).await;
            }
            let holder = shop.database().hold_coupon("held").await;
            let waiting = Wish::of_all_kinds(0..12, "held");
            let others = async {
                // One after the other, so that none of them waits for anybody but the held ones.
                let mut heard = Vec::new();
                for person in 0..5 {
                    for coupon in ["a", "z"] {
                        heard.push(shop.tills.learn(&Wish::of(person, coupon), 0).await);
                    }
                }
                heard
            };
            let ((), others) = tokio::join!(all_unknown(&shop, waiting.clone()), others);
            assert_eq!(verdicts(&others), (10, 0), "{limits:?}: {others:?}");
            holder.release().await;
            let heard = shop.tills.rush(waiting).await;
            assert_eq!(verdicts(&heard), (10, 2), "{limits:?}: {heard:?}");
            tally += shop.close().await;
        }
        tally
    })
    .await;
}

/// A row that is held again and again for as long as chance has it, around the limit.
async fn hold_now_and_then(engine: Engine, mut random: Random) -> Tally {
    let limits = [
        ("DLC_DATABASE__LOCK_TIMEOUT", "60ms"),
        ("DLC_DATABASE__STATEMENT_TIMEOUT", "2s"),
    ];
    let shop = Shop::open(Database::migrated(engine).await, 1, &limits).await;
    shop.offer("c", 80).await;
    let wishes = Wish::of_all_kinds(0..120, "c");
    let moments = random.moments(6, 100);
    let holds = async {
        for moment in moments {
            shop.tills.ledger.until_judged(moment).await;
            let holder = shop.database().hold_coupon("c").await;
            let long = Duration::from_millis(random.below(150) as u64);
            tokio::time::sleep(long).await;
            holder.release().await;
        }
    };
    let sale = shop.tills.rush_of(16, wishes, async |tills, wish, number| {
        tills.learn_and_look(&wish, number).await
    });
    let ((), heard) = tokio::join!(holds, sale);
    assert_eq!(verdicts(&heard), (80, 40), "{heard:?}");
    shop.close().await
}

on_both_engines! {
    async fn a_coupon_that_is_held_too_long_answers_503_and_then_the_truth(engine: Engine) {
        drill(format!("a held coupon ({engine:?})"), async |_| {
            let limits = [("DLC_DATABASE__LOCK_TIMEOUT", "150ms"), ("DLC_DATABASE__ACQUIRE_TIMEOUT", "1s")];
            let shop = Shop::open(Database::migrated(engine).await, 1, &limits).await;
            shop.offer("held", 3).await;
            let wishes = Wish::of_all_kinds(0..6, "held");
            for _ in 0..2 {
                let holder = shop.database().hold_coupon("held").await;
                all_unknown(&shop, wishes.clone()).await;
                // Reading waits for nobody.
                for is_literal in [true, false] {
                    assert!(shop.tills.look("held", 0, is_literal).await.seen().is_some_and(|seen| seen.remaining == 3));
                }
                holder.release().await;
            }
            let heard = shop.tills.rush(wishes).await;
            assert_eq!(verdicts(&heard), (3, 3), "{heard:?}");
            shop.close().await
        })
        .await;
    }

    async fn a_coupon_that_is_held_now_and_then_is_sold_to_the_last_piece(engine: Engine) {
        drill(format!("held now and then ({engine:?})"), async |random| hold_now_and_then(engine, random).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_locks_in_another_order_ends_no_claim_with_a_failure() {
    drill("locks in another order (Postgres)", async |mut random| {
        let database = Database::migrated(Engine::Postgres).await;
        let (url, name) = (database.url.clone(), database.name().to_owned());
        // Found out soon, so that many are found.
        database
            .execute(&format!("ALTER DATABASE {name} SET deadlock_timeout = '10ms'"))
            .await;
        let shop = Shop::open(database, 1, PATIENT).await;
        for coupon in ["a", "m", "z"] {
            shop.offer(coupon, 40).await;
        }
        let moments = random.moments(20, 150);
        let other = async {
            let mut session = PgConnection::connect(&url).await.unwrap();
            for moment in moments {
                shop.tills.ledger.until_judged(moment).await;
                // It may be the one that is ended.
                let mut order = ["a", "m", "z"];
                order.rotate_left(random.below(3));
                order[1..].reverse();
                drop(session.execute("BEGIN").await);
                for coupon in order {
                    let lock = format!("SELECT 1 FROM coupons WHERE name = '{coupon}' FOR UPDATE");
                    drop(session.execute(AssertSqlSafe(lock)).await);
                    tokio::time::sleep(Duration::from_micros(random.below(4_000) as u64)).await;
                }
                drop(session.execute("ROLLBACK").await);
            }
        };
        let wishes = (0..60)
            .flat_map(|person| ["a", "m", "z"].map(|coupon| Wish::of(person, coupon)))
            .collect();
        let sale = shop
            .tills
            .rush_of(32, wishes, async |tills, wish, number| tills.learn(&wish, number).await);
        let ((), heard) = tokio::join!(other, sale);
        assert_eq!(verdicts(&heard), (120, 60), "{heard:?}");
        shop.close().await
    })
    .await;
}
