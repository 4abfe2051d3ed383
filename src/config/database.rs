//! `database.*`, and which database is meant when several sources name one (C4).

use std::{net::Ipv6Addr, path::PathBuf, time::Duration};

use dlc_application::ports::inspection::Engine;
use dlc_database::DatabaseUrl;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Profile,
    layers::Layers,
    setting::{section, words},
};

/// The embedded database of a development machine.
pub const EMBEDDED: &str = "sqlite://data/dlc.db";

words! {
    /// Which engine is meant.
    DatabaseType: "auto, sqlite or postgres" {
        /// What the URL's scheme says.
        Auto = "auto",
        /// SQLite.
        Sqlite = "sqlite",
        /// PostgreSQL.
        Postgres = "postgres",
    }
}

impl DatabaseType {
    /// The engine, unless it is to be read from the URL.
    #[must_use]
    pub fn engine(self) -> Option<Engine> {
        match self {
            Self::Auto => None,
            Self::Sqlite => Some(Engine::Sqlite),
            Self::Postgres => Some(Engine::Postgres),
        }
    }
}

words! {
    /// What stands between dlc and PostgreSQL.
    PoolerKind: "none or pgbouncer" {
        /// Nothing.
        None = "none",
        /// PgBouncer 1.21 or newer in transaction mode.
        PgBouncer = "pgbouncer",
    }
}

section! {
    /// The database and its pool.
    DatabaseConfig = "database" {
        /// The whole address: postgres://user:password@host:5432/name?sslmode=require or sqlite://path/to/file.db
        url: Option<SecretString> = "url" ["DATABASE_URL"], |_| None;
        /// A direct address for migrations when the other one goes through a pooler. Without a password it takes the other
        /// one's, when the role is the same.
        migration_url: Option<SecretString> = "migration_url", |_| None;
        /// A streaming replica of the database on PostgreSQL, one server: reads that may be a little old go there. Without a
        /// password it takes the primary's, when the role is the same.
        replica_url: Option<SecretString> = "replica_url", |_| None;
        /// How far the replica may be behind; beyond it the primary answers everything. At least 1s.
        replica_max_lag: Duration = "replica_max_lag", |_| Duration::from_secs(2);
        /// Which engine is meant: auto (what the URL says), sqlite or postgres.
        r#type: DatabaseType = "type", |_| DatabaseType::Auto;
        /// PostgreSQL in parts, instead of a URL: host name or address; localhost when only other parts are given (development and test).
        host: Option<String> = "host" ["DB_HOST"], |_| None;
        /// Port.
        port: u16 = "port" ["DB_PORT"], |_| 5432;
        /// Role; postgres when it is left out.
        user: Option<String> = "user" ["DB_USER"], |_| None;
        /// Password, as it is: no percent-encoding here.
        password: Option<SecretString> = "password" ["DB_PASSWORD"], |_| None;
        /// Database name.
        name: String = "name" ["DB_NAME"], |_| "dlc".to_owned();
        /// Encryption: disable, prefer, require, verify-ca or verify-full. Unset: what the URL says, else prefer.
        ssl_mode: Option<String> = "ssl_mode" ["DB_SSL_MODE"], |_| None;
        /// Certificate of the authority to trust.
        ssl_root_cert: Option<PathBuf> = "ssl_root_cert", |_| None;
        /// Most connections of one instance.
        max_open_conns: u32 = "max_open_conns", |_| 10;
        /// Instances of dlc that share the database; `dlc db check` counts each twice, for a rolling update.
        instances: u32 = "instances", |_| 1;
        /// Connections kept open when idle; the rest close after idle_timeout.
        max_idle_conns: u32 = "max_idle_conns", |_| 2;
        /// A connection is replaced after this.
        conn_max_lifetime: Duration = "conn_max_lifetime", |_| Duration::from_secs(30 * 60);
        /// An idle connection beyond max_idle_conns is closed after this.
        idle_timeout: Duration = "idle_timeout", |_| Duration::from_secs(5 * 60);
        /// Longest wait for a connection of the pool.
        acquire_timeout: Duration = "acquire_timeout", |_| Duration::from_secs(3);
        /// Longest wait for a new connection.
        connect_timeout: Duration = "connect_timeout", |_| Duration::from_secs(5);
        /// The server ends a statement of the service after this; 0s: never.
        statement_timeout: Duration = "statement_timeout", |_| Duration::from_secs(5);
        /// The server gives up waiting for a lock after this; 0s: never.
        lock_timeout: Duration = "lock_timeout", |_| Duration::from_secs(2);
        /// The server ends a session that leaves a transaction idle for this long; 0s: never.
        idle_in_transaction_timeout: Duration = "idle_in_transaction_timeout", |_| Duration::from_secs(10);
        /// How long `dlc serve` keeps trying while the database cannot be reached.
        wait: Duration = "wait", |_| Duration::from_secs(30);
        /// What stands between dlc and PostgreSQL: none, or pgbouncer (1.21 or newer, transaction mode).
        pooler: PoolerKind = "pooler", |_| PoolerKind::None;
    }
}

