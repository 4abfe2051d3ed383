//! `idempotency_keys` (§5.1): answers to requests that may come again, kept for a day.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000006_create_idempotency_keys",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &[
            "CREATE TABLE idempotency_keys (
    principal VARCHAR(255) NOT NULL,
    route VARCHAR(255) NOT NULL,
    key VARCHAR(255) NOT NULL,
    fingerprint BYTEA NOT NULL,
    answer TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (principal, route, key)
)",
            "CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at)",
        ],
        sqlite: &[
            "CREATE TABLE idempotency_keys (
    principal TEXT NOT NULL CHECK (length(principal) <= 255),
    route TEXT NOT NULL CHECK (length(route) <= 255),
    key TEXT NOT NULL CHECK (length(key) <= 255),
    fingerprint BLOB NOT NULL,
    answer TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (principal, route, key)
) STRICT",
            "CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at)",
        ],
    },
    down: Script {
        postgres: &["DROP TABLE idempotency_keys"],
        sqlite: &["DROP TABLE idempotency_keys"],
    },
};
