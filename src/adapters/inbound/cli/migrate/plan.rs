//! `dlc migrate plan`, `up --plan`, `down --plan`

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use dlc_application::{
    operations::migrate::{
        Basis, Direction, LockMode, MigrationKind, Plan, PlannedMigration, PlannedStatement, TableEffect,
    },
    ports::migrations::{MigrateError, MigrationEvent, MigrationObserver, RunRequest, SchemaMigrator, UpRequest},
};
use serde_json::{Value, json};

use super::{Progress, down_request, milliseconds, target};
use crate::adapters::inbound::cli::{
    args::{DownArgs, Format, PlanArgs},
    exit::{Exit, Failure},
    numbers::counted,
    printer::{Printer, SCHEMA, Tone, printable},
    wrapping::hanging,
};

/// `dlc migrate plan`, and `up --plan`. With a clone the migrations are applied there, to see how long they take.
///
/// # Errors
/// When the history does not fit, the database cannot be read, or the rehearsal on the clone fails.
pub async fn up(
    migrator: &dyn SchemaMigrator,
    clone: Option<&dyn SchemaMigrator>,
    args: PlanArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let request = RunRequest::Up(UpRequest {
        target: target(args.target),
        // A plan takes nothing away; a clone is there to be used up.
        allow_destructive: true,
    });
    let mut plan = migrator.plan(&request).await?;
    if let Some(clone) = clone {
        rehearse(migrator, clone, &request, &mut plan, printer).await?;
    }
    print(&plan, args.format, "migrate plan", printer);
    Ok(Exit::Done)
}

/// `dlc migrate down --plan`
///
/// # Errors
/// When the history does not fit or the database cannot be read.
pub async fn down(migrator: &dyn SchemaMigrator, args: DownArgs, printer: Printer) -> Result<Exit, Failure> {
    let plan = migrator.plan(&RunRequest::Down(down_request(&args))).await?;
    print(&plan, args.run.format, "migrate down --plan", printer);
    Ok(Exit::Done)
}

/// Times every statement of a run, and tells of it.
struct Stopwatch {
    progress: Progress,
    times: Mutex<Times>,
}

/// A migration's version and one of its statements.
type Place = (String, usize);

/// How long statements took. One that is tried again counts with its last try.
#[derive(Default)]
struct Times {
    running: Option<Place>,
    done: BTreeMap<Place, Duration>,
}

impl MigrationObserver for Stopwatch {
    fn observe(&self, event: &MigrationEvent) {
        self.progress.observe(event);
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            MigrationEvent::Statement { name, statement, .. } => times.running = Some((name.clone(), *statement)),
            MigrationEvent::StatementDone { took } => {
                if let Some(place) = times.running.take() {
                    times.done.insert(place, *took);
                }
            }
            _ => {}
        }
    }
}

async fn rehearse(
    migrator: &dyn SchemaMigrator,
    clone: &dyn SchemaMigrator,
    request: &RunRequest,
    plan: &mut Plan,
    printer: Printer,
) -> Result<(), Failure> {
    if migrator.identity().await? == clone.identity().await? {
        return Err(MigrateError::RehearsalOnTheDatabaseItself.into());
    }
    let on_clone = |failure: Failure| Failure {
        message: format!("on the clone: {}", failure.message),
        ..failure
    };
    let there = clone.plan(request).await.map_err(|error| on_clone(error.into()))?;
    let (here, there) = (plan.migrations.len(), there.migrations.len());
    if here != there {
        let cause = format!("{here} pending here, {there} there");
        return Err(MigrateError::RehearsalDiffers { cause }.into());
    }
    let stopwatch = Stopwatch {
        progress: Progress::new(printer, |_| {}),
        times: Mutex::default(),
    };
    let run = clone.run(request, &stopwatch).await;
    run.map_err(|error| on_clone(error.into()))?;
    let times = stopwatch
        .times
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .done;
    for migration in &mut plan.migrations {
        for (index, statement) in migration.statements.iter_mut().enumerate() {
            statement.took = times.get(&(migration.name.clone(), index + 1)).copied();
        }
    }
    Ok(())
}

