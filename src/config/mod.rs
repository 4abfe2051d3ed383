//! Settings: where they come from, what they mean, what they are by default.
//!
//! Layers, the stronger first: a flag, `DLC_…` variables, `DATABASE_URL`, `DB_*` and the other names that people know,
//! `config/<profile>.yaml`, `config/default.yaml`, the default in the code. One file per section; each setting is stated
//! once, with its documentation and its default. Nobody inward imports this module; the environment comes in as an argument.

pub mod auth;
pub mod backup;
pub mod coupons;
pub mod database;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod layers;
pub mod log;
pub mod metrics;
pub mod migrate;
mod profile;
mod reader;
pub mod server;
mod setting;
pub mod shutdown;
pub mod template;
pub mod tls;
pub mod traces;

pub use auth::AuthConfig;
pub use backup::BackupConfig;
pub use coupons::CouponsConfig;
pub use database::{DatabaseConfig, SelectedDatabase};
pub use layers::{Flag, Sources};
pub use log::LogConfig;
pub use metrics::MetricsConfig;
pub use migrate::MigrateConfig;
pub use profile::Profile;
pub use server::ServerConfig;
pub use setting::{Section, Setting};
pub use shutdown::ShutdownConfig;
pub use tls::TlsConfig;
pub use traces::TracesConfig;

use std::time::Duration;

use dlc_application::ports::inspection::Engine;
use layers::Layers;
use reader::Reader;

/// The least that a replica may be behind and be used: how far it is, is known to half a second.
const LEAST_MAX_LAG: Duration = Duration::from_secs(1);

/// Every section, in the order of the template. One inside of another (`server.tls`) follows it.
pub const SECTIONS: &[Section] = &[
    ServerConfig::SECTION,
    TlsConfig::SECTION,
    DatabaseConfig::SECTION,
    MigrateConfig::SECTION,
    BackupConfig::SECTION,
    AuthConfig::SECTION,
    CouponsConfig::SECTION,
    LogConfig::SECTION,
    MetricsConfig::SECTION,
    TracesConfig::SECTION,
    ShutdownConfig::SECTION,
];

/// Every setting of every section.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

/// The configuration as it is in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which set of defaults, and how strict.
    pub profile: Profile,
    /// The HTTP server.
    pub server: ServerConfig,
    /// TLS of the HTTP server.
    pub tls: TlsConfig,
    /// The database and its pool.
    pub database: DatabaseConfig,
    /// Migrations.
    pub migrate: MigrateConfig,
    /// Backups.
    pub backup: BackupConfig,
    /// Who may do what.
    pub auth: AuthConfig,
    /// Coupons and their claims.
    pub coupons: CouponsConfig,
    /// Logs.
    pub log: LogConfig,
    /// Figures.
    pub metrics: MetricsConfig,
    /// Traces.
    pub traces: TracesConfig,
    /// Leaving.
    pub shutdown: ShutdownConfig,
    /// What is odd but no reason to refuse: unknown names, sources that disagree.
    pub warnings: Warnings,
    /// Every setting with its value in words and its source, for `config show`.
    pub provenance: Vec<Provenance>,
    /// Files that secrets were read from.
    pub secret_files: Vec<String>,
    /// The database to use, or why there is none.
    pub selected: Result<SelectedDatabase, String>,
}

/// What is odd about the sources.
#[derive(Clone, Debug, Default)]
pub struct Warnings {
    /// Keys and variables that nobody reads, each in a sentence with the nearest known name.
    pub unknown: Vec<String>,
    /// Two sources that name different databases, and which one won.
    pub disagreements: Vec<String>,
}

/// One setting as it is in force.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// `section.name`
    pub key: &'static str,
    /// Its value; secrets masked, unset as `None`.
    pub value: Option<String>,
    /// Where it came from.
    pub source: String,
}

/// Settings that cannot be used; no secret in any sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentences().join("; "))]
pub enum ConfigError {
    /// Values or files, one sentence each.
    Invalid(Vec<String>),
    /// A file that a secret is to be read from.
    SecretFile {
        /// Its path.
        path: String,
        /// The variable or key that names it.
        named_by: String,
        /// Why it cannot be read.
        cause: String,
    },
}

impl ConfigError {
    fn sentences(&self) -> Vec<String> {
        match self {
            Self::Invalid(sentences) => sentences.clone(),
            Self::SecretFile { path, named_by, cause } => {
                vec![format!("the file {path}, named by {named_by}, cannot be read: {cause}")]
            }
        }
    }
}

