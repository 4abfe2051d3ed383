//! Exit codes, and the one place that decides which failure gets which.

use dlc_application::{
    operations::{check::FailureClass, migrate::HistoryError},
    ports::{
        connection::{ConnectError, ConnectFailure},
        migrations::MigrateError,
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
            ConnectFailure::NameNotFound
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

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        let message = error.to_string();
        match error {
            MigrateError::Connect(error) => error.into(),
            MigrateError::Locked { .. } => Self::new(Exit::Locked, "migration_locked", message)
                .hint("wait for that process, or allow more time: --lock-timeout 60s"),
            MigrateError::TableLocked { .. } => Self::new(Exit::Locked, "table_locked", message)
                .hint("end the session that holds the table, then: dlc migrate up"),
            MigrateError::History(error) => {
                let hint = match error {
                    HistoryError::UnknownTarget(_) => {
                        return Self::new(Exit::Usage, "migration_unknown", message)
                            .hint("dlc migrate status lists them");
                    }
                    HistoryError::UnknownApplied(_) => "run the newer dlc that applied them",
                    HistoryError::OutOfOrder(_) => "two branches were merged: give the pending one a newer number",
                };
                Self::new(Exit::HistoryInvalid, "migration_history_invalid", message).hint(hint)
            }
            MigrateError::Failed { .. } => Self::new(Exit::Failed, "migration_failed", message)
                .hint("nothing of this migration was kept; dlc migrate status tells where the schema stands"),
            MigrateError::Privilege { .. } => Self::new(Exit::Permission, "migration_privilege_missing", message)
                .hint("migrate as the schema's owner: set DLC_DATABASE__MIGRATION_URL"),
            MigrateError::ReadOnly { .. } => Self::new(Exit::Failed, "database_read_only", message)
                .hint("a replica cannot be migrated: point the URL at the primary"),
            MigrateError::Storage { failure, .. } => {
                let exit = if failure == ConnectFailure::Other {
                    Exit::Failed
                } else {
                    failure.into()
                };
                Self::new(exit, failure.code(), format!("the database failed: {message}"))
                    .hint("`dlc db check` looks at each layer")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_failure_of_a_migration_has_its_exit_code() {
        let text = || "words".to_owned();
        let waited = Duration::from_secs(15);
        let table: Vec<String> = [
            MigrateError::Locked { holder: text(), waited },
            MigrateError::TableLocked {
                step: Some(text()),
                cause: text(),
            },
            MigrateError::TableLocked {
                step: None,
                cause: text(),
            },
            MigrateError::History(HistoryError::UnknownTarget(text())),
            MigrateError::History(HistoryError::UnknownApplied(vec![text()])),
            MigrateError::History(HistoryError::OutOfOrder(vec![text()])),
            MigrateError::Failed {
                migration: text(),
                cause: text(),
            },
            MigrateError::Privilege { cause: text() },
            MigrateError::ReadOnly { cause: text() },
            MigrateError::Storage {
                failure: ConnectFailure::Other,
                cause: text(),
            },
            MigrateError::Storage {
                failure: ConnectFailure::NotADatabase,
                cause: text(),
            },
        ]
        .into_iter()
        .map(|error| {
            let failure = Failure::from(error);
            format!("{:3} {}: {}", failure.exit as u8, failure.code, failure.message)
        })
        .collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
