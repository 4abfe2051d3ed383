//! `bootstrap_metadata` (S0-9): one row, written by the migration itself, so that any number of starts leaves exactly one.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000001_create_bootstrap_metadata",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &[
            "CREATE TABLE bootstrap_metadata (
    bootstrap_version INTEGER PRIMARY KEY,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
)",
            "INSERT INTO bootstrap_metadata (bootstrap_version) VALUES (1)",
        ],
        sqlite: &[
            "CREATE TABLE bootstrap_metadata (
    bootstrap_version INTEGER PRIMARY KEY,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
) STRICT",
            "INSERT INTO bootstrap_metadata (bootstrap_version) VALUES (1)",
        ],
    },
    down: Script {
        postgres: &["DROP TABLE bootstrap_metadata"],
        sqlite: &["DROP TABLE bootstrap_metadata"],
    },
};
