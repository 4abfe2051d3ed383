//! Where coupons and their claims are kept.

use async_trait::async_trait;
use dlc_domain::coupons::{Claim, ClaimRefused, ClaimantId, Coupon, CouponName};

use super::{
    StorageError,
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

/// Coupons and claims, kept safe. Each method is one transaction as its caller sees it; where a request has a key, the answer is
/// kept in that transaction, and a key that was used before is looked at before anything else.
#[async_trait]
pub trait CouponRepository: Send + Sync {
    /// Stores a new coupon. MUST leave an existing coupon of the same name untouched.
    async fn create(&self, coupon: &Coupon, keyed: Option<&Keyed<Coupon>>) -> Result<Creation, StorageError>;

    /// Reads one coupon. MUST see amount and remaining amount of one moment (I2).
    async fn find(&self, name: &CouponName) -> Result<Option<Coupon>, StorageError>;

    /// Reads one coupon with everyone who claimed it, in the order of the claims. MUST read both at one moment (I2).
    async fn find_with_claimants(&self, name: &CouponName) -> Result<Option<(Coupon, Vec<ClaimantId>)>, StorageError>;

    /// Claims one piece. MUST judge in the order unknown, already claimed, out of stock (I6); MUST store the claim and
    /// the decrement together or not at all (I8); MUST answer [`ClaimVerdict::Claimed`] only after the commit is
    /// durable (I4); MUST NOT give one claimant two pieces (I3) or give out more than there are (I1), however many
    /// callers and processes claim at once.
    async fn claim(&self, claim: &Claim, keyed: Option<&Keyed<Claim>>) -> Result<ClaimVerdict, StorageError>;
}
