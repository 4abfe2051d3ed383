//! What is told of a sale when it is over: to people, to programs, and by the exit code.

use dlc_application::operations::books::Books;
use serde_json::{Map, Value, json};

use super::{Check, Sale, latencies::Percentiles, tally::Part};
use crate::adapters::inbound::cli::{
    args::Format,
    exit::{Exit, Failure},
    numbers::{counted, grouped},
    printer::{Printer, SCHEMA, Tone},
};

/// Coupons that are named when they do not fit; of the others it is said how many there are.
const NAMED: usize = 10;

/// Tells of a sale, and of its audit, where there was one.
pub fn tell(sale: &Sale, audit: Option<&Books>, format: Format, printer: Printer) -> Exit {
    let failure = failure(sale).or_else(|| wrong_books(audit?));
    let exit = match &failure {
        Some(failure) => failure.exit,
        None if sale.interrupted => Exit::Interrupted,
        None => Exit::Done,
    };
    match format {
        Format::Json => printer.json(&for_programs(sale, audit, exit, failure.as_ref())),
        Format::Text => for_people(sale, audit, printer),
    }
    if let Some(failure) = failure {
        printer.error(&failure);
    }
    exit
}

fn failure(sale: &Sale) -> Option<Failure> {
    match &sale.check {
        Check::Disagrees(found) => {
            let (name, why) = found.first()?;
            let more = match found.len() {
                1 => String::new(),
                count => format!(" (and {} more coupons)", count - 1),
            };
            let message = format!("the service does not keep its word: {name}: {why}{more}");
            return Some(Failure::new(Exit::Failed, "sale_inconsistent", message).hint(
                "unless somebody else was at the same coupons: dlc coupon audit on the service's side tells more",
            ));
        }
        Check::NotMade(why) => {
            let message = format!(
                "the coupons could not be read back, and nothing is proved: {}",
                why.message
            );
            return Some(Failure {
                exit: Exit::Failed,
                code: "sale_unchecked",
                message,
                hint: why.hint.clone(),
            });
        }
        Check::Fits | Check::NotAsked => {}
    }
    let broken = sale.crowd.tally.broken();
    let why = broken.why.filter(|_| broken.given_up > 0)?;
    let message = format!(
        "{} of {} connections were given up: {why}",
        broken.given_up, sale.concurrency
    );
    Some(Failure::new(Exit::Failed, "connections_lost", message).hint("the service's log tells what happened there"))
}

