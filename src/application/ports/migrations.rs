//! The schema's runner: what the operator's commands and the start of the service ask of it.

use std::time::Duration;

use async_trait::async_trait;

use super::connection::{ConnectError, ConnectFailure};
use crate::operations::migrate::{History, HistoryError, Target};

/// A migration that a run applied or reverted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStep {
    /// Its version.
    pub name: String,
    /// How long its statements took.
    pub took: Duration,
}

/// What a run tells while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationEvent {
    /// Another process holds the migration lock. Sent every few seconds.
    Waiting {
        /// Who holds it, as far as the database tells: process, application, host.
        holder: String,
        /// For how long this process has waited.
        waited: Duration,
    },
    /// A step begins.
    Started {
        /// Its version.
        name: String,
        /// 1 for the first step of this run.
        step: usize,
        /// Steps of this run.
        of: usize,
    },
    /// A step is committed (PostgreSQL) or done within the run's transaction (SQLite).
    Finished(MigrationStep),
}

/// Hears what a run tells; must return quickly.
pub trait MigrationObserver: Send + Sync {
    /// Takes one event.
    fn observe(&self, event: &MigrationEvent);
}

/// Why a run did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// The lock was not free in time.
    #[error("the migration lock was not obtained within {}s: held by {holder}", waited.as_secs())]
    Locked {
        /// Who holds it.
        holder: String,
        /// For how long this process waited.
        waited: Duration,
    },
    /// A table's lock was not free in time.
    #[error("{} waited too long for a lock: {cause}", step.as_ref().map_or_else(|| "reading the history".to_owned(), |step| format!("migration {step}")))]
    TableLocked {
        /// The step that waited; none while the history was read.
        step: Option<String>,
        /// The server's words.
        cause: String,
    },
    /// The database could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The history and this binary do not fit together.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A statement failed; its step was rolled back.
    #[error("migration {migration} failed: {cause}")]
    Failed {
        /// The step that failed.
        migration: String,
        /// The server's words.
        cause: String,
    },
    /// The role may not do it.
    #[error("permission denied: {cause}")]
    Privilege {
        /// The server's words.
        cause: String,
    },
    /// The database cannot be migrated: a replica, or read-only.
    #[error("the database is read-only: {cause}")]
    ReadOnly {
        /// Why.
        cause: String,
    },
    /// The connection broke, or anything else went wrong.
    #[error("{cause}")]
    Storage {
        /// What kind of failure it was.
        failure: ConnectFailure,
        /// The driver's words.
        cause: String,
    },
}

/// Runs the schema's migrations on one database.
#[async_trait]
pub trait SchemaMigrator: Send + Sync {
    /// The history beside what this binary knows. MUST NOT write, not even the history table.
    async fn history(&self) -> Result<History, MigrateError>;

    /// Applies pending migrations up to `target`. MUST apply each exactly once, however many processes ask at once;
    /// MUST leave the schema as it was before the step that failed.
    async fn up(&self, target: &Target, observer: &dyn MigrationObserver) -> Result<Vec<MigrationStep>, MigrateError>;

    /// Reverts applied migrations, newest first. MUST leave the schema as it was before the step that failed.
    async fn down(&self, target: &Target, observer: &dyn MigrationObserver)
    -> Result<Vec<MigrationStep>, MigrateError>;
}
