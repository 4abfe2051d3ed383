//! `dlc db check`: look, judge, print in the form that is wanted.

mod explain;
mod report;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use dlc_application::{
    operations::check::{Check, Doctor, Limits, Options, Purpose, Report, Status, catalogue},
    ports::{
        connection::{ConnectError, ConnectFailure},
        inspection::{ConfigFacts, DatabaseInspector, Facts},
    },
};

use super::{
    args::{CheckArgs, CheckFormat, FailOn},
    exit::{Exit, Failure},
    printer::Printer,
};

/// Shortest pause between two rounds of `--watch`.
const SHORTEST_WATCH: Duration = Duration::from_millis(50);

/// How often it is said what is waited for, while that stays the same.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// Pause between two rounds while waiting.
const PAUSE: Duration = Duration::from_millis(500);

/// `dlc db check`; without an inspector only the configuration is judged.
///
/// # Errors
/// When a check is named that does not exist, or is given limits and measures nothing.
pub async fn run(
    inspector: Option<Arc<dyn DatabaseInspector>>,
    config: ConfigFacts,
    args: CheckArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    if args.list {
        explain::list(args.format, printer);
        return Ok(Exit::Done);
    }
    if let Some(id) = &args.explain {
        explain::explain(find(id)?, args.format, printer);
        return Ok(Exit::Done);
    }
    let options = options(&args)?;
    if !catalogue().any(|check| options.wants(check.id)) {
        return Err(Failure::new(Exit::Usage, "checks_none", "no check is left to be made").hint("dlc db check --list"));
    }
    let doctor = Doctor::new(inspector, config, options, args.timeout);
    loop {
        let facts = look(&doctor, &args, printer).await;
        let report = doctor.judge(&facts);
        let exit = exit(&report, &args);
        if args.watch.is_some() {
            printer.clear();
        }
        match args.format {
            CheckFormat::Text => report::text(&report, exit, printer),
            CheckFormat::Json => printer.json(&report::json(&report, exit)),
            CheckFormat::Junit => printer.text(&report::junit(&report)),
            CheckFormat::Nagios => printer.line(&report::nagios(&report)),
            CheckFormat::Prometheus => printer.text(&report::prometheus(&report)),
        }
        match args.watch {
            Some(pause) if !printer.reader_is_gone() => tokio::time::sleep(pause.max(SHORTEST_WATCH)).await,
            _ => return Ok(exit),
        }
    }
}

fn find(id: &str) -> Result<&'static Check, Failure> {
    catalogue()
        .find(|check| check.id.eq_ignore_ascii_case(id))
        .ok_or_else(|| {
            // A URL at the wrong place may hold a password.
            let shown = if id.contains("://") { "…" } else { id };
            Failure::new(Exit::Usage, "check_unknown", format!("there is no check {shown}")).hint("dlc db check --list")
        })
}

fn options(args: &CheckArgs) -> Result<Options, Failure> {
    let ids = |named: &[String]| {
        named
            .iter()
            .map(|id| find(id).map(|check| check.id))
            .collect::<Result<Vec<_>, _>>()
    };
    let mut limits = BTreeMap::new();
    for threshold in &args.threshold {
        let check = find(&threshold.id)?;
        let Some(usual) = check.limits() else {
            let message = format!("{} measures nothing that could have a limit", check.id);
            return Err(Failure::new(Exit::Usage, "check_without_limits", message)
                .hint(format!("dlc db check --explain {}", check.id)));
        };
        let fail = threshold.fail.or(usual.fail);
        if fail.is_some_and(|fail| fail < threshold.warn) {
            let message = format!("{} fails before it warns; give both limits", check.id);
            return Err(Failure::new(Exit::Usage, "limits_out_of_order", message)
                .hint(format!("for example --threshold {0}={1},{1}", check.id, threshold.warn)));
        }
        let other = Limits {
            warn: Some(threshold.warn),
            fail,
            ..usual
        };
        limits.insert(check.id, other);
    }
    Ok(Options {
        purpose: Purpose::Looking,
        deep: args.deep,
        require_current: args.require_current,
        strict: args.strict,
        limits,
        only: ids(&args.only)?,
        skip: ids(&args.skip)?,
    })
}

fn exit(report: &Report, args: &CheckArgs) -> Exit {
    if args.format == CheckFormat::Nagios {
        return Exit::of_monitoring(report.status());
    }
    match (report.failure_class(), report.status()) {
        (Some(class), _) => class.into(),
        (None, Status::Warn) if args.fail_on == FailOn::Warn => Exit::Failed,
        // Somebody wants to know just this, and was not told.
        _ if !args.only.is_empty() && report.findings.iter().any(|finding| finding.unmade) => Exit::Failed,
        _ => Exit::Done,
    }
}

/// Looks once, or again and again while waiting can help.
async fn look(doctor: &Doctor, args: &CheckArgs, printer: Printer) -> Facts {
    let started = Instant::now();
    let wait = args.wait.unwrap_or_default();
    let mut said: Option<(Instant, String)> = None;
    loop {
        let facts = doctor.look().await;
        let obstacle = obstacle(&facts);
        let left = wait.saturating_sub(started.elapsed());
        match obstacle {
            Some((failure, words)) if failure.heals() && !left.is_zero() => {
                let is_news = said
                    .as_ref()
                    .is_none_or(|(at, before)| *before != words || at.elapsed() >= SAID_EVERY);
                if is_news {
                    printer.note(&format!("waiting for the database, {}s left: {words}", left.as_secs()));
                    said = Some((Instant::now(), words));
                }
                tokio::time::sleep(PAUSE.min(left)).await;
            }
            _ => return facts,
        }
    }
}

/// What kept the inspector from reaching the database.
fn obstacle(facts: &Facts) -> Option<(ConnectFailure, String)> {
    if let Some(file) = &facts.sqlite {
        let opened = file.content.as_ref()?.value.as_ref();
        return opened.err().map(|error| (error.failure, error.cause.clone()));
    }
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
