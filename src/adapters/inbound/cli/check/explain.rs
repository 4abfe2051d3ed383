//! What the doctor can tell without looking: the catalogue, and one check in detail.

use dlc_application::{
    operations::check::{Check, catalogue},
    ports::inspection::Engine,
};
use serde_json::{Value, json};

use crate::adapters::inbound::cli::{
    args::CheckFormat,
    printer::{Printer, SCHEMA, Tone},
};

/// Where each check has a section of its own.
const DOCUMENT: &str = "docs/checks.md";

/// `--list`
pub(super) fn list(format: CheckFormat, printer: Printer) {
    if format == CheckFormat::Json {
        let checks: Vec<Value> = catalogue()
            .map(|check| {
                json!({
                    "id": check.id, "title": check.title, "layer": check.layer.name(),
                    "engine": check.engine.map(Engine::name), "deep": check.deep,
                })
            })
            .collect();
        printer.json(&json!({"schema": SCHEMA, "command": "db check --list", "exit_code": 0, "checks": checks}));
        return;
    }
    for check in catalogue() {
        let engine = check.engine.map_or("", Engine::name);
        let deep = if check.deep { "  (--deep)" } else { "" };
        printer.line(&format!(
            "{}  {:13}  {engine:8}  {}{deep}",
            check.id,
            check.layer.name(),
            check.title
        ));
    }
}

/// `--explain ID`
pub(super) fn explain(check: &Check, format: CheckFormat, printer: Printer) {
    if format == CheckFormat::Json {
        printer.json(&json!({
            "schema": SCHEMA, "command": "db check --explain", "exit_code": 0,
            "id": check.id, "title": check.title, "layer": check.layer.name(),
            "engine": check.engine.map(Engine::name), "deep": check.deep,
            "thresholds": check.limits().and_then(|limits| limits.show()),
            "cause": check.cause, "fix": check.fix,
            "sql": {"postgres": check.question.postgres, "sqlite": check.question.sqlite, "sqlite_deep": check.question.sqlite_deep},
            "document": link(check),
        }));
        return;
    }
    let title = printer.paint(Tone::Good, check.id);
    printer.line(&format!("{title}  {}  ({})", check.title, check.layer.name()));
    printer.line("");
    printer.line(check.cause);
    printer.line("");
    printer.line(&format!("To mend it: {}", check.fix));
    if let Some(limits) = check.limits()
        && let Some(shown) = limits.show()
    {
        let (id, unit) = (check.id, limits.unit.name());
        printer.line(&format!(
            "Limits (warn / fail): {shown}; others: --threshold {id}=WARN,FAIL ({unit})"
        ));
    }
    for (engine, sql) in [
        ("PostgreSQL", check.question.postgres),
        ("SQLite", check.question.sqlite),
        ("SQLite with --deep", check.question.sqlite_deep),
    ] {
        if let Some(sql) = sql {
            printer.line("");
            printer.line(&format!("Asked of {engine}:"));
            printer.line(&format!("  {sql}"));
        }
    }
    printer.line("");
    printer.line(&format!("More: {}", link(check)));
}

fn link(check: &Check) -> String {
    format!("{DOCUMENT}#{}", check.id.to_lowercase())
}
