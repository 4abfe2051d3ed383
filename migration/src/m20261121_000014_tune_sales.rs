//! `coupons` and `claims` for sales, most of it on PostgreSQL alone.
//!
//! - `claims (coupon_name, id)`: the pages of a coupon's claims (§5.5) begin anywhere. Without it PostgreSQL reads along the
//!   primary key, which passes by the claims for all other coupons (144 ms for a page, at a million claims), or sorts all claims
//!   for this one. On SQLite `idx_claims_coupon_name` would do, since it ends with the row's number by itself; both engines
//!   have the same indexes all the same.
//! - `coupons`: each group of claims writes a new version of the row. Half of each page stays free for them, so that they stay in
//!   it and touch no index (heap-only tuples); what a page of older versions needs is cleared away as it is read. A coupon has
//!   some hundred bytes, so the table stays small all the same.
//! - `claims` only grows: at the default of a fifth, a table of a hundred million rows would be vacuumed after twenty million
//!   more, and then have all of them to freeze. A fiftieth spreads that. The planner's figures grow old in the same way.
//! - `claims.id` is SERIAL (S1-5) and ends at 2,147,483,647: `dlc db check` watches that (WRP002), and claims that are refused
//!   take no number (`claims` in the database's package). Nothing is set for it here.
//!
//! In the transaction, although building an index keeps writers waiting: no version before this one was released, so no claims
//! were made before.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000014_tune_sales",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &[
            "CREATE INDEX claims_coupon_name_id ON claims (coupon_name, id)",
            "ALTER TABLE coupons SET (fillfactor = 50)",
            "ALTER TABLE claims SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)",
        ],
        sqlite: &["CREATE INDEX claims_coupon_name_id ON claims (coupon_name, id)"],
    },
    down: Script {
        postgres: &[
            "ALTER TABLE claims RESET (autovacuum_vacuum_insert_scale_factor, autovacuum_analyze_scale_factor)",
            "ALTER TABLE coupons RESET (fillfactor)",
            "DROP INDEX claims_coupon_name_id",
        ],
        sqlite: &["DROP INDEX claims_coupon_name_id"],
    },
};
