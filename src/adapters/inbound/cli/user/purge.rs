//! `dlc user purge`

use chrono::{DateTime, Utc};
use dlc_application::ports::audit::Caller;
use serde_json::json;

use super::{Registry, report, time};
use crate::adapters::inbound::cli::{
    args::{Format, PurgeUsersArgs},
    exit::{Exit, Failure},
    printer::Printer,
};

/// Refuses a time in the future: a mistyped year must not delete everything.
pub(super) fn check(args: &PurgeUsersArgs, now: DateTime<Utc>) -> Result<(), Failure> {
    before(args, now).map(drop)
}

fn before(args: &PurgeUsersArgs, now: DateTime<Utc>) -> Result<DateTime<Utc>, Failure> {
    args.deleted_before.seen_from(now).ok_or_else(|| {
        Failure::new(Exit::Usage, "usage", "--deleted-before must be a time in the past")
            .hint("such as 30d, 2026-01-31 or 2026-01-31T12:00:00Z")
    })
}

pub(super) async fn purge(registry: Registry<'_>, args: &PurgeUsersArgs, printer: Printer) -> Result<Exit, Failure> {
    let before = before(args, registry.now)?;
    let since = time(before);
    if !args.yes {
        let count = registry.users.count_purgeable(before).await?;
        if count > 0 {
            let would = format!(
                "{} disabled before {since}, and everything that belongs to them",
                accounts(count)
            );
            printer.note(&format!("would delete for good {would}"));
            let refused = Failure::new(
                Exit::Usage,
                "confirmation_missing",
                "accounts cannot be restored from then on, and nobody is here to confirm it",
            )
            .hint("confirm with --yes");
            printer.confirm(refused, "nothing was deleted").await?;
        }
    }
    let purged = registry.users.purge(before, Caller::command_line()).await?;
    match args.format {
        Format::Json => report(
            "user purge",
            json!({"purged": purged, "deleted_before": since}),
            printer,
        ),
        Format::Text if purged == 0 => {
            printer.line(&format!("nothing to do: no account was disabled before {since}"));
        }
        Format::Text => printer.line(&format!(
            "deleted {} disabled before {since}; names are free again",
            accounts(purged)
        )),
    }
    Ok(Exit::Done)
}

fn accounts(count: u64) -> String {
    format!("{count} {}", if count == 1 { "account" } else { "accounts" })
}
