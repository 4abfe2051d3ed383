//! The contract of `CouponRepository`'s lists, sentence by sentence, on both engines.

use std::sync::Arc;

use dlc::{
    application::ports::{
        StorageErrorKind,
        coupons::{ClaimPosition, ClaimVerdict, CouponRepository, ListedClaim},
        freshness::Freshness,
    },
    database::{ClaimEngineMode, SeaOrmCouponRepository, connect},
    domain::coupons::{Claim, ClaimantId, Coupon, CouponName, Stock},
};

use crate::harness::{Database, Engine, OnEngine, on_both_engines};

struct Repository {
    coupons: Arc<SeaOrmCouponRepository>,
    database: Database,
}

impl OnEngine for Repository {
    async fn on(engine: Engine) -> Self {
        let database = Database::migrated(engine).await;
        let mut options = database.options();
        options.max_connections = 4;
        let coupons = SeaOrmCouponRepository::new(connect(&options).await.unwrap(), ClaimEngineMode::Group);
        Self { coupons, database }
    }
}

fn name(text: &str) -> CouponName {
    CouponName::parse(text).unwrap()
}

fn at(seconds: i64) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_micros(1_795_000_000_123_456 + seconds * 1_000_000).unwrap()
}

impl Repository {
    async fn create(&self, coupon: &str, amount: i64) -> Coupon {
        let coupon = Coupon::new(name(coupon), Stock::new(amount).unwrap(), at(0));
        self.coupons.create(&coupon, None).await.unwrap();
        coupon
    }

    async fn claim(&self, coupon: &str, who: &str, seconds: i64) {
        let claim = Claim {
            coupon: name(coupon),
            claimant: ClaimantId::parse(who).unwrap(),
            at: at(seconds),
        };
        assert_eq!(self.coupons.claim(&claim, None).await.unwrap(), ClaimVerdict::Claimed);
    }

    async fn claims(&self, coupon: &str, after: Option<ClaimPosition>, limit: u32) -> Option<Vec<ListedClaim>> {
        self.coupons
            .page_of_claims(&name(coupon), after, limit, Freshness::Current)
            .await
            .unwrap()
    }

    /// All pages of the coupons; what is done between two of them is done `between`.
    async fn pages(&self, size: u32, mut between: impl AsyncFnMut()) -> Vec<Coupon> {
        let (mut all, mut after) = (Vec::<Coupon>::new(), None);
        loop {
            let page = self
                .coupons
                .page(after.as_ref(), size, Freshness::Current)
                .await
                .unwrap();
            assert!(page.len() <= size as usize);
            let Some(last) = page.last() else { return all };
            after = Some(last.name().clone());
            all.extend(page);
            between().await;
        }
    }

    /// The same of claims.
    async fn pages_of_claims(&self, coupon: &str, size: u32, mut between: impl AsyncFnMut(usize)) -> Vec<ListedClaim> {
        let (mut all, mut after) = (Vec::<ListedClaim>::new(), None);
        loop {
            let page = self.claims(coupon, after, size).await.unwrap();
            assert!(page.len() <= size as usize);
            let Some(last) = page.last() else { return all };
            after = Some(last.position);
            all.extend(page);
            between(all.len()).await;
        }
    }
}

fn names(coupons: &[Coupon]) -> Vec<&str> {
    coupons.iter().map(|coupon| coupon.name().as_str()).collect()
}

fn claimants(claims: &[ListedClaim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.claimant.as_str()).collect()
}

