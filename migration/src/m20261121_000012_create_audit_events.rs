//! `audit_events` (§5.4): who did what to whose account. No foreign key: events outlive accounts.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000012_create_audit_events",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &[
            "CREATE TABLE audit_events (
    id BIGSERIAL PRIMARY KEY,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor VARCHAR(64) NOT NULL,
    action VARCHAR(64) NOT NULL,
    subject_id INTEGER,
    address VARCHAR(64),
    request_id VARCHAR(128)
)",
            "CREATE INDEX audit_events_subject_id ON audit_events (subject_id, created_at)",
            "CREATE INDEX audit_events_created_at ON audit_events (created_at)",
        ],
        sqlite: &[
            "CREATE TABLE audit_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at TEXT NOT NULL,
    actor TEXT NOT NULL CHECK (length(actor) <= 64),
    action TEXT NOT NULL CHECK (length(action) <= 64),
    subject_id INTEGER,
    address TEXT CHECK (length(address) <= 64),
    request_id TEXT CHECK (length(request_id) <= 128)
) STRICT",
            "CREATE INDEX audit_events_subject_id ON audit_events (subject_id, created_at)",
            "CREATE INDEX audit_events_created_at ON audit_events (created_at)",
        ],
    },
    down: Script {
        postgres: &["DROP TABLE audit_events"],
        sqlite: &["DROP TABLE audit_events"],
    },
};
