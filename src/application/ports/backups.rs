//! Whoever copies a database into a file, and a file into a database: what the commands about backups ask of it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    connection::{ConnectError, ConnectFailure},
    inspection::Engine,
};
use crate::operations::backups::{
    manifest::{Contents, Difference, Manifest},
    retention::Kept,
};

/// A backup to be made.
#[derive(Clone, Debug)]
pub struct BackupRequest {
    /// Its identity, a UUID of version 7.
    pub id: String,
    /// Now.
    pub started_at: DateTime<Utc>,
    /// Where it goes.
    pub to: Place,
}

/// Where a backup goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into this directory, under a name of dlc's. It is made where it is missing.
    Directory(PathBuf),
    /// Into this file, which must not be there.
    File(PathBuf),
}

/// A backup to be restored.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// The backup.
    pub file: PathBuf,
    /// Marks what is made on the way: a UUID.
    pub id: String,
    /// Whether what is in the target may go.
    pub replace: bool,
}

/// A database that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Redacted.
    pub shown: String,
    /// Its name, as somebody types it who means it: of the database, or of the file.
    pub name: String,
    /// What is in it, in words; `None`: nothing.
    pub occupied: Option<String>,
}

/// Hears how it goes on, and says whether it should.
pub trait BackupObserver: Send + Sync {
    /// So much of so much is done of what these words say. Called often; must return quickly.
    fn observe(&self, what: &'static str, done: u64, of: Option<u64>);
    /// Somebody wants it to end. Looked at several times a second; what was begun is undone then.
    fn is_stopped(&self) -> bool;
}

/// Shared with the threads that copy and count.
pub type Observer = Arc<dyn BackupObserver>;

/// Says whether what was restored may stay.
pub type Acceptable<'a> = &'a (dyn Fn(&Contents) -> Result<(), BackupError> + Send + Sync);

/// Makes, reads and restores backups. Whatever fails, nothing MUST be left of what was begun, and source and target MUST be what
/// they were; but what others have made in a target meanwhile is theirs, and MUST stay.
#[async_trait]
pub trait DatabaseBackups: Send + Sync {
    /// The migrations that this binary knows.
    fn migrations(&self) -> Vec<&'static str>;

    /// Makes a backup, and its manifest last. Both MUST be of one moment; whoever writes MUST NOT be held up; both MUST be on the
    /// disk when this returns, for nobody else to read.
    async fn make(&self, request: &BackupRequest, observer: &Observer) -> Result<(PathBuf, Manifest), BackupError>;

    /// Tells the source that there is a backup of it. An error says in words why it could not be told.
    async fn record(&self, file: &Path, manifest: &Manifest) -> Result<(), String>;

    /// Reads a manifest, and the whole file that it is about: MUST fail where one byte differs.
    async fn examine(&self, file: &Path, observer: &Observer) -> Result<Manifest, BackupError>;

    /// Restores into a scratch database that nobody else uses, tells what is in it, and MUST remove it.
    async fn rehearse(&self, file: &Path, manifest: &Manifest, observer: &Observer) -> Result<Contents, BackupError>;

    /// Writes the manifest anew.
    async fn note_verified(&self, file: &Path, manifest: &Manifest) -> Result<(), BackupError>;

    /// Tells the configured database that this backup was verified; whether it knew of it.
    async fn record_verified(&self, manifest: &Manifest) -> Result<bool, String>;

    /// Looks whether the target can take this backup; writes nothing.
    async fn look_at_target(&self, manifest: &Manifest, request: &RestoreRequest) -> Result<Target, BackupError>;

    /// Restores. Only what is `acceptable` may stay.
    async fn restore(
        &self,
        request: &RestoreRequest,
        manifest: &Manifest,
        acceptable: Acceptable<'_>,
        observer: &Observer,
    ) -> Result<(), BackupError>;

    /// The backups of dlc's that lie in a directory; what has no manifest is none.
    async fn list(&self, directory: &Path) -> Result<Vec<Kept<PathBuf>>, BackupError>;

    /// Removes a backup and its manifest.
    async fn remove(&self, file: &Path) -> Result<(), BackupError>;
}

/// A program that is needed and was not found as it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramMissing {
    /// `pg_dump` or `pg_restore`.
    pub program: &'static str,
    /// The oldest major version that will do.
    pub major: u32,
    /// What was found instead, each with its path and version.
    pub found: Vec<String>,
    /// The setting that named the only directory that was looked into; `None`: the usual places.
    pub only_in: Option<PathBuf>,
}

