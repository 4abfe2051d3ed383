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
