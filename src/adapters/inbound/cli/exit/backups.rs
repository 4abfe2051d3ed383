//! What went wrong with a backup, as an exit code and a hint. Not here: any other failure.

use dlc_application::ports::backups::{BackupError, ProgramMissing};

use super::{Exit, Failure};

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let message = error.to_string();
        let failed = |code, message| Self::new(Exit::Failed, code, message);
        match error {
            BackupError::Connect(error) => error.into(),
            BackupError::Database { failure, .. } => {
                let exit = match Exit::from(failure) {
                    Exit::Permission => Exit::Permission,
                    _ => Exit::Failed,
                };
                Self::new(exit, "database_failed", message).hint("`dlc db check` looks at each layer")
            }
            BackupError::Privilege { grant, .. } => {
                Self::new(Exit::Permission, "database_privilege_missing", message).hint(grant)
            }
            BackupError::File { .. } => {
                failed("backup_file_failed", message).hint("look at the path, its owner and its mode")
            }
            BackupError::Full { .. } => {
                failed("disk_full", message).hint("nothing of it was kept; make room, or name another place")
            }
            BackupError::Exists(_) => {
                Self::new(Exit::Usage, "backup_exists", message).hint("name another file, or a directory: --to DIR")
            }
            BackupError::BeingWritten(_) => failed("backup_being_written", message).hint("wait for it"),
            BackupError::Missing(_) => failed("backup_missing", message)
                .hint("look at the path; `ls backups` lists those of the default directory"),
            BackupError::NoManifest(_) => failed("backup_without_manifest", message).hint(
                "a backup is two files, kept together: FILE and FILE.json; a run that was ended leaves none of them",
            ),
            BackupError::ManifestInvalid { .. } => failed("backup_manifest_invalid", message)
                .hint("fetch it again from where it was kept, or take another backup"),
            BackupError::ManifestNewer { .. } => {
                failed("backup_manifest_newer", message).hint("use the dlc that made it, or a newer one")
            }
            BackupError::OtherSize { .. } => failed("backup_cut_short", message)
                .hint("fetch it again from where it was kept, or take another backup"),
            BackupError::Damaged { .. } => {
                failed("backup_damaged", message).hint("fetch it again from where it was kept, or take another backup")
            }
            BackupError::Newer { .. } => Self::new(Exit::HistoryInvalid, "backup_newer", message)
                .hint("use that dlc or a newer one; nothing was written"),
            BackupError::OtherEngine { .. } => Self::new(Exit::Usage, "backup_of_other_engine", message)
                .hint("a backup is for its own engine; dlc db move copies from one engine to the other"),
            BackupError::OlderServer { .. } => {
                Self::new(Exit::Failed, "server_too_old", message).hint("take a server of that version or newer")
            }
            BackupError::NotEmpty { .. } => Self::new(Exit::Usage, "target_not_empty", message)
                .hint("nothing was written; name an empty database, or replace this one: --replace"),
            BackupError::InUse { .. } => Self::new(Exit::Locked, "target_in_use", message)
                .hint("nothing was written; stop whoever uses it (dlc serve), then try again"),
            BackupError::Program(missing) => {
                Self::new(Exit::Failed, "program_missing", message).hint(install(&missing))
            }
            BackupError::ProgramFailed { .. } => failed("program_failed", message)
                .hint("nothing was kept; `dlc db check` looks at server and privileges"),
            BackupError::Differs(_) => failed("backup_differs", message)
                .hint("do not rely on it: make another one, dlc db backup --verify; nothing was written"),
            BackupError::Broken(_) => failed("backup_broken", message)
                .hint("do not rely on it; dlc db check --deep looks whether the database is, too"),
            BackupError::BooksWrong(_) => failed("backup_audit_failed", message)
                .hint("the database was so when the backup was made: dlc coupon audit; dlc db check --explain BIZ001"),
            BackupError::Stopped => Self::new(Exit::Interrupted, "interrupted", message).hint("nothing of it was kept"),
        }
    }
}

fn install(missing: &ProgramMissing) -> String {
    let major = missing.major;
    match missing.only_in {
        Some(_) => {
            format!("backup.programs names that directory: name one of version {major} or newer, or leave it unset")
        }
        None => format!(
            "install the client programs of PostgreSQL {major} (postgresql-client-{major}), or name their directory: \
             DLC_BACKUP__PROGRAMS"
        ),
    }
}

