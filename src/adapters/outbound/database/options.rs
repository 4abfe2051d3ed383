//! Everything that decides about a connection, and what becomes of it in the words of each driver: one way to connect for `serve`,
//! `migrate` and `db check`, which differ here only.
//!
//! Not here: who gets a connection of which pool (`connection.rs`), what an error means (`error.rs`), what a URL means (`url.rs`).

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use dlc_application::ports::connection::{ConnectError, ConnectFailure};
use sqlx::{
    ConnectOptions, Connection, PgConnection, SqliteConnection, SqlitePool,
    pool::PoolOptions,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tracing::log::LevelFilter;

use crate::{error, url::DatabaseUrl};

/// How long one SQLite connection waits for another one's lock.
pub(crate) const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that lay idle for longer is pinged before it is used again. It takes longer until a database counts as lost: whoever
/// is told that it is there again is given no connection from before. Under load none lies idle for so long. The same as
/// HikariCP's `aliveBypassWindowMs`.
const PING_AFTER_IDLE: Duration = Duration::from_millis(500);
/// Statements slower than this are logged, without their values.
const SLOW_STATEMENT: Duration = Duration::from_secs(1);

/// What stands between dlc and PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or a pooler in session mode.
    #[default]
    None,
    /// PgBouncer 1.21 or newer in transaction mode: no startup options, no session state.
    PgBouncer,
}

/// Everything that decides about a connection.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// The database.
    pub url: DatabaseUrl,
    /// The name that the server shows for these connections, at most 63 bytes.
    pub application_name: String,
    /// Most connections of the pool.
    pub max_connections: u32,
    /// Connections kept open when idle.
    pub min_connections: u32,
    /// Longest wait for a connection of the pool.
    pub acquire_timeout: Duration,
    /// Longest wait for a new connection.
    pub connect_timeout: Duration,
    /// An idle connection beyond the minimum is closed after this.
    pub idle_timeout: Duration,
    /// A connection is replaced after this.
    pub max_lifetime: Duration,
    /// The server ends a statement after this. `None`: no limit.
    pub statement_timeout: Option<Duration>,
    /// The server gives up waiting for a lock after this. `None`: no limit.
    pub lock_timeout: Option<Duration>,
    /// The server ends a session that leaves a transaction idle for this long. `None`: no limit.
    pub idle_in_transaction_timeout: Option<Duration>,
    /// What stands in between.
    pub pooler: Pooler,
    /// Whether the directory of a missing SQLite file is made too: only where the path is dlc's own default.
    pub create_directory: bool,
}

impl DatabaseOptions {
    /// The same database without limits on the server's side, for migrations and inspection.
    #[must_use]
    pub fn without_time_limits(&self) -> Self {
        Self {
            statement_timeout: None,
            lock_timeout: None,
            idle_in_transaction_timeout: None,
            ..self.clone()
        }
    }

    fn postgres(&self) -> Result<PgConnectOptions, ConnectError> {
        let options = self
            .url
            .postgres_options()
            .ok_or_else(|| error::failed(ConnectFailure::InvalidUrl, "not a PostgreSQL URL", &self.url))?
            .application_name(&self.application_name)
            .log_statements(LevelFilter::Trace)
            .log_slow_statements(LevelFilter::Warn, SLOW_STATEMENT);
        if self.pooler == Pooler::PgBouncer {
            return Ok(options.extra_float_digits(None));
        }
        let limits = [
            ("statement_timeout", self.statement_timeout),
            ("lock_timeout", self.lock_timeout),
            ("idle_in_transaction_session_timeout", self.idle_in_transaction_timeout),
        ];
        // No limit is sent, too: a role or a database may have one of its own.
        Ok(options.options(limits.map(|(name, limit)| (name, limit.unwrap_or_default().as_millis().to_string()))))
    }

