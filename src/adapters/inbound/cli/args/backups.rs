//! `dlc db backup`, `verify` and `restore`

use std::path::PathBuf;

use clap::Args;

use super::Format;

/// `dlc db backup`
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// Where to put it: a directory, or a file whose name has an ending (.dump, .sqlite3); backup.directory when left out
    #[arg(long, value_name = "DIR|FILE")]
    pub to: Option<PathBuf>,

    /// Verify it right away, as dlc db verify does
    #[arg(long)]
    pub verify: bool,

    /// Then delete older backups of this database in that directory, so that N are left; never the last verified one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc db verify`
#[derive(Args, Debug)]
pub struct VerifyBackupArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc db restore`
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The database to write: a URL, or the word configured; other users of this machine can see a password that is typed here, and
    /// without one PGPASSWORD or ~/.pgpass is asked
    #[arg(long, value_name = "URL")]
    pub into: String,

    /// Replace what is in that database; asks for its name
    #[arg(long)]
    pub replace: bool,

    /// The name of the database whose contents are to go: then nothing is asked
    #[arg(long, value_name = "NAME", requires = "replace")]
    pub yes_replace: Option<String>,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}
