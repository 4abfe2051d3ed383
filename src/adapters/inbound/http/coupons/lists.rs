//! Lists of coupons and of a coupon's claims: pages, places, answers. Not here: what a page is (`pages`).

use chrono::{DateTime, Utc};
use dlc_application::ports::coupons::{ClaimPosition, ListedClaim};
use dlc_domain::coupons::CouponName;
use poem_openapi::{ApiResponse, Object, payload::Json, types::Example};

use super::views::CouponView;
use crate::adapters::inbound::http::{pages::Place, problem::problems, scalars::EXAMPLE_TIME};

/// Coupons in the order of their names.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct CouponPageView {
    /// The coupons of this page.
    pub(super) items: Vec<CouponView>,
    /// For the next page; `null` on the last one.
    #[oai(nullable)]
    pub(super) next_cursor: Option<String>,
}

impl Example for CouponPageView {
    fn example() -> Self {
        Self {
            items: vec![CouponView::example()],
            next_cursor: None,
        }
    }
}

/// A claim in its coupon's list.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct ListedClaimView {
    /// Who claimed.
    user_id: String,
    /// When.
    created_at: DateTime<Utc>,
}

impl Example for ListedClaimView {
    fn example() -> Self {
        Self {
            user_id: "user-1".to_owned(),
            created_at: EXAMPLE_TIME,
        }
    }
}

/// Its place in the list stays inside.
impl From<&ListedClaim> for ListedClaimView {
    fn from(claim: &ListedClaim) -> Self {
        Self {
            user_id: claim.claimant.to_string(),
            created_at: claim.at,
        }
    }
}

/// The claims of a coupon, in the order in which they were made.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct ClaimPageView {
    /// The claims of this page.
    pub(super) items: Vec<ListedClaimView>,
    /// For the next page; `null` on the last one.
    #[oai(nullable)]
    pub(super) next_cursor: Option<String>,
}

impl Example for ClaimPageView {
    fn example() -> Self {
        Self {
            items: vec![ListedClaimView::example()],
            next_cursor: None,
        }
    }
}

impl Place for CouponName {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl Place for ClaimPosition {
    fn write(&self) -> String {
        self.0.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

#[derive(ApiResponse)]
pub(super) enum ListedCoupons {
    /// A page of coupons.
    #[oai(status = 200)]
    Page(
        Json<CouponPageView>,
        /// The next page, as `rel="next"`; not on the last one.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
pub(super) enum ListedClaims {
    /// A page of claims; an empty one where nobody has claimed.
    #[oai(status = 200)]
    Page(
        Json<ClaimPageView>,
        /// The next page, as `rel="next"`; not on the last one.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

problems!(ListCouponsProblem {
    400 => "`validation_failed`; `invalid_cursor`: the cursor is not one of this list",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(ListClaimsProblem {
    400 => "`validation_failed`; `invalid_cursor`: the cursor is not one of this list",
    404 => "`coupon_not_found`",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});
