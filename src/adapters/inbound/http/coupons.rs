//! Coupons: the versioned calls under `/api/v1`, and the literal ones of S1 under `/api` over the same use cases.
//!
//! Unknown fields are refused by the first and ignored by the second (§5.1), hence two bodies per call.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use dlc_application::{coupons::CouponService, operations::readiness::Readiness, ports::idempotency::Performed};
use dlc_domain::coupons::{Claim, ClaimantId, Coupon, CouponName, Stock};
use poem::http::HeaderMap;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags, param::Path, payload::Json};

use super::{
    Services,
    body::JsonBody,
    fields::{Fields, field},
    idempotency::{Answered, IdempotencyKey, kept},
    problem::{Problem, problems},
    scalars::{Amount, ShortText},
};

#[derive(Tags)]
enum Tag {
    /// Limited coupons and their claims.
    Coupons,
    /// The same calls at the paths of the first client; unknown fields are ignored there.
    #[oai(rename = "Coupons (literal paths)")]
    CouponAliases,
}

/// A coupon to put on sale.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example)]
struct CreateCouponBody {
    /// Its name: 1–255 characters, not blank.
    name: ShortText,
    /// How many pieces there are: 1 to 2147483647.
    amount: Amount,
}

impl poem_openapi::types::Example for CreateCouponBody {
    fn example() -> Self {
        Self {
            name: ShortText("salsa-10".to_owned()),
            amount: Amount(50),
        }
    }
}

/// A coupon to put on sale; unknown fields are ignored.
#[derive(Debug, Object)]
struct CreateCouponAliasBody {
    /// Its name: 1–255 characters, not blank.
    name: ShortText,
    /// How many pieces there are: 1 to 2147483647.
    amount: Amount,
}

/// A claim for the coupon in the path.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example)]
struct ClaimBody {
    /// Who claims: 1–255 characters, not blank.
    user_id: ShortText,
}

impl poem_openapi::types::Example for ClaimBody {
    fn example() -> Self {
        Self {
            user_id: ShortText("user-1".to_owned()),
        }
    }
}

/// A claim; unknown fields are ignored.
#[derive(Debug, Object)]
struct ClaimAliasBody {
    /// Who claims: 1–255 characters, not blank.
    user_id: ShortText,
    /// The coupon's name.
    coupon_name: ShortText,
}