#[cfg(test)]
mod tests {
    use dlc_application::ports::{
        connection::{ConnectError, ConnectFailure},
        inspection::Engine,
    };

    use super::*;

    /// What each of them is to a script: a number and a word that stay.
    #[test]
    fn each_kind_of_failure_has_its_exit_code_and_its_name() {
        let (path, text) = (|| "/b/x.dump".into(), || "x".to_owned());
        let database = |failure| BackupError::Database {
            target: text(),
            cause: text(),
            failure,
        };
        let connect = |failure| {
            BackupError::Connect(ConnectError {
                failure,
                target: text(),
                cause: text(),
                hint: None,
            })
        };
        let missing = |only_in| {
            BackupError::Program(ProgramMissing {
                program: "psql",
                major: 16,
                found: Vec::new(),
                only_in,
            })
        };
        let privilege = BackupError::Privilege {
            what: text(),
            cause: text(),
            grant: text(),
        };
        let damaged = BackupError::Damaged {
            path: path(),
            expected: text(),
            found: text(),
        };
        let cut_short = BackupError::OtherSize {
            path: path(),
            expected: 2,
            found: 1,
        };
        let newer = BackupError::Newer {
            dlc_version: text(),
            migrations: vec![text()],
        };
        let other_engine = BackupError::OtherEngine {
            backup: Engine::Sqlite,
            target: text(),
        };
        let older_server = BackupError::OlderServer {
            backup: 17,
            server: 16,
            target: text(),
        };
        let not_empty = BackupError::NotEmpty {
            target: text(),
            contents: text(),
        };
        let in_use = BackupError::InUse {
            target: text(),
            by: text(),
        };
        let program_failed = BackupError::ProgramFailed {
            program: "psql",
            cause: text(),
        };
        let file = BackupError::File {
            what: "cannot write the file",
            path: path(),
            cause: text(),
        };
        let full = BackupError::Full {
            path: path(),
            cause: text(),
        };
        let invalid = BackupError::ManifestInvalid {
            path: path(),
            cause: text(),
        };
        let manifest_newer = BackupError::ManifestNewer {
            path: path(),
            schema: 2,
            known: 1,
        };
        for (error, exit, name) in [
            (connect(ConnectFailure::Refused), 69, "database_connection_refused"),
            (connect(ConnectFailure::Privilege), 77, "database_privilege_missing"),
            (database(ConnectFailure::Other), 1, "database_failed"),
            (database(ConnectFailure::Lost), 1, "database_failed"),
            (database(ConnectFailure::FilePermission), 77, "database_failed"),
            (privilege, 77, "database_privilege_missing"),
            (file, 1, "backup_file_failed"),
            (full, 1, "disk_full"),
            (BackupError::Exists(path()), 64, "backup_exists"),
            (BackupError::BeingWritten(path()), 1, "backup_being_written"),
            (BackupError::Missing(path()), 1, "backup_missing"),
            (BackupError::NoManifest(path()), 1, "backup_without_manifest"),
            (invalid, 1, "backup_manifest_invalid"),
            (manifest_newer, 1, "backup_manifest_newer"),
            (cut_short, 1, "backup_cut_short"),
            (damaged, 1, "backup_damaged"),
            (newer, 4, "backup_newer"),
            (other_engine, 64, "backup_of_other_engine"),
            (older_server, 1, "server_too_old"),
            (not_empty, 64, "target_not_empty"),
            (in_use, 3, "target_in_use"),
            (missing(None), 1, "program_missing"),
            (missing(Some(path())), 1, "program_missing"),
            (program_failed, 1, "program_failed"),
            (BackupError::Differs(Vec::new()), 1, "backup_differs"),
            (BackupError::Broken(text()), 1, "backup_broken"),
            (BackupError::BooksWrong(1), 1, "backup_audit_failed"),
            (BackupError::Stopped, 130, "interrupted"),
        ] {
            let failure = Failure::from(error.clone());
            assert_eq!((failure.exit as u8, failure.code), (exit, name), "{error:?}");
            // What to do next is said, but where the connection's own error says it.
            assert!(
                failure.hint.is_some() || matches!(error, BackupError::Connect(_)),
                "{error:?}"
            );
        }
    }
}
