//! Coupons and claims in SQL, a page at a time, by key: what was on the pages before stays where it was.
//!
//! Not here: cursors.

use chrono::{DateTime, Utc};
use dlc_application::ports::{
    StorageError, StorageErrorKind,
    coupons::{ClaimPosition, ListedClaim},
    freshness::Freshness,
};
use dlc_domain::coupons::{ClaimantId, Coupon, CouponName};
use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};

use super::restore;
use crate::{
    connection::Database,
    entity::{claims, coupons},
    error,
    statements::Statement as Kind,
};

/// The primary key both chooses and sorts, so whatever order a database sorts texts in is the order of every page.
pub(super) async fn page(
    database: &Database,
    after: Option<&CouponName>,
    limit: u32,
    freshness: Freshness,
) -> Result<Vec<Coupon>, StorageError> {
    use coupons::Column;
    // What breaks these rules is no coupon; only whoever writes around the service could make one. The audit names it.
    let sound = coupons::Entity::find()
        .filter(Column::CreatedAt.is_not_null())
        .filter(Column::Amount.between(1, i32::MAX))
        .filter(Column::RemainingAmount.gte(0))
        .filter(Expr::col(Column::RemainingAmount).lte(Expr::col(Column::Amount)));
    let page = match after {
        Some(after) => sound.filter(Column::Name.gt(after.as_str())),
        None => sound,
    };
    let page = page.order_by_asc(Column::Name).limit(u64::from(limit));
    let read = database.read(freshness, |reader| {
        let page = page.clone();
        async move {
            let rows = Kind::SELECT_COUPONS.traced(database.engine(), page.all(&reader.connection));
            let rows = rows.await.map_err(error::storage)?;
            rows.into_iter().map(restore).collect()
        }
    });
    read.await
}

/// Numbers are given out under the coupon's lock, so those of one coupon are in the order in which its claims were committed: none
/// comes to light before one that was read already.
pub(super) async fn page_of_claims(
    database: &Database,
    coupon: &CouponName,
    (after, limit): (Option<ClaimPosition>, u32),
    freshness: Freshness,
) -> Result<Option<Vec<ListedClaim>>, StorageError> {
    use claims::Column;
    let page = claims::Entity::find()
        .select_only()
        .columns([Column::Id, Column::UserId, Column::CreatedAt])
        .filter(Column::CouponName.eq(coupon.as_str()))
        .filter(Column::Id.gt(after.map_or(0, |after| after.0)))
        .order_by_asc(Column::Id)
        .limit(u64::from(limit));
    let engine = database.engine();
    let read = database.read_one(freshness, |reader| {
        let page = page.clone().into_tuple::<(i32, String, Option<DateTime<Utc>>)>();
        async move {
            let rows = Kind::SELECT_CLAIMS.traced(engine, page.all(&reader.connection)).await;
            let rows = rows.map_err(error::storage)?;
            // A claim has its coupon; only where there is none it has to be asked for. Coupons do not vanish, so later is not too late.
            if rows.is_empty() {
                let find = coupons::Entity::find_by_id(coupon.as_str())
                    .select_only()
                    .column(coupons::Column::Name)
                    .into_tuple::<String>()
                    .one(&reader.connection);
                let found = Kind::SELECT_COUPONS.traced(engine, find).await;
                if found.map_err(error::storage)?.is_none() {
                    return Ok(None);
                }
            }
            rows.into_iter().map(listed).collect::<Result<_, _>>().map(Some)
        }
    });
    read.await
}

/// A claim without a time, which nobody makes but who writes around the service, was made at the beginning of time: whoever has
/// claimed is told in any case.
fn listed((id, claimant, at): (i32, String, Option<DateTime<Utc>>)) -> Result<ListedClaim, StorageError> {
    Ok(ListedClaim {
        position: ClaimPosition(id),
        claimant: ClaimantId::parse(claimant).map_err(|corrupt| StorageError::new(StorageErrorKind::Other, corrupt))?,
        at: at.unwrap_or_default(),
    })
}
