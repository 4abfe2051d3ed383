//! `dlc migrate up` and `down`

use dlc_application::{
    operations::migrate::{Plan, Target},
    ports::migrations::{DownRequest, MigrationStep, RunRequest, SchemaMigrator, UpRequest},
};
use serde_json::{Value, json};

use super::{Progress, milliseconds, plan, target};
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
    let steps = run(migrator, &request, printer).await?;
    report(printer, args.run.format, "migrate up", "applied", &steps);
    Ok(Exit::Done)
}

/// `dlc migrate down`
///
/// # Errors
/// When it is not confirmed, or the run fails.
pub async fn down(migrator: &dyn SchemaMigrator, args: DownArgs, printer: Printer) -> Result<Exit, Failure> {
    let request = RunRequest::Down(down_request(&args));
    if !args.yes {
        let plan = migrator.plan(&request).await?;
        if !plan.migrations.is_empty() {
            confirm(&plan, printer).await?;
        }
    } else if args.use_stored_sql {
        // Whoever lets a database's own text run should find it in the log.
        let plan = migrator.plan(&request).await?;
        for line in plan::stored_sql(&plan) {
            printer.note(&line);
        }
    }
    let steps = run(migrator, &request, printer).await?;
    report(printer, args.run.format, "migrate down", "reverted", &steps);
    Ok(Exit::Done)
}

pub(super) fn down_request(args: &DownArgs) -> DownRequest {
    let target = match (args.to.as_deref(), args.steps) {
        (Some("0"), _) => Target::All,
        (Some(version), _) => Target::Version(version.to_owned()),
        (None, steps) => Target::Steps(steps.unwrap_or(1)),
    };
    DownRequest {
        target,
        use_stored_sql: args.use_stored_sql,
    }
}

async fn run(
    migrator: &dyn SchemaMigrator,
    request: &RunRequest,
    printer: Printer,
) -> Result<Vec<MigrationStep>, Failure> {
    let progress = Progress::new(printer);
    let steps = migrator.run(request, &progress).await;
    // Its last words come before the report's first.
    drop(progress);
    Ok(steps?)
}

async fn confirm(plan: &Plan, printer: Printer) -> Result<(), Failure> {
    printer.note("would revert:");
    for migration in &plan.migrations {
        printer.note(&format!("  {}", migration.name));
    }
    for line in plan::stored_sql(plan) {
        printer.note(&line);
    }
    for line in plan::losses(plan) {
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
