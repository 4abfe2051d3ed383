//! Why a database could not be reached: one vocabulary for the start of the service, the readiness probes, the doctor
//! and the exit codes.
//!
//! Not here: how a connection is made, and which driver error means what (`dlc-database`).

use std::fmt;

/// Where a connection attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectFailure {
    /// The URL does not parse.
    InvalidUrl,
    /// The URL's scheme is neither PostgreSQL's nor SQLite's.
    UnknownScheme,
    /// The host name does not resolve.
    NameNotFound,
    /// Nothing listens on that address.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No route to that address.
    Unreachable,
    /// The TLS handshake failed, or a required certificate check did.
    Tls,
    /// PostgreSQL is starting up (57P03).
    StartingUp,
    /// PostgreSQL is shutting down (57P01, 57P02).
    ShuttingDown,
    /// The database exists and lets nobody in (55000: `ALLOW_CONNECTIONS false`).
    NotAccepting,
    /// All connections of the server, database or role are taken (53300).
    TooManyConnections,
    /// Wrong user or password, or not allowed from here (28P01, 28000).
    Authentication,
    /// The server has no database of that name (3D000).
    DatabaseMissing,
    /// The role may not connect (42501).
    Privilege,
    /// An older PgBouncer or another pooler refused what the driver needs.
    Pooler,
    /// SQLite: the file, or its directory, does not exist.
    FileMissing,
    /// SQLite: the file or its directory cannot be read or written.
    FilePermission,
    /// SQLite: a process that was killed left a journal, and this one may only read.
    LeftJournal,
    /// SQLite: the file is something else, or is damaged.
    NotADatabase,
    /// Somebody has locked a table, and does not let go in time.
    TableLocked,
    /// An established connection broke.
    Lost,
    /// None of the above.
    Other,
}

impl ConnectFailure {
    /// A stable name for logs and JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidUrl => "database_url_invalid",
            Self::UnknownScheme => "database_scheme_unknown",
            Self::NameNotFound => "database_name_not_found",
            Self::Refused => "database_connection_refused",
            Self::TimedOut => "database_connection_timed_out",
            Self::Unreachable => "database_unreachable",
            Self::Tls => "database_tls_failed",
            Self::StartingUp => "database_starting_up",
            Self::ShuttingDown => "database_shutting_down",
            Self::NotAccepting => "database_not_accepting",
            Self::TooManyConnections => "database_too_many_connections",
            Self::Authentication => "database_authentication_failed",
            Self::DatabaseMissing => "database_missing",
            Self::Privilege => "database_privilege_missing",
            Self::Pooler => "database_pooler_incompatible",
            Self::FileMissing => "database_file_missing",
            Self::FilePermission => "database_file_permission",
            Self::LeftJournal => "database_journal_left",
            Self::NotADatabase => "database_file_invalid",
            Self::TableLocked => "database_table_locked",
            Self::Lost => "database_connection_lost",
            Self::Other => "database_connection_failed",
        }
    }

    /// The fixed words that an API answer may use; a driver's own text is never echoed there (C16).
    #[must_use]
    pub fn phrase(self) -> &'static str {
        match self {
            Self::InvalidUrl | Self::UnknownScheme => "invalid configuration",
            Self::NameNotFound => "host name not found",
            Self::Refused => "connection refused",
            Self::TimedOut => "connection timed out",
            Self::Unreachable => "host unreachable",
            Self::Tls => "tls handshake failed",
            Self::StartingUp => "database starting up",
            Self::ShuttingDown => "database shutting down",
            Self::NotAccepting => "database not accepting connections",
            Self::TooManyConnections => "too many connections",
            Self::Authentication => "authentication failed",
            Self::DatabaseMissing => "database does not exist",
            Self::Privilege => "permission denied",
            Self::Pooler => "incompatible connection pooler",
            Self::FileMissing => "database file missing",
            Self::FilePermission => "database file not accessible",
            Self::LeftJournal => "database file not recovered",
            Self::NotADatabase => "database file invalid",
            Self::TableLocked => "a table is locked",
            Self::Lost => "connection lost",
            Self::Other => "connection failed",
        }
    }

    /// Whether waiting can help. What cannot heal by itself is reported at once.
    #[must_use]
    pub fn heals(self) -> bool {
        matches!(
            self,
            Self::NameNotFound
                | Self::Refused
                | Self::TimedOut
                | Self::Unreachable
                | Self::StartingUp
                | Self::ShuttingDown
                | Self::NotAccepting
                | Self::TooManyConnections
                | Self::Lost
        )
    }
}

/// A connection could not be made, in words fit to be shown: no password in any part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    /// What kind of failure it was.
    pub failure: ConnectFailure,
    /// The database it was about, redacted: `postgres://dlc@db:5432/dlc`.
    pub target: String,
    /// Why, in the words of the operating system or the server.
    pub cause: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use the database {}: {}", self.target, self.cause)
    }
}

impl std::error::Error for ConnectError {}
