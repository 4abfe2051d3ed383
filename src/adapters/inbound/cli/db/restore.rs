//! `dlc db restore`

use dlc_application::{
    operations::backups::{self, Prepared},
    ports::{
        backups::{DatabaseBackups, RestoreRequest},
        inspection::Engine,
    },
};
use serde_json::json;

use super::{Stop, as_json, contents, progress};
use crate::adapters::inbound::cli::{
    args::{Format, RestoreArgs},
    exit::{Exit, Failure},
    printer::{Printer, Tone, time},
};

/// Looks at backup and target, and asks where something is there that would go. Nothing was written when this ends.
///
/// # Errors
/// When it would fail, or is not confirmed.
pub async fn confirm(
    backups: &dyn DatabaseBackups,
    args: &RestoreArgs,
    request: &RestoreRequest,
    printer: Printer,
) -> Result<Prepared, Failure> {
    let observer = progress::observer(printer, &Stop::default());
    let prepared = backups::prepare_restore(backups, request, &observer).await?;
    drop(observer);
    let Prepared {
        target, name, occupied, ..
    } = &prepared;
    let Some(occupied) = occupied else {
        return Ok(prepared);
    };
    match &args.yes_replace {
        Some(given) if given == name => {}
        Some(_) => {
            let message = format!("--yes-replace names another database than {target}");
            return Err(Failure::new(Exit::Usage, "confirmation_wrong", message)
                .hint(format!("its name is {name}; nothing was written")));
        }
        None => {
            printer.note(&format!("would replace {target}: {occupied}"));
            let message = "what is in the database would be lost, and nobody is here to confirm it";
            let refused = Failure::new(Exit::Usage, "confirmation_missing", message)
                .hint(format!("confirm with --yes-replace {name}"));
            printer.confirm_name(name, refused, "nothing was replaced").await?;
        }
    }
    Ok(prepared)
}

/// `dlc db restore`
///
/// # Errors
/// When it was not restored; then the target is what it was.
pub async fn restore(
    backups: &dyn DatabaseBackups,
    args: &RestoreArgs,
    request: &RestoreRequest,
    prepared: &Prepared,
    stop: &Stop,
    printer: Printer,
) -> Result<Exit, Failure> {
    let observer = progress::observer(printer, stop);
    let manifest = &prepared.manifest;
    backups::restore(backups, request, manifest, &observer).await?;
    drop(observer);
    let wrong = manifest.contents.wrong_coupons();
    if wrong > 0 {
        printer.note(&format!(
            "warning: {wrong} coupons do not add up, as when the backup was made: dlc coupon audit"
        ));
    }
    match args.format {
        Format::Json => printer.report(
            "db restore",
            Exit::Done,
            json!({
                "backup": as_json(&request.file, manifest),
                "into": prepared.target,
                "replaced": prepared.occupied.is_some(),
            }),
        ),
        Format::Text => {
            let word = printer.paint(Tone::Good, "restored");
            printer.line(&format!("{word} {} into {}", request.file.display(), prepared.target));
            printer.line(&format!(
                "compared with its manifest and audited: {}, as of {}",
                contents(manifest),
                time(manifest.snapshot_at)
            ));
            if manifest.engine == Engine::Postgres {
                printer.note(
                    "owners and grants are no part of it: dlc db check tells what the service's role lacks (PRV002)",
                );
            }
        }
    }
    Ok(Exit::Done)
}
