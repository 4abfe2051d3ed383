//! `dlc greet …`

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use dlc_application::greetings::GreetingService;
use serde_json::json;

use super::{
    args::{Format, PruneArgs},
    exit::{Exit, Failure},
    printer::{Printer, SCHEMA},
};

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `dlc greet prune`
///
/// # Errors
/// When the age is before all times, or the database fails.
pub async fn prune(
    greetings: &GreetingService,
    now: DateTime<Utc>,
    args: &PruneArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let age = TimeDelta::from_std(args.older_than).ok();
    let Some(before) = age.and_then(|age| now.checked_sub_signed(age)) else {
        return Err(Failure::new(Exit::Usage, "usage", "--older-than is before all times").hint("such as 90d"));
    };
    // A timer prunes what is old without being asked each time; what is younger than a day is more likely a slip.
    if !args.yes && args.older_than < A_DAY {
        let refused = Failure::new(
            Exit::Usage,
            "confirmation_missing",
            "greetings of the last day would be deleted, and nobody is here to confirm it",
        )
        .hint("confirm with --yes");
        printer.note("would delete greetings of the last day, too, everybody's");
        printer.confirm(refused, "nothing was deleted").await?;
    }
    let pruned = greetings.prune(before).await?;
    let before = before.to_rfc3339_opts(SecondsFormat::Secs, true);
    match args.format {
        Format::Json => printer.json(&json!({
            "schema": SCHEMA, "command": "greet prune", "exit_code": Exit::Done as u8,
            "pruned": pruned, "recorded_before": before,
        })),
        Format::Text if pruned == 0 => {
            printer.line(&format!("nothing to do: no greeting was recorded before {before}"));
        }
        Format::Text => printer.line(&format!(
            "deleted {pruned} {} recorded before {before}",
            if pruned == 1 { "greeting" } else { "greetings" }
        )),
    }
    Ok(Exit::Done)
}
