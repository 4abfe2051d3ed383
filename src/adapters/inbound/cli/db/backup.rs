//! `dlc db backup`

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use dlc_application::{
    operations::backups::{self, Made, Verified},
    ports::backups::{BackupRequest, DatabaseBackups, Place},
};
use serde_json::json;

use super::{Stop, as_json, contents, progress, size};
use crate::adapters::inbound::cli::{
    args::{BackupArgs, Format},
    exit::{Exit, Failure},
    printer::{Printer, Tone},
};

/// What `--to` means: a directory where there is one or where the name has no ending, else a file.
#[must_use]
pub fn place(to: PathBuf) -> Place {
    let is_directory = to.is_dir() || to.extension().is_none() || to.to_string_lossy().ends_with('/');
    if is_directory {
        Place::Directory(to)
    } else {
        Place::File(to)
    }
}

/// `dlc db backup`
///
/// # Errors
/// When no backup was made, or it was made and is none.
pub async fn backup(
    backups: &dyn DatabaseBackups,
    args: &BackupArgs,
    request: &BackupRequest,
    now: impl Fn() -> DateTime<Utc>,
    stop: &Stop,
    printer: Printer,
) -> Result<Exit, Failure> {
    let observer = progress::observer(printer, stop);
    let made = backups::back_up(backups, request, &observer).await?;
    if let Some(why) = &made.unrecorded {
        printer.note(&format!(
            "warning: the database could not be told of this backup, so BAK001 does not know of it: {why}"
        ));
    }
    let verified = if args.verify {
        let verified = backups::verify(backups, made.file.clone(), now, &observer).await;
        let failed = |failure: Failure| Failure {
            message: format!(
                "the backup {} was made, but not verified: {}",
                made.file.display(),
                failure.message
            ),
            ..failure
        };
        Some(verified.map_err(|error| failed(error.into()))?)
    } else {
        None
    };
    let deleted = match args.keep {
        // Of a database that was emptied by accident there are soon enough backups to take the place of all the others.
        Some(_) if made.manifest.contents.migrations.is_empty() => {
            printer.note("warning: no older backup was deleted, because this one has no schema of dlc's in it");
            Vec::new()
        }
        Some(keep) => delete_expired(backups, &made, keep as usize).await?,
        None => Vec::new(),
    };
    drop(observer);
    tell(args.format, &made, verified.as_ref(), &deleted, printer);
    Ok(Exit::Done)
}

/// Only now that there is a newer one.
async fn delete_expired(backups: &dyn DatabaseBackups, made: &Made, keep: usize) -> Result<Vec<PathBuf>, Failure> {
    let directory = made.file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let found = backups.list(directory.unwrap_or(Path::new("."))).await?;
    let mut expired = backups::expired(&found, &made.manifest.database, keep);
    expired.sort();
    for file in &expired {
        backups.remove(file).await?;
    }
    Ok(expired)
}

fn tell(format: Format, made: &Made, verified: Option<&Verified>, deleted: &[PathBuf], printer: Printer) {
    let manifest = verified.map_or(&made.manifest, |verified| &verified.manifest);
    let file = made.file.display();
    match format {
        Format::Json => {
            let deleted: Vec<String> = deleted.iter().map(|file| file.display().to_string()).collect();
            printer.report(
                "db backup",
                Exit::Done,
                json!({
                    "backup": as_json(&made.file, manifest),
                    "duration_ms": u64::try_from(manifest.took.as_millis()).unwrap_or(u64::MAX),
                    "recorded": made.unrecorded.is_none(),
                    "deleted": deleted,
                }),
            );
        }
        Format::Text => {
            let took = printer.paint(Tone::Faint, &format!("({} ms)", manifest.took.as_millis()));
            let word = printer.paint(Tone::Good, "backed up");
            printer.sentence(&format!("{word} {} to {file} {took}", manifest.database));
            printer.sentence(&format!("{}, {}", contents(manifest), size(manifest.size)));
            printer.sentence(&match verified {
                Some(_) => "verified: restored, compared and audited".to_owned(),
                None => format!("not verified yet: dlc db verify {file}"),
            });
            for file in deleted {
                printer.line(&format!("deleted {}", file.display()));
            }
        }
    }
}
