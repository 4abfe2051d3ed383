//! What can be typed about coupons.

use clap::{Args, Subcommand, value_parser};
use dlc_domain::coupons::{CouponName, Stock};

use super::Format;

/// `dlc coupon …`
#[derive(Debug, Subcommand)]
pub enum CouponCommand {
    /// Put a coupon on sale
    Create(CreateCouponArgs),
    /// List coupons in the order of their names
    List(ListCouponsArgs),
    /// Tell what is known of a coupon, and who has claimed it
    Show(ShowCouponArgs),
    /// Prove that the stock of every coupon and its claims add up; changes nothing, holds up nobody; exit code 1 if not
    Audit(AuditCouponsArgs),
}

impl CouponCommand {
    /// Its name, as typed.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "coupon create",
            Self::List(_) => "coupon list",
            Self::Show(_) => "coupon show",
            Self::Audit(_) => "coupon audit",
        }
    }

    /// How its report is printed.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::Create(args) => args.format,
            Self::List(args) => args.format,
            Self::Show(args) => args.format,
            Self::Audit(args) => args.format,
        }
    }
}

/// `dlc coupon create`
#[derive(Args, Debug)]
pub struct CreateCouponArgs {
    /// Name of the coupon: 1 to 255 characters, not blank
    #[arg(value_name = "NAME", value_parser = new_coupon_name)]
    pub name: CouponName,

    /// How many pieces there are: 1 to 2147483647
    #[arg(long, value_name = "N", value_parser = stock, allow_negative_numbers = true)]
    pub amount: Stock,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc coupon list`
#[derive(Args, Debug)]
pub struct ListCouponsArgs {
    /// List the first N only [default: all]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub limit: Option<u32>,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc coupon show`
#[derive(Args, Debug)]
pub struct ShowCouponArgs {
    /// Name of the coupon, exactly
    #[arg(value_name = "NAME", value_parser = coupon_name)]
    pub name: CouponName,

    /// List who has claimed it, too, in the order of the claims
    #[arg(long)]
    pub claims: bool,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc coupon audit`
#[derive(Args, Debug)]
pub struct AuditCouponsArgs {
    /// Audit this coupon alone [default: all]
    #[arg(value_name = "NAME", value_parser = coupon_name)]
    pub name: Option<CouponName>,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

fn coupon_name(text: &str) -> Result<CouponName, String> {
    CouponName::parse(text).map_err(|error| format!("it {error}"))
}

fn new_coupon_name(text: &str) -> Result<CouponName, String> {
    CouponName::parse_new(text).map_err(|error| format!("it {error}"))
}

fn stock(text: &str) -> Result<Stock, String> {
    let number = text
        .parse()
        .map_err(|_| "it is no whole number within reason".to_owned())?;
    Stock::new(number).map_err(|error| format!("it {error}"))
}
