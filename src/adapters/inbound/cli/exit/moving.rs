//! What went wrong with a move, as an exit code and a hint. Not here: any other failure.

use dlc_application::{
    operations::moving::{MoveError, Side},
    ports::connection::ConnectFailure,
};

use super::{Exit, Failure};

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
    use dlc_application::ports::{connection::ConnectError, migrations::MigrateError};

    use super::{super::line, *};

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
}
