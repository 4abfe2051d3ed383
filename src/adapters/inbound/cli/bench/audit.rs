//! The audit of a sale by SQL: one claim per person and coupon, and as many claims as pieces are gone.

use dlc_application::{
    operations::books::{self, AuditError, Books},
    ports::books::CouponBooks,
};
use dlc_domain::coupons::CouponName;

use super::Sale;
use crate::adapters::inbound::cli::exit::{Exit, Failure};

/// Audits the coupons of a sale: the only one, or all that there are.
///
/// # Errors
/// When the books cannot be read, or are those of another database than the service's.
pub async fn audit(sale: &Sale, books: &dyn CouponBooks) -> Result<Option<Books>, Failure> {
    let Some(first) = sale
        .names
        .first()
        .and_then(|name| CouponName::parse(name.as_str()).ok())
    else {
        return Ok(None);
    };
    let of_first = books::audit(books, Some(&first)).await.map_err(|error| match error {
        AuditError::UnknownCoupon => Failure::new(
            Exit::Failed,
            "not_the_database",
            format!("the configured database has no coupon {first}: it is not the one of the service"),
        )
        .hint("dlc config show tells which one is configured; --url tells where the service is"),
        error @ AuditError::Database(_) => error.into(),
    })?;
    if sale.names.len() == 1 {
        return Ok(Some(of_first));
    }
    Ok(Some(books::audit(books, None).await?))
}
