//! `claims` (S1-5), as the seed wrote it, with its index.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000005_create_claims",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &[
            "CREATE TABLE claims (
    id SERIAL PRIMARY KEY,
    user_id VARCHAR(255) NOT NULL,
    coupon_name VARCHAR(255) NOT NULL REFERENCES coupons(name),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    UNIQUE(user_id, coupon_name)
)",
            "CREATE INDEX idx_claims_coupon_name ON claims(coupon_name)",
        ],
        sqlite: &[
            "CREATE TABLE claims (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL CHECK (length(user_id) <= 255),
    coupon_name TEXT NOT NULL CHECK (length(coupon_name) <= 255) REFERENCES coupons(name),
    created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    UNIQUE(user_id, coupon_name)
) STRICT",
            "CREATE INDEX idx_claims_coupon_name ON claims(coupon_name)",
        ],
    },
    down: Script {
        postgres: &["DROP TABLE claims"],
        sqlite: &["DROP TABLE claims"],
    },
};
