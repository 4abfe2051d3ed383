//! `dlc db move` (a module cannot be called that)

mod progress;
mod report;

use std::sync::Arc;

use dlc_application::ports::moving::DatabaseMover;

use super::{
    args::{Format, MoveArgs},
    exit::{Exit, Failure},
    printer::Printer,
};

/// Moves, and tells of it.
///
/// # Errors
/// When nothing was moved, but not because of values: those are a report.
pub async fn run(
    mover: &dyn DatabaseMover,
    ends: [&str; 2],
    args: &MoveArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let progress = Arc::new(progress::Progress::new(printer));
    let moved = mover.run(args.check, Arc::clone(&progress) as _).await;
    progress.end();
    let moved = moved?;
    let exit = if moved.refusals.total == 0 {
        Exit::Done
    } else {
        Exit::Failed
    };
    match args.format {
        Format::Json => printer.report("db move", exit, report::json(&moved, ends)),
        Format::Text => report::text(&moved, ends, printer),
    }
    Ok(exit)
}