fn print(plan: &Plan, format: Format, command: &str, printer: Printer) {
    match format {
        Format::Json => printer.json(&json(plan, command)),
        Format::Text => text(plan, printer),
    }
}

fn json(plan: &Plan, command: &str) -> Value {
    let effect = |effect: &TableEffect| {
        json!({
            "table": effect.table,
            "lock": effect.lock.name(),
            "blocks": effect.lock.blocks(),
            "rewrites": effect.rewrites,
            "scans": effect.scans,
            "exists": effect.live.is_some(),
            "rows": effect.live.map(|live| live.rows),
            "bytes": effect.live.and_then(|live| live.bytes),
            "sessions": effect.live.map(|live| live.sessions),
        })
    };
    let statement = |statement: &PlannedStatement| {
        let (basis, why) = match &statement.basis {
            Basis::Rehearsed => ("rehearsed", None),
            Basis::Predicted { why } => ("predicted", Some(why)),
        };
        json!({
            "sql": statement.sql,
            "basis": basis,
            "why": why,
            "duration_ms": statement.took.map(milliseconds),
            "tables": statement.effects.iter().map(effect).collect::<Vec<_>>(),
        })
    };
    let migration = |migration: &PlannedMigration| {
        json!({
            "version": migration.name,
            "kind": migration.kind.map(MigrationKind::name),
            "transaction": migration.transaction,
            "stored_sql": migration.stored,
            "statements": migration.statements.iter().map(statement).collect::<Vec<_>>(),
        })
    };
    json!({
        "schema": SCHEMA,
        "command": command,
        "exit_code": Exit::Done as u8,
        "direction": match plan.direction {
            Direction::Up => "up",
            Direction::Down => "down",
        },
        "migrations": plan.migrations.iter().map(migration).collect::<Vec<_>>(),
        "losses": plan.losses.iter().map(|loss| json!({
            "table": loss.table, "column": loss.column, "rows": loss.rows,
        })).collect::<Vec<_>>(),
        "notes": plan.notes,
    })
}

fn text(plan: &Plan, printer: Printer) {
    let verb = match plan.direction {
        Direction::Up => "apply",
        Direction::Down => "revert",
    };
    if plan.migrations.is_empty() {
        printer.line(&format!("nothing to {verb}"));
        return;
    }
    printer.sentence(&format!(
        "{} to {verb}, in this order",
        counted(plan.migrations.len() as u64, "migration")
    ));
    for migration in &plan.migrations {
        printer.line("");
        let mut words = Vec::new();
        words.extend(migration.kind.map(MigrationKind::name));
        if !migration.transaction {
            words.push("statement by statement, not in a transaction");
        }
        if migration.stored {
            words.push("by the SQL that the database has kept");
        }
        let words = printer.paint(Tone::Faint, &format!("({})", words.join("; ")));
        printer.line(&format!("{} {words}", migration.name));
        for (index, statement) in migration.statements.iter().enumerate() {
            let number = format!("  {}. ", index + 1);
            let sql = printable(&statement.sql).replace('\n', &format!("\n{}", " ".repeat(number.len())));
            printer.line(&format!("{number}{sql}"));
            for (tone, line) in remarks(statement) {
                // Each line is a comment, and painted by itself.
                let room = printer.width().map(|width| width.saturating_sub(number.len()));
                for line in hanging(&line, "-- ", "-- ", room) {
                    printer.line(&format!("{}{}", " ".repeat(number.len()), printer.paint(tone, &line)));
                }
            }
        }
    }
    let destructive = plan.direction == Direction::Up
        && plan
            .migrations
            .iter()
            .any(|migration| migration.kind.is_some_and(MigrationKind::is_destructive));
    if destructive || !plan.losses.is_empty() || !plan.notes.is_empty() {
        printer.line("");
    }
    for line in losses(plan) {
        printer.line(&line);
    }
    if destructive {
        printer.sentence("something is taken away that older binaries use: applying it wants --allow-destructive");
    }
    for line in notes(plan) {
        printer.sentence(&line);
    }
}

