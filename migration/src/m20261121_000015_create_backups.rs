//! `backups` (§3.7): which backups dlc made of this database, and when each was last restored and compared. What BAK001 judges.
//!
//! The backups themselves are files somewhere else, each with a manifest of the same id. A row of a backup that is gone is harmless.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000015_create_backups",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &[
            "CREATE TABLE backups (
    id VARCHAR(36) PRIMARY KEY,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    place TEXT NOT NULL,
    size BIGINT NOT NULL,
    verified_at TIMESTAMP WITH TIME ZONE
)",
            "CREATE INDEX backups_created_at ON backups (created_at)",
        ],
        sqlite: &[
            "CREATE TABLE backups (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) <= 36),
    created_at TEXT NOT NULL,
    place TEXT NOT NULL,
    size INTEGER NOT NULL,
    verified_at TEXT
) STRICT",
            "CREATE INDEX backups_created_at ON backups (created_at)",
        ],
    },
    down: Script {
        postgres: &["DROP TABLE backups"],
        sqlite: &["DROP TABLE backups"],
    },
};
