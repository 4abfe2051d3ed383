//! `users` (S2-2), as the seed wrote it. Beside it one index: names are compared case-insensitively (C, §5.4).
//!
//! SQLite has no column lengths, so they stand as CHECKs; its timestamps have the form that the application writes,
//! because text is compared as text.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000002_create_users",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &[
            "CREATE TABLE users (
    id SERIAL PRIMARY KEY,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    deleted_at TIMESTAMP WITH TIME ZONE,
    username VARCHAR(50) UNIQUE NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    description TEXT,
    current_goal TEXT,
    is_admin BOOLEAN DEFAULT FALSE,
    allow_password_reset BOOLEAN DEFAULT FALSE,
    last_login TIMESTAMP WITH TIME ZONE
)",
            "CREATE UNIQUE INDEX idx_users_username_lower ON users (lower(username))",
        ],
        sqlite: &[
            "CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    deleted_at TEXT,
    username TEXT UNIQUE NOT NULL CHECK (length(username) <= 50),
    password_hash TEXT NOT NULL CHECK (length(password_hash) <= 255),
    description TEXT,
    current_goal TEXT,
    is_admin INTEGER DEFAULT FALSE CHECK (is_admin IN (FALSE, TRUE)),
    allow_password_reset INTEGER DEFAULT FALSE CHECK (allow_password_reset IN (FALSE, TRUE)),
    last_login TEXT
) STRICT",
            "CREATE UNIQUE INDEX idx_users_username_lower ON users (lower(username))",
        ],
    },
    down: Script {
        postgres: &["DROP TABLE users"],
        sqlite: &["DROP TABLE users"],
    },
};
