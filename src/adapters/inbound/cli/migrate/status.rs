//! `dlc migrate status`

use std::time::{Duration, Instant};

use chrono::SecondsFormat;
use dlc_application::{
    operations::migrate::{History, MigrationKind, MigrationState, MigrationStatus},
    ports::migrations::{Holder, MigrateError, MigrationOverview, SchemaMigrator},
};
use serde_json::{Value, json};

use super::milliseconds;
use crate::adapters::inbound::cli::{
    args::{Format, StatusArgs},
    exit::{Exit, Failure},
    printer::{Printer, SCHEMA, Tone, printable},
};

/// How often it is looked whether everything is current.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it is said what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// `dlc migrate status`
///
/// # Errors
/// When the database cannot be read.
pub async fn status(migrator: &dyn SchemaMigrator, args: StatusArgs, printer: Printer) -> Result<Exit, Failure> {
    let MigrationOverview { history, holder } = match args.wait {
        Some(limit) => wait(migrator, limit, printer).await?,
        None => migrator.status().await?,
    };
    let checked = args.check || args.wait.is_some();
    let exit = if checked { judge(&history) } else { Exit::Done };
    match args.format {
        Format::Json => printer.json(&json(&history, holder.as_ref(), exit)),
        Format::Text => text(&history, holder.as_ref(), printer),
    }
    Ok(exit)
}

/// Columns before a migration's name: its state, and when it was applied.
const ROOM_FOR_STATE: usize = 12 + 2 + 20 + 2;

fn judge(history: &History) -> Exit {
    match history.validate_finished() {
        Err(_) => Exit::HistoryInvalid,
        Ok(()) if history.pending().next().is_some() => Exit::Pending,
        Ok(()) => Exit::Done,
    }
}

/// Looks until nothing is pending, or until waiting cannot help.
async fn wait(migrator: &dyn SchemaMigrator, limit: Duration, printer: Printer) -> Result<MigrationOverview, Failure> {
    let started = Instant::now();
    let mut said: Option<Instant> = None;
    loop {
        let why = match migrator.status().await {
            // An unfinished one is on its way, as long as somebody holds the lock.
            Ok(overview) => match overview.history.validate() {
                Ok(()) if overview.history.pending().next().is_some() && started.elapsed() < limit => {
                    let pending: Vec<&str> = overview.history.pending().collect();
                    format!("{} pending: {}", pending.len(), pending.join(", "))
                }
                _ => return Ok(overview),
            },
            Err(MigrateError::Connect(error)) if error.failure.heals() && started.elapsed() < limit => error.cause,
            Err(error) => return Err(error.into()),
        };
        if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            let left = limit.saturating_sub(started.elapsed()).as_secs();
            printer.note(&format!("waiting, {left}s left: {why}"));
        }
        tokio::time::sleep(LOOK_EVERY.min(limit.saturating_sub(started.elapsed()))).await;
    }
}

fn word(state: &MigrationState) -> (&'static str, Tone) {
    match state {
        MigrationState::Applied => ("applied", Tone::Good),
        MigrationState::Edited { .. } => ("edited", Tone::Bad),
        MigrationState::Unfinished { .. } => ("unfinished", Tone::Bad),
        MigrationState::Pending => ("pending", Tone::Warning),
        MigrationState::OutOfOrder => ("out of order", Tone::Bad),
        MigrationState::Missing => ("missing", Tone::Bad),
        MigrationState::Newer {
            kind: Some(MigrationKind::Expand),
        } => ("newer", Tone::Warning),
        MigrationState::Newer { .. } => ("newer", Tone::Bad),
    }
}

fn applied_at(entry: &MigrationStatus) -> Option<String> {
    entry.at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn json(history: &History, holder: Option<&Holder>, exit: Exit) -> Value {
    let migrations: Vec<Value> = history
        .entries()
        .iter()
        .map(|entry| {
            let state = word(&entry.state).0.replace(' ', "_");
            let record = entry.record.as_ref();
            json!({
                "version": entry.name,
                "state": state,
                "applied_at": applied_at(entry),
                "kind": record.and_then(|record| record.kind).map(MigrationKind::name),
                "checksum": record.map(|record| record.checksum.as_str()),
                "applied_by": record.map(|record| record.applied_by.as_str()),
                "dlc_version": record.map(|record| record.dlc_version.as_str()),
                "duration_ms": record.map(|record| milliseconds(record.took)),
            })
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "command": "migrate status",
        "exit_code": exit as u8,
        "initialized": history.is_recorded(),
        "current": history.current(),
        "applied": history.applied().count(),
        "pending": history.pending().count(),
        "error": history.validate_finished().err().map(|error| json!({
            "code": error.code(), "message": error.to_string(), "hint": Failure::from(error).hint,
        })),
        "lock_held_by": holder.map(ToString::to_string),
        "migrations": migrations,
    })
}

fn text(history: &History, holder: Option<&Holder>, printer: Printer) {
    // Where a row would not fit, the name has a line of its own: it stays one that can be copied.
    let longest = history.entries().iter().map(|entry| entry.name.len()).max();
    let is_narrow = printer
        .width()
        .is_some_and(|width| width < ROOM_FOR_STATE + longest.unwrap_or_default());
    for entry in history.entries() {
        let (word, tone) = word(&entry.state);
        let at = applied_at(entry).unwrap_or_default();
        let word = printer.paint(tone, &format!("{word:12}"));
        if is_narrow {
            printer.line(format!("{word}  {at}").trim_end());
            printer.line(&format!("  {}", entry.name));
        } else {
            printer.line(&format!("{word}  {at:20}  {}", entry.name));
        }
    }
    if let Some(holder) = holder {
        printer.sentence(&printable(&format!("a migration is running: {holder}")));
    }
    let (applied, pending) = (history.applied().count(), history.pending().count());
    let newer: Vec<&str> = history.newer().collect();
    match history.validate_finished() {
        Err(error) => {
            printer.sentence(&error.to_string());
            if let Some(hint) = Failure::from(error).hint {
                printer.sentence(&hint);
            }
        }
        Ok(()) if !history.is_recorded() => {
            printer.sentence(&format!(
                "never migrated: {pending} pending; apply them: dlc migrate up"
            ));
        }
        Ok(()) if pending > 0 => {
            printer.sentence(&format!(
                "{applied} applied, {pending} pending; apply them: dlc migrate up"
            ));
        }
        Ok(()) if !newer.is_empty() => printer.sentence(&format!(
            "{applied} applied, nothing pending; {} newer than this binary, which goes on working: they only add",
            newer.len()
        )),
        Ok(()) => printer.sentence(&format!("{applied} applied, nothing pending")),
    }
}
