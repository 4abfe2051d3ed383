//! `dlc coupon create`

use dlc_application::{coupons::CouponService, ports::idempotency::Performed};
use serde_json::json;

use super::{about, shown, view};
use crate::adapters::inbound::cli::{
    args::{CreateCouponArgs, Format},
    exit::{Exit, Failure},
    printer::Printer,
};

pub(super) async fn create(coupons: &CouponService, args: CreateCouponArgs, printer: Printer) -> Result<Exit, Failure> {
    let CreateCouponArgs { name, amount, format } = args;
    let created = coupons.create(name.clone(), amount, None).await.map_err(about(&name))?;
    let view = match &created {
        Performed::Now(coupon) => view(coupon),
        // Only a request with a key is answered by what was kept.
        Performed::Before(_) => json!(null),
    };
    match format {
        Format::Json => printer.report("coupon create", Exit::Done, json!({"coupon": view})),
        Format::Text => {
            let pieces = if amount.get() == 1 { "piece" } else { "pieces" };
            printer.line(&format!(
                "created {} with {} {pieces}",
                shown(name.as_str()),
                amount.get()
            ));
        }
    }
    Ok(Exit::Done)
}
