//! Indexes on `greet_history` for somebody's pages (§5.4) and for what is old.
//!
//! Plain ones in the transaction: nothing has written to that table before this version, so it is empty, and nobody waits.

use crate::{Atomicity, Kind, Migration, Script};

pub(crate) const MIGRATION: Migration = Migration {
    name: "m20261121_000013_index_greet_history",
    kind: Kind::Expand,
    atomicity: Atomicity::Transaction,
    up: Script {
        postgres: &[
            "CREATE INDEX greet_history_user_id ON greet_history (user_id, created_at, id)",
            "CREATE INDEX greet_history_created_at ON greet_history (created_at)",
        ],
        sqlite: &[
            "CREATE INDEX greet_history_user_id ON greet_history (user_id, created_at, id)",
            "CREATE INDEX greet_history_created_at ON greet_history (created_at)",
        ],
    },
    down: Script {
        postgres: &[
            "DROP INDEX greet_history_created_at",
            "DROP INDEX greet_history_user_id",
        ],
        sqlite: &[
            "DROP INDEX greet_history_created_at",
            "DROP INDEX greet_history_user_id",
        ],
    },
};
