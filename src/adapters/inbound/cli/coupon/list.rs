//! `dlc coupon list`

use dlc_application::{coupons::CouponService, ports::freshness::Freshness};
use dlc_domain::coupons::Coupon;
use serde_json::{Value, json};

use super::{
    shown,
    table::{Align, Table},
    view,
};
use crate::adapters::inbound::cli::{
    args::{Format, ListCouponsArgs},
    exit::{Exit, Failure},
    printer::{Printer, time},
};

/// Coupons read at a time.
const PAGE: u32 = 500;

pub(super) async fn list(coupons: &CouponService, args: &ListCouponsArgs, printer: Printer) -> Result<Exit, Failure> {
    let mut table = Table::new(
        &[
            ("NAME", Align::Left),
            ("AMOUNT", Align::Right),
            ("LEFT", Align::Right),
            ("CLAIMED", Align::Right),
            ("CREATED", Align::Left),
        ],
        printer,
    );
    let mut views: Vec<Value> = Vec::new();
    let mut listed = 0_u32;
    let mut after = None;
    let more = loop {
        let left = args.limit.map_or(u32::MAX, |limit| limit - listed);
        // One more than is wanted tells whether there are more.
        let wanted = left.saturating_add(1).min(PAGE);
        let mut page = coupons.page(after.as_ref(), wanted, Freshness::Current).await?;
        let is_more = page.len() > left as usize;
        page.truncate(left as usize);
        let Some(last) = page.last() else { break is_more };
        after = Some(last.name().clone());
        listed += u32::try_from(page.len()).unwrap_or(u32::MAX);
        // A page at a time goes out: there may be more coupons than one wants to have in memory.
        match args.format {
            Format::Json => views.extend(page.iter().map(view)),
            Format::Text => table.rows(page.iter().map(row).collect()),
        }
        if is_more || printer.reader_is_gone() {
            break is_more;
        }
    };
    match args.format {
        Format::Json => printer.report("coupon list", Exit::Done, json!({"coupons": views, "more": more})),
        Format::Text if listed == 0 => {
            printer.line("there are no coupons; make one: dlc coupon create NAME --amount N");
        }
        Format::Text if more => printer.note("there are more: --limit N lists more of them, and all without it"),
        Format::Text => {}
    }
    Ok(Exit::Done)
}

fn row(coupon: &Coupon) -> Vec<String> {
    vec![
        shown(coupon.name().as_str()),
        coupon.amount().get().to_string(),
        coupon.remaining().to_string(),
        coupon.claimed().to_string(),
        time(coupon.created_at()),
    ]
}
