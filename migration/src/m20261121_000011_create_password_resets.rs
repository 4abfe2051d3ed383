//! `password_resets` (§5.4): the code that goes with `users.allow_password_reset`, as a digest; one at a time.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000011_create_password_resets",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &["CREATE TABLE password_resets (
    user_id INTEGER PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
    code_digest BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL
)"],
        sqlite: &["CREATE TABLE password_resets (
    user_id INTEGER PRIMARY KEY NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    code_digest BLOB NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT"],
    },
    down: Script {
        postgres: &["DROP TABLE password_resets"],
        sqlite: &["DROP TABLE password_resets"],
    },
};
