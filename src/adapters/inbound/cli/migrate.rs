//! `dlc migrate …`

use std::time::Duration;

use chrono::SecondsFormat;
use dlc_application::{
    operations::migrate::{History, MigrationState, Target},
    ports::migrations::{MigrationEvent, MigrationObserver, MigrationStep, SchemaMigrator},
};
use serde_json::{Value, json};

use super::{
    args::{DownArgs, Format, StatusArgs, UpArgs},
    exit::{Exit, Failure},
    printer::{Printer, SCHEMA, Tone},
};

/// Tells of a run on stderr, except for the steps themselves, which are the report.
struct Progress {
    printer: Printer,
}

impl MigrationObserver for Progress {
    fn observe(&self, event: &MigrationEvent) {
        if let MigrationEvent::Waiting { holder, waited } = event {
            self.printer.note(&format!(
                "waiting for the migration lock for {}s: held by {holder}",
                waited.as_secs()
            ));
        }
    }
}

/// `dlc migrate up`
///
/// # Errors
/// When the run fails; what was applied before stays applied on PostgreSQL, and is undone on SQLite.
pub async fn up(migrator: &dyn SchemaMigrator, args: UpArgs, printer: Printer) -> Result<Exit, Failure> {
    let target = match (args.to, args.steps) {
        (Some(version), _) => Target::Version(version),
        (None, Some(steps)) => Target::Steps(steps),
        (None, None) => Target::All,
    };
    let steps = migrator.up(&target, &Progress { printer }).await?;
    report(printer, args.run.format, "migrate up", "applied", &steps);
    Ok(Exit::Done)
}

/// `dlc migrate down`
///
/// # Errors
/// When it is not confirmed, or the run fails.
pub async fn down(migrator: &dyn SchemaMigrator, args: DownArgs, printer: Printer) -> Result<Exit, Failure> {
    let target = match (args.to.as_deref(), args.steps) {
        (Some("0"), _) => Target::All,
        (Some(version), _) => Target::Version(version.to_owned()),
        (None, steps) => Target::Steps(steps.unwrap_or(1)),
    };
    if !args.yes {
        let history = migrator.history().await?;
        let plan = history
            .plan_down(&target)
            .map_err(|error| Failure::from(dlc_application::ports::migrations::MigrateError::from(error)))?;
        if !plan.is_empty() {
            confirm(&plan, printer).await?;
        }
    }
    let steps = migrator.down(&target, &Progress { printer }).await?;
    report(printer, args.run.format, "migrate down", "reverted", &steps);
    Ok(Exit::Done)
}

async fn confirm(plan: &[String], printer: Printer) -> Result<(), Failure> {
    printer.note(&format!(
        "would revert, with every row of their tables:\n  {}",
        plan.join("\n  ")
    ));
    // On a thread of its own: Ctrl-C must end the command while it waits for an answer.
    let answer = tokio::task::spawn_blocking(move || printer.ask("Type yes to go on:")).await;
    match answer.ok().flatten() {
        None => Err(Failure::new(
            Exit::Usage,
            "confirmation_missing",
            "reverting migrations deletes data, and nobody is here to confirm it",
        )
        .hint("confirm with --yes")),
        Some(answer) if answer == "yes" => Ok(()),
        Some(_) => Err(Failure::new(Exit::Failed, "declined", "nothing was reverted")),
    }
}

fn report(printer: Printer, format: Format, command: &str, verb: &str, steps: &[MigrationStep]) {
    match format {
        Format::Json => {
            let steps: Vec<Value> = steps
                .iter()
                .map(|step| json!({"version": step.name, "duration_ms": milliseconds(step.took)}))
                .collect();
            printer.json(&json!({"schema": SCHEMA, "command": command, "exit_code": Exit::Done as u8, verb: steps}));
        }
        Format::Text if steps.is_empty() => printer.line(&format!("nothing to do: no migration was {verb}")),
        Format::Text => {
            for step in steps {
                let took = printer.paint(Tone::Faint, &format!("({} ms)", milliseconds(step.took)));
                printer.line(&format!("{} {} {took}", printer.paint(Tone::Good, verb), step.name));
            }
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `dlc migrate status`
///
/// # Errors
/// When the database cannot be read.
pub async fn status(migrator: &dyn SchemaMigrator, args: StatusArgs, printer: Printer) -> Result<Exit, Failure> {
    let history = migrator.history().await?;
    let exit = match history.validate() {
        Err(_) if args.check => Exit::HistoryInvalid,
        Ok(()) if args.check && history.pending().next().is_some() => Exit::Pending,
        _ => Exit::Done,
    };
    match args.format {
        Format::Json => printer.json(&status_json(&history, exit)),
        Format::Text => status_text(&history, printer),
    }
    Ok(exit)
}

fn word(state: &MigrationState) -> (&'static str, Tone) {
    match state {
        MigrationState::Applied { .. } => ("applied", Tone::Good),
        MigrationState::Pending => ("pending", Tone::Warning),
        MigrationState::OutOfOrder => ("out of order", Tone::Bad),
        MigrationState::Unknown { .. } => ("unknown", Tone::Bad),
    }
}

fn applied_at(state: &MigrationState) -> Option<String> {
    match state {
        MigrationState::Applied { at } | MigrationState::Unknown { at } => {
            Some(at.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
        MigrationState::Pending | MigrationState::OutOfOrder => None,
    }
}

fn status_json(history: &History, exit: Exit) -> Value {
    let migrations: Vec<Value> = history
        .entries()
        .iter()
        .map(|entry| {
            let state = word(&entry.state).0.replace(' ', "_");
            json!({"version": entry.name, "state": state, "applied_at": applied_at(&entry.state)})
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
        "migrations": migrations,
    })
}

fn status_text(history: &History, printer: Printer) {
    for entry in history.entries() {
        let (word, tone) = word(&entry.state);
        let at = applied_at(&entry.state).unwrap_or_default();
        printer.line(
            format!(
                "{}  {at:20}  {}",
                printer.paint(tone, &format!("{word:12}")),
                entry.name
            )
            .trim_end(),
        );
    }
    let (applied, pending) = (history.applied().count(), history.pending().count());
    let summary = match (history.is_recorded(), history.validate()) {
        (_, Err(error)) => error.to_string(),
        (false, _) => format!("never migrated: {pending} pending; apply them: dlc migrate up"),
        (true, _) if pending > 0 => format!("{applied} applied, {pending} pending; apply them: dlc migrate up"),
        (true, _) => format!("{applied} applied, nothing pending"),
    };
    printer.line(&summary);
}
