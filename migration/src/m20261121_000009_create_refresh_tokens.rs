//! `refresh_tokens` (§5.4), as digests. Used ones stay until they would have expired: that one is used again tells of a theft.
//!
//! The index has the expiry, too: with each exchange a session's expired tokens are deleted.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000009_create_refresh_tokens",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &[
            "CREATE TABLE refresh_tokens (
    digest BYTEA PRIMARY KEY,
    session_id VARCHAR(64) NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE
)",
            "CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id, expires_at)",
        ],
        sqlite: &[
            "CREATE TABLE refresh_tokens (
    digest BLOB PRIMARY KEY NOT NULL,
    session_id TEXT NOT NULL CHECK (length(session_id) <= 64) REFERENCES sessions(id) ON DELETE CASCADE,
    expires_at TEXT NOT NULL,
    used_at TEXT
) STRICT",
            "CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id, expires_at)",
        ],
    },
    down: Script {
        postgres: &["DROP TABLE refresh_tokens"],
        sqlite: &["DROP TABLE refresh_tokens"],
    },
};
