//! Drill: the database refuses commits, for certain. Nothing of them was done, so nobody may be told what would have been true
//! after them; and one claim that cannot be made spoils nobody else's.

use crate::harness::{
    Database, Engine,
    drill::drill,
    ledger::Heard,
    sales::{Shop, Tills, Wish, verdicts},
};

/// Refuses at the commit, as a conflict, whatever `when` is true of.
async fn refuse(database: &Database, event: &str, when: &str) {
    let function = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                    RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END $$";
    database.execute(function).await;
    let trigger = format!(
        "CREATE CONSTRAINT TRIGGER refuse {event} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ({when}) \
         EXECUTE FUNCTION refuse()"
    );
    database.execute(&trigger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_refused_for_a_piece_whose_sale_was_not_kept() {
    drill("refused last pieces (Postgres)", async |_| {
        let shop = Shop::open(Database::migrated(Engine::Postgres).await, 2, &[]).await;
        shop.offer("c", 5).await;
        refuse(shop.database(), "AFTER UPDATE ON coupons", "NEW.remaining_amount = 0").await;
        // As long as the last piece cannot be sold, nobody can hear that it was: each asks a few times and looks.
        let wishes = Wish::of_all_kinds(0..20, "c");
        let tries = shop
            .tills
            .rush_of(20, wishes.clone(), async |tills: Tills, wish: Wish, number| {
                for time in 0..5 {
                    let heard = tills.claim(&wish, number + time).await;
                    assert_ne!(heard, Heard::OutOfStock, "{wish:?}: nothing was sold out yet");
                    if heard.is_final() {
                        return heard;
                    }
                }
                Heard::Unknown("asked often enough".to_owned())
            });
        let heard = tries.await;
        let have = verdicts(&heard).0;
        assert!(have <= 4, "{heard:?}");
        shop.database().execute("DROP TRIGGER refuse ON coupons").await;
        let heard = shop.tills.rush(wishes).await;
        assert_eq!(verdicts(&heard), (5, 15), "{heard:?}");
        shop.close().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_cannot_be_made_spoils_nobody_elses() {
    drill("a refused person among others (Postgres)", async |_| {
        let shop = Shop::open(Database::migrated(Engine::Postgres).await, 1, &[]).await;
        // Enough for everybody.
        shop.offer("c", 60).await;
        refuse(
            shop.database(),
            "AFTER INSERT ON claims",
            "NEW.user_id IN ('u7', 'u30')",
        )
        .await;
        let wishes = Wish::of_all_kinds(0..60, "c");
        let heard = shop
            .tills
            .rush_of(60, wishes.clone(), async |tills: Tills, wish: Wish, number| {
                if ["u7", "u30"].contains(&wish.user.as_str()) {
                    return tills.claim(&wish, number).await;
                }
                tills.learn_and_look(&wish, number).await
            });
        let heard = heard.await;
        assert_eq!(verdicts(&heard), (58, 0), "{heard:?}");
        for person in [7, 30] {
            assert!(matches!(heard[person], Heard::Unknown(_)), "{:?}", heard[person]);
        }
        shop.database().execute("DROP TRIGGER refuse ON claims").await;
        assert_eq!(verdicts(&shop.tills.rush(wishes).await), (60, 0));
        shop.close().await
    })
    .await;
}
