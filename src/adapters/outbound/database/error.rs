//! What the driver's errors mean: the only file that knows SQLSTATEs and SQLite's result codes.

use std::io;

use dlc_application::ports::{
    StorageError, StorageErrorKind,
    connection::{ConnectError, ConnectFailure},
    migrations::MigrateError,
};
use sea_orm::{DbErr, RuntimeErr};
use sqlx::{
    error::DatabaseError,
    postgres::{PgDatabaseError, PgSeverity},
};

use crate::url::DatabaseUrl;

/// For repositories.
pub(crate) fn storage(error: DbErr) -> StorageError {
    StorageError::new(kind(&error), error)
}

/// The same, of an error that is somebody else's still.
pub(crate) fn kind(error: &DbErr) -> StorageErrorKind {
    match error {
        DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout) => StorageErrorKind::Timeout,
        DbErr::ConnectionAcquire(_) => StorageErrorKind::Unavailable,
        // Whatever kept a new connection from being made, there is none: the log has the reason.
        DbErr::Conn(_) => StorageErrorKind::Unavailable,
        DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => storage_kind(e),
        _ => StorageErrorKind::Other,
    }
}

/// For a connection that was not to be had: whatever kept it from being made, there is none.
pub(crate) fn no_connection(error: &sqlx::Error) -> StorageErrorKind {
    match error {
        sqlx::Error::PoolTimedOut => StorageErrorKind::Timeout,
        _ => StorageErrorKind::Unavailable,
    }
}

/// The same, as a repository says it.
pub(crate) fn not_held(error: sqlx::Error) -> StorageError {
    StorageError::new(no_connection(&error), error)
}

/// For an error of the driver itself.
pub(crate) fn storage_kind(error: &sqlx::Error) -> StorageErrorKind {
    match error {
        sqlx::Error::PoolTimedOut => StorageErrorKind::Timeout,
        sqlx::Error::Database(e) => match e.code().as_deref().unwrap_or_default() {
            // query_canceled (statement timeout), lock_not_available; SQLITE_BUSY and its extended forms
            "57014" | "55P03" | "5" | "261" | "517" => StorageErrorKind::Timeout,
            // serialization_failure, deadlock_detected
            "40001" | "40P01" => StorageErrorKind::Conflict,
            // shutdown, crash, starting up, idle-in-transaction timeout, connection exceptions
            "57P01" | "57P02" | "57P03" | "25P03" => StorageErrorKind::Unavailable,
            code if code.starts_with("08") => StorageErrorKind::Unavailable,
            // insufficient resources (disk full, out of memory, too many connections); SQLITE_FULL: nobody's fault who asks, and over as soon as
            // somebody has made room
            code if code.starts_with("53") || code == "13" => StorageErrorKind::Unavailable,
            _ => StorageErrorKind::Other,
        },
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            StorageErrorKind::Unavailable
        }
        _ => StorageErrorKind::Other,
    }
}

/// For connection attempts.
pub(crate) fn connect(error: &sqlx::Error, url: &DatabaseUrl) -> ConnectError {
    let failure = connect_failure(error);
    let cause = match error {
        sqlx::Error::Database(_) if failure == ConnectFailure::LeftJournal => {
            "a process that was killed left a journal, which has to be rolled back first".to_owned()
        }
        sqlx::Error::Database(e) => e.message().to_owned(),
        sqlx::Error::Tls(e) => format!("TLS: {e}"),
        sqlx::Error::Io(e) => io_words(e),
        other => other.to_string(),
    };
    failed(failure, cause, url)
}

