//! What went wrong with migrations, as an exit code and a hint. Not here: any other failure.

use dlc_application::{
    operations::migrate::HistoryError,
    ports::{connection::ConnectFailure, migrations::MigrateError},
};

use super::{Exit, Failure};

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

/// A name as SQL wants it.
fn identifier(name: &str) -> String {
    let is_plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
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
                    (None, _) => "somebody has locked a table; who: dlc db check --only LCK001,LCK002; then try again",
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
                .hint(format!(
                    "put it first: ALTER ROLE … SET search_path = {}",
                    identifier(&found)
                )),
            MigrateError::NoSchema => Self::new(Exit::Configuration, "search_path_wrong", message)
                .hint("create it, or correct search_path of the role or the database; dlc db check tells what it is"),
            MigrateError::RehearsalOnTheDatabaseItself => Self::new(Exit::Usage, "rehearsal_not_on_a_clone", message)
                .hint("--rehearse-on wants a clone: a restored backup, or CREATE DATABASE … TEMPLATE"),
            MigrateError::RehearsalDiffers { .. } => {
                Self::new(Exit::Failed, "rehearsal_differs", message).hint("make a new clone of the database")
            }
            MigrateError::Failed { .. } => Self::new(Exit::Failed, "migration_failed", message)
                .hint("nothing of this migration was kept; is what it makes there already, its row was lost: dlc migrate repair"),
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
                    ConnectFailure::FilePermission => "correct owner and mode of the file and of its directory",
                    _ => "`dlc db check` looks at each layer",
                };
                Self::new(exit, failure.code(), format!("the database failed: {message}")).hint(hint)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dlc_application::{
        operations::check::{FailureClass, Finding, Layer, Status},
        ports::migrations::Holder,
    };

    use super::{super::line, *};

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
            MigrateError::OtherSchema {
                found: "My \"App\"".to_owned(),
                current: text(),
            },
            MigrateError::NoSchema,
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
            MigrateError::Storage {
                failure: ConnectFailure::FilePermission,
                cause: text(),
            },
        ]
        .into_iter()
        .map(|error| line(error.into()))
        .collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