    /// For the statements of a service, which look for single rows and for pages, by indexes, in short transactions.
    ///
    /// PostgreSQL plans each of them once per connection, by how large it believes the tables to be then. A sale begins with tables
    /// that it believes to be empty; a plan that reads all of them would be kept until autoanalyze comes by. Seen: 340 ms instead
    /// of 1.2 for a group of 64 claims at 100,000 claims. So nothing is read whole where there is an index; and what has to be,
    /// and looks dear because of that, is not compiled for it. The isolation is what the locks are made for (`claims/postgres`).
    pub(crate) fn postgres_of_a_service(&self) -> Result<PgConnectOptions, ConnectError> {
        let options = self.postgres()?;
        if self.pooler == Pooler::PgBouncer {
            return Ok(options);
        }
        let settings = [
            ("enable_seqscan", "off"),
            ("jit", "off"),
            ("default_transaction_isolation", "read committed"),
        ];
        Ok(options.options(settings))
    }

    /// The same on a replica, which says no to writes by itself, and so do its sessions if it should be none any more.
    pub(crate) fn postgres_of_a_replica(&self) -> Result<PgConnectOptions, ConnectError> {
        let options = self.postgres_of_a_service()?;
        if self.pooler == Pooler::PgBouncer {
            return Ok(options);
        }
        Ok(options.options([("default_transaction_read_only", "on")]))
    }

