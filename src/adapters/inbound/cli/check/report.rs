//! The report in each of its forms.

use std::{fmt::Write, time::Duration};

use dlc_application::operations::check::{Finding, Report, Status};
use serde_json::{Value, json};
use textwrap::core::display_width;

use crate::adapters::inbound::cli::{
    exit::Exit,
    printer::{Printer, SCHEMA, Tone, printable_line},
    wrapping::{fitted, wrapped},
};

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

pub(super) fn json(report: &Report, exit: Exit) -> Value {
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
                "value": finding.value.map(|(value, _)| value),
                "unit": finding.value.map(|(_, unit)| unit.name()),
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

/// Where what is said about a check begins: below its id.
const INDENT: &str = "           ";

fn look_of(status: Status) -> (&'static str, Tone) {
    match status {
        Status::Ok => ("✓ ok     ", Tone::Good),
        Status::Skipped => ("- skipped", Tone::Faint),
        Status::Warn => ("! warn   ", Tone::Warning),
        Status::Fail => ("✗ fail   ", Tone::Bad),
    }
}

/// For people: worst first, one line per check, details under what does not hold, counts and the exit code at the end.
pub(super) fn text(report: &Report, exit: Exit, printer: Printer) {
    // Names out of a database may hold anything, and a terminal obeys.
    let report = &harmless(report);
    let of = |status: Status| report.findings.iter().filter(move |finding| finding.status == status);
    let labelled = |status: Status, rest: &str| {
        let (word, tone) = look_of(status);
        printer.line(&format!(
            "{}  {}",
            printer.paint(tone, word),
            fitted(rest, INDENT.len(), printer.width())
        ));
    };
    for status in [Status::Fail, Status::Warn] {
        for finding in of(status) {
            labelled(status, &format!("{}  {}", finding.id, finding.title));
            let below = |label: &str, text: &str| {
                // Colours take no room.
                let word = label.trim_end();
                let painted = if word.is_empty() {
                    String::new()
                } else {
                    label.replacen(word, &printer.paint(Tone::Faint, word), 1)
                };
                for line in wrapped(text, &format!("{INDENT}{painted}"), printer.width()) {
                    printer.line(&line);
                }
            };
            below("", &finding.measured);
            below("limit: ", finding.threshold.as_deref().unwrap_or_default());
            below("next:  ", finding.hint.as_deref().unwrap_or_default());
        }
    }
    // Checks that were skipped for one and the same reason are one line: what failed is what matters.
    let mut skipped: Vec<(&str, Vec<&Finding>)> = Vec::new();
    for finding in of(Status::Skipped) {
        match skipped.iter_mut().find(|(reason, _)| *reason == finding.measured) {
            Some((_, group)) => group.push(finding),
            None => skipped.push((&finding.measured, vec![finding])),
        }
    }
    for (reason, group) in skipped {
        let line = match group.as_slice() {
            [only] => format!("{}  {}: {reason}", only.id, only.title),
            several => {
                let mut families: Vec<&str> = several.iter().map(|finding| family(finding.id)).collect();
                families.dedup();
                format!("{reason}: {} checks of {}", several.len(), families.join(", "))
            }
        };
        labelled(Status::Skipped, &line);
    }
    for finding in of(Status::Ok) {
        labelled(
            Status::Ok,
            &format!("{}  {}: {}", finding.id, finding.title, finding.measured),
        );
    }
    let counts = [Status::Fail, Status::Warn, Status::Skipped, Status::Ok].map(|status| {
        let count = report.count(status);
        let tone = if count == 0 { Tone::Faint } else { look_of(status).1 };
        printer.paint(tone, &format!("{count} {}", status.name()))
    });
    let (counts, code) = (format!("{};", counts.join(", ")), format!("exit code {}", exit as u8));
    let whole = format!("{counts} {code}");
    if printer.width().is_some_and(|width| width < display_width(&whole)) {
        printer.sentence(&counts);
        printer.line(&code);
    } else {
        printer.line(&whole);
    }
}

fn harmless(report: &Report) -> Report {
    let mut report = report.clone();
    for finding in &mut report.findings {
        finding.measured = printable_line(&finding.measured);
        finding.hint = finding.hint.as_deref().map(printable_line);
    }
    report
}

/// The letters of an id.
fn family(id: &str) -> &str {
    id.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// For CI. A warning is a passed test that says something; a skipped check is a skipped test.
pub(super) fn junit(report: &Report) -> String {
    let seconds = |duration: Duration| format!("{:.6}", duration.as_secs_f64());
    let all: Duration = report.findings.iter().map(|finding| finding.took).sum();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"dlc db check\" tests=\"{}\" failures=\"{}\" \
         skipped=\"{}\" time=\"{}\">\n",
        report.findings.len(),
        report.count(Status::Fail),
        report.count(Status::Skipped),
        seconds(all)
    );
    for finding in &report.findings {
        let words = match &finding.hint {
            Some(hint) => format!("{}; {hint}", finding.measured),
            None => finding.measured.clone(),
        };
        let words = escaped(&words);
        let inside = match finding.status {
            Status::Ok => String::new(),
            Status::Warn => format!("<system-out>warning: {words}</system-out>"),
            Status::Fail => format!("<failure message=\"{words}\"/>"),
            Status::Skipped => format!("<skipped message=\"{words}\"/>"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "    <testcase classname=\"{}\" name=\"{} {}\" time=\"{}\">{inside}</testcase>",
            finding.layer.name(),
            finding.id,
            escaped(finding.title),
            seconds(finding.took)
        );
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// Text for XML; what XML cannot hold at all is replaced.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
        out
    })
}

/// One line: the verdict, what is wrong, and the quantities as performance data.
pub(super) fn nagios(report: &Report) -> String {
    let report = &harmless(report);
    let word = match report.status() {
        Status::Ok => "OK",
        Status::Warn => "WARNING",
        Status::Fail => "CRITICAL",
        Status::Skipped => "UNKNOWN",
    };
    let bar = |text: &str| text.replace('|', "/");
    let wrong: Vec<String> = report
        .findings
        .iter()
        .filter(|finding| matches!(finding.status, Status::Warn | Status::Fail))
        .map(|finding| format!("{} {}: {}", finding.id, finding.title, bar(&finding.measured)))
        .collect();
    let words = if wrong.is_empty() {
        format!("{} checks hold", report.count(Status::Ok))
    } else {
        wrong.join("; ")
    };
    let data: Vec<String> = report
        .findings
        .iter()
        .filter_map(|finding| Some((finding, finding.value?)))
        .map(|(finding, (value, unit))| format!("{}={value}{}", finding.id, unit.suffix()))
        .collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("DLC {word} - {words}|{}", data.join(" "))
        .trim_end_matches('|')
        .to_owned()
}

/// For a scrape or the textfile collector.
pub(super) fn prometheus(report: &Report) -> String {
    let mut text = String::from(
        "# HELP dlc_check_status How a check came out: 0 ok, 1 warn, 2 fail, 3 skipped.\n# TYPE dlc_check_status gauge\n",
    );
    for finding in &report.findings {
        let number = finding.status.number();
        let _ = writeln!(
            text,
            "dlc_check_status{{id=\"{}\",layer=\"{}\"}} {number}",
            finding.id,
            finding.layer.name()
        );
    }
    text.push_str("# HELP dlc_check_value What a check measured, in its unit.\n# TYPE dlc_check_value gauge\n");
    for (finding, (value, unit)) in report
        .findings
        .iter()
        .filter_map(|finding| Some((finding, finding.value?)))
    {
        let _ = writeln!(
            text,
            "dlc_check_value{{id=\"{}\",unit=\"{}\"}} {value}",
            finding.id,
            unit.name()
        );
    }
    text
}
