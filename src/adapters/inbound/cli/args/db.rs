//! `dlc db …`

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    Format,
    backups::{BackupArgs, RestoreArgs, VerifyBackupArgs},
    moving::MoveArgs,
};

/// `dlc db …`
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Examine the database layer by layer and say what to do next; changes nothing
    Check(CheckArgs),
    /// Copy the database into a file while it is in use, with a manifest beside it
    Backup(BackupArgs),
    /// Restore a backup into a scratch database, compare and audit it, drop the scratch again
    Verify(VerifyBackupArgs),
    /// Restore a backup into an empty database, or in place of another one, and verify it there
    Restore(RestoreArgs),
    /// Move all rows to an empty database of the other engine: SQLite to PostgreSQL, or back
    Move(MoveArgs),
}

impl DbCommand {
    /// Its name and how its report is printed; none of `check`, which tells of failures in whatever form is asked for.
    #[must_use]
    pub fn report(&self) -> Option<(&'static str, Format)> {
        match self {
            Self::Check(_) => None,
            Self::Backup(args) => Some(("db backup", args.format)),
            Self::Verify(args) => Some(("db verify", args.format)),
            Self::Restore(args) => Some(("db restore", args.format)),
            Self::Move(args) => Some(("db move", args.format)),
        }
    }
}

/// `dlc db check`
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Examine this database; other users of this machine can see a password that is typed here
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// Wait until it can be reached, as long as waiting can help
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "60s", value_parser = humantime::parse_duration)]
    pub wait: Option<Duration>,

    /// Longest time for one round of looking
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,

    /// Report these checks only
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub only: Vec<String>,

    /// Leave these checks out
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub skip: Vec<String>,

    /// List every check and end
    #[arg(long)]
    pub list: bool,

    /// Tell what a check means, what it asks and how to mend it, and end
    #[arg(long, value_name = "ID", conflicts_with = "list")]
    pub explain: Option<String>,

    /// Make the checks that take long, too
    #[arg(long)]
    pub deep: bool,

    /// Other limits for a check that measures: ID=WARN or ID=WARN,FAIL, in its unit (seconds, bytes, percent or a count; --explain ID tells)
    #[arg(long, value_name = "ID=WARN,FAIL", value_parser = threshold)]
    pub threshold: Vec<Threshold>,

    /// A pending migration is a failure
    #[arg(long)]
    pub require_current: bool,

    /// A schema that was changed past dlc is a failure
    #[arg(long)]
    pub strict: bool,

    /// Look again and again, until Ctrl-C
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub watch: Option<Duration>,

    /// Exit with 1 for this status too
    #[arg(long, value_name = "STATUS", default_value = "fail")]
    pub fail_on: FailOn,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: CheckFormat,
}

/// Limits for one check.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// The check.
    pub id: String,
    /// From here on it warns.
    pub warn: f64,
    /// From here on it fails.
    pub fail: Option<f64>,
}

fn threshold(text: &str) -> Result<Threshold, String> {
    let wrong = || "write it as ID=WARN or ID=WARN,FAIL, for example LCK002=30,120".to_owned();
    let (id, limits) = text.split_once('=').ok_or_else(wrong)?;
    let mut limits = limits.split(',').map(|limit| limit.trim().parse::<f64>());
    let warn = limits.next().and_then(Result::ok).ok_or_else(wrong)?;
    let fail = limits.next().transpose().map_err(|_| wrong())?;
    let in_order = fail.is_none_or(|fail| warn <= fail);
    if ![Some(warn), fail]
        .into_iter()
        .flatten()
        .all(|limit| limit.is_finite() && limit >= 0.0)
        || !in_order
    {
        return Err("limits are numbers from 0 on, and the second is not below the first".to_owned());
    }
    match limits.next() {
        None => Ok(Threshold {
            id: id.trim().to_owned(),
            warn,
            fail,
        }),
        Some(_) => Err(wrong()),
    }
}

/// How the report of `db check` is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// For people
    Text,
    /// For programs
    Json,
    /// For CI: JUnit XML
    Junit,
    /// For Nagios and its kin: one line, exit codes 0 to 3
    Nagios,
    /// For Prometheus's textfile collector
    Prometheus,
}

/// From which status on `db check` fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Failures and warnings
    Warn,
    /// Failures
    Fail,
}
