//! The contract of `CouponRepository`, sentence by sentence, on both engines.

use std::{sync::Arc, time::Duration};

use dlc::{
    application::ports::{
        coupons::{ClaimVerdict, CouponRepository, Creation},
        freshness::Freshness,
        idempotency::{KeyRefused, Keyed, KeyedRequest, Repeat},
    },
    database::{ClaimEngineMode, DatabaseOptions, Pooler, SeaOrmCouponRepository, connect},
    domain::coupons::{Claim, ClaimRefused, ClaimantId, Coupon, CouponName, Stock},
};

use crate::harness::{Database, Engine, OnEngine, on_both_engines};

struct Repository {
    coupons: Arc<SeaOrmCouponRepository>,
    /// A second instance on the same database.
    other: Arc<SeaOrmCouponRepository>,
    /// A third one, where each claim has a transaction of its own.
    single: Arc<SeaOrmCouponRepository>,
    database: Database,
}

impl OnEngine for Repository {
    async fn on(engine: Engine) -> Self {
        let database = Database::migrated(engine).await;
        let options = DatabaseOptions {
            url: database.url.parse().unwrap(),
            application_name: "dlc contract test".into(),
            max_connections: 10,
            min_connections: 0,
            acquire_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            max_lifetime: Duration::from_secs(60),
            statement_timeout: Some(Duration::from_secs(20)),
            lock_timeout: None,
            idle_in_transaction_timeout: None,
            pooler: Pooler::None,
            create_directory: false,
        };
        let coupons = SeaOrmCouponRepository::new(connect(&options).await.unwrap(), ClaimEngineMode::Group);
        let other = SeaOrmCouponRepository::new(connect(&options).await.unwrap(), ClaimEngineMode::Group);
        let single = SeaOrmCouponRepository::new(connect(&options).await.unwrap(), ClaimEngineMode::Single);
        Self {
            coupons,
            other,
            single,
            database,
        }
    }
}

impl Repository {
    /// One instance of each way to claim.
    fn both_ways(&self) -> [&Arc<SeaOrmCouponRepository>; 2] {
        [&self.coupons, &self.single]
    }
}

fn name(text: &str) -> CouponName {
    CouponName::parse(text).unwrap()
}

fn user(text: &str) -> ClaimantId {
    ClaimantId::parse(text).unwrap()
}

fn claim(claimant: ClaimantId) -> Claim {
    claim_for("c", claimant)
}

fn claim_for(coupon: &str, claimant: ClaimantId) -> Claim {
    Claim {
        coupon: name(coupon),
        claimant,
        at: now(),
    }
}

fn now() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_micros(1_795_000_000_123_456).unwrap()
}

fn coupon(text: &str, amount: i64) -> Coupon {
    Coupon::new(name(text), Stock::new(amount).unwrap(), now())
}

