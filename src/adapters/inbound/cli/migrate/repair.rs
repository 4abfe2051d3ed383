//! `dlc migrate repair`

use dlc_application::ports::migrations::{Repair, SchemaMigrator};
use serde_json::{Value, json};

use super::Progress;
use crate::adapters::inbound::cli::{
    args::{Format, RepairArgs},
    exit::{Exit, Failure},
    printer::{Printer, SCHEMA, Tone},
};

/// `dlc migrate repair`
///
/// # Errors
/// When it is not confirmed, or the database cannot be read or written.
pub async fn repair(migrator: &dyn SchemaMigrator, args: RepairArgs, printer: Printer) -> Result<Exit, Failure> {
    let found = migrator.diagnose().await?;
    let (proven, unproven): (Vec<Repair>, Vec<Repair>) = found.into_iter().partition(|repair| repair.proven);
    if !proven.is_empty() && !args.yes {
        printer.note("would mend:");
        for repair in &proven {
            printer.note(&format!("  {}\n    because {}", repair.what, repair.why));
        }
        let refused = Failure::new(
            Exit::Usage,
            "confirmation_missing",
            "mending changes the history, and nobody is here to confirm it",
        )
        .hint("confirm with --yes");
        printer.confirm(refused, "nothing was mended").await?;
    }
    let mended = if proven.is_empty() {
        Vec::new()
    } else {
        migrator.repair(&proven, &Progress::new(printer, |_| {})).await?
    };
    let exit = if unproven.is_empty() {
        Exit::Done
    } else {
        Exit::HistoryInvalid
    };
    match args.run.format {
        Format::Json => {
            let list = |repairs: &[Repair]| -> Vec<Value> {
                repairs
                    .iter()
                    .map(|repair| json!({"what": repair.what, "why": repair.why}))
                    .collect()
            };
            printer.json(&json!({
                "schema": SCHEMA, "command": "migrate repair", "exit_code": exit as u8,
                "mended": list(&mended), "not_mended": list(&unproven),
            }));
        }
        Format::Text => {
            if mended.is_empty() && unproven.is_empty() {
                printer.line("nothing to mend");
            }
            for (word, tone, repairs) in [("mended", Tone::Good, &mended), ("left  ", Tone::Bad, &unproven)] {
                for repair in repairs {
                    printer.line(&format!("{}  {}", printer.paint(tone, word), repair.what));
                    printer.line(&format!("        {}", repair.why));
                }
            }
        }
    }
    Ok(exit)
}
