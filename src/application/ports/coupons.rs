//! Where coupons and their claims are kept.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use dlc_domain::coupons::{Claim, ClaimRefused, ClaimantId, Coupon, CouponName};

use super::{
    StorageError,
    freshness::Freshness,
    idempotency::{Keyed, Repeat},
};

/// What became of a new coupon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It is stored.
    Created,
    /// A coupon of that name existed before; nothing was changed.
    NameTaken,
    /// The request's key was used before; nothing was changed.
    Repeated(Repeat),
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimVerdict {
    /// The claim is stored durably, and the stock is one less.
    Claimed,
    /// There is no such coupon.
    UnknownCoupon,
    /// The coupon exists, and the claim was refused; nothing was changed.
    Refused(ClaimRefused),
    /// The request's key was used before; nothing was changed.
    Repeated(Repeat),
}

/// A claim's place among those of its coupon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimPosition(pub i32);

/// A claim as it stands in its coupon's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedClaim {
    /// Its place.
    pub position: ClaimPosition,
    /// Who claimed.
    pub claimant: ClaimantId,
    /// When.
    pub at: DateTime<Utc>,
}

/// Coupons and claims, kept safe. Each method is one transaction as its caller sees it; where a request has a key, the answer is
/// kept in that transaction, and a key that was used before is looked at before anything else. What a read finds MUST be as fresh as it
/// was asked to be; what it does not find, such as a coupon, MUST not be there now.
#[async_trait]
pub trait CouponRepository: Send + Sync {
    /// Stores a new coupon. MUST leave an existing coupon of the same name untouched.
    async fn create(&self, coupon: &Coupon, keyed: Option<&Keyed<Coupon>>) -> Result<Creation, StorageError>;

    /// Reads one coupon. MUST see amount and remaining amount of one moment (I2).
    async fn find(&self, name: &CouponName, freshness: Freshness) -> Result<Option<Coupon>, StorageError>;

    /// Reads one coupon with everyone who claimed it, in the order of the claims. MUST read both at one moment (I2).
    async fn find_with_claimants(
        &self,
        name: &CouponName,
        freshness: Freshness,
    ) -> Result<Option<(Coupon, Vec<ClaimantId>)>, StorageError>;

    /// Reads the coupons whose names come after one, in the order in which the database sorts names. MUST be that order on every
    /// page; MUST leave out a row that breaks a rule of [`Coupon`], so that it keeps nobody from the others.
    async fn page(
        &self,
        after: Option<&CouponName>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<Vec<Coupon>, StorageError>;

    /// Reads the claims of a coupon that were made after one, in the order in which they were made; `None`: there is no such
    /// coupon. MUST NOT put a claim before one that was read already, whoever claims meanwhile.
    async fn page_of_claims(
        &self,
        coupon: &CouponName,
        after: Option<ClaimPosition>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<Option<Vec<ListedClaim>>, StorageError>;

    /// Claims one piece. MUST judge in the order unknown, already claimed, out of stock (I6); MUST store the claim and
    /// the decrement together or not at all (I8); MUST answer [`ClaimVerdict::Claimed`] only after the commit is
    /// durable (I4); MUST NOT give one claimant two pieces (I3) or give out more than there are (I1), however many
    /// callers and processes claim at once.
    async fn claim(&self, claim: &Claim, keyed: Option<&Keyed<Claim>>) -> Result<ClaimVerdict, StorageError>;
}
