//! `sessions` (§5.4): one sign-in each. `expires_at` is the latest expiry of its refresh tokens: nothing is left of it then.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000008_create_sessions",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &[
            "CREATE TABLE sessions (
    id VARCHAR(64) PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE
)",
            "CREATE INDEX sessions_user_id ON sessions (user_id)",
            "CREATE INDEX sessions_expires_at ON sessions (expires_at)",
        ],
        sqlite: &[
            "CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) <= 64),
    user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    ended_at TEXT
) STRICT",
            "CREATE INDEX sessions_user_id ON sessions (user_id)",
            "CREATE INDEX sessions_expires_at ON sessions (expires_at)",
        ],
    },
    down: Script {
        postgres: &["DROP TABLE sessions"],
        sqlite: &["DROP TABLE sessions"],
    },
};