/// A backup that was not made, is none, or was not restored. No secret in any word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// A database is not to be had.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A database failed on the way.
    #[error("the database {target} failed: {cause}")]
    Database {
        /// Redacted.
        target: String,
        /// Its own words.
        cause: String,
        /// Which kind of failure it is.
        failure: ConnectFailure,
    },
    /// A role may not do what is needed.
    #[error("{what}: {cause}")]
    Privilege {
        /// What was to be done.
        what: String,
        /// The server's words.
        cause: String,
        /// What a superuser runs to allow it.
        grant: String,
    },
    /// A file cannot be written or read.
    #[error("{what} {path}: {cause}", path = path.display())]
    File {
        /// "cannot write the file", say.
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// The system's words.
        cause: String,
    },
    /// There is no room left.
    #[error("no room left for {path}: {cause}", path = .path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
        /// The system's words.
        cause: String,
    },
    /// What would be written is there already.
    #[error("{path} is there already, and is not written over", path = .0.display())]
    Exists(PathBuf),
    /// Another process is writing just there.
    #[error("another process is writing {path}", path = .0.display())]
    BeingWritten(PathBuf),
    /// The backup is not there.
    #[error("there is no file {path}", path = .0.display())]
    Missing(PathBuf),
    /// The manifest is not there.
    #[error("{path} has no manifest beside it ({name}): what must be in it is not known", path = .0.display(), name = manifest_name(.0))]
    NoManifest(PathBuf),
    /// The manifest is none.
    #[error("the manifest {path} cannot be read: {cause}", path = path.display())]
    ManifestInvalid {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The manifest is of a later dlc.
    #[error("the manifest {path} is of version {schema}, and this binary knows up to {known}", path = path.display())]
    ManifestNewer {
        /// Which one.
        path: PathBuf,
        /// Its version.
        schema: u64,
        /// What this binary knows.
        known: u64,
    },
    /// The file is not as long as it was.
    #[error("{path} was cut short or is another file: it has {found} bytes, not {expected}", path = path.display())]
    OtherSize {
        /// Which one.
        path: PathBuf,
        /// What the manifest says.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// The file is as long as it was, and not what it was.
    #[error("{path} is damaged: its SHA-256 is {found}, not {expected}", path = path.display(), found = short(found), expected = short(expected))]
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What the manifest says.
        expected: String,
        /// What it has.
        found: String,
    },
    /// The backup has migrations that this binary does not know.
    #[error("the backup is of a newer schema, made by dlc {dlc_version}; this binary does not know {}", .migrations.join(", "))]
    Newer {
        /// Who made it.
        dlc_version: String,
        /// What is unknown.
        migrations: Vec<String>,
    },
    /// The backup is of the other engine.
    #[error("the backup is of {}, and {target} is {}", backup.name(), match backup { Engine::Sqlite => "postgres", Engine::Postgres => "sqlite" })]
    OtherEngine {
        /// The backup's.
        backup: Engine,
        /// Redacted.
        target: String,
    },
    /// The server is older than the one that the backup is of.
    #[error("the backup is of PostgreSQL {backup}, and the server of {target} is {server}")]
    OlderServer {
        /// The backup's major version.
        backup: u32,
        /// The server's.
        server: u32,
        /// Redacted.
        target: String,
    },
    /// There is something in the target.
    #[error("{target} is not empty: {contents}")]
    NotEmpty {
        /// Redacted.
        target: String,
        /// What is in it.
        contents: String,
    },
    /// Somebody uses the target.
    #[error("{target} is in use: {by}")]
    InUse {
        /// Redacted.
        target: String,
        /// Who uses it, as far as that is known.
        by: String,
    },
    /// A program is missing or too old.
    #[error("no {} of PostgreSQL {} or newer was found{}", .0.program, .0.major, found_instead(.0))]
    Program(ProgramMissing),
    /// A program was run and failed.
    #[error("{program} failed: {cause}")]
    ProgramFailed {
        /// Which one.
        program: &'static str,
        /// Its own last words.
        cause: String,
    },
    /// What was restored is not what was backed up.
    #[error("what was restored is not what was backed up: {}", first(.0))]
    Differs(Vec<Difference>),
    /// What was restored is a database that is broken in itself.
    #[error("what was restored is broken: {0}")]
    Broken(String),
    /// What was restored does not add up.
    #[error("what was restored does not pass the audit: {0} coupons do not add up")]
    BooksWrong(u64),
    /// Somebody wanted it to end.
    #[error("ended before it was done")]
    Stopped,
}

/// Differences that an error names.
const NAMED: usize = 3;

fn first(differences: &[Difference]) -> String {
    let mut words: Vec<String> = differences.iter().take(NAMED).map(ToString::to_string).collect();
    if let more @ 1.. = differences.len().saturating_sub(NAMED) {
        words.push(format!("{more} more"));
    }
    words.join("; ")
}

fn found_instead(missing: &ProgramMissing) -> String {
    let place = missing.only_in.as_ref().map_or_else(
        || " here".to_owned(),
        |directory| format!(" in {}", directory.display()),
    );
    if missing.found.is_empty() {
        place
    } else {
        format!("{place}, but {}", missing.found.join(", "))
    }
}

fn short(checksum: &str) -> String {
    format!("{}…", checksum.get(..12).unwrap_or(checksum))
}

/// The manifest of a backup.
#[must_use]
pub fn manifest_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

fn manifest_name(file: &Path) -> String {
    let path = manifest_of(file);
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}