on_both_engines! {
    async fn every_coupon_is_on_one_page_in_one_order_whatever_its_name(repository: Repository) {
        assert_eq!(repository.coupons.page(None, 9, Freshness::Current).await.unwrap(), []);
        let longest = "💃".repeat(255);
        let kinds = [
            "b", "B", "ä", "a\u{308}", "a", "_a", " a", "a b", "a-b", "ab", "10", "9", "50%", "a/b", "'; --", "💃", "💃🕺",
            "\u{202e}x", "\u{10ffff}", "ß", "ss", "İ", "i", "\u{1}", &longest,
        ];
        let mut made = Vec::new();
        for kind in kinds {
            made.push(repository.create(kind, 5).await);
        }
        repository.claim("ab", "ann", 1).await;
        let all = repository.coupons.page(None, 100, Freshness::Current).await.unwrap();
        for size in [1, 2, 3, 7, 25] {
            assert_eq!(names(&repository.pages(size, async || {}).await), names(&all), "{size} at a time");
        }
        assert_eq!(all.len(), kinds.len());
        for coupon in made {
            let listed = all.iter().find(|listed| listed.name() == coupon.name()).unwrap();
            let claimed = i32::from(coupon.name().as_str() == "ab");
            assert_eq!((listed.amount(), listed.claimed(), listed.created_at()), (coupon.amount(), claimed, at(0)));
        }
    }

    async fn a_page_begins_after_a_name_that_need_not_be_a_coupon_s(repository: Repository) {
        for coupon in ["a", "c", "e"] {
            repository.create(coupon, 1).await;
        }
        let after = async |text: &str, limit| {
            let page = repository.coupons.page(Some(&name(text)), limit, Freshness::Current).await.unwrap();
            names(&page).iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(after("a", 9).await, ["c", "e"]);
        assert_eq!(after("b", 1).await, ["c"]);
        assert!(after("e", 9).await.is_empty() && after("zz", 9).await.is_empty());
    }

    async fn coupons_that_come_meanwhile_move_no_others(repository: Repository) {
        for coupon in ["b", "d", "f", "h"] {
            repository.create(coupon, 1).await;
        }
        let mut new = ["i", "a", "c"].into_iter();
        let all = repository.pages(2, async || {
            if let Some(coupon) = new.next() {
                repository.create(coupon, 1).await;
            }
        });
        // What comes before the place where one reads is not read, what comes after it is.
        assert_eq!(names(&all.await), ["b", "d", "f", "h", "i"]);
    }

    async fn a_row_that_is_no_coupon_keeps_nobody_from_the_others(repository: Repository) {
        for coupon in ["a", "b", "c", "d", "e"] {
            repository.create(coupon, 5).await;
        }
        repository.database.execute("UPDATE coupons SET remaining_amount = 6 WHERE name = 'b'").await;
        repository.database.execute("UPDATE coupons SET created_at = NULL WHERE name = 'd'").await;
        assert_eq!(names(&repository.pages(1, async || {}).await), ["a", "c", "e"]);
    }

    async fn claims_are_listed_in_the_order_in_which_they_were_made(repository: Repository) {
        repository.create("c", 50).await;
        repository.create("other", 50).await;
        let who = ["zoe", "ann", "💃 '; --", "bob", "eve"];
        for (index, claimant) in who.into_iter().enumerate() {
            // Their times say something else, and others claim something else meanwhile.
            repository.claim("c", claimant, 9 - i64::try_from(index).unwrap()).await;
            repository.claim("other", claimant, 0).await;
        }
        for size in [1, 2, 3, 5, 6] {
            let all = repository.pages_of_claims("c", size, async |_| {}).await;
            assert_eq!(claimants(&all), who, "{size} at a time");
            assert_eq!((all[0].at, all[4].at), (at(9), at(5)));
        }
    }

    async fn an_unknown_coupon_has_no_list_and_one_without_claims_an_empty_one(repository: Repository) {
        repository.create("c", 5).await;
        assert_eq!(repository.claims("d", None, 9).await, None);
        assert_eq!(repository.claims("C", None, 9).await, None);
        assert_eq!(repository.claims("c", None, 9).await, Some(Vec::new()));
        assert_eq!(repository.claims("c", Some(ClaimPosition(7)), 9).await, Some(Vec::new()));
        repository.claim("c", "ann", 1).await;
        assert_eq!(repository.claims("c", Some(ClaimPosition(i32::MAX)), 9).await, Some(Vec::new()));
    }

    async fn claims_that_are_made_meanwhile_come_after_those_that_were_read(repository: Repository) {
        repository.create("c", 1_000).await;
        for n in 0..4 {
            repository.claim("c", &format!("first-{n}"), n).await;
        }
        // A crowd claims while the list is read; whoever was granted is on it, once, and where the alias has them.
        let crowd = tokio::spawn({
            let coupons = Arc::clone(&repository.coupons);
            async move {
                for n in 0..60 {
                    let claimant = ClaimantId::parse(format!("crowd-{n}")).unwrap();
                    let claim = Claim { coupon: name("c"), claimant, at: at(0) };
                    coupons.claim(&claim, None).await.unwrap();
                }
            }
        });
        let mut crowd = Some(crowd);
        let all = repository.pages_of_claims("c", 2, async |read| {
            if read >= 20 && let Some(crowd) = crowd.take() {
                crowd.await.unwrap();
            }
        });
        let all = all.await;
        if let Some(crowd) = crowd {
            crowd.await.unwrap();
        }
        let (_, claimed_by) = repository.coupons.find_with_claimants(&name("c"), Freshness::Current).await.unwrap().unwrap();
        let in_order: Vec<&str> = claimed_by.iter().map(ClaimantId::as_str).collect();
        assert_eq!(claimants(&all), in_order[..all.len()]);
        assert!(all.is_sorted_by_key(|claim| claim.position), "{all:?}");
    }

    async fn a_claim_without_a_time_is_listed_all_the_same(repository: Repository) {
        repository.create("c", 5).await;
        repository.claim("c", "ann", 1).await;
        repository.database.execute("UPDATE claims SET created_at = NULL").await;
        let claims = repository.claims("c", None, 9).await.unwrap();
        assert_eq!((claimants(&claims), claims[0].at), (vec!["ann"], chrono::DateTime::UNIX_EPOCH));
    }

    async fn a_list_of_a_table_that_is_gone_fails(repository: Repository) {
        repository.database.execute("ALTER TABLE claims RENAME TO gone").await;
        let failed = repository.coupons.page_of_claims(&name("c"), None, 9, Freshness::Current).await.unwrap_err();
        assert_eq!(failed.kind(), StorageErrorKind::Other);
    }
}