/// The database that was chosen.
#[derive(Clone, Debug)]
pub struct SelectedDatabase {
    /// Its address.
    pub url: DatabaseUrl,
    /// The source that won.
    pub source: String,
    /// Where migrations go, when it is somewhere else.
    pub migration_url: Option<DatabaseUrl>,
    /// A replica for reads.
    pub replica_url: Option<DatabaseUrl>,
    /// Nobody named one: it is the embedded default, whose directory may be made.
    pub is_embedded_default: bool,
    /// The password is one that documentation uses as a sample.
    pub sample_password: bool,
}

/// Passwords of the seeds' Compose files, of this project's and of many tutorials.
const SAMPLE_PASSWORDS: &[&str] = &[
    "postgres",
    "password",
    "changeme",
    "secret",
    "example",
    "admin",
    "dlc",
    "test",
    "dlc-development-only",
];

/// Chooses: the strongest source that names a database, be it a URL or a host, wins. Returns what disagreed with it too.
pub(super) fn select(
    config: &DatabaseConfig,
    layers: &Layers,
    profile: Profile,
) -> (Result<SelectedDatabase, String>, Vec<String>) {
    let source = |key: &str| layers.find(key).map(|found| found.source);
    // Parts without a host are for a server on this machine, unless a URL names another one or the profile is strict.
    let parts = ["database.host", "database.user", "database.password", "database.name"];
    let parts_source = parts.iter().find_map(|key| source(key));
    let (url_rank, host_rank) = (layers.rank("database.url"), layers.rank("database.host"));
    let (text, winner) = match (layers.find("database.url"), parts_source) {
        (Some(url), _) if host_rank.is_none_or(|host| url_rank.is_some_and(|url| url >= host)) => {
            (url.text.expose_secret().to_owned(), url.source)
        }
        (_, Some(parts)) if profile.is_strict() && config.host.is_none() => {
            let why =
                format!("{parts} names no host, and the profile {profile} assumes none; set DB_HOST, or DATABASE_URL");
            return (Err(why), Vec::new());
        }
        (_, Some(_)) if [".", ".."].contains(&config.name.as_str()) => {
            // A path of that ends above it, and the server would take the role's name for the database's.
            let why = format!(
                "{}: no URL can name a database {:?}; rename it: ALTER DATABASE … RENAME TO …",
                source("database.name").unwrap_or_default(),
                config.name
            );
            return (Err(why), Vec::new());
        }
        (_, Some(parts)) => (parts_url(config), parts),
        (Some(url), None) => (url.text.expose_secret().to_owned(), url.source),
        (None, None) if profile.is_strict() => {
            let why = format!(
                "no database is configured, and the profile {profile} assumes none; \
                 set DATABASE_URL, or DB_HOST, DB_USER, DB_PASSWORD and DB_NAME"
            );
            return (Err(why), Vec::new());
        }
        (None, None) => return (embedded(config), Vec::new()),
    };
    let mut disagreements = Vec::new();
    let url_won = source("database.url").as_ref() == Some(&winner);
    let mut losers: Vec<String> = layers
        .overruled("database.url")
        .into_iter()
        .map(str::to_owned)
        .collect();
    losers.extend(source("database.url").filter(|_| !url_won));
    if url_won {
        losers.extend(source("database.host"));
        let unused: Vec<String> = parts[1..].iter().filter_map(|key| source(key)).collect();
        if host_rank.is_none() && !unused.is_empty() {
            disagreements.push(format!(
                "{} is not used: {winner} names the database",
                unused.join(", ")
            ));
        }
    }
    for loser in losers {
        disagreements.push(format!("{loser} and {winner} both name a database; {winner} is used"));
    }
    (named(config, &text, winner), disagreements)
}

