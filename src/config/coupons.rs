//! `coupons.*`

use super::setting::{section, words};

words! {
    /// How claims reach the database.
    ClaimEngine: "group or single" {
        /// Those that wait share a transaction.
        Group = "group",
        /// Each has a transaction of its own.
        Single = "single",
    }
}

section! {
    /// Coupons and their claims.
    CouponsConfig = "coupons" {
        /// How claims reach the database: group (those that wait share a transaction, and losers of a sold-out coupon are answered
        /// from memory) or single (each has a transaction of its own; slower, and simpler to look at).
        engine: ClaimEngine = "engine", |_| ClaimEngine::Group;
    }
}