/// A connection error with the hint that belongs to its kind.
pub(crate) fn failed(failure: ConnectFailure, cause: impl Into<String>, url: &DatabaseUrl) -> ConnectError {
    let hint = match failure {
        ConnectFailure::Refused => "is the server running there? with Compose: just up",
        ConnectFailure::NameNotFound => {
            "check the host's spelling; inside Compose the host is the service's name, `postgres`"
        }
        ConnectFailure::TimedOut | ConnectFailure::Unreachable => {
            "a firewall, or a wrong address? `dlc db check` looks at each layer"
        }
        ConnectFailure::Tls => "check ?sslmode= and ?sslrootcert= of the URL",
        ConnectFailure::StartingUp | ConnectFailure::ShuttingDown | ConnectFailure::NotAccepting => {
            "wait for it: --wait=60s"
        }
        ConnectFailure::TooManyConnections => "lower database.max_open_conns, or raise the server's max_connections",
        ConnectFailure::Authentication => {
            "correct user and password; with Compose POSTGRES_PASSWORD counts only when the volume is new"
        }
        ConnectFailure::DatabaseMissing => "create it: createdb, or CREATE DATABASE",
        ConnectFailure::Privilege => "ask the database's owner for: GRANT CONNECT ON DATABASE",
        ConnectFailure::Pooler => "PgBouncer 1.21 or newer is needed; set database.pooler: pgbouncer",
        ConnectFailure::FileMissing => {
            "`dlc migrate up` or `dlc serve` creates the file; a directory that the URL names has to be there"
        }
        ConnectFailure::FilePermission => "correct owner and mode of the file and of its directory",
        ConnectFailure::LeftJournal => "whoever opens it for writing rolls that back: dlc serve, or dlc migrate up",
        ConnectFailure::NotADatabase => "correct the path, or restore the file from a backup",
        ConnectFailure::TableLocked => "who has locked it: dlc db check --only LCK001,LCK002",
        ConnectFailure::InvalidUrl | ConnectFailure::UnknownScheme | ConnectFailure::Lost | ConnectFailure::Other => {
            "`dlc db check` looks at each layer"
        }
    };
    ConnectError {
        failure,
        target: url.redacted().to_owned(),
        cause: cause.into(),
        hint: Some(hint.to_owned()),
    }
}

/// Which failure a driver's error is.
pub(crate) fn connect_failure(error: &sqlx::Error) -> ConnectFailure {
    match error {
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => ConnectFailure::InvalidUrl,
        sqlx::Error::Tls(_) => ConnectFailure::Tls,
        sqlx::Error::PoolTimedOut => ConnectFailure::TimedOut,
        sqlx::Error::Io(e) => io_failure(e),
        sqlx::Error::Database(e) => database_failure(e.as_ref()),
        sqlx::Error::WorkerCrashed | sqlx::Error::PoolClosed | sqlx::Error::Protocol(_) => ConnectFailure::Lost,
        _ => ConnectFailure::Other,
    }
}

fn database_failure(error: &dyn DatabaseError) -> ConnectFailure {
    match error.code().as_deref().unwrap_or_default() {
        "28P01" | "28000" => ConnectFailure::Authentication,
        "3D000" => ConnectFailure::DatabaseMissing,
        "42501" => ConnectFailure::Privilege,
        "55P03" => ConnectFailure::TableLocked,
        "53300" => ConnectFailure::TooManyConnections,
        "57P03" => ConnectFailure::StartingUp,
        "57P01" | "57P02" => ConnectFailure::ShuttingDown,
        // idle_session_timeout, transaction_timeout
        "57P05" | "25P04" => ConnectFailure::Lost,
        "55000" => ConnectFailure::NotAccepting,
        "08P01" if error.message().contains("startup parameter") => ConnectFailure::Pooler,
        // A pooler that lends a connection per transaction and does not know of prepared statements: what one client
        // prepared is there, or is not, for the next.
        "42P05" | "26000" => ConnectFailure::Pooler,
        // SQLITE_CANTOPEN, SQLITE_PERM, SQLITE_READONLY and their extended forms
        "14" | "526" | "782" => ConnectFailure::FileMissing,
        "3" | "8" | "520" | "1032" | "1288" | "1544" => ConnectFailure::FilePermission,
        // SQLITE_READONLY_RECOVERY, SQLITE_READONLY_ROLLBACK
        "264" | "776" => ConnectFailure::LeftJournal,
        // SQLITE_NOTADB, SQLITE_CORRUPT
        "26" | "11" | "267" | "523" | "779" => ConnectFailure::NotADatabase,
        // SQLITE_BUSY, SQLITE_LOCKED
        "5" | "6" | "261" | "517" => ConnectFailure::TimedOut,
        _ => ConnectFailure::Other,
    }
}