    /// One connection of its own, outside of any pool.
    pub(crate) async fn postgres_session(&self) -> Result<PgConnection, ConnectError> {
        // Whoever has a connection of its own knows that its statements may take long, and tells of it.
        let options = self.postgres()?.log_slow_statements(LevelFilter::Off, SLOW_STATEMENT);
        for (parameter, path) in self.url.certificate_files() {
            // The driver's own error would name neither.
            if let Err(e) = std::fs::File::open(&path) {
                let cause = format!(
                    "the file {} of {parameter} cannot be read: {}",
                    path.display(),
                    error::io_words(&e)
                );
                return Err(error::failed(ConnectFailure::Tls, cause, &self.url));
            }
        }
        match tokio::time::timeout(self.connect_timeout, options.connect()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(e)) => Err(error::connect(&e, &self.url)),
            Err(_) => Err(error::failed(
                ConnectFailure::TimedOut,
                format!("no answer within {} ms", self.connect_timeout.as_millis()),
                &self.url,
            )),
        }
    }

    /// Options of SQLite's writer: the only connection that changes the file.
    pub(crate) fn sqlite_writer(&self, busy_timeout: Duration) -> Result<SqliteConnectOptions, ConnectError> {
        let path = self.sqlite_path()?;
        if !self.file_exists()? {
            self.prepare_directory(path)?;
            if self.url.may_create() {
                make_private(path);
            }
        }
        // FULL: a commit that was acknowledged survives a power cut; group commit pays for the sync.
        Ok(sqlite_options(path)
            .create_if_missing(self.url.may_create())
            .busy_timeout(busy_timeout)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full))
    }

    /// Makes the directory of a missing file where that is dlc's own choice; an error where it is the user's.
    pub(crate) fn prepare_directory(&self, path: &Path) -> Result<(), ConnectError> {
        let directory = directory_of(path);
        if directory.exists() {
            return Ok(());
        }
        if !self.create_directory {
            let cause = format!("the directory {} does not exist", directory.display());
            return Err(error::failed(ConnectFailure::FileMissing, cause, &self.url));
        }
        std::fs::create_dir_all(directory).map_err(|e| {
            let cause = format!(
                "the directory {} cannot be made: {}",
                directory.display(),
                error::io_words(&e)
            );
            error::failed(ConnectFailure::FilePermission, cause, &self.url)
        })
    }

    /// A pool of PostgreSQL's connections, for whoever connects with it as `postgres_of_a_service` or `postgres_of_a_replica`.
    pub(crate) fn postgres_pool(&self) -> PgPoolOptions {
        PgPoolOptions::new()
            .max_connections(self.max_connections)
            .min_connections(self.min_connections.min(self.max_connections))
            .acquire_timeout(self.acquire_timeout)
            .idle_timeout(self.idle_timeout)
            .max_lifetime(self.max_lifetime)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > PING_AFTER_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
    }

    pub(crate) async fn sqlite_pool(
        &self,
        options: SqliteConnectOptions,
        connections: u32,
    ) -> Result<SqlitePool, ConnectError> {
        PoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(self.acquire_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .after_release(|connection: &mut SqliteConnection, _| {
                Box::pin(async move {
                    // A transaction that SQLite has ended by itself (a full disk) is one still for the driver, and whatever is
                    // written on the connection later would be a part of it, and never be committed.
                    if connection.is_in_transaction() {
                        connection.ping().await?;
                    }
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(options)
            .await
            .map_err(|e| self.because_of_permissions(error::connect(&e, &self.url)))
    }

    /// One SQLite connection of its own, outside of any pool.
    pub(crate) async fn sqlite_session(&self, options: SqliteConnectOptions) -> Result<SqliteConnection, ConnectError> {
        options
            .log_slow_statements(LevelFilter::Off, SLOW_STATEMENT)
            .connect()
            .await
            .map_err(|e| self.because_of_permissions(error::connect(&e, &self.url)))
    }

    /// SQLite says "unable to open" for what is missing and for what may not be opened; only a look tells them apart.
    fn because_of_permissions(&self, error: ConnectError) -> ConnectError {
        let Some(path) = self.url.file().filter(|_| error.failure == ConnectFailure::FileMissing) else {
            return error;
        };
        let directory = directory_of(path);
        let what = if path.exists() {
            format!("the file {}", path.display())
        } else if directory.exists() && rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_err() {
            format!("the directory {}", directory.display())
        } else {
            return error;
        };
        error::failed(
            ConnectFailure::FilePermission,
            format!("{what} may not be opened or written by this user"),
            &self.url,
        )
    }

    /// Whether the SQLite file is there; an error where nobody can tell, or where it is none: what cannot be seen is not missing.
    pub(crate) fn file_exists(&self) -> Result<bool, ConnectError> {
        let path = self.sqlite_path()?;
        let refused = |failure, cause| Err(error::failed(failure, format!("{} {cause}", path.display()), &self.url));
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => refused(ConnectFailure::NotADatabase, "is a directory".to_owned()),
            Ok(_) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => refused(
                ConnectFailure::FilePermission,
                format!("cannot be looked at: {}", error::io_words(&e)),
            ),
            Err(_) => Ok(false),
        }
    }

    pub(crate) fn sqlite_path(&self) -> Result<&Path, ConnectError> {
        self.url
            .file()
            .map(PathBuf::as_path)
            .ok_or_else(|| error::failed(ConnectFailure::InvalidUrl, "not a SQLite URL", &self.url))
    }
}

/// What every SQLite connection has in common.
pub(crate) fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .log_statements(LevelFilter::Trace)
        .log_slow_statements(LevelFilter::Warn, SLOW_STATEMENT)
}

/// Makes an empty file for its owner alone, as the backups are that hold the same; SQLite gives the files beside it the same mode.
/// Whatever stands in the way, SQLite says it in a moment.
fn make_private(path: &Path) {
    drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path));
}

/// The directory that a file is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A file that SQLite keeps beside another one.
pub(crate) fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

/// The log of a database that is not there: it would be read as that of whatever takes its name.
pub(crate) fn log_left_beside(path: &Path) -> Option<PathBuf> {
    ["-wal", "-journal"]
        .map(|suffix| companion(path, suffix))
        .into_iter()
        .find(|log| log.exists())
}

/// Whether the file is in write-ahead mode (byte 18 of its header; 2) and no connection has it open.
pub(crate) fn is_closed(path: &Path) -> bool {
    // First of all: a file that this process has open itself must not be opened here, because closing it again would drop
    // the locks that SQLite holds on it.
    if companion(path, "-wal").exists() {
        return false;
    }
    let mut header = [0_u8; 19];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header[18] == 2
}

/// Options that only look. A closed file is opened as immutable, because SQLite would otherwise make `-wal` and `-shm`
/// files beside it; any other one is not, because then somebody may be writing to it.
pub(crate) fn read_only_options(path: &Path) -> SqliteConnectOptions {
    sqlite_options(path).read_only(true).immutable(is_closed(path))
}
