//! The schema's runner: what the operator's commands and the start of the service ask of it.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::connection::{ConnectError, ConnectFailure};
use crate::operations::{
    check::Finding,
    migrate::{Difference, History, HistoryError, Plan, Target},
};

/// A migration that a run applied or reverted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStep {
    /// Its version.
    pub name: String,
    /// How long its statements took.
    pub took: Duration,
}

/// Who holds the migration lock, as far as can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Command, version, host and process; or what else the database knows of it.
    pub who: String,
    /// For how long it has held the lock.
    pub held: Option<Duration>,
    /// What it is doing: step, of how many, which migration.
    pub step: Option<(usize, usize, String)>,
    /// When it last gave a sign of life.
    pub silent: Option<Duration>,
}

impl Holder {
    /// A holder of whom nothing but a name is known.
    #[must_use]
    pub fn unknown(who: impl Into<String>) -> Self {
        Self {
            who: who.into(),
            held: None,
            step: None,
            silent: None,
        }
    }
}

/// A holder gives a sign of life every second; after this long without one it is said so.
const SILENCE: Duration = Duration::from_secs(4);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.who)?;
        if let Some(held) = self.held {
            write!(f, " for {} s", held.as_secs())?;
        }
        if let Some((step, of, name)) = &self.step {
            write!(f, ", at step {step} of {of}: {name}")?;
        }
        if let Some(silent) = self.silent.filter(|silent| *silent >= SILENCE) {
            write!(f, ", no sign of life for {} s", silent.as_secs())?;
        }
        Ok(())
    }
}

/// What a run tells while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationEvent {
    /// Another process holds the migration lock. Sent every few seconds.
    Waiting {
        /// Who holds it.
        holder: Holder,
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
    /// A statement of the step begins.
    Statement {
        /// The step's version.
        name: String,
        /// 1 for the step's first statement.
        statement: usize,
        /// Statements of the step.
        of: usize,
        /// What is run.
        sql: String,
    },
    /// The statement is done, and not yet committed where the step is one transaction.
    StatementDone {
        /// How long it took.
        took: Duration,
    },
    /// A table was locked by others for too long; the step was undone and is tried again.
    Retrying {
        /// The step's version.
        name: String,
        /// Who held the table, one sentence each.
        blockers: Vec<String>,
        /// The pause before the next try.
        pause: Duration,
    },
    /// A step is committed.
    Finished(MigrationStep),
}

/// Hears what a run tells; must return quickly.
pub trait MigrationObserver: Send + Sync {
    /// Takes one event.
    fn observe(&self, event: &MigrationEvent);
}

/// What `up` is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpRequest {
    /// How far.
    pub target: Target,
    /// Whether migrations may be applied that take something away.
    pub allow_destructive: bool,
}

/// What `down` is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownRequest {
    /// How far.
    pub target: Target,
    /// Whether the SQL that is kept in the database may be run where this binary has none.
    pub use_stored_sql: bool,
    /// What somebody has seen and agreed to: each migration's version and statements, in order. `None`: whatever it is.
    pub agreed: Option<Vec<(String, Vec<String>)>>,
}

/// A run, either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunRequest {
    /// Apply.
    Up(UpRequest),
    /// Revert.
    Down(DownRequest),
}

