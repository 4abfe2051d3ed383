//! The books of coupons: what was on sale, what is left, and who has claimed, for whoever audits them.

use async_trait::async_trait;
use dlc_domain::coupons::CouponName;

use super::connection::ConnectError;
use crate::operations::books::Books;

/// Where the books are read.
#[async_trait]
pub trait CouponBooks: Send + Sync {
    /// Reads the books of all coupons, or of one. MUST read coupons and claims of one moment; MUST hold up nobody who writes; MUST NOT
    /// be ended by the time limits of the service, because it takes as long as the tables are large.
    async fn read(&self, coupon: Option<&CouponName>) -> Result<Books, ConnectError>;
}
