//! The database's URL: parsed and redacted here, before any library sees it, because libraries echo what they cannot parse.
//!
//! Not here: which source it came from, or how it is put together from parts (`config/`).

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use dlc_application::ports::inspection::Engine;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use url::Url;

/// Query parameters that reach the driver, beside those of certificates. Anything else is refused by name: a misspelt
/// `sslmode` must not be ignored.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Query parameters that name files of certificates and keys.
const CERTIFICATE_PARAMETERS: &[&str] = &[
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
];

/// Why a URL was refused. No part of the URL but its scheme or a parameter's name is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Nothing before `:`.
    #[error("it has no scheme; write postgres://user:password@host:5432/database or sqlite://path/to/file.db")]
    NoScheme,
    /// Neither PostgreSQL's nor SQLite's.
    #[error("the scheme {0:?} is not known; use postgres:// or sqlite://")]
    UnknownScheme(String),
    /// The rest does not parse.
    #[error(
        "it does not parse ({0}); percent-encode special characters of the password, or give DB_HOST, DB_USER, DB_PASSWORD and DB_NAME instead"
    )]
    Syntax(String),
    /// A query parameter that nobody reads.
    #[error("the parameter {0:?} is not known")]
    UnknownParameter(String),
    /// A query parameter with a value that nobody reads.
    #[error("the value of the parameter {0:?} is not known")]
    ParameterValue(String),
    /// PostgreSQL without a role.
    #[error("it names no user; write postgres://user:password@host:5432/database")]
    NoUser,
    /// SQLite in memory.
    #[error("a SQLite database in memory is lost with each command; name a file")]
    InMemory,
    /// SQLite without a path.
    #[error("it names no file")]
    NoFile,
}

/// A database's URL that can be shown without its password.
#[derive(Clone)]
pub struct DatabaseUrl {
    kind: Kind,
    redacted: String,
    stripped_driver: Option<String>,
}

#[derive(Clone)]
enum Kind {
    Postgres(SecretString),
    Sqlite { path: PathBuf, create: bool },
}

impl DatabaseUrl {
    /// A file of SQLite's that nobody has named.
    pub(crate) fn of_file(path: &Path) -> Self {
        Self {
            redacted: format!("sqlite://{}", path.display()),
            kind: Kind::Sqlite {
                path: behind_links(path),
                create: true,
            },
            stripped_driver: None,
        }
    }

