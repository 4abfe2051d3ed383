//! Coupons: the versioned calls under `/api/v1`, and the literal ones of S1 under `/api` over the same use cases.
//!
//! Whether one has to sign in for writing is the installation's to say (C19); nobody has to for reading. Not here: what bodies and
//! answers look like (`views`), and lists (`lists`).

mod lists;
mod views;

use std::sync::Arc;

use dlc_application::{
    coupons::CouponService,
    ports::{coupons::ListedClaim, cursors::CursorSeal, idempotency::Performed, sessions::Principal},
};
use dlc_domain::coupons::{ClaimantId, Coupon, CouponName, Stock};
use poem::http::HeaderMap;
use poem_openapi::{
    OpenApi, Tags,
    param::{Path, Query},
    payload::Json,
};

use self::{
    lists::{ClaimPageView, CouponPageView, ListClaimsProblem, ListCouponsProblem, ListedClaims, ListedCoupons},
    views::{
        ClaimAliasBody, ClaimBody, ClaimView, CouponAliasView, CouponView, CreateCouponAliasBody, CreateCouponBody,
        CreatedCoupon, FoundCoupon, GrantedClaim,
    },
};
use super::{
    Services,
    bearer::MaybeSignedIn,
    body::JsonBody,
    door::Door,
    fields::{Fields, field},
    freshness::ReadAfter,
    idempotency::{Answered, IdempotencyKey, kept},
    pages::{List, PageLimit},
    preconditions,
    problem::{Problem, problems},
    scalars::ShortText,
};

#[derive(Tags)]
enum Tag {
    /// Limited coupons and their claims.
    Coupons,
    /// The same calls at the paths of the first client; unknown fields are ignored there.
    #[oai(rename = "Coupons (literal paths)")]
    CouponAliases,
}

