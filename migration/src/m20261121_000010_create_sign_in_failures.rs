//! `sign_in_failures` (§5.4): how often somebody failed to sign in under a name, whether or not it is an account's.
//!
//! The name is kept as its SHA-256: it may be a password that was typed into the wrong field.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000010_create_sign_in_failures",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &[
            "CREATE TABLE sign_in_failures (
    name_digest BYTEA PRIMARY KEY,
    failures INTEGER NOT NULL,
    failed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    locked_until TIMESTAMP WITH TIME ZONE
)",
            "CREATE INDEX sign_in_failures_failed_at ON sign_in_failures (failed_at)",
        ],
        sqlite: &[
            "CREATE TABLE sign_in_failures (
    name_digest BLOB PRIMARY KEY NOT NULL,
    failures INTEGER NOT NULL,
    failed_at TEXT NOT NULL,
    locked_until TEXT
) STRICT",
            "CREATE INDEX sign_in_failures_failed_at ON sign_in_failures (failed_at)",
        ],
    },
    down: Script {
        postgres: &["DROP TABLE sign_in_failures"],
        sqlite: &["DROP TABLE sign_in_failures"],
    },
};