/// Why a run did not do what was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MigrateError {
    /// The lock was not free in time.
    #[error("the migration lock was not obtained within {}: held by {holder}", rounded(*waited))]
    Locked {
        /// Who holds it.
        holder: Holder,
        /// For how long this process waited.
        waited: Duration,
    },
    /// A table's lock was not free in time.
    #[error("{} waited too long for a lock{}{}", step.as_ref().map_or_else(|| "reading the schema".to_owned(), |step| format!("migration {step}")), stopped_after(*unfinished), held_by(blockers))]
    TableLocked {
        /// Statements done, and statements there are, of a step that is no transaction.
        unfinished: Option<(usize, usize)>,
        /// The step that waited; none while the history was read.
        step: Option<String>,
        /// Who held the table, one sentence each; empty when it could not be seen.
        blockers: Vec<String>,
    },
    /// The database could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The history and this binary do not fit together.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A migration takes something away, and nobody allowed it.
    #[error("{} takes something away that older binaries use", .0.join(", "))]
    Destructive(Vec<String>),
    /// A check that is made before every run has failed; nothing was begun.
    #[error("{} {}: {}", .0.id, .0.title, .0.measured)]
    Unfit(Box<Finding>),
    /// A statement failed; its step was rolled back.
    #[error("migration {migration} failed: {cause}")]
    Failed {
        /// The step that failed.
        migration: String,
        /// The server's words.
        cause: String,
    },
    /// A statement failed in a step that is no transaction; what came before it stands.
    #[error("migration {migration} failed after {reached} of {of} statements: {cause}")]
    Unfinished {
        /// The step that failed.
        migration: String,
        /// Statements done.
        reached: usize,
        /// Statements there are.
        of: usize,
        /// The server's words.
        cause: String,
    },
    /// Between the question and the answer somebody else has migrated.
    #[error("the history has changed since this was shown")]
    Changed,
    /// The structure cannot be copied for a rehearsal.
    #[error("the structure cannot be rehearsed: {cause}")]
    NotRehearsable {
        /// The server's words.
        cause: String,
        /// What to run to mend it.
        grant: String,
    },
    /// The tables are in one schema, and new ones would be made in another.
    #[error("the history of migrations is in the schema {found}, but new tables would be made in {current}")]
    OtherSchema {
        /// Where the history is.
        found: String,
        /// What the search path selects.
        current: String,
    },
    /// No schema of the search path exists (PostgreSQL).
    #[error("no schema of the search path exists, so no table is found, and none could be made")]
    NoSchema,
    /// A rehearsal was asked for on the very database that is to be spared.
    #[error("the rehearsal would run on the database itself")]
    RehearsalOnTheDatabaseItself,
    /// The clone is not like the database.
    #[error("the clone to rehearse on is not like the database: {cause}")]
    RehearsalDiffers {
        /// In what.
        cause: String,
    },
    /// The role may not do it.
    #[error("{cause}")]
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

/// A duration for people: milliseconds below a second, seconds above.
#[must_use]
pub fn rounded(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{} s", duration.as_secs())
    }
}

fn stopped_after(unfinished: Option<(usize, usize)>) -> String {
    unfinished.map_or_else(String::new, |(reached, of)| {
        format!(" after {reached} of {of} statements")
    })
}

fn held_by(blockers: &[String]) -> String {
    if blockers.is_empty() {
        String::new()
    } else {
        format!(": held by {}", blockers.join("; by "))
    }
}

/// How the schema stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationOverview {
    /// The history beside what this binary knows.
    pub history: History,
    /// Who holds the migration lock, if anybody.
    pub holder: Option<Holder>,
}

/// The live schema and its history, held against this binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The history beside what this binary knows.
    pub history: History,
    /// The live schema against what the applied migrations make. `None`: a migration that this binary does not know is
    /// applied, so it cannot tell what they make; the schema is held against the recorded one then.
    pub drift: Option<Vec<Difference>>,
    /// The live schema against the one that was recorded after the last run. `None`: none was recorded.
    pub since_last_run: Option<Vec<Difference>>,
}

/// One thing that is wrong with the bookkeeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// What is wrong, and what would be done about it.
    pub what: String,
    /// Why it is right to do so; or why nothing can be proven, and what to do instead.
    pub why: String,
    /// Whether it was proven, and so can be done.
    pub proven: bool,
}

/// Runs the schema's migrations on one database.
#[async_trait]
pub trait SchemaMigrator: Send + Sync {
    /// The history beside what this binary knows. MUST NOT write, not even the history table.
    async fn history(&self) -> Result<History, MigrateError>;

    /// The same, and who migrates just now. MUST NOT write, nor wait for the migration lock.
    async fn status(&self) -> Result<MigrationOverview, MigrateError>;

    /// Which database this is: two runners that say the same look at the same one, by whatever address.
    async fn identity(&self) -> Result<String, MigrateError>;

    /// Applies or reverts. MUST do each step exactly once, however many processes ask at once; MUST leave the schema as it
    /// was before the step that failed, unless that step is no transaction: then the history says how far it came.
    async fn run(
        &self,
        request: &RunRequest,
        observer: &dyn MigrationObserver,
    ) -> Result<Vec<MigrationStep>, MigrateError>;

    /// What a run would do. MUST NOT lock or change a live table, nor wait for the migration lock.
    async fn plan(&self, request: &RunRequest) -> Result<Plan, MigrateError>;

    /// Holds the live schema and the history against this binary. MUST NOT write.
    async fn verify(&self) -> Result<Verification, MigrateError>;

    /// What is wrong with the bookkeeping, and whether that is proven. MUST NOT write.
    async fn diagnose(&self) -> Result<Vec<Repair>, MigrateError>;

    /// Mends what was `shown` and is still proven at the time when it holds the lock, and returns that.
    async fn repair(&self, shown: &[Repair], observer: &dyn MigrationObserver) -> Result<Vec<Repair>, MigrateError>;
}
