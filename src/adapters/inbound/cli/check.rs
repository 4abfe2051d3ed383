//! `dlc db check`

use std::time::{Duration, Instant};

use dlc_application::{
    operations::check::{self, Finding, Report, Status, catalogue},
    ports::{
        connection::{ConnectError, ConnectFailure},
        inspection::{ConfigFacts, DatabaseInspector, Facts},
    },
};
use serde_json::{Value, json};

use super::{
    args::{CheckArgs, FailOn, Format},
    exit::{Exit, Failure},
    printer::{Printer, SCHEMA, Tone},
};

/// Pause between two rounds while waiting.
const PAUSE: Duration = Duration::from_millis(500);

/// `dlc db check`; without an inspector only the configuration is judged.
///
/// # Errors
/// When a check is named that does not exist.
pub async fn run(
    inspector: Option<&dyn DatabaseInspector>,
    config: ConfigFacts,
    args: CheckArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    if args.list {
        list(args.format, printer);
        return Ok(Exit::Done);
    }
    for id in args.only.iter().chain(&args.skip) {
        if !catalogue().any(|check| check.id.eq_ignore_ascii_case(id)) {
            return Err(
                Failure::new(Exit::Usage, "check_unknown", format!("there is no check {id}"))
                    .hint("dlc db check --list"),
            );
        }
    }
    let facts = match inspector {
        Some(inspector) => look(inspector, config, &args, printer).await,
        None => Facts {
            config,
            ..Facts::default()
        },
    };
    let mut report = check::judge(&facts);
    let named = |ids: &[String], id: &str| ids.iter().any(|named| named.eq_ignore_ascii_case(id));
    report.retain(|id| (args.only.is_empty() || named(&args.only, id)) && !named(&args.skip, id));
    let exit = match (report.failure_class(), report.status()) {
        (Some(class), _) => class.into(),
        (None, Status::Warn) if args.fail_on == FailOn::Warn => Exit::Failed,
        _ => Exit::Done,
    };
    match args.format {
        Format::Json => printer.json(&report_json(&report, exit)),
        Format::Text => report_text(&report, printer),
    }
    Ok(exit)
}

/// Looks once, or again and again while waiting can help.
async fn look(inspector: &dyn DatabaseInspector, config: ConfigFacts, args: &CheckArgs, printer: Printer) -> Facts {
    let started = Instant::now();
    let wait = args.wait.unwrap_or_default();
    loop {
        let facts = inspector.inspect(config.clone(), args.timeout).await;
        let obstacle = obstacle(&facts);
        let left = wait.saturating_sub(started.elapsed());
        match obstacle {
            Some((failure, words)) if failure.heals() && !left.is_zero() => {
                printer.note(&format!("waiting for the database, {}s left: {words}", left.as_secs()));
                tokio::time::sleep(PAUSE.min(left)).await;
            }
            _ => return facts,
        }
    }
}

/// What kept the inspector from reaching the database.
fn obstacle(facts: &Facts) -> Option<(ConnectFailure, String)> {
    if let Some(Err(words)) = facts
        .network
        .as_ref()?
        .resolution
        .as_ref()
        .map(|resolution| &resolution.value)
    {
        return Some((ConnectFailure::NameNotFound, words.clone()));
    }
    let network: Option<&ConnectError> = facts
        .network
        .as_ref()?
        .connection
        .as_ref()
        .and_then(|c| c.value.as_ref().err());
    let server: Option<&ConnectError> = facts.server.as_ref().and_then(|server| server.value.as_ref().err());
    network.or(server).map(|error| (error.failure, error.cause.clone()))
}

fn list(format: Format, printer: Printer) {
    match format {
        Format::Json => {
            let checks: Vec<Value> = catalogue()
                .map(|check| json!({"id": check.id, "title": check.title, "layer": check.layer.name()}))
                .collect();
            printer.json(&json!({"schema": SCHEMA, "command": "db check --list", "exit_code": 0, "checks": checks}));
        }
        Format::Text => {
            for check in catalogue() {
                printer.line(&format!("{}  {:13}  {}", check.id, check.layer.name(), check.title));
            }
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

fn report_json(report: &Report, exit: Exit) -> Value {
    let checks: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "id": finding.id,
                "title": finding.title,
                "layer": finding.layer.name(),
                "status": finding.status.name(),
                "measured": finding.measured,
                "threshold": finding.threshold,
                "hint": finding.hint,
                "duration_ms": milliseconds(finding.took),
            })
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "command": "db check",
        "exit_code": exit as u8,
        "status": report.status().name(),
        "checks": checks,
    })
}

fn look_of(status: Status) -> (&'static str, Tone) {
    match status {
        Status::Ok => ("✓ ok     ", Tone::Good),
        Status::Skipped => ("- skipped", Tone::Faint),
        Status::Warn => ("! warn   ", Tone::Warning),
        Status::Fail => ("✗ fail   ", Tone::Bad),
    }
}

fn report_text(report: &Report, printer: Printer) {
    // Checks that were skipped for one and the same reason are one line: what failed is what matters.
    let together = |a: &Finding, b: &Finding| {
        a.status == Status::Skipped && b.status == Status::Skipped && a.measured == b.measured
    };
    for group in report.findings.chunk_by(together) {
        let Some(Finding {
            id,
            title,
            status,
            measured,
            hint,
            ..
        }) = group.first()
        else {
            continue;
        };
        let (word, tone) = look_of(*status);
        let word = printer.paint(tone, word);
        match group {
            [_, .., last] => printer.line(&format!(
                "{word}  {id} to {} ({} checks): {measured}",
                last.id,
                group.len()
            )),
            _ => printer.line(&format!("{word}  {id}  {title}: {measured}")),
        }
        if let Some(hint) = hint {
            printer.line(&format!("           {} {hint}", printer.paint(Tone::Faint, "hint:")));
        }
    }
    let count = |status| {
        report
            .findings
            .iter()
            .filter(|finding| finding.status == status)
            .count()
    };
    printer.line(&format!(
        "{} ok, {} warnings, {} failures, {} skipped",
        count(Status::Ok),
        count(Status::Warn),
        count(Status::Fail),
        count(Status::Skipped)
    ));
}