/// A coupon.
#[derive(Debug, Object)]
struct CouponView {
    /// Its name.
    name: String,
    /// Pieces at first.
    amount: i32,
    /// Pieces left.
    remaining_amount: i32,
    /// Pieces claimed: amount − remaining_amount.
    claims_count: i32,
    /// When it went on sale.
    created_at: DateTime<Utc>,
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
struct CouponAliasView {
    /// Its name.
    name: String,
    /// Pieces at first.
    amount: i32,
    /// Pieces left.
    remaining_amount: i32,
    /// Who claimed a piece, in the order of the claims.
    claimed_by: Vec<String>,
}

/// A claim that was granted.
#[derive(Debug, Object)]
struct ClaimView {
    /// Who claimed.
    user_id: String,
    /// The coupon's name.
    coupon_name: String,
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
enum CreatedCoupon {
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
enum GrantedClaim {
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
enum FoundCoupon {
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

problems!(CreateCouponProblem {
    400 => "`validation_failed`, `invalid_body`",
    401 => "`authentication_required`: this installation wants people to sign in",
    408 => "`body_timeout`: the body did not come in time",
    409 => "`coupon_exists`: the name belongs to another coupon; `idempotency_key_in_use`: a request under that key is being worked on",
    413 => "`body_too_large`",
    415 => "`unsupported_media_type`",
    422 => "`idempotency_key_reused`: another request was answered under that key",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

problems!(ClaimProblem {
    400 => "`validation_failed`, `invalid_body`",
    401 => "`authentication_required`: this installation wants people to sign in",
    404 => "`coupon_not_found`",
    408 => "`body_timeout`: the body did not come in time",
    409 => "`already_claimed`, `out_of_stock`; `idempotency_key_in_use`: a request under that key is being worked on",
    413 => "`body_too_large`",
    415 => "`unsupported_media_type`",
    422 => "`idempotency_key_reused`: another request was answered under that key",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `request_timeout`: the outcome is unknown, ask again to learn it; `overloaded`, `starting`: nothing was done yet",
});

problems!(FindCouponProblem {
    400 => "`validation_failed`",
    404 => "`coupon_not_found`",
    429 => "`rate_limited`: ask again after `Retry-After` seconds",
    500 => "`internal_error`",
    503 => "`database_unavailable`, `database_timeout`, `database_conflict`, `overloaded`, `request_timeout`, `starting`: ask again after `Retry-After` seconds",
});

/// The use cases behind both families of paths.
#[derive(Clone)]
struct Office {
    coupons: Arc<CouponService>,
    readiness: Arc<Readiness>,
    /// Nobody can sign in yet, so where it is required, writing is refused to all: closed rather than open.
    sign_in_required: bool,
}

impl Office {
    fn new(services: &Services, readiness: &Arc<Readiness>) -> Self {
        Self {
            coupons: Arc::clone(&services.coupons),
            readiness: Arc::clone(readiness),
            sign_in_required: services.coupons_need_sign_in,
        }
    }

    async fn create(
        &self,
        route: &'static str,
        key: IdempotencyKey,
        body: (String, i64),
    ) -> Result<CreatedCoupon, CreateCouponProblem> {
        self.admit()?;
        let mut fields = Fields::default();
        let keyed = key.of(route, &body, |coupon| kept(&CouponView::from(coupon)));
        let name = fields.take("name", CouponName::parse(body.0));
        let amount = fields.take("amount", Stock::new(body.1));
        let (Some(name), Some(amount)) = (name, amount) else {
            return Err(fields.problem().into());
        };
        let place = percent_encoding::utf8_percent_encode(name.as_str(), percent_encoding::NON_ALPHANUMERIC);
        let location = format!("/api/v1/coupons/{place}");
        let (answer, was_before) = match self.coupons.create(name, amount, keyed).await? {
            Performed::Now(coupon) => (Answered::now(&CouponView::from(&coupon)), None),
            Performed::Before(answer) => (Answered::before(answer), Some(true)),
        };
        Ok(CreatedCoupon::Created(answer, location, was_before))
    }

    async fn claim(
        &self,
        route: &'static str,
        key: IdempotencyKey,
        coupon: (&str, String),
        user_id: String,
    ) -> Result<GrantedClaim, ClaimProblem> {
        self.admit()?;
        let mut fields = Fields::default();
        let keyed = key.of(route, &(&user_id, &coupon.1), |claim| kept(&ClaimView::from(claim)));
        let claimant = fields.take("user_id", ClaimantId::parse(user_id));
        let coupon = fields.take(coupon.0, CouponName::parse(coupon.1));
        let (Some(claimant), Some(coupon)) = (claimant, coupon) else {
            return Err(fields.problem().into());
        };
        let (answer, was_before) = match self.coupons.claim(coupon, claimant, keyed).await? {
            Performed::Now(claim) => (Answered::now(&ClaimView::from(&claim)), None),
            Performed::Before(answer) => (Answered::before(answer), Some(true)),
        };
        Ok(GrantedClaim::Created(answer, was_before))
    }

    async fn find(&self, name: String) -> Result<Coupon, FindCouponProblem> {
        self.database_at_hand()?;
        let name = field("name", CouponName::parse(name))?;
        Ok(self.coupons.find(&name).await?)
    }

    async fn find_with_claimants(&self, name: String) -> Result<(Coupon, Vec<ClaimantId>), FindCouponProblem> {
        self.database_at_hand()?;
        let name = field("name", CouponName::parse(name))?;
        Ok(self.coupons.find_with_claimants(&name).await?)
    }

    /// Whether this request may write now.
    fn admit(&self) -> Result<(), Problem> {
        if self.sign_in_required {
            return Err(Problem::sign_in_required());
        }
        self.database_at_hand()
    }

    /// While the database is lost everybody is told so at once, instead of queueing for a connection that does not come.
    fn database_at_hand(&self) -> Result<(), Problem> {
        if self.readiness.database_is_lost() {
            Err(Problem::lost_database())
        } else {
            Ok(())
        }
    }
}

fn etag(coupon: &Coupon) -> String {
    format!(
        "\"{}-{}-{}\"",
        coupon.created_at().timestamp_micros(),
        coupon.amount().get(),
        coupon.remaining()
    )
}

/// Whether an `If-None-Match` header names `etag` (RFC 9110 §13.1.2: a list, `*`, weak comparison).
fn matches(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all("if-none-match")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value
                .split(',')
                .map(str::trim)
                .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
        })
}

pub(super) struct CouponsApi(Office);

impl CouponsApi {
    pub(super) fn new(services: &Services, readiness: &Arc<Readiness>) -> Self {
        Self(Office::new(services, readiness))
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Coupons")]
impl CouponsApi {
    /// Put a coupon on sale
    #[oai(path = "/coupons", method = "post", operation_id = "createCoupon")]
    async fn create(
        &self,
        /// A name of the request's own, such as a UUID: once answered by 201, the request gets the same answer under it for 24
        /// hours and does nothing.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: JsonBody<CreateCouponBody>,
    ) -> Result<CreatedCoupon, CreateCouponProblem> {
        let body = (body.0.name.0, body.0.amount.0);
        self.0.create("POST /api/v1/coupons", key, body).await
    }

    /// Look at a coupon
    #[oai(path = "/coupons/:name", method = "get", operation_id = "getCoupon")]
    async fn find(
        &self,
        headers: &HeaderMap,
        /// The coupon's name, percent-encoded.
        name: Path<ShortText>,
    ) -> Result<FoundCoupon, FindCouponProblem> {
        let coupon = self.0.find(name.0.0).await?;
        let etag = etag(&coupon);
        if matches(headers, &etag) {
            return Ok(FoundCoupon::NotModified(etag));
        }
        Ok(FoundCoupon::Found(Json(CouponView::from(&coupon)), etag))
    }

    /// Claim a coupon
    ///
    /// One piece per person. After a 503 the outcome is unknown: ask again, the answer tells.
    #[oai(path = "/coupons/:name/claims", method = "post", operation_id = "claimCoupon")]
    async fn claim(
        &self,
        /// The coupon's name, percent-encoded.
        name: Path<ShortText>,
        /// A name of the request's own, such as a UUID: once answered by 201, the request gets the same answer under it for 24
        /// hours and does nothing.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: JsonBody<ClaimBody>,
    ) -> Result<GrantedClaim, ClaimProblem> {
        let route = "POST /api/v1/coupons/{name}/claims";
        self.0.claim(route, key, ("name", name.0.0), body.0.user_id.0).await
    }
}

pub(super) struct CouponAliasesApi(Office);

impl CouponAliasesApi {
    pub(super) fn new(services: &Services, readiness: &Arc<Readiness>) -> Self {
        Self(Office::new(services, readiness))
    }
}

#[OpenApi(prefix_path = "/api", tag = "Tag::CouponAliases")]
impl CouponAliasesApi {
    /// Put a coupon on sale
    #[oai(path = "/coupons", method = "post", operation_id = "createCouponAlias")]
    async fn create(
        &self,
        /// A name of the request's own, such as a UUID: once answered by 201, the request gets the same answer under it for 24
        /// hours and does nothing.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: JsonBody<CreateCouponAliasBody>,
    ) -> Result<CreatedCoupon, CreateCouponProblem> {
        let body = (body.0.name.0, body.0.amount.0);
        self.0.create("POST /api/coupons", key, body).await
    }

    /// Claim a coupon
    #[oai(path = "/coupons/claim", method = "post", operation_id = "claimCouponAlias")]
    async fn claim(
        &self,
        /// A name of the request's own, such as a UUID: once answered by 201, the request gets the same answer under it for 24
        /// hours and does nothing.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: JsonBody<ClaimAliasBody>,
    ) -> Result<GrantedClaim, ClaimProblem> {
        let (coupon, user) = (body.0.coupon_name.0, body.0.user_id.0);
        self.0
            .claim("POST /api/coupons/claim", key, ("coupon_name", coupon), user)
            .await
    }

    /// Look at a coupon and at who claimed it
    #[oai(path = "/coupons/:name", method = "get", operation_id = "getCouponAlias")]
    async fn find(
        &self,
        /// The coupon's name, percent-encoded.
        name: Path<ShortText>,
    ) -> Result<Json<CouponAliasView>, FindCouponProblem> {
        let (coupon, claimants) = self.0.find_with_claimants(name.0.0).await?;
        Ok(Json(CouponAliasView {
            name: coupon.name().to_string(),
            amount: coupon.amount().get(),
            remaining_amount: coupon.remaining(),
            claimed_by: claimants.into_iter().map(String::from).collect(),
        }))
    }
}
