//! One file per table; private to this crate. The migrations make the tables, never these.

pub(crate) mod claims;
pub(crate) mod coupons;
pub(crate) mod idempotency_keys;
