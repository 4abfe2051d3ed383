//! What can be found out about a database: facts, never verdicts. The doctor (`operations/check`) judges them.
//!
//! A fact that could not be had is an error in words fit to be shown; a fact that was not asked for is `None`.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use async_trait::async_trait;

use super::connection::{ConnectError, ConnectFailure};
use crate::operations::migrate::{Difference, History};

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One file on this machine.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

impl Engine {
    /// Its name as a user writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A fact, and how long it took to find out.
#[derive(Clone, Debug)]
pub struct Timed<T> {
    /// The fact.
    pub value: T,
    /// How long it took.
    pub took: Duration,
}

/// What the configuration says, found out without touching the database.
#[derive(Clone, Debug, Default)]
pub struct ConfigFacts {
    /// The database as configured, redacted, and the name of the source that it came from; or why there is none.
    pub database: Option<Result<ConfiguredDatabase, String>>,
    /// Unknown keys and variables, each in a sentence that names the nearest known one.
    pub unknown: Vec<String>,
    /// Files that secrets are read from.
    pub secret_files: Vec<SecretFile>,
    /// Options that exclude each other, each in a sentence.
    pub contradictions: Vec<String>,
    /// The password is one that documentation uses as a sample.
    pub sample_password: bool,
    /// The connection is not encrypted although the server is on another host.
    pub plaintext_to: Option<String>,
    /// Most connections of one instance's pool.
    pub pool_size: u32,
    /// Instances that share the database.
    pub instances: u32,
    /// Whether migrations have a connection, and so perhaps a role, of their own.
    pub separate_migrations: bool,
    /// The service's limit of a statement; `None`: none.
    pub statement_timeout: Option<Duration>,
    /// Of waiting for a lock.
    pub lock_timeout: Option<Duration>,
    /// Of a transaction that does nothing.
    pub idle_in_transaction_timeout: Option<Duration>,
    /// Whether a transaction pooler is declared.
    pub pooler: bool,
    /// The replica for reads.
    pub replica: Option<ConfiguredReplica>,
}

impl ConfigFacts {
    /// The limits of a session: PostgreSQL's name, what the service sets, what is usual.
    #[must_use]
    pub fn session_limits(&self) -> [(&'static str, Option<Duration>, &'static str); 3] {
        [
            ("statement_timeout", self.statement_timeout, "5s"),
            ("lock_timeout", self.lock_timeout, "2s"),
            (
                "idle_in_transaction_session_timeout",
                self.idle_in_transaction_timeout,
                "10s",
            ),
        ]
    }
}

/// The database that the configuration names.
#[derive(Clone, Debug)]
pub struct ConfiguredDatabase {
    /// Redacted URL.
    pub target: String,
    /// The source that won: a flag, a variable, a file.
    pub source: String,
    /// Its engine.
    pub engine: Engine,
}

/// The replica for reads that the configuration names.
#[derive(Clone, Debug)]
pub struct ConfiguredReplica {
    /// Redacted URL.
    pub target: String,
    /// How far it may be behind and be used.
    pub max_lag: Duration,
}

/// A file that holds a secret.
#[derive(Clone, Debug)]
pub struct SecretFile {
    /// Its path.
    pub path: String,
    /// Why it could not be read.
    pub error: Option<String>,
    /// Whether others than its owner may read it.
    pub open_to_others: bool,
}

/// What lies between this machine and a PostgreSQL server.
#[derive(Clone, Debug)]
pub struct NetworkFacts {
    /// Host and port, or the socket's path.
    pub address: String,
    /// Name resolution; `None` for a Unix socket or an address.
    pub resolution: Option<Timed<Result<Vec<IpAddr>, String>>>,
    /// The TCP (or socket) connection; `None` when there was no address to connect to.
    pub connection: Option<Timed<Result<(), ConnectError>>>,
    /// Whether the host is this machine, or a Unix socket.
    pub is_local: bool,
    /// The certificate that the server shows; `None` when it has none, or was not looked at.
    pub certificate: Option<Certificate>,
}

/// A server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// The last second in which it is valid, since 1970.
    pub expires: i64,
}

/// A PostgreSQL session and what it tells.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// `server_version_num`, for example 150018.
    pub version_num: i32,
    /// `version()`, whole.
    pub version: String,
    /// TLS version of this session, when encrypted.
    pub tls: Option<String>,
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
    /// `default_transaction_read_only`.
    pub read_only: bool,
    /// Whether that is a setting of the role, in this database or in all.
    pub read_only_by_role: bool,
    /// Whether statements of one session reach one server process, as far as a probe can tell.
    pub session_affinity: Option<bool>,
    /// Who holds the migration lock.
    pub migration_lock_holder: Option<String>,
    /// `current_database()`, quoted where it has to be.
    pub database: String,
    /// `current_user`, quoted where it has to be.
    pub role: String,
    /// Sessions in this database of which this role is told nothing.
    pub hidden_sessions: u32,
    /// Median of five round trips.
    pub round_trip: Duration,
    /// How far this host's clock is ahead of the server's, in seconds; negative: behind.
    pub clock_ahead: f64,
}

impl ServerFacts {
    /// The version as people say it: 15.18.
    #[must_use]
    pub fn version_in_short(&self) -> String {
        format!("{}.{}", self.version_num / 10_000, self.version_num % 10_000)
    }
}

/// A replica for reads and what it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaFacts {
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
    /// Whether it is a copy of the database that the configuration names, and not of another one.
    pub is_copy: bool,
    /// Whether it follows the present timeline of that.
    pub same_timeline: bool,
    /// Bytes of the log that it has not replayed.
    pub bytes: u64,
    /// How old what it shows is.
    pub behind: Duration,
}

