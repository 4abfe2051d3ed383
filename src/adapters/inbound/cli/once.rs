//! What is told once: a secret that was just made must reach somebody, or the command has failed.

use std::{fs, os::unix::fs::MetadataExt};

use super::{
    exit::{Exit, Failure},
    printer::Printer,
};

/// Refuses to make what nobody would be told.
///
/// # Errors
/// With `--quiet`, and where standard output leads nowhere.
pub(super) fn refuse_silence(what: &str, printer: Printer) -> Result<(), Failure> {
    let (why, way_out) = if printer.is_quiet() {
        ("--quiet would keep it from you", "leave --quiet away")
    } else if leads_nowhere() {
        (
            "standard output leads nowhere",
            "let standard output be a terminal, a file or a pipe",
        )
    } else {
        return Ok(());
    };
    let message = format!("{what} is told once, and {why}");
    Err(Failure::new(Exit::Usage, "output_missing", message).hint(way_out))
}

/// Asserts that what was told once went somewhere.
///
/// # Errors
/// When it did not.
pub(super) fn told_once(what: &str, way_out: impl Into<String>, printer: Printer) -> Result<(), Failure> {
    if printer.reader_is_gone() {
        let message = format!("{what} could not be printed, and is not told again");
        return Err(Failure::new(Exit::Failed, "output_lost", message).hint(way_out));
    }
    Ok(())
}

/// Whether standard output is /dev/null; a program that is started without one has that, too.
fn leads_nowhere() -> bool {
    let device = |path: &str| fs::metadata(path).map(|file| file.rdev());
    matches!((device("/dev/fd/1"), device("/dev/null")), (Ok(out), Ok(null)) if out == null)
}
