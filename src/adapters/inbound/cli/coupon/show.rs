//! `dlc coupon show`

use dlc_application::{
    coupons::{CouponService, FindCouponError},
    ports::{coupons::ListedClaim, freshness::Freshness},
};
use dlc_domain::coupons::{Coupon, CouponName};
use serde_json::{Value, json};

use super::{
    about, shown,
    table::{Align, Table},
    view,
};
use crate::adapters::inbound::cli::{
    args::{Format, ShowCouponArgs},
    exit::{Exit, Failure},
    printer::{Printer, time},
};

/// Claims read at a time.
const PAGE: u32 = 500;

/// Coupons that a name which is none's is held against: the first ones, in one statement.
const LOOKED_AT: u32 = 500;
/// Names that are told at most of those that resemble it.
const NAMED: usize = 3;
/// From here on one name resembles another.
const ALIKE: f64 = 0.6;

pub(super) async fn show(coupons: &CouponService, args: &ShowCouponArgs, printer: Printer) -> Result<Exit, Failure> {
    let name = &args.name;
    let coupon = match coupons.find(name, Freshness::Current).await {
        Ok(coupon) => coupon,
        Err(FindCouponError::UnknownCoupon) => return Err(unknown(coupons, name).await),
        Err(error) => return Err(about(name)(error)),
    };
    let mut body = json!({"coupon": view(&coupon)});
    if args.format == Format::Text {
        text(&coupon, printer);
    }
    if args.claims {
        body["claims"] = Value::Array(claims(coupons, args, printer).await?);
    }
    if args.format == Format::Json {
        printer.report("coupon show", Exit::Done, body);
    }
    Ok(Exit::Done)
}

fn text(coupon: &Coupon, printer: Printer) {
    for (what, value) in [
        ("name", shown(coupon.name().as_str())),
        ("amount", coupon.amount().get().to_string()),
        ("left", coupon.remaining().to_string()),
        ("claimed", coupon.claimed().to_string()),
        ("created", time(coupon.created_at())),
    ] {
        printer.line(&format!("{what:7}  {value}"));
    }
}

/// Prints who has claimed, or returns it for a program.
async fn claims(coupons: &CouponService, args: &ShowCouponArgs, printer: Printer) -> Result<Vec<Value>, Failure> {
    let mut table = Table::new(&[("CLAIMED BY", Align::Left), ("AT", Align::Left)], printer);
    let (mut views, mut after) = (Vec::new(), None);
    loop {
        let page = coupons.page_of_claims(&args.name, after, PAGE, Freshness::Current);
        let page = page.await.map_err(about(&args.name))?;
        let Some(last) = page.last() else { break };
        if after.is_none() && args.format == Format::Text {
            printer.line("");
        }
        after = Some(last.position);
        match args.format {
            Format::Json => views.extend(
                page.iter()
                    .map(|claim| json!({"user_id": claim.claimant.as_str(), "created_at": time(claim.at)})),
            ),
            Format::Text => table.rows(page.iter().map(row).collect()),
        }
        if printer.reader_is_gone() {
            break;
        }
    }
    Ok(views)
}

fn row(claim: &ListedClaim) -> Vec<String> {
    vec![shown(claim.claimant.as_str()), time(claim.at)]
}

/// Nobody's name: told with those that resemble it, as far as that is one look.
async fn unknown(coupons: &CouponService, name: &CouponName) -> Failure {
    let failure: Failure = about(name)(FindCouponError::UnknownCoupon);
    // It is a courtesy: whatever goes wrong with it is not what went wrong.
    let others = coupons
        .page(None, LOOKED_AT, Freshness::Current)
        .await
        .unwrap_or_default();
    let wanted = name.as_str().to_lowercase();
    let likeness =
        |other: &Coupon| strsim::normalized_damerau_levenshtein(&wanted, &other.name().as_str().to_lowercase());
    let mut alike: Vec<(f64, &Coupon)> = others.iter().map(|other| (likeness(other), other)).collect();
    alike.retain(|(likeness, _)| *likeness > ALIKE);
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    let alike: Vec<String> = alike
        .iter()
        .take(NAMED)
        .map(|(_, other)| shown(other.name().as_str()))
        .collect();
    if alike.is_empty() {
        return failure;
    }
    failure.hint(format!(
        "did you mean {}? dlc coupon list lists them all",
        alike.join(" or ")
    ))
}