problems!(CreateCouponProblem {
    400 => "`validation_failed`, `invalid_body`",
    401 => "`authentication_required`: this installation wants people to sign in; `invalid_token`",
    403 => "`not_allowed`: this installation wants administrators to create coupons",
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
    401 => "`authentication_required`: this installation wants people to sign in; `invalid_token`",
    403 => "`not_allowed`: this installation wants people to claim for themselves",
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
    seal: Arc<dyn CursorSeal>,
    door: Arc<Door>,
    /// Whether administrators create, and people claim for themselves.
    sign_in_required: bool,
}

impl Office {
    fn new(services: &Services, door: &Arc<Door>) -> Self {
        Self {
            coupons: Arc::clone(&services.coupons),
            seal: Arc::clone(&services.cursors),
            door: Arc::clone(door),
            sign_in_required: services.coupons_need_sign_in,
        }
    }

    async fn create(
        &self,
        route: &'static str,
        key: IdempotencyKey,
        who: Option<&Principal>,
        body: (String, i64),
    ) -> Result<CreatedCoupon, CreateCouponProblem> {
        self.admit_creator(who)?;
        self.door.database_at_hand()?;
        let mut fields = Fields::default();
        let keyed = key.of(who, route, &body, |coupon| kept(&CouponView::from(coupon)));
        let name = fields.take("name", CouponName::parse_new(body.0));
        let amount = fields.take("amount", Stock::new(body.1));
        let (Some(name), Some(amount)) = (name, amount) else {
            return Err(fields.problem().into());
        };
        let location = path_of(&name);
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
        who: Option<&Principal>,
        coupon: (&str, String),
        user_id: Option<String>,
    ) -> Result<GrantedClaim, ClaimProblem> {
        let user_id = self.claimant(who, user_id)?;
        self.door.database_at_hand()?;
        let mut fields = Fields::default();
        let keyed = key.of(who, route, &(&user_id, &coupon.1), |claim| {
            kept(&ClaimView::from(claim))
        });
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

    fn admit_creator(&self, who: Option<&Principal>) -> Result<(), Problem> {
        match who {
            _ if !self.sign_in_required => Ok(()),
            None => Err(Problem::sign_in_required()),
            Some(who) if who.is_admin => Ok(()),
            Some(_) => Err(Problem::not_allowed("coupons are created by administrators here")),
        }
    }

    /// For whom is claimed: whoever is named, else whoever asks; and nobody but whoever asks, where one has to sign in.
    fn claimant(&self, who: Option<&Principal>, named: Option<String>) -> Result<String, Problem> {
        match (who.map(|who| who.id.to_string()), named) {
            (None, _) if self.sign_in_required => Err(Problem::sign_in_required()),
            (None, None) => Err(Problem::invalid_field(
                "user_id",
                "is required for whoever has not signed in",
            )),
            (Some(own), Some(named)) if self.sign_in_required && own != named => Err(Problem::not_allowed(format!(
                "people claim for themselves here; your user_id is {own}"
            ))),
            (_, Some(named)) => Ok(named),
            (Some(own), None) => Ok(own),
        }
    }

    /// A list that is the same for everybody: nobody has to sign in for reading.
    fn list<'a>(&'a self, path: &'a str, limit: PageLimit) -> List<'a> {
        List {
            seal: &self.seal,
            path,
            whose: None,
            filter: String::new(),
            limit,
        }
    }

    async fn find(&self, name: String, fresh: ReadAfter) -> Result<Coupon, FindCouponProblem> {
        self.door.database_at_hand()?;
        let name = field("name", CouponName::parse(name))?;
        Ok(self.coupons.find(&name, fresh.0).await?)
    }

    async fn find_with_claimants(
        &self,
        name: String,
        fresh: ReadAfter,
    ) -> Result<(Coupon, Vec<ClaimantId>), FindCouponProblem> {
        self.door.database_at_hand()?;
        let name = field("name", CouponName::parse(name))?;
        Ok(self.coupons.find_with_claimants(&name, fresh.0).await?)
    }
}

/// The coupons' path.
const LIST: &str = "/api/v1/coupons";

/// Where a coupon is.
fn path_of(name: &CouponName) -> String {
    let place = percent_encoding::utf8_percent_encode(name.as_str(), percent_encoding::NON_ALPHANUMERIC);
    format!("{LIST}/{place}")
}

fn etag(coupon: &Coupon) -> String {
    format!(
        "\"{}-{}-{}\"",
        coupon.created_at().timestamp_micros(),
        coupon.amount().get(),
        coupon.remaining()
    )
}

pub(super) struct CouponsApi(Office);

impl CouponsApi {
    pub(super) fn new(services: &Services, door: &Arc<Door>) -> Self {
        Self(Office::new(services, door))
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Coupons")]
impl CouponsApi {
    /// Put a coupon on sale
    #[oai(path = "/coupons", method = "post", operation_id = "createCoupon")]
    async fn create(
        &self,
        who: MaybeSignedIn,
        /// A name of the request's own, such as a UUID: once answered by 201, the request gets the same answer under it for 24
        /// hours and does nothing.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: JsonBody<CreateCouponBody>,
    ) -> Result<CreatedCoupon, CreateCouponProblem> {
        let body = (body.0.name.0, body.0.amount.0);
        self.0.create("POST /api/v1/coupons", key, who.0.as_ref(), body).await
    }

    /// List coupons in the order of their names
    #[oai(path = "/coupons", method = "get", operation_id = "listCoupons")]
    async fn list(
        &self,
        /// How many there are on a page at most.
        #[oai(default)]
        limit: Query<PageLimit>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// The `X-Dlc-Read-After` of the newest answer to a write of one's own: what is read is no older than that.
        #[oai(name = "X-Dlc-Read-After")]
        fresh: ReadAfter,
    ) -> Result<ListedCoupons, ListCouponsProblem> {
        self.0.door.database_at_hand()?;
        let list = self.0.list(LIST, limit.0);
        let after: Option<CouponName> = list.after(cursor.0.as_deref())?;
        let coupons = self.0.coupons.page(after.as_ref(), list.wanted(), fresh.0).await?;
        let page = list.page(coupons, |last: &Coupon| last.name().clone());
        let view = CouponPageView {
            items: page.items,
            next_cursor: page.next_cursor,
        };
        Ok(ListedCoupons::Page(Json(view), page.link))
    }

    /// Look at a coupon
    #[oai(path = "/coupons/:name", method = "get", operation_id = "getCoupon")]
    async fn find(
        &self,
        headers: &HeaderMap,
        /// The coupon's name, percent-encoded.
        name: Path<ShortText>,
        /// The `X-Dlc-Read-After` of the newest answer to a write of one's own: what is read is no older than that.
        #[oai(name = "X-Dlc-Read-After")]
        fresh: ReadAfter,
    ) -> Result<FoundCoupon, FindCouponProblem> {
        let coupon = self.0.find(name.0.0, fresh).await?;
        let etag = etag(&coupon);
        if preconditions::is_known(headers, &etag) {
            return Ok(FoundCoupon::NotModified(etag));
        }
        Ok(FoundCoupon::Found(Json(CouponView::from(&coupon)), etag))
    }

    /// List who claimed a coupon, in the order of the claims
    #[oai(path = "/coupons/:name/claims", method = "get", operation_id = "listClaims")]
    async fn claims(
        &self,
        /// The coupon's name, percent-encoded.
        name: Path<ShortText>,
        /// How many there are on a page at most.
        #[oai(default)]
        limit: Query<PageLimit>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// The `X-Dlc-Read-After` of the newest answer to a write of one's own: what is read is no older than that.
        #[oai(name = "X-Dlc-Read-After")]
        fresh: ReadAfter,
    ) -> Result<ListedClaims, ListClaimsProblem> {
        self.0.door.database_at_hand()?;
        let name = field("name", CouponName::parse(name.0.0))?;
        let path = format!("{}/claims", path_of(&name));
        let list = self.0.list(&path, limit.0);
        let after = list.after(cursor.0.as_deref())?;
        let wanted = list.wanted();
        let claims = self.0.coupons.page_of_claims(&name, after, wanted, fresh.0).await?;
        let page = list.page(claims, |last: &ListedClaim| last.position);
        let view = ClaimPageView {
            items: page.items,
            next_cursor: page.next_cursor,
        };
        Ok(ListedClaims::Page(Json(view), page.link))
    }

    /// Claim a coupon
    ///
    /// One piece per person. Whoever has signed in may leave `user_id` out. After a 503 the outcome is unknown: ask again, the answer tells.
    #[oai(path = "/coupons/:name/claims", method = "post", operation_id = "claimCoupon")]
    async fn claim(
        &self,
        who: MaybeSignedIn,
        /// The coupon's name, percent-encoded.
        name: Path<ShortText>,
        /// A name of the request's own, such as a UUID: once answered by 201, the request gets the same answer under it for 24
        /// hours and does nothing.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: JsonBody<ClaimBody>,
    ) -> Result<GrantedClaim, ClaimProblem> {
        let route = "POST /api/v1/coupons/{name}/claims";
        let user = body.0.user_id.map(|user| user.0);
        self.0.claim(route, key, who.0.as_ref(), ("name", name.0.0), user).await
    }
}

pub(super) struct CouponAliasesApi(Office);

impl CouponAliasesApi {
    pub(super) fn new(services: &Services, door: &Arc<Door>) -> Self {
        Self(Office::new(services, door))
    }
}

#[OpenApi(prefix_path = "/api", tag = "Tag::CouponAliases")]
impl CouponAliasesApi {
    /// Put a coupon on sale
    #[oai(path = "/coupons", method = "post", operation_id = "createCouponAlias")]
    async fn create(
        &self,
        who: MaybeSignedIn,
        /// A name of the request's own, such as a UUID: once answered by 201, the request gets the same answer under it for 24
        /// hours and does nothing.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: JsonBody<CreateCouponAliasBody>,
    ) -> Result<CreatedCoupon, CreateCouponProblem> {
        let body = (body.0.name.0, body.0.amount.0);
        self.0.create("POST /api/coupons", key, who.0.as_ref(), body).await
    }

    /// Claim a coupon
    #[oai(path = "/coupons/claim", method = "post", operation_id = "claimCouponAlias")]
    async fn claim(
        &self,
        who: MaybeSignedIn,
        /// A name of the request's own, such as a UUID: once answered by 201, the request gets the same answer under it for 24
        /// hours and does nothing.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        body: JsonBody<ClaimAliasBody>,
    ) -> Result<GrantedClaim, ClaimProblem> {
        let (coupon, user) = (body.0.coupon_name.0, body.0.user_id.0);
        self.0
            .claim(
                "POST /api/coupons/claim",
                key,
                who.0.as_ref(),
                ("coupon_name", coupon),
                Some(user),
            )
            .await
    }

    /// Look at the coupon whose name is claim
    ///
    /// As every other one; only its path is also that of another call.
    #[oai(path = "/coupons/claim", method = "get", operation_id = "getClaimCouponAlias")]
    async fn find_claim(
        &self,
        /// The `X-Dlc-Read-After` of the newest answer to a write of one's own: what is read is no older than that.
        #[oai(name = "X-Dlc-Read-After")]
        fresh: ReadAfter,
    ) -> Result<Json<CouponAliasView>, FindCouponProblem> {
        self.look("claim".to_owned(), fresh).await
    }

    /// Look at a coupon and at who claimed it
    #[oai(path = "/coupons/:name", method = "get", operation_id = "getCouponAlias")]
    async fn find(
        &self,
        /// The coupon's name, percent-encoded.
        name: Path<ShortText>,
        /// The `X-Dlc-Read-After` of the newest answer to a write of one's own: what is read is no older than that.
        #[oai(name = "X-Dlc-Read-After")]
        fresh: ReadAfter,
    ) -> Result<Json<CouponAliasView>, FindCouponProblem> {
        self.look(name.0.0, fresh).await
    }
}

impl CouponAliasesApi {
    async fn look(&self, name: String, fresh: ReadAfter) -> Result<Json<CouponAliasView>, FindCouponProblem> {
        let (coupon, claimants) = self.0.find_with_claimants(name, fresh).await?;
        Ok(Json(CouponAliasView {
            name: coupon.name().to_string(),
            amount: coupon.amount().get(),
            remaining_amount: coupon.remaining(),
            claimed_by: claimants.into_iter().map(String::from).collect(),
        }))
    }
}
