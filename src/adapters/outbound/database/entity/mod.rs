//! One file per table; private to this crate. The migrations make the tables, never these.

pub(crate) mod audit_events;
pub(crate) mod claims;
pub(crate) mod coupons;
pub(crate) mod greet_history;
pub(crate) mod idempotency_keys;
pub(crate) mod password_resets;
pub(crate) mod refresh_tokens;
pub(crate) mod sessions;
pub(crate) mod sign_in_failures;
pub(crate) mod token_versions;
pub(crate) mod users;
