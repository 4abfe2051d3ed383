//! Exit codes, and the one place that decides which failure gets which.

mod backups;

use dlc_application::{
    coupons::{CreateCouponError, FindCouponError},
    operations::{
        books::AuditError,
        check::{FailureClass, Finding, Status},
        migrate::HistoryError,
        moving::{MoveError, Side},
    },
    ports::{
        StorageError, StorageErrorKind,
        connection::{ConnectError, ConnectFailure},
        migrations::MigrateError,
        passwords::HashError,
    },
    users::{CreateUserError, UserError},
};
use dlc_domain::passwords::PasswordError;

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

impl Failure {
    fn history(error: &HistoryError, message: String) -> Self {
        let hint = match error {
            HistoryError::UnknownTarget(_) => {
                return Self::new(Exit::Usage, "migration_unknown", message).hint("dlc migrate status lists them");
            }
            HistoryError::Newer(_) => {
                "run the newer dlc that applied them; to go back, revert them: dlc migrate down --use-stored-sql"
            }
            HistoryError::Missing(_) => "run a dlc of the line that applied them",
            HistoryError::Edited(_) => {
                "restore the migration's SQL and put the change into a new one; if the schema agrees: dlc migrate repair"
            }
            HistoryError::OutOfOrder(_) => {
                "two branches were merged: give the pending one a newer number, or revert the newer ones"
            }
            HistoryError::Unfinished { known: true, .. } => {
                "begin it again: dlc migrate up; or give it up: dlc migrate down"
            }
            HistoryError::Unfinished { .. } => {
                "begin it again with the newer dlc; or give it up: dlc migrate down --use-stored-sql"
            }
            HistoryError::NeedsStoredSql(_) => {
                "the SQL was stored when they were applied; look at it: dlc migrate down --plan --use-stored-sql"
            }
            HistoryError::NoSql(_) => "revert with the dlc that applied them",
        };
        Self::new(Exit::HistoryInvalid, error.code(), message).hint(hint)
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        MigrateError::from(error).into()
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        let message = error.to_string();
        match error {
            MigrateError::Connect(error) => error.into(),
            MigrateError::Locked { .. } => Self::new(Exit::Locked, "migration_locked", message)
                .hint("wait for that process, or allow more time: --lock-timeout 60s"),
            MigrateError::TableLocked { step, unfinished, .. } => {
                let hint = match (step, unfinished) {
                    (None, _) => "somebody has locked the history: end that session or wait for it, then try again",
                    (_, None) => {
                        "end that session or wait for it, then run the command again; nothing of this migration was kept"
                    }
                    (_, Some(_)) => {
                        "end that session or wait for it, then run the command again: it begins this one anew"
                    }
                };
                Self::new(Exit::Locked, "table_locked", message).hint(hint)
            }
            MigrateError::History(error) => Self::history(&error, message),
            MigrateError::Destructive(_) => Self::new(Exit::Usage, "migration_destructive", message)
                .hint("look at it: dlc migrate plan; then allow it: dlc migrate up --allow-destructive"),
            MigrateError::Unfit(finding) => Self::unfit("before migrating", *finding),
            MigrateError::Unfinished { .. } => Self::new(Exit::Failed, "migration_unfinished", message)
                .hint("mend the cause, then begin it again: dlc migrate up; or give it up: dlc migrate down"),
            MigrateError::Changed => Self::new(Exit::Failed, "migrations_changed", message)
                .hint("somebody else has migrated meanwhile: look again, then run the command again"),
            MigrateError::NotRehearsable { grant, .. } => {
                Self::new(Exit::Permission, "rehearsal_privilege_missing", message).hint(grant)
            }
            MigrateError::OtherSchema { found, .. } => Self::new(Exit::Configuration, "search_path_wrong", message)
                .hint(format!("put it first: ALTER ROLE … SET search_path = {found}")),
            MigrateError::RehearsalOnTheDatabaseItself => Self::new(Exit::Usage, "rehearsal_not_on_a_clone", message)
                .hint("--rehearse-on wants a clone: a restored backup, or CREATE DATABASE … TEMPLATE"),
            MigrateError::RehearsalDiffers { .. } => {
                Self::new(Exit::Failed, "rehearsal_differs", message).hint("make a new clone of the database")
            }
            MigrateError::Failed { .. } => Self::new(Exit::Failed, "migration_failed", message)
                .hint("nothing of this migration was kept; dlc migrate status tells where the schema stands"),
            MigrateError::Privilege { .. } => Self::new(Exit::Permission, "migration_privilege_missing", message)
                .hint("migrate as the schema's owner: set DLC_DATABASE__MIGRATION_URL"),
            MigrateError::ReadOnly { .. } => Self::new(Exit::Failed, "database_read_only", message)
                .hint("point the URL at the primary; a primary may be read-only by default_transaction_read_only"),
            MigrateError::Storage { failure, .. } => {
                let exit = if failure == ConnectFailure::Other {
                    Exit::Failed
                } else {
                    failure.into()
                };
                let hint = match failure {
                    ConnectFailure::Pooler => {
                        "this pooler does not know prepared statements: PgBouncer 1.21 or newer does where max_prepared_statements \
                         is above 0; or go around it with DLC_DATABASE__MIGRATION_URL"
                    }
                    _ => "`dlc db check` looks at each layer",
                };
                Self::new(exit, failure.code(), format!("the database failed: {message}")).hint(hint)
            }
        }
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

impl From<HashError> for Failure {
    fn from(error: HashError) -> Self {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        tracing::debug!(source, "{error}");
        Self::new(Exit::Failed, "hashing_failed", error.to_string()).hint("-v with the command tells why")
    }
}

impl From<CreateUserError> for Failure {
    fn from(error: CreateUserError) -> Self {
        let message = error.to_string();
        match error {
            CreateUserError::NameTaken => Self::new(Exit::Failed, "user_exists", message)
                .hint("dlc user show tells of it; dlc user list --all lists them all"),
            CreateUserError::Password(error) => Self::new(Exit::Failed, "password_weak", message).hint(match error {
                PasswordError::TooShort { .. } => "auth.password_min_length says so; --generate makes a longer one",
                _ => "--generate makes a good one",
            }),
            CreateUserError::Hash(error) => error.into(),
            CreateUserError::Storage(error) => error.into(),
        }
    }
}

impl From<UserError> for Failure {
    fn from(error: UserError) -> Self {
        let message = error.to_string();
        match error {
            UserError::Unknown => {
                Self::new(Exit::Failed, "user_unknown", message).hint("dlc user list --all lists them all")
            }
            UserError::Stale => {
                Self::new(Exit::Failed, "user_changed", message).hint("dlc user show tells how it is now")
            }
            UserError::LastAdministrator => {
                Self::new(Exit::Failed, "last_administrator", message).hint("dlc user create NAME --admin makes one")
            }
            UserError::Storage(error) => error.into(),
        }
    }
}

impl From<CreateCouponError> for Failure {
    fn from(error: CreateCouponError) -> Self {
        let message = error.to_string();
        match error {
            CreateCouponError::NameTaken => Self::new(Exit::Failed, "coupon_exists", message)
                .hint("dlc coupon show tells of it; dlc coupon list lists them all"),
            // Of requests; no command has a key.
            CreateCouponError::Key(_) => Self::new(Exit::Failed, "key_refused", message),
            CreateCouponError::Storage(error) => error.into(),
        }
    }
}

impl Failure {
    fn unknown_coupon(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "coupon_unknown", message).hint("dlc coupon list lists them all")
    }
}

impl From<FindCouponError> for Failure {
    fn from(error: FindCouponError) -> Self {
        let message = error.to_string();
        match error {
            FindCouponError::UnknownCoupon => Self::unknown_coupon(message),
            // Nothing was to be done that may be done all the same.
            FindCouponError::Storage(error) => Self::from(error).hint(
                "`dlc coupon audit` tells whether it is the coupon's row; `dlc db check` looks at each layer, -v tells more",
            ),
        }
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let message = error.to_string();
        match error {
            AuditError::UnknownCoupon => Self::unknown_coupon(message),
            AuditError::Database(error) => error.into(),
        }
    }
}

impl From<MoveError> for Failure {
    fn from(error: MoveError) -> Self {
        let message = error.to_string();
        match error {
            MoveError::SameEngine(_) => Self::new(Exit::Usage, "move_same_engine", message)
                .hint("within one engine a copy is a backup that is restored: dlc db backup, dlc db restore"),
            MoveError::Connect(error) => error.into(),
            MoveError::Schema { side, error } => {
                let failure = Self::from(error);
                Self {
                    message: format!("{side}: {}", failure.message),
                    ..failure
                }
            }
            MoveError::NeverMigrated => Self::new(Exit::Failed, "move_source_never_migrated", message)
                .hint("is it the right one? correct --from"),
            MoveError::Pending(_) => Self::new(Exit::Failed, "migrations_pending", message)
                .hint("apply them to the source first: dlc migrate up, with its DATABASE_URL"),
            MoveError::NotEmpty(_) => Self::new(Exit::Failed, "move_target_not_empty", message)
                .hint("name an empty database, or a file that does not exist; nothing was changed"),
            MoveError::StructureDiffers(_) => Self::new(Exit::Failed, "move_structure_differs", message)
                .hint("a schema was changed past dlc; what differs: dlc migrate verify, with its DATABASE_URL"),
            MoveError::Encoding(_) => Self::new(Exit::Failed, "move_target_encoding", message)
                .hint("make the database anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"),
            MoveError::TargetBusy(_) => Self::new(Exit::Locked, "move_target_busy", message)
                .hint("stop whoever uses the target, then run the command again; nothing was copied"),
            MoveError::Refused { .. } => Self::new(Exit::Failed, "move_refused", message)
                .hint("nothing of the copy was kept; what differs there from the migrations: dlc migrate verify"),
            MoveError::Differs(_) => Self::new(Exit::Failed, "move_differs", message)
                .hint("nothing of the copy was kept; does a trigger or a rule of the target change rows?"),
            MoveError::Failed { side, failure, .. } => {
                let exit = match failure {
                    ConnectFailure::Other => Exit::Failed,
                    failure => failure.into(),
                };
                let kept = match side {
                    Side::Source => "nothing of the copy was kept",
                    Side::Target => "nothing of the copy was kept; the same command begins anew",
                };
                Self::new(exit, failure.code(), message)
                    .hint(format!("{kept}; `dlc db check --url …` looks at each layer"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dlc_application::{operations::check::Layer, ports::migrations::Holder};

    use super::*;

    #[test]
    fn every_failure_of_a_migration_has_its_exit_code() {
        let text = || "words".to_owned();
        let waited = Duration::from_secs(15);
        let holder = Holder {
            who: "dlc serve 0.1.0 host/7".into(),
            held: Some(Duration::from_secs(20)),
            step: Some((2, 5, "m2".into())),
            silent: Some(Duration::from_secs(18)),
        };
        let blockers = vec!["psql (pid 7, idle in transaction, its query began 60 s ago)".to_owned()];
        let table: Vec<String> = [
            MigrateError::Locked { holder, waited },
            MigrateError::TableLocked {
                step: Some(text()),
                unfinished: Some((1, 2)),
                blockers: blockers.clone(),
            },
            MigrateError::TableLocked {
                step: Some(text()),
                unfinished: None,
                blockers,
            },
            MigrateError::TableLocked {
                step: None,
                unfinished: None,
                blockers: Vec::new(),
            },
            MigrateError::History(HistoryError::UnknownTarget(text())),
            MigrateError::History(HistoryError::Newer(vec![text()])),
            MigrateError::History(HistoryError::Missing(vec![text()])),
            MigrateError::History(HistoryError::Edited(vec![(text(), "a".repeat(64), "b".repeat(64))])),
            MigrateError::History(HistoryError::OutOfOrder(vec![text()])),
            MigrateError::History(HistoryError::Unfinished {
                name: text(),
                reached: 1,
                of: 2,
                known: true,
            }),
            MigrateError::History(HistoryError::Unfinished {
                name: text(),
                reached: 1,
                of: 2,
                known: false,
            }),
            MigrateError::Changed,
            MigrateError::NotRehearsable {
                cause: text(),
                grant: text(),
            },
            MigrateError::OtherSchema {
                found: text(),
                current: text(),
            },
            MigrateError::History(HistoryError::NeedsStoredSql(vec![text()])),
            MigrateError::History(HistoryError::NoSql(vec![text()])),
            MigrateError::Destructive(vec![text()]),
            MigrateError::Unfit(Box::new(Finding {
                id: "ABC001",
                title: "a check",
                layer: Layer::Server,
                status: Status::Fail,
                measured: text(),
                value: None,
                threshold: None,
                hint: None,
                took: Duration::ZERO,
                skipped_for: None,
                unmade: false,
                class: FailureClass::Permission,
            })),
            MigrateError::Failed {
                migration: text(),
                cause: text(),
            },
            MigrateError::Unfinished {
                migration: text(),
                reached: 1,
                of: 2,
                cause: text(),
            },
            MigrateError::RehearsalOnTheDatabaseItself,
            MigrateError::RehearsalDiffers { cause: text() },
            MigrateError::Privilege { cause: text() },
            MigrateError::ReadOnly { cause: text() },
            MigrateError::Storage {
                failure: ConnectFailure::Other,
                cause: text(),
            },
            MigrateError::Storage {
                failure: ConnectFailure::Pooler,
                cause: text(),
            },
            MigrateError::Storage {
                failure: ConnectFailure::NotADatabase,
                cause: text(),
            },
        ]
        .into_iter()
        .map(|error| line(error.into()))
        .collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn every_failure_about_an_account_has_its_exit_code() {
        let storage = |kind| StorageError::new(kind, "words that are not shown");
        let create = [
            CreateUserError::NameTaken,
            CreateUserError::Password(PasswordError::TooShort { floor: 12 }),
            CreateUserError::Password(PasswordError::Common),
            CreateUserError::Hash(HashError::Busy),
            CreateUserError::Hash(HashError::Failed("words that are not shown".into())),
            CreateUserError::Storage(storage(StorageErrorKind::Unavailable)),
        ]
        .map(Failure::from);
        let change = [
            UserError::Unknown,
            UserError::Stale,
            UserError::LastAdministrator,
            UserError::Storage(storage(StorageErrorKind::Timeout)),
            UserError::Storage(storage(StorageErrorKind::Conflict)),
            UserError::Storage(storage(StorageErrorKind::Other)),
        ]
        .map(Failure::from);
        insta::assert_snapshot!(
            create
                .into_iter()
                .chain(change)
                .map(line)
                .collect::<Vec<_>>()
                .join("\n")
        );
    }

    #[test]
    fn every_failure_of_a_move_has_its_exit_code() {
        let words = || vec!["users".to_owned(), "claims".to_owned()];
        let failed = |side, failure| MoveError::Failed {
            side,
            failure,
            cause: "words".to_owned(),
        };
        let table: Vec<String> = [
            MoveError::SameEngine("SQLite"),
            MoveError::Connect(ConnectError {
                failure: ConnectFailure::Refused,
                target: "postgres://ann@db/shop".into(),
                cause: "connection refused".into(),
                hint: Some("is the server running there?".into()),
            }),
            MoveError::Schema {
                side: Side::Target,
                error: MigrateError::Privilege { cause: "words".into() },
            },
            MoveError::NeverMigrated,
            MoveError::Pending(2),
            MoveError::NotEmpty(words()),
            MoveError::StructureDiffers(vec!["users.extra is only in the source".into()]),
            MoveError::Encoding("LATIN1".into()),
            MoveError::TargetBusy("other sessions write to its tables".into()),
            MoveError::Refused {
                table: "users".into(),
                cause: "words".into(),
            },
            MoveError::Differs(words()),
            failed(Side::Source, ConnectFailure::Other),
            failed(Side::Target, ConnectFailure::Lost),
        ]
        .map(Failure::from)
        .map(line)
        .into();
        insta::assert_snapshot!(table.join("\n"));
    }

    fn line(failure: Failure) -> String {
        let hint = failure.hint.unwrap_or_default();
        format!(
            "{:3} {}: {}\n    {hint}",
            failure.exit as u8, failure.code, failure.message
        )
    }
}