/// What the reader should know besides, one line each.
pub(super) fn notes(plan: &Plan) -> Vec<String> {
    plan.notes.iter().map(|note| format!("note: {note}")).collect()
}

/// What would be run: each migration's version and statements.
pub(super) fn statements(plan: &Plan) -> Vec<(String, Vec<String>)> {
    let sql = |migration: &PlannedMigration| {
        migration
            .statements
            .iter()
            .map(|statement| statement.sql.clone())
            .collect()
    };
    plan.migrations
        .iter()
        .map(|migration| (migration.name.clone(), sql(migration)))
        .collect()
}

/// What is lost, one line each.
pub(super) fn losses(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> = plan.losses.iter().map(|loss| format!("  {loss}")).collect();
    if !lines.is_empty() {
        lines.insert(0, "would lose:".to_owned());
    }
    lines
}

/// SQL that comes from the database and not from this binary.
pub(super) fn stored_sql(plan: &Plan) -> Vec<String> {
    plan.migrations
        .iter()
        .filter(|migration| migration.stored)
        .flat_map(|migration| {
            let title = format!("stored SQL that reverts {}:", migration.name);
            let statements = migration
                .statements
                .iter()
                .map(|statement| format!("  {};", printable(&statement.sql)));
            std::iter::once(title).chain(statements).collect::<Vec<_>>()
        })
        .collect()
}

fn remarks(statement: &PlannedStatement) -> Vec<(Tone, String)> {
    let mut lines: Vec<(Tone, String)> = statement.effects.iter().map(remark).collect();
    match &statement.basis {
        Basis::Predicted { why } => lines.push((Tone::Warning, format!("predicted, not rehearsed: {why}"))),
        Basis::Rehearsed if lines.is_empty() => {
            lines.push((Tone::Faint, "touches no row that exists".to_owned()));
        }
        Basis::Rehearsed => {}
    }
    if let Some(took) = statement.took {
        lines.push((Tone::Faint, format!("took {} ms on the clone", milliseconds(took))));
    }
    lines
}

fn remark(effect: &TableEffect) -> (Tone, String) {
    let Some(live) = &effect.live else {
        let line = format!(
            "{} on {}, which this run makes: nobody waits",
            effect.lock.name(),
            effect.table
        );
        return (Tone::Faint, line);
    };
    let blocks = effect.lock.blocks();
    let (tone, what) = match (effect.rewrites, effect.scans, blocks) {
        (true, _, "nobody") => (Tone::Warning, "WRITES EVERY ROW ANEW; nobody waits".to_owned()),
        (true, ..) => (
            Tone::Bad,
            format!("WRITES EVERY ROW ANEW; {blocks} wait until it is done"),
        ),
        (false, true, "nobody") => (Tone::Faint, "reads every row; nobody waits".to_owned()),
        (false, true, _) => (
            Tone::Warning,
            format!("reads every row; {blocks} wait until it is done"),
        ),
        (false, false, "nobody") => (Tone::Faint, "nobody waits".to_owned()),
        (false, false, _) => (Tone::Good, format!("no row is touched; {blocks} wait for a moment")),
    };
    let about = if effect.lock == LockMode::Writer { "" } else { "about " };
    let size = live
        .bytes
        .map_or_else(String::new, |bytes| format!(", {}", human(bytes)));
    let users = match live.sessions {
        0 => String::new(),
        1 => "; 1 session uses it now".to_owned(),
        many => format!("; {many} sessions use it now"),
    };
    let rows = live.rows;
    let line = format!(
        "{} on {} ({about}{rows} rows{size}): {what}{users}",
        effect.lock.name(),
        effect.table
    );
    (tone, line)
}

/// Bytes for people: 87 MiB.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes;
    let mut unit = 0;
    while value >= 10 * 1024 && unit + 1 < UNITS.len() {
        value /= 1024;
        unit += 1;
    }
    format!("{value} {}", UNITS[unit])
}
