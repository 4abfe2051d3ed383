//! `dlc coupon audit`

use dlc_application::{
    operations::books::{self, Books, Fault, WrongCoupon},
    ports::books::CouponBooks,
};
use serde_json::{Value, json};

use super::{about, shown};
use crate::adapters::inbound::cli::{
    args::{AuditCouponsArgs, Format},
    exit::{Exit, Failure},
    numbers::counted,
    printer::{Printer, Tone, printable_line},
};

pub(super) async fn audit(books: &dyn CouponBooks, args: &AuditCouponsArgs, printer: Printer) -> Result<Exit, Failure> {
    let audited = books::audit(books, args.name.as_ref()).await;
    let found = match (&args.name, audited) {
        (_, Ok(found)) => found,
        (Some(name), Err(error)) => return Err(about(name)(error)),
        (None, Err(error)) => return Err(error.into()),
    };
    let exit = if found.wrong == 0 { Exit::Done } else { Exit::Failed };
    match args.format {
        Format::Json => printer.report("coupon audit", exit, json(&found)),
        Format::Text => text(&found, args, printer),
    }
    Ok(exit)
}

fn text(found: &Books, args: &AuditCouponsArgs, printer: Printer) {
    let looked_at = format!(
        "looked at {} and {}",
        counted(found.coupons, "coupon"),
        counted(found.claims, "claim")
    );
    if found.wrong == 0 {
        let what = args
            .name
            .as_ref()
            .map_or_else(|| "every coupon".to_owned(), |name| shown(name.as_str()));
        printer.line(&format!("{what} adds up; {looked_at}"));
        return;
    }
    for wrong in &found.told {
        let fail = printer.paint(Tone::Bad, "fail");
        printer.line(&format!(
            "{fail}  {}: {}",
            shown(&wrong.name),
            printable_line(&wrong.to_string())
        ));
    }
    if let more @ 1.. = found.wrong.saturating_sub(found.told.len() as u64) {
        printer.line(&format!("      and {more} more"));
    }
    let verb = if found.wrong == 1 { "does" } else { "do" };
    printer.line(&format!(
        "{} {verb} not add up; {looked_at}",
        counted(found.wrong, "coupon")
    ));
    printer.note("rows were changed past dlc; what that means, and how to mend it: dlc db check --explain BIZ001");
}

fn json(found: &Books) -> Value {
    json!({
        "coupons": found.coupons,
        "claims": found.claims,
        "wrong": found.wrong,
        // The first ones only, of as many as there are.
        "wrong_coupons": found.told.iter().map(wrong).collect::<Vec<_>>(),
    })
}

fn wrong(coupon: &WrongCoupon) -> Value {
    let faults = coupon.faults();
    let more_claimed = faults.iter().find_map(|fault| match fault {
        Fault::ClaimsDiffer(more) => Some(*more),
        _ => None,
    });
    json!({
        "name": coupon.name,
        "amount": coupon.amount,
        "remaining_amount": coupon.remaining,
        "claims": coupon.claims,
        "faults": faults.iter().map(|fault| fault.code()).collect::<Vec<_>>(),
        "claims_too_many": more_claimed,
        "repeated_claims": coupon.repeated,
        "users_with_repeated_claims": coupon.repeaters,
        "one_of_them": coupon.repeater,
    })
}