on_both_engines! {
    async fn a_stored_coupon_is_read_back_to_the_microsecond(repository: Repository) {
        let stored = coupon("💃 '; DROP TABLE coupons; --", 2_147_483_647);
        assert_eq!(repository.coupons.create(&stored, None).await.unwrap(), Creation::Created);
        assert_eq!(repository.coupons.find(stored.name(), Freshness::Current).await.unwrap(), Some(stored));
        assert_eq!(repository.coupons.find(&name("another"), Freshness::Current).await.unwrap(), None);
    }

    async fn a_coupon_of_the_same_name_is_left_untouched(repository: Repository) {
        let first = coupon("c", 5);
        repository.coupons.create(&first, None).await.unwrap();
        assert_eq!(repository.coupons.create(&coupon("c", 9), None).await.unwrap(), Creation::NameTaken);
        assert_eq!(repository.coupons.find(&name("c"), Freshness::Current).await.unwrap(), Some(first));
    }

    async fn verdicts_come_in_the_order_unknown_already_claimed_out_of_stock(repository: Repository) {
        for (name, coupons) in ["c", "d"].iter().zip(repository.both_ways()) {
            let claim = async |who: &str| coupons.claim(&claim_for(name, user(who)), None).await.unwrap();
            assert_eq!(claim("ann").await, ClaimVerdict::UnknownCoupon);
            coupons.create(&coupon(name, 1), None).await.unwrap();
            assert_eq!(claim("ann").await, ClaimVerdict::Claimed);
            // The second time whoever is not to be trusted to know it by heart knows it by heart.
            for _ in 0..2 {
                assert_eq!(claim("ann").await, ClaimVerdict::Refused(ClaimRefused::AlreadyClaimed));
                assert_eq!(claim("bob").await, ClaimVerdict::Refused(ClaimRefused::OutOfStock));
            }
        }
    }

    async fn a_claim_and_its_decrement_are_stored_together(repository: Repository) {
        for (called, coupons) in ["c", "d"].iter().zip(repository.both_ways()) {
            coupons.create(&coupon(called, 3), None).await.unwrap();
            for who in ["zoe", "ann"] {
                coupons.claim(&claim_for(called, user(who)), None).await.unwrap();
            }
            let (found, claimants) = coupons.find_with_claimants(&name(called), Freshness::Current).await.unwrap().unwrap();
            assert_eq!((found.remaining(), found.claimed()), (1, 2));
            assert_eq!(claimants, [user("zoe"), user("ann")], "in the order of the claims");
        }
    }

    async fn a_coupon_without_claims_has_no_claimants(repository: Repository) {
        repository.coupons.create(&coupon("c", 3), None).await.unwrap();
        let (_, claimants) = repository.coupons.find_with_claimants(&name("c"), Freshness::Current).await.unwrap().unwrap();
        assert_eq!(claimants, []);
        assert!(repository.coupons.find_with_claimants(&name("d"), Freshness::Current).await.unwrap().is_none());
    }

    async fn a_claim_that_is_refused_changes_nothing(repository: Repository) {
        for (called, coupons) in ["c", "d"].iter().zip(repository.both_ways()) {
            coupons.create(&coupon(called, 2), None).await.unwrap();
            for _ in 0..3 {
                coupons.claim(&claim_for(called, user("ann")), None).await.unwrap();
            }
        }
        assert_eq!(repository.database.number("SELECT count(*) FROM coupons WHERE remaining_amount = 1").await, 2);
        assert_eq!(repository.database.number("SELECT count(*) FROM claims").await, 2);
        if repository.database.engine == Engine::Postgres {
            // Nor does it take a number that one that is granted will need.
            assert_eq!(repository.database.number("SELECT last_value FROM claims_id_seq").await, 2);
        }
    }

    async fn whoever_waits_for_a_coupon_is_judged_by_what_is_left_then(repository: Repository) {
        repository.coupons.create(&coupon("c", 3), None).await.unwrap();
        let holder = repository.database.hold_coupons().await;
        // Ten claims of five people, all begun before any of them can be decided.
        let claims: Vec<_> = (0..10)
            .map(|who| {
                let coupons = Arc::clone(repository.both_ways()[who % 2]);
                tokio::spawn(async move { coupons.claim(&claim(user(&(who / 2).to_string())), None).await.unwrap() })
            })
            .collect();
        if repository.database.engine == Engine::Postgres {
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            // Five who wait for the row each for themselves, and one for all others.
            while repository.database.number(waiting).await < 6 {}
        }
        holder.release().await;
        let mut verdicts = Vec::new();
        for claim in claims {
            verdicts.push(claim.await.unwrap());
        }
        let count = |verdict| verdicts.iter().filter(|v| **v == verdict).count();
        assert_eq!(count(ClaimVerdict::Claimed), 3, "{verdicts:?}");
        assert_eq!(count(ClaimVerdict::UnknownCoupon), 0, "{verdicts:?}");
        assert_eq!(repository.database.number("SELECT count(*) FROM claims").await, 3);
        assert_eq!(repository.database.number("SELECT remaining_amount FROM coupons").await, 0);
    }

    async fn two_instances_give_out_no_more_pieces_than_there_are(repository: Repository) {
        repository.coupons.create(&coupon("c", 30), None).await.unwrap();
        let claims: Vec<_> = (0..100)
            .map(|who| {
                let instances = [&repository.coupons, &repository.other, &repository.single];
                let instance = Arc::clone(instances[who % 3]);
                // Everybody asks two instances.
                tokio::spawn(async move { instance.claim(&claim(user(&(who / 2).to_string())), None).await.unwrap() })
            })
            .collect();
        let mut granted = 0;
        for claim in claims {
            granted += usize::from(claim.await.unwrap() == ClaimVerdict::Claimed);
        }
        assert_eq!(granted, 30);
        let (found, claimants) = repository.other.find_with_claimants(&name("c"), Freshness::Current).await.unwrap().unwrap();
        assert_eq!((found.remaining(), claimants.len()), (0, 30));
    }
}

fn keyed() -> Keyed<Claim> {
    Keyed {
        request: KeyedRequest {
            principal: String::new(),
            route: "POST /claims",
            key: "k".to_owned(),
            content: "ann".to_owned(),
        },
        answer: |claim| claim.claimant.to_string(),
    }
}

#[tokio::test]
async fn a_key_in_use_at_one_instance_is_in_use_at_all() {
    let repository = Repository::on(Engine::Postgres).await;
    repository.coupons.create(&coupon("c", 5), None).await.unwrap();
    let holder = repository.database.hold_coupons().await;
    let coupons = Arc::clone(&repository.coupons);
    let first = tokio::spawn(async move { coupons.claim(&claim(user("ann")), Some(&keyed())).await.unwrap() });
    let locks = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database \
                 WHERE locktype = 'advisory' AND datname = current_database()";
    while repository.database.number(locks).await == 0 {}
    let second = repository
        .other
        .claim(&claim(user("ann")), Some(&keyed()))
        .await
        .unwrap();
    assert_eq!(second, ClaimVerdict::Repeated(Repeat::Refused(KeyRefused::Running)));
    holder.release().await;
    assert_eq!(first.await.unwrap(), ClaimVerdict::Claimed);
    let third = repository
        .other
        .claim(&claim(user("ann")), Some(&keyed()))
        .await
        .unwrap();
    assert_eq!(third, ClaimVerdict::Repeated(Repeat::Answered("ann".to_owned())));
}