fn io_failure(error: &io::Error) -> ConnectFailure {
    use io::ErrorKind as Kind;
    match error.kind() {
        // A Unix socket that is not there is a server that is not running.
        Kind::ConnectionRefused | Kind::NotFound => ConnectFailure::Refused,
        Kind::TimedOut => ConnectFailure::TimedOut,
        // rustls wraps what is wrong with a certificate or a handshake like this.
        Kind::InvalidData => ConnectFailure::Tls,
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => ConnectFailure::Unreachable,
        Kind::PermissionDenied => ConnectFailure::FilePermission,
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::UnexpectedEof
        | Kind::NotConnected => ConnectFailure::Lost,
        // getaddrinfo has no kind of its own in the standard library.
        _ if error.to_string().contains("lookup address") => ConnectFailure::NameNotFound,
        _ => ConnectFailure::Other,
    }
}

/// An operating system's error without its number: "connection refused", not "Connection refused (os error 111)".
pub(crate) fn io_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let text = text.strip_prefix("failed to lookup address information: ").map_or_else(
        || text.to_owned(),
        |why| format!("the host name does not resolve: {why}"),
    );
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// For the migration runner: which step was under way, if any.
pub(crate) fn migrate(error: &sqlx::Error, step: Option<&str>) -> MigrateError {
    let failure = connect_failure(error);
    let sqlx::Error::Database(database) = error else {
        return MigrateError::Storage {
            failure,
            cause: error.to_string(),
        };
    };
    let cause = database.message().to_owned();
    match (database.code().as_deref().unwrap_or_default(), step) {
        ("42501", _) => MigrateError::Privilege { cause },
        ("25006" | "8" | "264" | "520" | "776" | "1032" | "1288" | "1544", _) => MigrateError::ReadOnly { cause },
        ("55P03", step) => MigrateError::TableLocked {
            unfinished: None,
            step: step.map(str::to_owned),
            blockers: Vec::new(),
        },
        (_, Some(step)) if failure == ConnectFailure::Other => MigrateError::Failed {
            migration: step.to_owned(),
            cause,
        },
        _ => MigrateError::Storage { failure, cause },
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Database(e) => e.code().map(std::borrow::Cow::into_owned),
        _ => None,
    }
}

/// Whether the driver says that another connection holds SQLite's writer lock.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("5" | "261" | "517" | "6"))
}

/// Whether a lock of PostgreSQL was not free within `lock_timeout`, or an answer took longer than `statement_timeout`.
pub(crate) fn is_timeout(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("55P03" | "57014"))
}

/// Whether a statement was ended because its time was over.
pub(crate) fn is_cut_short(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("57014" | "9"))
}

/// Whether PostgreSQL has refused a statement, and with it everything that its transaction did. A connection that it ends
/// (FATAL, PANIC) says nothing of the kind.
pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(e) = error else { return false };
    e.try_downcast_ref::<PgDatabaseError>()
        .is_some_and(|e| e.severity() == PgSeverity::Error)
}

/// Whether a table does not exist.
pub(crate) fn is_missing_table(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(e) => e.code().as_deref() == Some("42P01") || e.message().starts_with("no such table"),
        _ => false,
    }
}

/// Whether others use what was to be changed (object_in_use); its words are in the server's language.
pub(crate) fn is_in_use(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(e) if e.code().as_deref() == Some("55006"))
}

/// What an error of SQLite's is that did not come by the usual driver, and its words.
pub(crate) fn of_sqlite(error: &rusqlite::Error) -> (ConnectFailure, String) {
    use rusqlite::ErrorCode as Code;
    let failure = match error.sqlite_error_code() {
        Some(Code::CannotOpen) => ConnectFailure::FileMissing,
        Some(Code::PermissionDenied | Code::ReadOnly) => ConnectFailure::FilePermission,
        Some(Code::NotADatabase | Code::DatabaseCorrupt) => ConnectFailure::NotADatabase,
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => ConnectFailure::TimedOut,
        _ => ConnectFailure::Other,
    };
    let words = match error {
        rusqlite::Error::SqliteFailure(_, Some(words)) => words.clone(),
        other => other.to_string(),
    };
    (failure, words)
}

/// The server's own words, without the driver's.
pub(crate) fn words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(e) => e.message().to_owned(),
        other => other.to_string(),
    }
}
