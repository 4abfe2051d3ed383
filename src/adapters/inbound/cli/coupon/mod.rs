//! `dlc coupon …`: what is on sale, for whoever may run commands on the database's behalf.
//!
//! One file per command. Claims are made by users over HTTP; there is no command for them.

mod audit;
mod create;
mod list;
mod show;
mod table;

use dlc_application::{coupons::CouponService, ports::books::CouponBooks};
use dlc_domain::coupons::{Coupon, CouponName};
use serde_json::{Value, json};

use super::{
    args::{AuditCouponsArgs, CreateCouponArgs, ListCouponsArgs, ShowCouponArgs},
    exit::{Exit, Failure},
    printer::{Printer, time},
};

/// A command that asks the coupon office; the audit does not: it asks the books.
#[derive(Debug)]
pub enum Errand {
    /// `dlc coupon create`
    Create(CreateCouponArgs),
    /// `dlc coupon list`
    List(ListCouponsArgs),
    /// `dlc coupon show`
    Show(ShowCouponArgs),
}

/// Does what a command says.
///
/// # Errors
/// When it is refused, or the database fails.
pub async fn run(coupons: &CouponService, errand: Errand, printer: Printer) -> Result<Exit, Failure> {
    match errand {
        Errand::Create(args) => create::create(coupons, args, printer).await,
        Errand::List(args) => list::list(coupons, &args, printer).await,
        Errand::Show(args) => show::show(coupons, &args, printer).await,
    }
}

/// Audits the books.
///
/// # Errors
/// When there is no such coupon, or the database fails; what is wrong with a coupon is no error, but an exit code.
pub async fn audit(books: &dyn CouponBooks, args: &AuditCouponsArgs, printer: Printer) -> Result<Exit, Failure> {
    audit::audit(books, args, printer).await
}

/// A failure that says which coupon it is about.
fn about<E>(name: &CouponName) -> impl Fn(E) -> Failure
where
    Failure: From<E>,
{
    move |error| {
        let failure = Failure::from(error);
        Failure {
            message: format!("{}: {}", shown(name.as_str()), failure.message),
            ..failure
        }
    }
}

/// A text of somebody's making as one can see it: in quotes and with escapes, where it would look like another one, or steer a
/// terminal.
fn shown(text: &str) -> String {
    let quoted = format!("{text:?}");
    let is_as_it_looks = quoted[1..quoted.len() - 1].replace("\\\"", "\"").replace("\\\\", "\\") == text;
    let is_spaced_out =
        text.trim() != text || text.contains("  ") || text.chars().any(|c| c != ' ' && c.is_whitespace());
    if is_as_it_looks && !is_spaced_out && !text.starts_with('"') {
        text.to_owned()
    } else {
        quoted
    }
}

/// What is told of a coupon.
fn view(coupon: &Coupon) -> Value {
    json!({
        "name": coupon.name().as_str(),
        "amount": coupon.amount().get(),
        "remaining_amount": coupon.remaining(),
        "claims_count": coupon.claimed(),
        "created_at": time(coupon.created_at()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_as_it_is_unless_it_would_look_like_another_one() {
        for plain in [
            "SALSA",
            "50% off, today",
            "it's \"new\"",
            "C:\\temp",
            "💃🕺",
            "ä",
            "-1",
            "'; DROP TABLE coupons; --",
        ] {
            assert_eq!(shown(plain), plain);
        }
        for (name, words) in [
            (" a", "\" a\""),
            ("a  b", "\"a  b\""),
            ("a\u{a0}b", "\"a\\u{a0}b\""),
            ("a\nb", "\"a\\nb\""),
            ("\u{1b}[2J", "\"\\u{1b}[2J\""),
            ("a\u{202e}b", "\"a\\u{202e}b\""),
            ("\"a\"", "\"\\\"a\\\"\""),
        ] {
            assert_eq!(shown(name), words);
        }
    }
}
