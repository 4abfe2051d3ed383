//! Drill: several servers on one database, and the same people at all of them. The row's lock judges, whatever each server
//! remembers by itself.

use crate::harness::{
    Database, Engine,
    drill::{Tally, drill},
    on_both_engines,
    sales::{PATIENT, Shop, Wish, verdicts},
};

/// Everybody asks at each server at once; afterwards once more, everywhere.
async fn sell_at(servers: usize, engine: Engine) -> Tally {
    // So that many servers and many tests share the database's connections.
    let variables: Vec<_> = PATIENT
        .iter()
        .copied()
        .chain([("DLC_DATABASE__MAX_OPEN_CONNS", "4")])
        .collect();
    let shop = Shop::open(Database::migrated(engine).await, servers, &variables).await;
    let (people, stock) = (200 / servers, 20);
    shop.offer("everywhere", stock).await;
    // One after the other in this list go to one server after the other.
    let everybody: Vec<_> = Wish::of_all(0..people, "everywhere")
        .into_iter()
        .flat_map(|wish| vec![wish; servers])
        .collect();
    let expected = (stock * servers, (people - stock) * servers);
    let heard = shop.tills.rush(everybody.clone()).await;
    assert_eq!(verdicts(&heard), expected, "{heard:?}");
    // Now that it is sold out, each server knows who has one, whoever sold it.
    let again = shop.tills.rush(everybody).await;
    assert_eq!(verdicts(&again), expected, "{again:?}");

    // Different people at different servers, each third with a key that is known at every server.
    shop.offer("keyed", stock).await;
    let mut wishes = Wish::of_all_kinds(0..people, "keyed");
    wishes.extend_from_within(1..);
    let heard = shop.tills.rush_of(64, wishes, async |tills, wish, number| {
        tills.learn_and_look(&wish, number).await
    });
    let heard = heard.await;
    let have = verdicts(&heard).0;
    assert!(have >= stock, "{heard:?}");
    shop.close().await
}

on_both_engines! {
    async fn a_sale_at_two_servers(engine: Engine) {
        drill(format!("two servers ({engine:?})"), async |_| sell_at(2, engine).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_at_four_servers() {
    drill("four servers (Postgres)", async |_| sell_at(4, Engine::Postgres).await).await;
}
