//! What can be typed about load.

use std::time::Duration;

use clap::{Args, Subcommand, value_parser};

use super::Format;

/// `dlc bench …`
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Sell coupons to a crowd over HTTP, and check what became of them
    ///
    /// Makes coupons of its own at a running service, lets a crowd claim them over keep-alive connections, tells claims per second,
    /// outcomes and latencies, and reads the coupons back: do they fit what was granted? If not, exit code 1. Needs no
    /// configuration and no database, but for --audit. The coupons stay: aim it at a test installation. Ctrl-C ends the sale early, and the report
    /// is made all the same.
    Claims(ClaimsArgs),
}

/// `dlc bench claims`
#[derive(Args, Debug)]
pub struct ClaimsArgs {
    /// Where the service is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,

    /// Pieces of each coupon [default: 100]
    #[arg(long, value_name = "N", value_parser = value_parser!(i32).range(1..))]
    pub stock: Option<i32>,

    /// Coupons to make; claims are spread evenly over them [default: 1]
    #[arg(long, value_name = "K", value_parser = value_parser!(u16).range(1..=10_000))]
    pub coupons: Option<u16>,

    /// Use this coupon, which is there already, and make none; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with_all = ["stock", "coupons"])]
    pub coupon: Vec<String>,

    /// Keep-alive connections, each with one claim at a time
    #[arg(long, value_name = "C", default_value = "64", value_parser = value_parser!(u16).range(1..=20_000))]
    pub concurrency: u16,

    /// Claims in all [default: twice the pieces, so that half of the crowd goes away with nothing]
    #[arg(long, value_name = "T", conflicts_with = "duration", value_parser = value_parser!(u64).range(1..=9_999_999_999))]
    pub total: Option<u64>,

    /// Claim for so long instead of so often
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,

    /// Send this share of the claims, in percent, to the first coupon, and tell its latency apart from the others'
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u8).range(..=100))]
    pub hot_share: Option<u8>,

    /// Let every M-th claim be the one before it again, by the same person
    #[arg(long, value_name = "M", conflicts_with = "hot_share", value_parser = value_parser!(u64).range(2..))]
    pub same_user_every: Option<u64>,

    /// Send an Idempotency-Key with each claim
    #[arg(long)]
    pub keyed: bool,

    /// Read the coupons instead of claiming them
    #[arg(long, conflicts_with_all = ["keyed", "same_user_every"])]
    pub read: bool,

    /// Audit the coupons by SQL as well, in the database that is configured here: it has to be the service's
    #[arg(long, conflicts_with = "read")]
    pub audit: bool,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}