    /// Its engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.kind {
            Kind::Postgres(_) => Engine::Postgres,
            Kind::Sqlite { .. } => Engine::Sqlite,
        }
    }

    /// The URL without password and parameters.
    #[must_use]
    pub fn redacted(&self) -> &str {
        &self.redacted
    }

    /// The driver suffix that was dropped: `asyncpg` of `postgresql+asyncpg://` (S3-5).
    #[must_use]
    pub fn stripped_driver(&self) -> Option<&str> {
        self.stripped_driver.as_deref()
    }

    /// The SQLite file itself: where the path is a link, what that led to when the URL was read.
    #[must_use]
    pub fn file(&self) -> Option<&PathBuf> {
        match &self.kind {
            Kind::Sqlite { path, .. } => Some(path),
            Kind::Postgres(_) => None,
        }
    }

    /// The password, when the URL holds one.
    #[must_use]
    pub fn password(&self) -> Option<SecretString> {
        let Kind::Postgres(secret) = &self.kind else {
            return None;
        };
        let url = Url::parse(secret.expose_secret()).ok()?;
        let parameter = url
            .query_pairs()
            .find(|(key, _)| key == "password")
            .map(|(_, value)| value.into_owned());
        let password = parameter.or_else(|| {
            url.password()
                .map(|password| percent_decode_str(password).decode_utf8_lossy().into_owned())
        })?;
        Some(SecretString::from(password))
    }

    /// The same with the password of `other`, where it holds none itself and both name one role: a second address of a
    /// database needs no password of its own.
    #[must_use]
    pub fn with_password_of(self, other: &Self) -> Self {
        let (Kind::Postgres(secret), Some(mine), Some(theirs)) =
            (&self.kind, self.postgres_options(), other.postgres_options())
        else {
            return self;
        };
        let Some(password) = other.password() else {
            return self;
        };
        if self.password().is_some() || mine.get_username() != theirs.get_username() {
            return self;
        }
        let Ok(mut url) = Url::parse(secret.expose_secret()) else {
            return self;
        };
        url.query_pairs_mut().append_pair("password", password.expose_secret());
        Self {
            kind: Kind::Postgres(SecretString::from(String::from(url))),
            ..self
        }
    }

    /// The server's host; a directory for a Unix socket; `None` for SQLite.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        let options = self.postgres_options()?;
        Some(
            options
                .get_socket()
                .map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string()),
        )
    }

    /// Whether encryption is switched off. `allow` is no better: the driver never encrypts with it.
    #[must_use]
    pub fn encryption_disabled(&self) -> bool {
        use sqlx::postgres::PgSslMode::{Allow, Disable};
        self.postgres_options()
            .is_some_and(|options| matches!(options.get_ssl_mode(), Disable | Allow))
    }

    /// Files of certificates and keys that the URL names: parameter and path.
    pub(crate) fn certificate_files(&self) -> Vec<(String, PathBuf)> {
        let Kind::Postgres(secret) = &self.kind else {
            return Vec::new();
        };
        let Ok(url) = Url::parse(secret.expose_secret()) else {
            return Vec::new();
        };
        url.query_pairs()
            .filter(|(key, _)| CERTIFICATE_PARAMETERS.contains(&key.as_ref()))
            .map(|(key, path)| (key.into_owned(), PathBuf::from(path.as_ref())))
            .collect()
    }

    /// Whether a missing file may be made.
    pub(crate) fn may_create(&self) -> bool {
        matches!(self.kind, Kind::Sqlite { create: true, .. })
    }

    /// Another database of the same server, as the same role; itself for SQLite.
    pub(crate) fn with_database(&self, name: &str) -> Self {
        let Kind::Postgres(secret) = &self.kind else {
            return self.clone();
        };
        let Ok(mut url) = Url::parse(secret.expose_secret()) else {
            return self.clone();
        };
        let others: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(key, _)| key != "dbname")
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(others)
            .append_pair("dbname", name);
        url.as_str().parse().unwrap_or_else(|_| self.clone())
    }

    /// The driver's options; `None` for SQLite. The URL was parsed once already, so this does not fail.
    pub(crate) fn postgres_options(&self) -> Option<PgConnectOptions> {
        match &self.kind {
            Kind::Postgres(secret) => PgConnectOptions::from_str(secret.expose_secret()).ok(),
            Kind::Sqlite { .. } => None,
        }
    }

    fn parse_postgres(rest: &str, stripped_driver: Option<String>) -> Result<Self, UrlError> {
        // A password with / ? or # in it ends the authority early; what follows would be shown as host, name or parameter.
        // With fewer slashes than two, or more, the authority would be taken for a path.
        let authority = rest
            .strip_prefix("//")
            .ok_or_else(|| UrlError::Syntax("no // behind the scheme".to_owned()))?;
        let after = authority.split_once(['/', '?', '#']).map_or("", |(_, after)| after);
        if after.contains('@') {
            return Err(UrlError::Syntax(
                "a / ? # or @ of the password, or an @ behind the host, is not encoded".to_owned(),
            ));
        }
        let text = format!("postgres:{rest}");
        let url = Url::parse(&text).map_err(|error| UrlError::Syntax(error.to_string()))?;
        if url.fragment().is_some() {
            return Err(UrlError::Syntax("a # must be written %23".to_owned()));
        }
        for (key, _) in url.query_pairs() {
            let known = [PARAMETERS, CERTIFICATE_PARAMETERS].concat();
            if !known.contains(&key.as_ref()) && !key.starts_with("options[") {
                // Behind a password it may be what followed an & in it.
                let is_told = !url.query_pairs().any(|(key, _)| key == "password");
                return Err(unknown_parameter(if is_told { &key } else { "" }));
            }
        }
        let options = PgConnectOptions::from_str(&text).map_err(|_| {
            // The driver does not say which; asked with one parameter at a time it does.
            url.query_pairs()
                .find(|(key, value)| {
                    let alone = url::form_urlencoded::Serializer::new(String::new())
                        .append_pair(key, value)
                        .finish();
                    PgConnectOptions::from_str(&format!("postgres://u@h/d?{alone}")).is_err()
                })
                .map_or_else(
                    || {
                        UrlError::Syntax(
                            "user, password or database name is not valid percent-encoded UTF-8".to_owned(),
                        )
                    },
                    |(key, _)| UrlError::ParameterValue(key.into_owned()),
                )
        })?;
        // Neither host nor role is taken from the environment unseen: what is shown is what is used.
        let given = |name: &str| url.query_pairs().any(|(key, _)| key == name);
        if url.username().is_empty() && !given("user") {
            return Err(UrlError::NoUser);
        }
        let mut text = text;
        for (missing, name, default) in [
            (
                url.host_str().is_none_or(str::is_empty) && !given("host") && !given("hostaddr"),
                "host",
                "localhost",
            ),
            (url.port().is_none() && !given("port"), "port", "5432"),
            (
                url.path().trim_start_matches('/').is_empty() && !given("dbname"),
                "dbname",
                options.get_username(),
            ),
        ] {
            if missing {
                let pair = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair(name, default)
                    .finish();
                text.push_str(&format!("{}{pair}", if text.contains('?') { '&' } else { '?' }));
            }
        }
        let options =
            PgConnectOptions::from_str(&text).map_err(|_| UrlError::Syntax("it cannot be used".to_owned()))?;
        let place = options.get_socket().map_or_else(
            || format!("{}:{}", options.get_host(), options.get_port()),
            |socket| socket.display().to_string(),
        );
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        let redacted = format!("postgres://{}@{place}/{database}", options.get_username());
        Ok(Self {
            kind: Kind::Postgres(SecretString::from(text)),
            redacted,
            stripped_driver,
        })
    }

    fn parse_sqlite(rest: &str, stripped_driver: Option<String>) -> Result<Self, UrlError> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| UrlError::Syntax("the path is not valid percent-encoded UTF-8".to_owned()))?;
        let mut create = true;
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match (key.as_ref(), value.as_ref()) {
                ("mode", "rwc") => {}
                ("mode", "rw") => create = false,
                ("mode", "memory") => return Err(UrlError::InMemory),
                ("mode", _) => return Err(UrlError::ParameterValue(key.into_owned())),
                _ => return Err(unknown_parameter(&key)),
            }
        }
        match path.as_ref() {
            ":memory:" => Err(UrlError::InMemory),
            "" => Err(UrlError::NoFile),
            path => Ok(Self {
                redacted: format!("sqlite://{path}"),
                kind: Kind::Sqlite {
                    path: behind_links(Path::new(path)),
                    create,
                },
                stripped_driver,
            }),
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once(':').ok_or(UrlError::NoScheme)?;
        let (engine, driver) = match scheme.split_once('+') {
            Some((engine, driver)) => (engine, Some(driver.to_owned())),
            None => (scheme, None),
        };
        match engine.to_ascii_lowercase().as_str() {
            "postgres" | "postgresql" => Self::parse_postgres(rest, driver),
            "sqlite" | "sqlite3" => Self::parse_sqlite(rest, driver),
            // What stands before the first colon of a mistyped URL may be a user's name, so only a plain word is repeated.
            _ if scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '-')
                && rest.starts_with("//") =>
            {
                Err(UrlError::UnknownScheme(scheme.to_owned()))
            }
            _ => Err(UrlError::NoScheme),
        }
    }
}

