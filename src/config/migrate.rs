//! `migrate.*`

use std::time::Duration;

use super::setting::{section, words};

words! {
    /// What `serve` does about pending migrations.
    MigrateMode: "auto, check or off" {
        /// Applies them.
        Auto = "auto",
        /// Refuses to serve.
        Check = "check",
        /// Serves all the same.
        Off = "off",
    }
}

section! {
    /// Migrations of the schema.
    MigrateConfig = "migrate" {
        /// What `dlc serve` does about pending migrations: auto applies them, check refuses to serve, off serves without them.
        mode: MigrateMode = "mode", |_| MigrateMode::Auto;
        /// Longest wait for another process that migrates; then exit code 3.
        lock_timeout: Duration = "lock_timeout", |_| Duration::from_secs(15);
        /// Longest wait of one statement for a table that others use; their reads and writes queue behind it that long.
        table_lock_timeout: Duration = "table_lock_timeout", |_| Duration::from_secs(5);
        /// How often a migration is tried when a table is not to be had; then exit code 3.
        table_lock_tries: u32 = "table_lock_tries", |_| 4;
        /// Whether migrations may be applied that take something away which older versions of dlc use.
        allow_destructive: bool = "allow_destructive", |_| false;
    }
}
