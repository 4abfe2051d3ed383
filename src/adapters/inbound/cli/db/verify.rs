//! `dlc db verify`

use chrono::{DateTime, Utc};
use dlc_application::{operations::backups, ports::backups::DatabaseBackups};
use serde_json::json;

use super::{Stop, as_json, contents, progress};
use crate::adapters::inbound::cli::{
    args::{Format, VerifyBackupArgs},
    exit::{Exit, Failure},
    printer::{Printer, Tone, time},
};

/// `dlc db verify`
///
/// # Errors
/// When it is no backup of what it says.
pub async fn verify(
    backups: &dyn DatabaseBackups,
    args: &VerifyBackupArgs,
    now: impl Fn() -> DateTime<Utc>,
    stop: &Stop,
    printer: Printer,
) -> Result<Exit, Failure> {
    let observer = progress::observer(printer, stop);
    let verified = backups::verify(backups, args.file.clone(), now, &observer).await?;
    drop(observer);
    if let Err(why) = &verified.recorded {
        printer.note(&format!("warning: the database could not be told of it: {why}"));
    }
    let manifest = &verified.manifest;
    match args.format {
        Format::Json => printer.report(
            "db verify",
            Exit::Done,
            json!({
                "backup": as_json(&args.file, manifest),
                "recorded": matches!(verified.recorded, Ok(true)),
            }),
        ),
        Format::Text => {
            let word = printer.paint(Tone::Good, "verified");
            printer.line(&format!("{word} {}", args.file.display()));
            printer.line(&format!(
                "restored, compared with its manifest and audited: {}, as of {}",
                contents(manifest),
                time(manifest.snapshot_at)
            ));
        }
    }
    Ok(Exit::Done)
}
