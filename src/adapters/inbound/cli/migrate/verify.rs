//! `dlc migrate verify`

use dlc_application::{
    operations::migrate::{Change, Difference},
    ports::migrations::{SchemaMigrator, Verification},
};
use serde_json::{Value, json};

use crate::adapters::inbound::cli::{
    args::{Format, VerifyArgs},
    exit::{Exit, Failure},
    numbers::counted,
    printer::{Printer, SCHEMA, Tone},
};

/// `dlc migrate verify`
///
/// # Errors
/// When the database cannot be read.
pub async fn verify(migrator: &dyn SchemaMigrator, args: VerifyArgs, printer: Printer) -> Result<Exit, Failure> {
    let verification = migrator.verify().await?;
    let exit = judge(&verification);
    match args.format {
        Format::Json => printer.json(&json(&verification, exit)),
        Format::Text => text(&verification, printer),
    }
    Ok(exit)
}

fn judge(verification: &Verification) -> Exit {
    // Where the migrations cannot tell what should be there, what was recorded can.
    let differences = verification.drift.as_ref().or(verification.since_last_run.as_ref());
    if verification.history.validate_finished().is_err() {
        Exit::HistoryInvalid
    } else if differences.is_some_and(|differences| !differences.is_empty()) {
        Exit::Failed
    } else {
        Exit::Done
    }
}

fn list(differences: &[Difference]) -> Vec<Value> {
    differences
        .iter()
        .map(|difference| {
            let (change, expected, found) = match &difference.change {
                Change::Missing { expected } => ("missing", Some(expected), None),
                Change::Unexpected { found } => ("unexpected", None, Some(found)),
                Change::Different { expected, found } => ("different", Some(expected), Some(found)),
            };
            json!({
                "table": difference.table, "kind": difference.kind.name(), "name": difference.name,
                "change": change, "expected": expected, "found": found,
            })
        })
        .collect()
}

fn json(verification: &Verification, exit: Exit) -> Value {
    let history = &verification.history;
    json!({
        "schema": SCHEMA,
        "command": "migrate verify",
        "exit_code": exit as u8,
        "error": history.validate_finished().err().map(|error| json!({
            "code": error.code(), "message": error.to_string(), "hint": Failure::from(error).hint,
        })),
        "without_checksum": history.unrecorded().collect::<Vec<_>>(),
        "drift": verification.drift.as_deref().map(list),
        "changed_since_last_run": verification.since_last_run.as_deref().map(list),
    })
}

fn text(verification: &Verification, printer: Printer) {
    let history = &verification.history;
    let good = |text: &str| printer.line(&format!("{}  {text}", printer.paint(Tone::Good, "ok  ")));
    let bad = |text: &str| printer.line(&format!("{}  {text}", printer.paint(Tone::Bad, "fail")));
    let warning = |text: &str| printer.line(&format!("{}  {text}", printer.paint(Tone::Warning, "warn")));
    let faint = |text: &str| printer.line(&format!("      {text}"));
    match history.validate_finished() {
        Ok(()) => good(&format!(
            "history: {} applied, {} pending",
            history.applied().count(),
            history.pending().count()
        )),
        Err(error) => {
            bad(&format!("history: {error}"));
            faint(&Failure::from(error).hint.unwrap_or_default());
        }
    }
    let without: Vec<&str> = history.unrecorded().collect();
    if !without.is_empty() {
        warning(&format!(
            "no checksum is recorded for {}: dlc migrate repair",
            without.join(", ")
        ));
    }
    match verification.drift.as_deref() {
        Some([]) => good("schema: exactly what the applied migrations make"),
        Some(differences) => {
            let many = counted(differences.len() as u64, "difference");
            bad(&format!("schema: {many} from what the applied migrations make"));
            for difference in differences {
                faint(&one_line(&difference.to_string()));
            }
        }
        None => warning("schema: migrations are applied that this binary does not know, so it cannot tell"),
    }
    match verification.since_last_run.as_deref() {
        None => warning("since the last run: no schema was recorded"),
        Some([]) => good("since the last run: nothing has changed"),
        Some(changes) => {
            let line = format!(
                "since the last run: {} changed",
                counted(changes.len() as u64, "object")
            );
            match verification.drift.as_deref() {
                // Said above, object by object.
                Some([_, ..]) => bad(&line),
                Some([]) => warning(&format!(
                    "{line}, to what the migrations make: dlc migrate repair records it"
                )),
                None => {
                    bad(&line);
                    for change in changes {
                        faint(&one_line(
                            &change.to_string().replace("made by any migration", "as recorded"),
                        ));
                    }
                }
            }
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
