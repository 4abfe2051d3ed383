//! Exit codes, and what every failure is: a code, a message and what to do next. Which failure of a part of dlc gets which: the files
//! below.

mod accounts;
mod backups;
mod coupons;
mod migrations;
mod moving;

use dlc_application::{
    operations::check::{FailureClass, Finding, Status},
    ports::{
        StorageError, StorageErrorKind,
        connection::{ConnectError, ConnectFailure},
    },
};

use crate::config::ConfigError;

/// How the program ends (§3.1). The numbers never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; everything holds.
    Done = 0,
    /// Failed: a check, a migration, the server.
    Failed = 1,
    /// Something is pending (`migrate status --check`).
    Pending = 2,
    /// A lock was not obtained in time.
    Locked = 3,
    /// The migration history is invalid.
    HistoryInvalid = 4,
    /// Wrong usage.
    Usage = 64,
    /// The database is unreachable, not accepting, or does not exist.
    Unavailable = 69,
    /// Authentication or privilege.
    Permission = 77,
    /// Configuration.
    Configuration = 78,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

impl From<FailureClass> for Exit {
    fn from(class: FailureClass) -> Self {
        match class {
            FailureClass::Configuration => Self::Configuration,
            FailureClass::Unreachable => Self::Unavailable,
            FailureClass::Permission => Self::Permission,
            FailureClass::Locked => Self::Locked,
            FailureClass::Failed => Self::Failed,
        }
    }
}

impl From<ConnectFailure> for Exit {
    fn from(failure: ConnectFailure) -> Self {
        match failure {
            ConnectFailure::InvalidUrl | ConnectFailure::UnknownScheme => Self::Configuration,
            ConnectFailure::Authentication | ConnectFailure::Privilege | ConnectFailure::FilePermission => {
                Self::Permission
            }
            ConnectFailure::TableLocked => Self::Locked,
            ConnectFailure::LeftJournal
            | ConnectFailure::NameNotFound
            | ConnectFailure::Refused
            | ConnectFailure::TimedOut
            | ConnectFailure::Unreachable
            | ConnectFailure::Tls
            | ConnectFailure::StartingUp
            | ConnectFailure::ShuttingDown
            | ConnectFailure::NotAccepting
            | ConnectFailure::TooManyConnections
            | ConnectFailure::DatabaseMissing
            | ConnectFailure::Pooler
            | ConnectFailure::FileMissing
            | ConnectFailure::NotADatabase
            | ConnectFailure::Lost
            | ConnectFailure::Other => Self::Unavailable,
        }
    }
}

impl Exit {
    /// What Nagios and its kin expect: 0 ok, 1 warning, 2 critical, 3 unknown. It is their language, not this one's: the
    /// names of these codes mean something else elsewhere.
    #[must_use]
    pub fn of_monitoring(status: Status) -> Self {
        match status {
            Status::Ok => Self::Done,
            Status::Warn => Self::Failed,
            Status::Fail => Self::Pending,
            Status::Skipped => Self::Locked,
        }
    }
}

/// An operating system's error in plain words: "connection refused", not "Connection refused (os error 111)".
pub fn plain(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// A command that did not do what was asked: one line that says what and why, and one that says what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// A stable name for logs and JSON.
    pub code: &'static str,
    /// What failed, and why.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// A check that failed where nothing goes on without it.
    pub(crate) fn unfit(when: &str, finding: Finding) -> Self {
        let Finding {
            id, title, measured, ..
        } = finding;
        Self {
            exit: finding.class.into(),
            code: "preflight_failed",
            message: format!("{when}, {id} {title}: {measured}"),
            hint: Some(finding.hint.unwrap_or_else(|| format!("dlc db check --explain {id}"))),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self {
            exit: error.failure.into(),
            code: error.failure.code(),
            message: error.to_string(),
            hint: error.hint,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Configuration, "configuration_invalid", error.to_string())
            .hint("`dlc config template --format yaml` lists every setting")
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        tracing::debug!(source, "{error}");
        let (exit, code) = match error.kind() {
            StorageErrorKind::Unavailable => (Exit::Unavailable, "database_unavailable"),
            StorageErrorKind::Timeout => (Exit::Failed, "database_timeout"),
            StorageErrorKind::Overloaded => (Exit::Failed, "database_overloaded"),
            StorageErrorKind::Conflict => (Exit::Failed, "database_conflict"),
            StorageErrorKind::Other => (Exit::Failed, "database_failed"),
        };
        Self::new(exit, code, error.to_string()).hint(
            "it may be done all the same: look before you do it again; `dlc db check` looks at each layer, -v tells more",
        )
    }
}

/// A failure as the tests keep it.
#[cfg(test)]
fn line(failure: Failure) -> String {
    let hint = failure.hint.unwrap_or_default();
    format!(
        "{:3} {}: {}\n    {hint}",
        failure.exit as u8, failure.code, failure.message
    )
}
