//! `dlc migrate up` and `down`

use dlc_application::{
    operations::migrate::Plan,
    ports::migrations::{MigrationStep, RunRequest, SchemaMigrator, UpRequest},
};
use serde_json::{Value, json};

use super::{Progress, down_request, milliseconds, plan, target};
use crate::adapters::inbound::cli::{
    args::{DownArgs, Format, UpArgs},
    exit::{Exit, Failure},
    printer::{Printer, SCHEMA, Tone},
};

/// `dlc migrate up`
///
/// # Errors
/// When the run fails; what was applied before stays applied on PostgreSQL, and is undone on SQLite.
pub async fn up(migrator: &dyn SchemaMigrator, args: UpArgs, printer: Printer) -> Result<Exit, Failure> {
    let request = RunRequest::Up(UpRequest {
        target: target(args.target),
        allow_destructive: args.allow_destructive,
    });
    run(migrator, &request, args.run.format, ["migrate up", "applied"], printer).await
}

/// `dlc migrate down`
///
/// # Errors
/// When it is not confirmed, or the run fails.
pub async fn down(migrator: &dyn SchemaMigrator, args: DownArgs, printer: Printer) -> Result<Exit, Failure> {
    let mut request = down_request(&args);
    // What is agreed to is what is run, or nothing is: somebody else may migrate meanwhile.
    if !args.yes || args.use_stored_sql {
        let plan = migrator.plan(&RunRequest::Down(request.clone())).await?;
        if !args.yes && !plan.migrations.is_empty() {
            confirm(&plan, printer).await?;
        } else {
            // Whoever lets a database's own text run should find it in the log.
            for line in plan::stored_sql(&plan) {
                printer.note(&line);
            }
        }
        request.agreed = Some(plan::statements(&plan));
    }
    let words = ["migrate down", "reverted"];
    run(migrator, &RunRequest::Down(request), args.run.format, words, printer).await
}

/// Runs, and reports what was done even when something fails later on.
async fn run(
    migrator: &dyn SchemaMigrator,
    request: &RunRequest,
    format: Format,
    [command, verb]: [&'static str; 2],
    printer: Printer,
) -> Result<Exit, Failure> {
    let (done, steps) = std::sync::mpsc::channel();
    let progress = Progress::new(printer, move |step: &MigrationStep| {
        if format == Format::Text {
            let took = printer.paint(Tone::Faint, &format!("({} ms)", milliseconds(step.took)));
            printer.line(&format!("{} {} {took}", printer.paint(Tone::Good, verb), step.name));
        }
        drop(done.send(step.clone()));
    });
    let result = migrator.run(request, &progress).await.map_err(Failure::from);
    // Its last words come before the end of the report.
    drop(progress);
    let steps: Vec<MigrationStep> = steps.try_iter().collect();
    let failure = result.as_ref().err();
    match format {
        Format::Json => {
            let steps: Vec<Value> = steps
                .iter()
                .map(|step| json!({"version": step.name, "duration_ms": milliseconds(step.took)}))
                .collect();
            let exit = failure.map_or(Exit::Done, |failure| failure.exit);
            printer.json(&json!({
                "schema": SCHEMA, "command": command, "exit_code": exit as u8, verb: steps,
                "error": failure.map(|failure| json!({
                    "code": failure.code, "message": failure.message, "hint": failure.hint,
                })),
            }));
        }
        Format::Text if steps.is_empty() && failure.is_none() => {
            printer.line(&format!("nothing to do: no migration was {verb}"));
        }
        Format::Text => {}
    }
    result.map(|_| Exit::Done)
}

async fn confirm(plan: &Plan, printer: Printer) -> Result<(), Failure> {
    printer.note("would revert:");
    for migration in &plan.migrations {
        printer.note(&format!("  {}", migration.name));
    }
    for line in plan::stored_sql(plan) {
        printer.note(&line);
    }
    for line in plan::losses(plan).into_iter().chain(plan::notes(plan)) {
        printer.note(&line);
    }
    let refused = Failure::new(
        Exit::Usage,
        "confirmation_missing",
        "reverting migrations deletes data, and nobody is here to confirm it",
    )
    .hint("confirm with --yes; dlc migrate down --plan shows more");
    printer.confirm(refused, "nothing was reverted").await
}