/// A SQLite file and what it tells.
#[derive(Clone, Debug)]
pub struct SqliteFacts {
    /// How many names the file has (hard links).
    pub names: u64,
    /// The file.
    pub path: String,
    /// Its size in bytes; `None` when it does not exist.
    pub size: Option<u64>,
    /// Whether it is a file, and not a directory, a pipe or a device.
    pub is_file: bool,
    /// Whether a process that was killed has left its write-ahead log behind: then nobody has looked inside.
    pub left_log: bool,
    /// Size of the write-ahead log beside it, in bytes.
    pub wal_size: Option<u64>,
    /// Whether the file can be written by this user.
    pub file_writable: bool,
    /// Whether its directory exists, or is made with it.
    pub directory_exists: bool,
    /// Whether its directory can be written by this user (companion files are made there).
    pub directory_writable: bool,
    /// File system type when it is a network or shared one.
    pub network_file_system: Option<String>,
    /// Bytes free for this user, and bytes in all, of its file system.
    pub space: Option<(u64, u64)>,
    /// Who holds the writer lock; the outer `None` when it was not looked at.
    pub writer: Option<Option<Writer>>,
    /// What the file tells once opened; `None` when it does not exist.
    pub content: Option<Timed<Result<SqliteContent, ConnectError>>>,
}

/// A process that holds the writer lock of a SQLite file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Its id.
    pub pid: u32,
    /// For how long it was watched holding it.
    pub held: Duration,
}

/// The inside of a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteContent {
    /// Version of the SQLite library in this binary.
    pub library_version: String,
    /// `PRAGMA application_id`.
    pub application_id: i32,
    /// `PRAGMA journal_mode`.
    pub journal_mode: String,
    /// Whether a connection that is made as the service makes its own keeps foreign keys.
    pub foreign_keys: bool,
    /// Whether such a connection waits for another one's lock for as long as it is told to.
    pub waits: bool,
}

/// A row of an answer; NULL is `None`.
pub type Row = Vec<Option<String>>;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// What kind of failure it was.
    pub failure: ConnectFailure,
    /// The same in words.
    pub words: String,
}

/// One question of a check's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The check that asks.
    pub id: &'static str,
    /// SQL that only reads, and whose columns are all texts.
    pub sql: &'static str,
    /// It is about tables of dlc's own, and not asked of somebody else's database.
    pub own: bool,
    /// It may take as long as the whole round.
    pub patient: bool,
}

/// What is to be found out in one round.
#[derive(Clone, Debug, Default)]
pub struct Inquiry {
    /// The checks' own questions.
    pub questions: Vec<Question>,
}

/// Everything found out in one round.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// When the look began, in seconds since 1970; `None`: nobody looked.
    pub at: Option<i64>,
    /// From the configuration.
    pub config: ConfigFacts,
    /// From the network (PostgreSQL).
    pub network: Option<NetworkFacts>,
    /// From the server (PostgreSQL).
    pub server: Option<Timed<Result<ServerFacts, ConnectError>>>,
    /// From the replica for reads, where one is configured (PostgreSQL).
    pub replica: Option<Timed<Result<ReplicaFacts, ConnectError>>>,
    /// From the file (SQLite).
    pub sqlite: Option<SqliteFacts>,
    /// From the history table.
    pub history: Option<Timed<Result<History, String>>>,
    /// The statements of migrations that are still to be run.
    pub pending_sql: Vec<String>,
    /// The live schema against the recorded one; the inner `None`: none was recorded.
    pub drift: Option<Timed<Result<Option<Vec<Difference>>, String>>>,
    /// Answers to the checks' own questions.
    pub answers: BTreeMap<&'static str, Timed<Result<Vec<Row>, Unanswered>>>,
}

impl Facts {
    /// Facts before anything was looked at.
    #[must_use]
    pub fn unseen(config: ConfigFacts) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    /// The engine, when the configuration names a database.
    #[must_use]
    pub fn engine(&self) -> Option<Engine> {
        match &self.config.database {
            Some(Ok(database)) => Some(database.engine),
            _ => None,
        }
    }

    /// The version of the server, or of the library that reads the file, when it was found out.
    #[must_use]
    pub fn server_version(&self) -> Option<String> {
        if let Some(Ok(server)) = self.server.as_ref().map(|server| &server.value) {
            return Some(server.version_in_short());
        }
        let content = &self.sqlite.as_ref()?.content.as_ref()?.value;
        content.as_ref().ok().map(|content| content.library_version.clone())
    }

    /// Whether the database is known to be none of dlc's. One whose history cannot be read may be.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(&self.history, Some(Timed { value: Ok(history), .. }) if !history.is_recorded())
    }

    /// Whether a SQLite file could be read, whatever else is wrong with it.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let content = self.sqlite.as_ref().and_then(|file| file.content.as_ref());
        content.is_some_and(|content| content.value.is_ok())
    }

    /// Whether the database has a history of dlc's: a database of somebody else's is judged without dlc's own checks.
    #[must_use]
    pub fn is_dlcs(&self) -> bool {
        matches!(&self.history, Some(Timed { value: Ok(history), .. }) if history.is_recorded())
    }
}

/// Looks at one database without changing it.
#[async_trait]
pub trait DatabaseInspector: Send + Sync {
    /// Finds out everything that can be found out, and adds it to `config`. MUST NOT write, take a lock that others wait
    /// for, or leave a file behind; MUST end within `limit`.
    async fn inspect(&self, config: ConfigFacts, inquiry: &Inquiry, limit: Duration) -> Facts;
}
