//! `token_versions` (§5.4): access tokens of an earlier version are worthless. No row is version 0.
//!
//! Beside `users` and not in it: that table stays as the seed wrote it (C).

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000007_create_token_versions",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &["CREATE TABLE token_versions (
    user_id INTEGER PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
    version INTEGER NOT NULL
)"],
        sqlite: &["CREATE TABLE token_versions (
    user_id INTEGER PRIMARY KEY NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    version INTEGER NOT NULL
) STRICT"],
    },
    down: Script {
        postgres: &["DROP TABLE token_versions"],
        sqlite: &["DROP TABLE token_versions"],
    },
};