/// The file that a path's last name leads to. SQLite keeps its companions (`-wal`, `-shm`) beside that one and not beside the
/// link, so whoever looks for them has to know its name, too: a file that seems to be closed is opened in ways that drop the locks
/// of those who have it open, and is replaced under them.
fn behind_links(path: &Path) -> PathBuf {
    // As many as SQLite follows. In a circle the last one stays, and opening it says so.
    const MOST: usize = 200;
    let mut path = path.to_path_buf();
    for _ in 0..MOST {
        let Ok(target) = path.read_link() else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

/// Repeats a name only when it looks like one: it may be the tail of a password.
fn unknown_parameter(key: &str) -> UrlError {
    let is_name = (1..=40).contains(&key.len()) && key.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '-');
    UrlError::UnknownParameter(if is_name { key.to_owned() } else { "…".to_owned() })
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({})", self.redacted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        text.parse::<DatabaseUrl>().unwrap().redacted().to_owned()
    }

    fn refused(text: &str) -> UrlError {
        text.parse::<DatabaseUrl>().unwrap_err()
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        assert_eq!(
            redacted("postgres://ann:s3cret@db:5433/shop?sslmode=require"),
            "postgres://ann@db:5433/shop"
        );
        assert_eq!(
            redacted("postgresql://ann@db/shop?password=s3cret"),
            "postgres://ann@db:5432/shop"
        );
        let url: DatabaseUrl = "postgres://ann:s3cret@db/shop".parse().unwrap();
        assert!(!format!("{url:?}").contains("s3cret"));
        assert_eq!(url.password().unwrap().expose_secret(), "s3cret");
    }

    #[test]
    fn a_second_address_takes_the_password_of_the_first_for_the_same_role_alone() {
        let first: DatabaseUrl = "postgres://ann:a%40%3A%2Fb%3F%26%25+@pooler/shop".parse().unwrap();
        let taken = |text: &str| {
            let second: DatabaseUrl = text.parse().unwrap();
            let second = second.with_password_of(&first);
            assert!(!second.redacted().contains("%40"));
            second.password().map(|password| password.expose_secret().to_owned())
        };
        let whole = Some("a@:/b?&%+".to_owned());
        assert_eq!(taken("postgres://ann@db/shop?sslmode=require"), whole);
        assert_eq!(taken("postgres://ann:own@db/shop"), Some("own".to_owned()));
        assert_eq!(taken("postgres://bob@db/shop"), None);
        assert_eq!(taken("sqlite://a.db"), None);
    }

    #[test]
    fn a_driver_suffix_is_dropped_and_named() {
        let url: DatabaseUrl = "postgresql+asyncpg://ann@db/shop".parse().unwrap();
        assert_eq!(url.stripped_driver(), Some("asyncpg"));
        assert_eq!(url.redacted(), "postgres://ann@db:5432/shop");
    }

    #[test]
    fn no_refusal_repeats_a_password() {
        for text in [
            "postgres://ann:canary#x@db/shop",
            "postgres://ann:canary@db:notaport/shop",
            "postgres://ann:canary@db/shop?sslmode=canary",
            "postgres://ann:canary@db/shop?pasword=x",
            "postgres://ann:12?canary@db/shop",
            "postgres://ann:12/canary@db/shop",
            "postgres://ann:12#canary@db/shop",
            "postgres://ann@db/shop?canary@x=1",
            "mysql://ann:canary@db/shop",
            "canary",
            "canary:x@y",
        ] {
            assert!(!refused(text).to_string().contains("canary"), "{}", refused(text));
        }
    }

    #[test]
    fn a_misspelt_parameter_is_named_not_ignored() {
        assert_eq!(
            refused("postgres://a@db/shop?sslmode=require&port=x"),
            UrlError::ParameterValue("port".into())
        );
        assert_eq!(
            refused("postgres://db/shop?sslmod=require"),
            UrlError::UnknownParameter("sslmod".into())
        );
        assert_eq!(
            refused("postgres://a@db/shop?sslmode=always"),
            UrlError::ParameterValue("sslmode".into())
        );
    }

    #[test]
    fn sqlite_paths_are_relative_with_two_slashes_and_absolute_with_three() {
        let file = |text: &str| text.parse::<DatabaseUrl>().unwrap().file().unwrap().clone();
        assert_eq!(file("sqlite://data/dlc.db"), PathBuf::from("data/dlc.db"));
        assert_eq!(file("sqlite:data/dlc.db"), PathBuf::from("data/dlc.db"));
        assert_eq!(
            file("sqlite:///var/lib/dlc.db?mode=rwc"),
            PathBuf::from("/var/lib/dlc.db")
        );
        assert_eq!(file("sqlite://my%20data.db"), PathBuf::from("my data.db"));
    }

    #[test]
    fn what_is_left_out_is_said_not_taken_from_the_environment() {
        assert_eq!(redacted("postgres://ann@db"), "postgres://ann@db:5432/ann");
        assert_eq!(
            redacted("postgres:///shop?user=ann"),
            "postgres://ann@localhost:5432/shop"
        );
        assert_eq!(refused("postgres://db/shop"), UrlError::NoUser);
    }

    #[test]
    fn sqlite_in_memory_is_refused() {
        assert_eq!(refused("sqlite::memory:"), UrlError::InMemory);
        assert_eq!(refused("sqlite://x?mode=memory"), UrlError::InMemory);
        assert_eq!(refused("sqlite://"), UrlError::NoFile);
    }
}
