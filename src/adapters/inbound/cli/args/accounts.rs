//! What can be typed about accounts and greetings. No password can: other users of the machine see what is typed.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use dlc_domain::users::Username;

use super::Format;

/// `dlc user …`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make an account; without an option the password is asked for on the terminal
    Create(CreateUserArgs),
    /// List accounts in the order in which they were made
    List(ListUsersArgs),
    /// Tell what is known of an account
    Show(UserArgs),
    /// Disable an account and sign its owner out everywhere; it can be restored
    Disable(UserArgs),
    /// Restore a disabled account
    Restore(UserArgs),
    /// Print a one-time code with which the owner of an account can set a new password
    AllowReset(UserArgs),
    /// Delete disabled accounts for good, with everything that belongs to them
    Purge(PurgeUsersArgs),
}

impl UserCommand {
    /// Its name, as typed.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "user create",
            Self::List(_) => "user list",
            Self::Show(_) => "user show",
            Self::Disable(_) => "user disable",
            Self::Restore(_) => "user restore",
            Self::AllowReset(_) => "user allow-reset",
            Self::Purge(_) => "user purge",
        }
    }

    /// How its report is printed.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::Create(args) => args.format,
            Self::List(args) => args.format,
            Self::Show(args) | Self::Disable(args) | Self::Restore(args) | Self::AllowReset(args) => args.format,
            Self::Purge(args) => args.format,
        }
    }
}

/// `dlc user create`
#[derive(Args, Debug)]
pub struct CreateUserArgs {
    /// Name of the account: 3 to 50 letters, digits, and _ . -
    #[arg(value_name = "NAME", value_parser = username)]
    pub name: Username,

    /// Make its owner an administrator
    #[arg(long)]
    pub admin: bool,

    /// Read the password from standard input, one line
    #[arg(long, conflicts_with = "generate")]
    pub password_stdin: bool,

    /// Make a password and print it, this once
    #[arg(long)]
    pub generate: bool,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc user list`
#[derive(Args, Debug)]
pub struct ListUsersArgs {
    /// List disabled accounts only
    #[arg(long, conflicts_with = "all")]
    pub deleted: bool,

    /// List disabled accounts, too
    #[arg(long)]
    pub all: bool,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// One account.
#[derive(Args, Debug)]
pub struct UserArgs {
    /// Name of the account, in whatever case
    #[arg(value_name = "NAME", value_parser = username)]
    pub name: Username,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc user purge`
#[derive(Args, Debug)]
pub struct PurgeUsersArgs {
    /// Delete those that were disabled before this: so long ago (30d), a date (2026-01-31), or a time in RFC 3339
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub deleted_before: When,

    /// Do not ask
    #[arg(long)]
    pub yes: bool,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc greet …`
#[derive(Debug, Subcommand)]
pub enum GreetCommand {
    /// Delete old greetings, everybody's
    Prune(PruneArgs),
}

/// `dlc greet prune`
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Delete those that were recorded so long ago, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub older_than: Duration,

    /// Do not ask, even where greetings of less than a day would be deleted
    #[arg(long)]
    pub yes: bool,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// A time in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(DateTime<Utc>),
}

impl When {
    /// The time itself; `None` for one that lies in the future, or before all times.
    #[must_use]
    pub fn seen_from(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Ago(duration) => now.checked_sub_signed(TimeDelta::from_std(duration).ok()?),
            Self::At(time) => (time <= now).then_some(time),
        }
    }
}

fn username(text: &str) -> Result<Username, String> {
    Username::parse(text).map_err(|error| format!("it {error}"))
}

fn when(text: &str) -> Result<When, String> {
    let date = |text: &str| Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN).and_utc());
    let time = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    humantime::parse_duration(text)
        .ok()
        .map(When::Ago)
        .or_else(|| date(text).or_else(|| time(text)).map(When::At))
        .ok_or_else(|| "write it as 30d, 2026-01-31 or 2026-01-31T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_the_past_can_be_said_in_three_ways() {
        let now: DateTime<Utc> = "2026-11-21T10:00:00Z".parse().unwrap();
        for (text, at) in [
            ("30d", "2026-10-22T10:00:00Z"),
            ("1h 30m", "2026-11-21T08:30:00Z"),
            ("0s", "2026-11-21T10:00:00Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
        ] {
            let at = at.parse().unwrap();
            assert_eq!(when(text).unwrap().seen_from(now), Some(at), "{text}");
        }
        for text in ["", "soon", "30", "-1d", "2026-13-01", "2026-01-31T12:00:00"] {
            assert!(when(text).is_err(), "{text}");
        }
        for text in ["2026-11-22", "2026-11-21T10:00:01Z", "1000000000y"] {
            assert_eq!(when(text).map(|when| when.seen_from(now)), Ok(None), "{text}");
        }
    }
}
