//! The books of coupons: what was on sale, what is left, and who has claimed, for whoever audits them.

use async_trait::async_trait;
use dlc_domain::coupons::CouponName;

use super::connection::ConnectError;

/// What the books say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Books {
    /// Coupons that were looked at.
    pub coupons: u64,
    /// Claims that were looked at.
    pub claims: u64,
    /// Coupons that do not add up, those included that claims name and nobody has made.
    pub wrong: u64,
    /// The first of them by name; how many, the question decides.
    pub told: Vec<WrongCoupon>,
}

/// A coupon that does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongCoupon {
    /// Its name.
    pub name: String,
    /// How many rows it has: one, unless claims name a coupon that does not exist.
    pub rows: i64,
    /// Pieces at first.
    pub amount: Option<i64>,
    /// Pieces left.
    pub remaining: Option<i64>,
    /// Its claims.
    pub claims: i64,
    /// Claims beyond the first of a user.
    pub repeated: i64,
    /// Users who have claimed more than once.
    pub repeaters: i64,
    /// One of them.
    pub repeater: Option<String>,
}

/// Where the books are read.
#[async_trait]
pub trait CouponBooks: Send + Sync {
    /// Reads the books of all coupons, or of one. MUST read coupons and claims of one moment; MUST hold up nobody who writes; MUST NOT
    /// be ended by the time limits of the service, because it takes as long as the tables are large.
    async fn read(&self, coupon: Option<&CouponName>) -> Result<Books, ConnectError>;
}