/// Reads every source and checks every value.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong, not only the first.
pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let layers = Layers::read(sources)?;
    let profile = layers.profile();
    let mut reader = Reader::new(&layers, profile);
    let server = ServerConfig::read(&mut reader);
    let tls = TlsConfig::read(&mut reader);
    let database = DatabaseConfig::read(&mut reader);
    let migrate = MigrateConfig::read(&mut reader);
    let backup = BackupConfig::read(&mut reader);
    let auth = AuthConfig::read(&mut reader);
    let coupons = CouponsConfig::read(&mut reader);
    let log = LogConfig::read(&mut reader);
    let metrics = MetricsConfig::read(&mut reader);
    let traces = TracesConfig::read(&mut reader);
    let shutdown = ShutdownConfig::read(&mut reader);
    let provenance = reader.finish()?;
    let (selected, disagreements) = database::select(&database, &layers, profile);
    Ok(Config {
        profile,
        server,
        tls,
        database,
        migrate,
        backup,
        auth,
        coupons,
        log,
        metrics,
        traces,
        shutdown,
        warnings: Warnings {
            unknown: layers.unknown(),
            disagreements,
        },
        provenance,
        secret_files: layers.secret_files().to_vec(),
        selected,
    })
}

impl Config {
    /// Options that exclude each other or cannot work, each in a sentence.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        let own = [self.tls.contradiction(), self.auth.contradiction()];
        let mut found: Vec<String> = own.into_iter().flatten().collect();
        if let Ok(selected) = &self.selected
            && let Some(engine) = self.database.r#type.engine()
            && engine != selected.url.engine()
        {
            found.push(format!(
                "database.type is {} but the database is {}",
                self.database.r#type,
                selected.url.redacted()
            ));
        }
        found.extend(self.replica_contradiction());
        let (idle, open) = (self.database.max_idle_conns, self.database.max_open_conns);
        if idle > open && self.is_given("database.max_idle_conns") {
            found.push(format!(
                "database.max_idle_conns ({idle}) is above database.max_open_conns ({open})"
            ));
        }
        for (key, number) in [
            ("database.max_open_conns", open),
            ("server.max_connections", self.server.max_connections),
            ("server.max_in_flight", self.server.max_in_flight),
            ("server.max_body_bytes", self.server.max_body_bytes),
        ] {
            if number == 0 {
                found.push(format!("{key} must be at least 1"));
            }
        }
        for (key, duration) in [
            ("server.request_timeout", self.server.request_timeout),
            ("server.header_timeout", self.server.header_timeout),
            ("database.acquire_timeout", self.database.acquire_timeout),
            ("database.connect_timeout", self.database.connect_timeout),
        ] {
            if duration.is_zero() {
                found.push(format!("{key} must be longer than 0s"));
            }
        }
        // Neither a limit that is none nor a time that no clock reaches.
        for (key, duration) in [
            ("database.acquire_timeout", self.database.acquire_timeout),
            ("database.connect_timeout", self.database.connect_timeout),
            ("migrate.table_lock_timeout", self.migrate.table_lock_timeout),
        ] {
            let ms = duration.as_millis();
            if !duration.is_zero() && !(1..=i32::MAX as u128).contains(&ms) {
                found.push(format!("{key} must be from 1ms to 24days"));
            }
        }
        // PostgreSQL counts these in milliseconds, in 32 bits.
        for (key, duration) in [
            ("database.statement_timeout", self.database.statement_timeout),
            ("database.lock_timeout", self.database.lock_timeout),
            (
                "database.idle_in_transaction_timeout",
                self.database.idle_in_transaction_timeout,
            ),
        ] {
            let ms = duration.as_millis();
            if (ms == 0 && !duration.is_zero()) || ms > i32::MAX as u128 {
                found.push(format!("{key} must be 0s (never), or from 1ms to 24days"));
            }
        }
        found
    }

    /// Why the replica cannot be one.
    fn replica_contradiction(&self) -> Option<String> {
        let selected = self.selected.as_ref().ok()?;
        let replica = selected.replica_url.as_ref()?;
        let max_lag = self.database.replica_max_lag;
        if selected.url.engine() == Engine::Sqlite {
            let why = "database.replica_url is set but the database is";
            return Some(format!("{why} {}, and SQLite has no replicas", selected.url.redacted()));
        }
        if replica.engine() == Engine::Sqlite {
            let why = "database.replica_url must name a replica on PostgreSQL, not";
            return Some(format!("{why} {}", replica.redacted()));
        }
        (max_lag < LEAST_MAX_LAG)
            .then(|| "database.replica_max_lag must be at least 1s: a replica is asked five times a second".to_owned())
    }

    /// Whether a setting was given by any source, rather than left at its default.
    fn is_given(&self, key: &str) -> bool {
        self.provenance
            .iter()
            .any(|setting| setting.key == key && !setting.source.starts_with("default ("))
    }

    /// What a strict profile must have to serve (C5), each missing thing in a sentence with the ways to give it.
    #[must_use]
    pub fn missing_to_serve(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.profile.is_strict() && self.auth.secret.is_none() {
            missing.push(
                "no signing secret is configured: make one with dlc auth gen-secret, and set DLC_AUTH__SECRET or \
                 DLC_AUTH__SECRET_FILE"
                    .to_owned(),
            );
        }
        missing
    }
}