fn wrong_books(books: &Books) -> Option<Failure> {
    let wrong = books.told.first()?;
    let message = format!("the books do not add up: {}: {wrong}", wrong.name);
    Some(Failure::new(Exit::Failed, "books_wrong", message).hint("dlc coupon audit tells all of it"))
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

fn for_programs(sale: &Sale, audit: Option<&Books>, exit: Exit, failure: Option<&Failure>) -> Value {
    let tally = &sale.crowd.tally;
    let rounded = |number: f64, places: f64| (number * places).round() / places;
    let rate = |count| rounded(per_second(count, sale.seconds), 10.0);
    let outcomes: Map<String, Value> = tally
        .outcomes()
        .into_iter()
        .map(|(name, count)| (name, count.into()))
        .collect();
    let latency = |part| {
        let Percentiles {
            count,
            p50,
            p90,
            p99,
            max,
        } = tally.latencies(part);
        json!({"count": count, "p50": p50, "p90": p90, "p99": p99, "max": max})
    };
    let latencies: Map<String, Value> = parts(sale)
        .into_iter()
        .map(|(name, part)| (name.to_owned(), latency(part)))
        .collect();
    let (is_made, holds, found) = match &sale.check {
        Check::Fits => (true, Value::Bool(true), &[][..]),
        Check::Disagrees(found) => (true, Value::Bool(false), found.as_slice()),
        Check::NotMade(_) | Check::NotAsked => (false, Value::Null, &[][..]),
    };
    let found: Vec<Value> = found
        .iter()
        .map(|(name, why)| json!({"coupon": name, "why": why}))
        .collect();
    let broken = tally.broken();
    json!({
        "schema": SCHEMA, "command": "bench claims", "exit_code": exit as u8,
        "error": failure.map(|failure| json!({"code": failure.code, "message": failure.message, "hint": failure.hint})),
        "url": sale.crowd.service.url,
        "reads": sale.reads, "keyed": sale.keyed, "hot_share": sale.crowd.plan.hot_share,
        "same_user_every": sale.crowd.plan.same_user_every,
        "coupons": sale.names.len(), "prefix": sale.prefix, "stock": sale.stock, "concurrency": sale.concurrency,
        "interrupted": sale.interrupted,
        "seconds": rounded(sale.seconds, 1e6), "requests": sale.crowd.taken(), "requests_per_second": rate(sale.crowd.taken()),
        "granted": if sale.reads { Value::Null } else { tally.granted().into() },
        "granted_per_second": if sale.reads { Value::Null } else { rate(tally.granted()).into() },
        "outcomes": outcomes, "unknown": tally.unknown(),
        "connections": {"broken": broken.times, "given_up": broken.given_up, "last_error": broken.why},
        "latency_us": latencies,
        "check": {"made": is_made, "holds": holds, "violations": found},
        "audit": audit.map(|books| json!({"coupons": books.coupons, "claims": books.claims, "wrong": books.wrong})),
    })
}

/// Which latencies are told.
fn parts(sale: &Sale) -> Vec<(&'static str, Part)> {
    let mut parts = vec![("all", Part::All)];
    if !sale.reads {
        parts.push(("granted", Part::Granted));
    }
    if sale.crowd.plan.hot_share.is_some() {
        parts.extend([("hot", Part::Hot), ("others", Part::Others)]);
    }
    parts
}

/// The longest line has some 70 characters, whatever the figures are.
fn for_people(sale: &Sale, audit: Option<&Books>, printer: Printer) {
    let tally = &sale.crowd.tally;
    let (requests, what) = (sale.crowd.taken(), if sale.reads { "reads" } else { "claims" });
    let coupons = match (sale.names.len(), sale.stock) {
        (1, Some(stock)) => format!("a coupon of {}", pieces(stock)),
        (count, Some(stock)) => format!("{} coupons of {}", grouped(count as u64), pieces(stock)),
        (1, None) => "a coupon".to_owned(),
        (count, None) => format!("{} coupons", grouped(count as u64)),
    };
    let ended = if sale.interrupted { ", ended early" } else { "" };
    printer.line(&format!(
        "{} {what} for {coupons}, {} connections, {:.2} s{ended}",
        grouped(requests),
        grouped(sale.concurrency as u64),
        sale.seconds
    ));
    let mut lines = vec![[what.to_uppercase(), "COUNT".to_owned(), "PER SECOND".to_owned()]];
    let line = |name: &str, count: u64| {
        [
            name.to_owned(),
            grouped(count),
            grouped(per_second(count, sale.seconds).round() as u64),
        ]
    };
    lines.extend(tally.outcomes().iter().map(|(name, count)| line(name, *count)));
    lines.push(line("all", requests));
    table(&lines, printer);
    let mut lines = vec![["LATENCY, ms", "P50", "P90", "P99", "MAX"].map(str::to_owned)];
    for (name, part) in parts(sale) {
        let of = tally.latencies(part);
        let mut line = [of.p50, of.p90, of.p99, of.max].map(millis).to_vec();
        if of.count == 0 {
            line = vec!["-".to_owned(); 4];
        }
        line.insert(0, if name == "hot" { "hot coupon" } else { name }.to_owned());
        lines.extend(<[String; 5]>::try_from(line));
    }
    table(&lines, printer);
    printer.line("");
    about_the_check(sale, audit.is_some(), printer);
    if let Some(books) = audit.filter(|books| books.wrong == 0) {
        let fits = printer.paint(Tone::Good, "ok:");
        printer.line(&format!(
            "{fits} audited by SQL, {} and {} add up",
            counted(books.coupons, "coupon"),
            counted(books.claims, "claim")
        ));
    }
    if let Some(prefix) = &sale.prefix {
        printer.line(&format!("the coupons stay; their names begin with {prefix}"));
    }
}

fn about_the_check(sale: &Sale, is_audited: bool, printer: Printer) {
    let tally = &sale.crowd.tally;
    match &sale.check {
        Check::NotAsked => {}
        Check::Fits => {
            let fits = printer.paint(Tone::Good, "ok:");
            let doubt = match tally.unknown() {
                0 => String::new(),
                unknown => format!(" (and {} of which nobody knows)", grouped(unknown)),
            };
            printer.line(&format!(
                "{fits} what is left fits the {} granted{doubt}",
                grouped(tally.granted())
            ));
            if !is_audited {
                printer.line("one claim per person is proved on the service's side: dlc coupon audit");
            }
        }
        Check::Disagrees(found) => {
            for (name, why) in found.iter().take(NAMED) {
                printer.line(&format!("{} {name}: {why}", printer.paint(Tone::Bad, "wrong:")));
            }
            if found.len() > NAMED {
                printer.line(&format!("and {} more coupons", found.len() - NAMED));
            }
        }
        Check::NotMade(_) => printer.line(&format!(
            "{} the coupons could not be read back",
            printer.paint(Tone::Bad, "unchecked:")
        )),
    }
    if tally.outcomes().iter().any(|(name, _)| name == "rate_limited") {
        printer.line("the service limits the requests of an address: DLC_SERVER__RATE_LIMIT=off for a sale");
    }
}

/// Names on the left, figures under each other on the right.
fn table<const COLUMNS: usize>(lines: &[[String; COLUMNS]], printer: Printer) {
    printer.line("");
    let mut widths = [0; COLUMNS];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    for (index, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if column == 0 {
                    format!("{cell:width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        let line = cells.join("  ");
        printer.line(&if index == 0 {
            printer.paint(Tone::Faint, &line)
        } else {
            line
        });
    }
}

fn pieces(count: i32) -> String {
    counted(u64::from(count.unsigned_abs()), "piece")
}

/// Microseconds as milliseconds, with three digits.
pub(super) fn millis(micros: u64) -> String {
    let millis = micros as f64 / 1000.0;
    match micros {
        0..10_000 => format!("{millis:.2}"),
        10_000..100_000 => format!("{millis:.1}"),
        _ => grouped(millis.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_can_be_read() {
        let told = [85, 1_234, 12_345, 123_456, 1_234_567].map(millis);
        assert_eq!(told, ["0.09", "1.23", "12.3", "123", "1,235"]);
    }
}