fn embedded(config: &DatabaseConfig) -> Result<SelectedDatabase, String> {
    let selected = named(config, EMBEDDED, "the embedded default".to_owned())?;
    Ok(SelectedDatabase {
        is_embedded_default: true,
        ..selected
    })
}

fn named(config: &DatabaseConfig, text: &str, source: String) -> Result<SelectedDatabase, String> {
    let parse = |text: &str, what: &str, source: &str| {
        let text = with_encryption(config, text);
        text.parse::<DatabaseUrl>()
            .map_err(|why| format!("{what} from {source} cannot be used: {why}"))
    };
    let url = parse(text, "the database URL", &source)?;
    let migration_url = config
        .migration_url
        .as_ref()
        .map(|text| parse(text.expose_secret(), "the migration URL", "database.migration_url"))
        .transpose()?
        .map(|other| other.with_password_of(&url));
    let replica_url = config
        .replica_url
        .as_ref()
        .map(|text| parse(text.expose_secret(), "the replica's URL", "database.replica_url"))
        .transpose()?
        .map(|other| other.with_password_of(&url));
    let sample_password = url
        .password()
        .is_some_and(|password| SAMPLE_PASSWORDS.contains(&password.expose_secret()));
    Ok(SelectedDatabase {
        url,
        source,
        migration_url,
        replica_url,
        is_embedded_default: false,
        sample_password,
    })
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Puts the parts together; each is percent-encoded, so that a generated password with `/ + @ : #` works.
fn parts_url(config: &DatabaseConfig) -> String {
    let host = config.host.as_deref().map_or("localhost", str::trim);
    // A colon is an IPv6 address, a slash at the beginning the directory of a Unix socket. What no host is called must not end it, or
    // another one would be asked.
    let host = match host.trim_matches(['[', ']']) {
        bare if bare.parse::<Ipv6Addr>().is_ok() => format!("[{bare}]"),
        _ => encode(host).replace("%2E", ".").replace("%2D", "-").replace("%5F", "_"),
    };
    let mut text = format!("postgres://{}", encode(config.user.as_deref().unwrap_or("postgres")));
    if let Some(password) = &config.password {
        text.push(':');
        text.push_str(&encode(password.expose_secret()));
    }
    text.push('@');
    text.push_str(&format!("{host}:{}/{}", config.port, encode(&config.name)));
    text
}

/// Adds `ssl_mode` and `ssl_root_cert` where the URL does not say it itself.
fn with_encryption(config: &DatabaseConfig, text: &str) -> String {
    let mut text = text.trim().to_owned();
    if !text.to_ascii_lowercase().starts_with("postgres") {
        return text;
    }
    let query = text.split_once('?').map_or("", |(_, query)| query).to_owned();
    let given = |names: &[&str]| {
        query
            .split('&')
            .any(|pair| names.contains(&pair.split('=').next().unwrap_or_default()))
    };
    let certificate = config.ssl_root_cert.as_ref().map(|path| path.display().to_string());
    for (names, value) in [
        (&["sslmode", "ssl-mode"][..], config.ssl_mode.clone()),
        (&["sslrootcert", "ssl-root-cert", "ssl-ca"], certificate),
    ] {
        if let Some(value) = value.filter(|_| !given(names)) {
            let separator = if text.contains('?') { '&' } else { '?' };
            text.push_str(&format!("{separator}{}={}", names[0], encode(&value)));
        }
    }
    text
}
