//! What is said about coupons and claims: bodies, views, answers. Unknown fields are refused under `/api/v1` and ignored at the
//! literal paths (§5.1), hence two bodies per call.

use chrono::{DateTime, Utc};
use dlc_domain::coupons::{Claim, Coupon};
use poem_openapi::{ApiResponse, Object, payload::Json, types::Example};

use crate::adapters::inbound::http::{
    idempotency::Answered,
    scalars::{Amount, EXAMPLE_TIME, ShortText},
};

/// A coupon to put on sale.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example)]
pub(super) struct CreateCouponBody {
    /// Its name: 1–255 characters, not blank.
    pub(super) name: ShortText,
    /// How many pieces there are: 1 to 2147483647.
    pub(super) amount: Amount,
}

impl Example for CreateCouponBody {
    fn example() -> Self {
        Self {
            name: ShortText("salsa-10".to_owned()),
            amount: Amount(50),
        }
    }
}

/// A coupon to put on sale; unknown fields are ignored.
#[derive(Debug, Object)]
pub(super) struct CreateCouponAliasBody {
    /// Its name: 1–255 characters, not blank.
    pub(super) name: ShortText,
    /// How many pieces there are: 1 to 2147483647.
    pub(super) amount: Amount,
}

/// A claim for the coupon in the path.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example)]
pub(super) struct ClaimBody {
    /// Who claims: 1–255 characters, not blank. Whoever has signed in may leave it out, and claims for themself.
    #[oai(nullable)]
    pub(super) user_id: Option<ShortText>,
}

impl Example for ClaimBody {
    fn example() -> Self {
        Self {
            user_id: Some(ShortText("user-1".to_owned())),
        }
    }
}

/// A claim; unknown fields are ignored.
#[derive(Debug, Object)]
pub(super) struct ClaimAliasBody {
    /// Who claims: 1–255 characters, not blank.
    pub(super) user_id: ShortText,
    /// The coupon's name.
    pub(super) coupon_name: ShortText,
}

/// A coupon.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct CouponView {
    /// Its name.
    pub(super) name: String,
    /// Pieces at first.
    pub(super) amount: i32,
    /// Pieces left.
    pub(super) remaining_amount: i32,
    /// Pieces claimed: amount − remaining_amount.
    pub(super) claims_count: i32,
    /// When it went on sale.
    pub(super) created_at: DateTime<Utc>,
}

impl Example for CouponView {
    fn example() -> Self {
        Self {
            name: "salsa-10".to_owned(),
            amount: 50,
            remaining_amount: 49,
            claims_count: 1,
            created_at: EXAMPLE_TIME,
        }
    }
}

impl From<&Coupon> for CouponView {
    fn from(coupon: &Coupon) -> Self {
        Self {
            name: coupon.name().to_string(),
            amount: coupon.amount().get(),
            remaining_amount: coupon.remaining(),
            claims_count: coupon.claimed(),
            created_at: coupon.created_at(),
        }
    }
}

/// A coupon and everyone who claimed it.
#[derive(Debug, Object)]
pub(super) struct CouponAliasView {
    /// Its name.
    pub(super) name: String,
    /// Pieces at first.
    pub(super) amount: i32,
    /// Pieces left.
    pub(super) remaining_amount: i32,
    /// Who claimed a piece, in the order of the claims.
    pub(super) claimed_by: Vec<String>,
}

/// A claim that was granted.
#[derive(Debug, Object)]
pub(super) struct ClaimView {
    /// Who claimed.
    pub(super) user_id: String,
    /// The coupon's name.
    pub(super) coupon_name: String,
}

impl From<&Claim> for ClaimView {
    fn from(claim: &Claim) -> Self {
        Self {
            user_id: claim.claimant.to_string(),
            coupon_name: claim.coupon.to_string(),
        }
    }
}

#[derive(ApiResponse)]
pub(super) enum CreatedCoupon {
    /// It is on sale.
    #[oai(status = 201)]
    Created(
        Answered<CouponView>,
        /// Where to look at it.
        #[oai(header = "Location")]
        String,
        /// `true` where the request was done before and this is the answer that it got.
        #[oai(header = "Idempotency-Replayed")]
        Option<bool>,
    ),
}

#[derive(ApiResponse)]
pub(super) enum GrantedClaim {
    /// The claim is stored durably.
    #[oai(status = 201)]
    Created(
        Answered<ClaimView>,
        /// `true` where the request was done before and this is the answer that it got.
        #[oai(header = "Idempotency-Replayed")]
        Option<bool>,
    ),
}

#[derive(ApiResponse)]
pub(super) enum FoundCoupon {
    /// The coupon.
    #[oai(status = 200)]
    Found(
        Json<CouponView>,
        /// Changes whenever the coupon does.
        #[oai(header = "ETag")]
        String,
    ),
    /// It is as the `If-None-Match` of the request says.
    #[oai(status = 304)]
    NotModified(
        /// The same as in the request.
        #[oai(header = "ETag")]
        String,
    ),
}
