//! `backup.*`

use std::path::PathBuf;

use super::setting::section;

section! {
    /// Backups by dlc.
    BackupConfig = "backup" {
        /// Where `dlc db backup` puts backups unless `--to` says otherwise; made when it is missing.
        directory: Option<PathBuf> = "directory", |_| Some(PathBuf::from("backups"));
        /// Directory of PostgreSQL's programs pg_dump and pg_restore. Unset: the search path, and where systems usually have them.
        programs: Option<PathBuf> = "programs", |_| None;
    }
}
