//! What was moved, or why not: a table, and the next step.

use dlc_application::operations::moving::{Moved, Refusal};
use serde_json::{Value, json};

use crate::adapters::inbound::cli::{
    numbers::grouped,
    printer::{Printer, Tone, printable_line},
};

pub(super) fn text(moved: &Moved, [from, to]: [&str; 2], printer: Printer) {
    if moved.refusals.total > 0 {
        refused(moved, printer);
        return;
    }
    let width = moved
        .tables
        .iter()
        .map(|table| table.tally.table.len())
        .max()
        .unwrap_or_default()
        .max(5);
    let rows = |number: u64| format!("{:>11}", grouped(number));
    let head = if moved.copied {
        format!("{:width$}  {:>11}  {:>7}  hash", "table", "rows", "seconds")
    } else {
        format!("{:width$}  {:>11}", "table", "rows")
    };
    printer.line(&printer.paint(Tone::Faint, &head));
    for table in &moved.tables {
        let mut line = format!("{:width$}  {}", table.tally.table, rows(table.tally.rows));
        if moved.copied {
            let equal = printer.paint(Tone::Good, "equal");
            line.push_str(&format!("  {:>7.2}  {equal}", table.took.as_secs_f64()));
        }
        printer.line(&line);
    }
    if !moved.copied {
        printer.line(&format!(
            "the target takes all {} rows; nothing was copied, because of --check",
            grouped(moved.rows())
        ));
        return;
    }
    let seconds = moved.took.as_secs_f64();
    printer.line(&format!(
        "moved {} rows from {from} to {to} in {seconds:.1} s ({} rows/s); counts and hashes are equal, sequences are set",
        grouped(moved.rows()),
        grouped(rate(moved))
    ));
    match moved.written_meanwhile {
        Some(true) => {
            printer.line("somebody has written to the source in the meantime, and that was not moved");
            printer.note("next: stop the service, empty the target, and move again");
            return;
        }
        Some(false) => printer.line("what is written to the source from now on is not moved"),
        None => printer.line(
            "whether somebody has written to the source in the meantime could not be told: what was written then, or is from now on, \
             is not moved",
        ),
    }
    printer.note(&format!(
        "next: stop the service if it runs, set DATABASE_URL to {to}, start it again"
    ));
}

fn refused(moved: &Moved, printer: Printer) {
    for refusal in &moved.refusals.told {
        let refused = printer.paint(Tone::Bad, "refused");
        printer.line(&format!("{refused}  {}", printable_line(&line(refusal))));
    }
    let total = moved.refusals.total;
    if let more @ 1.. = total.saturating_sub(moved.refusals.told.len() as u64) {
        printer.line(&format!("         and {} more", grouped(more)));
    }
    let values = if total == 1 { "value" } else { "values" };
    printer.line(&format!(
        "the target would refuse {} {values} of {} rows; nothing was copied, and the target is as it was",
        grouped(total),
        grouped(moved.rows())
    ));
    printer.line("mend them in the source, then run the command again");
}

fn line(refusal: &Refusal) -> String {
    let Refusal {
        table,
        key,
        column,
        why,
    } = refusal;
    let column = if column.is_empty() {
        String::new()
    } else {
        format!(" {column}")
    };
    format!("{table} {key}:{column} {why}")
}

fn rate(moved: &Moved) -> u64 {
    (moved.rows() as f64 / moved.took.as_secs_f64().max(0.001)) as u64
}

pub(super) fn json(moved: &Moved, [from, to]: [&str; 2]) -> Value {
    let tables: Vec<Value> = moved
        .tables
        .iter()
        .map(|table| {
            json!({
                "table": table.tally.table, "rows": table.tally.rows, "hash": format!("{:032x}", table.tally.sum),
                "equal": moved.copied, "seconds": table.took.as_secs_f64(),
            })
        })
        .collect();
    let sequences: Vec<Value> = moved
        .sequences
        .iter()
        .map(|(column, number)| json!({"column": column, "last": number}))
        .collect();
    let told: Vec<Value> = moved
        .refusals
        .told
        .iter()
        .map(
            |refusal| json!({"table": refusal.table, "key": refusal.key, "column": refusal.column, "why": refusal.why}),
        )
        .collect();
    json!({
        "from": from, "to": to, "moved": moved.copied, "rows": moved.rows(), "seconds": moved.took.as_secs_f64(),
        "rows_per_second": rate(moved), "tables": tables, "sequences": sequences,
        "source_written_meanwhile": moved.written_meanwhile,
        // The first ones only, of as many as there are.
        "refused": moved.refusals.total, "refused_values": told,
    })
}
