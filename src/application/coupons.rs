//! Selling limited coupons: create one, look at it, claim a piece; list them and their claims.

use std::sync::Arc;

use dlc_domain::coupons::{Claim, ClaimRefused, ClaimantId, Coupon, CouponName, Stock};
use tracing::instrument;

use crate::ports::{
    StorageError,
    clock::Clock,
    coupons::{ClaimPosition, ClaimVerdict, CouponRepository, Creation, ListedClaim},
    freshness::Freshness,
    idempotency::{KeyRefused, Keyed, Performed, Repeat},
};

/// A coupon could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateCouponError {
    /// The name belongs to another coupon.
    #[error("a coupon of that name exists already")]
    NameTaken,
    /// The request's key is not good for it.
    #[error(transparent)]
    Key(#[from] KeyRefused),
    /// The storage failed; the outcome is unknown.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A coupon could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum FindCouponError {
    /// There is no such coupon.
    #[error("there is no such coupon")]
    UnknownCoupon,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A coupon was not claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// There is no such coupon.
    #[error("there is no such coupon")]
    UnknownCoupon,
    /// The coupon exists, and the claim was refused.
    #[error(transparent)]
    Refused(#[from] ClaimRefused),
    /// The request's key is not good for it.
    #[error(transparent)]
    Key(#[from] KeyRefused),
    /// The storage failed; the outcome is unknown, and asking again tells the truth (I5).
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The coupon office.
pub struct CouponService {
    repository: Arc<dyn CouponRepository>,
    clock: Arc<dyn Clock>,
}

impl CouponService {
    /// Opens the office over a storage and a clock.
    #[must_use]
    pub fn new(repository: Arc<dyn CouponRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { repository, clock }
    }

    /// Puts a new coupon on sale.
    ///
    /// # Errors
    /// [`CreateCouponError`]
    #[instrument(target = "dlc::trace", name = "coupons.create", skip_all)]
    pub async fn create(
        &self,
        name: CouponName,
        amount: Stock,
        keyed: Option<Keyed<Coupon>>,
    ) -> Result<Performed<Coupon>, CreateCouponError> {
        let coupon = Coupon::new(name, amount, self.clock.now());
        match self.repository.create(&coupon, keyed.as_ref()).await? {
            Creation::Created => Ok(Performed::Now(coupon)),
            Creation::NameTaken => Err(CreateCouponError::NameTaken),
            Creation::Repeated(Repeat::Answered(answer)) => Ok(Performed::Before(answer)),
            Creation::Repeated(Repeat::Refused(why)) => Err(why.into()),
        }
    }

    /// Looks at one coupon.
    ///
    /// # Errors
    /// [`FindCouponError`]
    #[instrument(target = "dlc::trace", name = "coupons.find", skip_all)]
    pub async fn find(&self, name: &CouponName, freshness: Freshness) -> Result<Coupon, FindCouponError> {
        self.repository
            .find(name, freshness)
            .await?
            .ok_or(FindCouponError::UnknownCoupon)
    }

    /// Looks at one coupon and everyone who claimed it, in claim order.
    ///
    /// # Errors
    /// [`FindCouponError`]
    #[instrument(target = "dlc::trace", name = "coupons.find_with_claimants", skip_all)]
    pub async fn find_with_claimants(
        &self,
        name: &CouponName,
        freshness: Freshness,
    ) -> Result<(Coupon, Vec<ClaimantId>), FindCouponError> {
        self.repository
            .find_with_claimants(name, freshness)
            .await?
            .ok_or(FindCouponError::UnknownCoupon)
    }

    /// Looks at the coupons whose names come after one.
    ///
    /// # Errors
    /// When the storage failed.
    #[instrument(target = "dlc::trace", name = "coupons.list", skip_all)]
    pub async fn page(
        &self,
        after: Option<&CouponName>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<Vec<Coupon>, StorageError> {
        self.repository.page(after, limit, freshness).await
    }

    /// Looks at the claims of one coupon that were made after one, in claim order.
    ///
    /// # Errors
    /// [`FindCouponError`]
    #[instrument(target = "dlc::trace", name = "coupons.list_claims", skip_all)]
    pub async fn page_of_claims(
        &self,
        coupon: &CouponName,
        after: Option<ClaimPosition>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<Vec<ListedClaim>, FindCouponError> {
        self.repository
            .page_of_claims(coupon, after, limit, freshness)
            .await?
            .ok_or(FindCouponError::UnknownCoupon)
    }

    /// Claims one piece for one person.
    ///
    /// # Errors
    /// [`ClaimError`]
    #[instrument(target = "dlc::trace", name = "coupons.claim", skip_all)]
    pub async fn claim(
        &self,
        coupon: CouponName,
        claimant: ClaimantId,
        keyed: Option<Keyed<Claim>>,
    ) -> Result<Performed<Claim>, ClaimError> {
        let at = self.clock.now();
        let claim = Claim { coupon, claimant, at };
        match self.repository.claim(&claim, keyed.as_ref()).await? {
            ClaimVerdict::Claimed => Ok(Performed::Now(claim)),
            ClaimVerdict::UnknownCoupon => Err(ClaimError::UnknownCoupon),
            ClaimVerdict::Refused(why) => Err(why.into()),
            ClaimVerdict::Repeated(Repeat::Answered(answer)) => Ok(Performed::Before(answer)),
            ClaimVerdict::Repeated(Repeat::Refused(why)) => Err(why.into()),
        }
    }
}
