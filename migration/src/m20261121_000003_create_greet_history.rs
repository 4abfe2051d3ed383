//! `greet_history` (S2-2), as the seed wrote it; JSONB is text that must be valid JSON on SQLite.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000003_create_greet_history",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &["CREATE TABLE greet_history (
    id SERIAL PRIMARY KEY,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    user_id INTEGER REFERENCES users(id),
    message TEXT NOT NULL,
    context JSONB
)"],
        sqlite: &["CREATE TABLE greet_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    user_id INTEGER REFERENCES users(id),
    message TEXT NOT NULL,
    context TEXT CHECK (json_valid(context))
) STRICT"],
    },
    down: Script {
        postgres: &["DROP TABLE greet_history"],
        sqlite: &["DROP TABLE greet_history"],
    },
};
