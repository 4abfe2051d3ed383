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
        /// What `dlc serve` does about pending migrations: auto applies them, check refuses to serve, off ignores them.
        mode: MigrateMode = "mode", |_| MigrateMode::Auto;
        /// Longest wait for another process that migrates; then exit code 3.
        lock_timeout: Duration = "lock_timeout", |_| Duration::from_secs(15);
    }
}
