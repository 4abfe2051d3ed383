//! The contract of `CouponRepository`, sentence by sentence, on both engines.

use std::{sync::Arc, time::Duration};

use dlc::{
    application::ports::coupons::{ClaimVerdict, CouponRepository, Creation},
    database::{DatabaseOptions, Pooler, SeaOrmCouponRepository, connect},
    domain::coupons::{ClaimRefused, ClaimantId, Coupon, CouponName, Stock},
};

use crate::harness::{Database, Engine, OnEngine, on_both_engines};

struct Repository {
    coupons: Arc<SeaOrmCouponRepository>,
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
        let connected = connect(&options).await.unwrap();
        Self {
            coupons: SeaOrmCouponRepository::new(connected),
            database,
        }
    }
}

fn name(text: &str) -> CouponName {
    CouponName::parse(text).unwrap()
}

fn user(text: &str) -> ClaimantId {
    ClaimantId::parse(text).unwrap()
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
        assert_eq!(repository.coupons.create(&stored).await.unwrap(), Creation::Created);
        assert_eq!(repository.coupons.find(stored.name()).await.unwrap(), Some(stored));
        assert_eq!(repository.coupons.find(&name("another")).await.unwrap(), None);
    }

    async fn a_coupon_of_the_same_name_is_left_untouched(repository: Repository) {
        let first = coupon("c", 5);
        repository.coupons.create(&first).await.unwrap();
        assert_eq!(repository.coupons.create(&coupon("c", 9)).await.unwrap(), Creation::NameTaken);
        assert_eq!(repository.coupons.find(&name("c")).await.unwrap(), Some(first));
    }

    async fn verdicts_come_in_the_order_unknown_already_claimed_out_of_stock(repository: Repository) {
        let claim = |who: &'static str| {
            let coupons = Arc::clone(&repository.coupons);
            async move { coupons.claim(&name("c"), &user(who), now()).await.unwrap() }
        };
        assert_eq!(claim("ann").await, ClaimVerdict::UnknownCoupon);
        repository.coupons.create(&coupon("c", 1)).await.unwrap();
        assert_eq!(claim("ann").await, ClaimVerdict::Claimed);
        assert_eq!(claim("ann").await, ClaimVerdict::Refused(ClaimRefused::AlreadyClaimed));
        assert_eq!(claim("bob").await, ClaimVerdict::Refused(ClaimRefused::OutOfStock));
    }

    async fn a_claim_and_its_decrement_are_stored_together(repository: Repository) {
        repository.coupons.create(&coupon("c", 3)).await.unwrap();
        for who in ["zoe", "ann"] {
            repository.coupons.claim(&name("c"), &user(who), now()).await.unwrap();
        }
        let (found, claimants) = repository.coupons.find_with_claimants(&name("c")).await.unwrap().unwrap();
        assert_eq!((found.remaining(), found.claimed()), (1, 2));
        assert_eq!(claimants, [user("zoe"), user("ann")], "in the order of the claims");
    }

    async fn a_coupon_without_claims_has_no_claimants(repository: Repository) {
        repository.coupons.create(&coupon("c", 3)).await.unwrap();
        let (_, claimants) = repository.coupons.find_with_claimants(&name("c")).await.unwrap().unwrap();
        assert_eq!(claimants, []);
        assert!(repository.coupons.find_with_claimants(&name("d")).await.unwrap().is_none());
    }

    async fn a_claim_that_is_refused_changes_nothing(repository: Repository) {
        repository.coupons.create(&coupon("c", 2)).await.unwrap();
        for _ in 0..3 {
            repository.coupons.claim(&name("c"), &user("ann"), now()).await.unwrap();
        }
        assert_eq!(repository.database.number("SELECT remaining_amount FROM coupons").await, 1);
        assert_eq!(repository.database.number("SELECT count(*) FROM claims").await, 1);
    }

    async fn no_more_pieces_are_given_out_than_there_are(repository: Repository) {
        repository.coupons.create(&coupon("c", 10)).await.unwrap();
        let claims = (0..100).map(|who| {
            let coupons = Arc::clone(&repository.coupons);
            // Every person asks twice.
            tokio::spawn(async move { coupons.claim(&name("c"), &user(&(who / 2).to_string()), now()).await.unwrap() })
        });
        let mut granted = 0;
        for claim in claims.collect::<Vec<_>>() {
            granted += usize::from(claim.await.unwrap() == ClaimVerdict::Claimed);
        }
        assert_eq!(granted, 10);
        let (found, claimants) = repository.coupons.find_with_claimants(&name("c")).await.unwrap().unwrap();
        assert_eq!((found.remaining(), claimants.len()), (0, 10));
    }
}
