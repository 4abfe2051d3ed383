//! The doctor: judges facts about a database, layer by layer, and says what to do next.
//!
//! Pure: facts in, report out. A check is one entry in its family's file: what it asks, how the answer is judged, what it
//! means and how to mend it; its id never changes meaning. A layer that fails makes the checks of the layers that stand on
//! it *skipped*, never *passed*. The SQL is data here; asking is the inspector's (`ports/inspection`).

mod activity;
mod backup;
mod business;
mod capacity;
mod configuration;
mod drift;
mod migrations;
mod network;
mod privileges;
mod replication;
mod schema;
mod server;
mod settings;
pub mod sqlite;
mod upkeep;
mod wraparound;

use std::time::Duration;

use crate::ports::inspection::{Engine, Facts, Row};

/// Layers in the order in which they stand on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The configuration.
    Configuration,
    /// The way to the server.
    Network,
    /// The server itself.
    Server,
    /// The SQLite file.
    File,
    /// What the role may do.
    Privileges,
    /// Where the tables are looked for.
    Schema,
    /// The schema's history.
    Migrations,
    /// The live schema against its migrations.
    Drift,
    /// How the database fares: it needs a session and nothing else.
    Health,
}

impl Layer {
    /// Whether a failure in `other` keeps this layer from being judged. Health stands on a session alone: somebody who
    /// may not write, or whose history is edited, wants to hear of a full disk all the same.
    fn stands_on(self, other: Self) -> bool {
        other < self && (self != Self::Health || other < Self::Privileges)
    }
}

impl Layer {
    /// A stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Network => "network",
            Self::Server => "server",
            Self::File => "file",
            Self::Privileges => "privileges",
            Self::Schema => "schema",
            Self::Migrations => "migrations",
            Self::Drift => "drift",
            Self::Health => "health",
        }
    }
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It holds.
    Ok,
    /// It was not judged, for the reason in `measured`.
    Skipped,
    /// It holds, but look at it.
    Warn,
    /// It does not hold.
    Fail,
}

impl Status {
    /// A stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Status {
    /// Its number in metrics.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warn => 1,
            Self::Fail => 2,
            Self::Skipped => 3,
        }
    }
}

/// Which exit code class a failure belongs to (§3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// 78
    Configuration,
    /// 69
    Unreachable,
    /// 77
    Permission,
    /// 1
    Failed,
}

/// What a check says about the facts.
#[derive(Clone, Debug)]
pub struct Verdict {
    status: Status,
    measured: String,
    value: Option<(f64, Unit)>,
    threshold: Option<String>,
    hint: Option<String>,
    took: Duration,
}

impl Verdict {
    fn new(status: Status, measured: impl Into<String>) -> Self {
        Self {
            status,
            measured: measured.into(),
            value: None,
            threshold: None,
            hint: None,
            took: Duration::ZERO,
        }
    }

    fn ok(measured: impl Into<String>) -> Self {
        Self::new(Status::Ok, measured)
    }

    fn warn(measured: impl Into<String>) -> Self {
        Self::new(Status::Warn, measured)
    }

    fn fail(measured: impl Into<String>) -> Self {
        Self::new(Status::Fail, measured)
    }

    fn skipped(reason: impl Into<String>) -> Self {
        Self::new(Status::Skipped, reason)
    }

    fn threshold(mut self, threshold: impl Into<String>) -> Self {
        self.threshold = Some(threshold.into());
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn took(mut self, took: Duration) -> Self {
        self.took = took;
        self
    }
}

/// A quantity that a check measures, and the limits that it is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// What is counted.
    pub unit: Unit,
    /// From here on it is worth a look.
    pub warn: Option<f64>,
    /// From here on it does not hold.
    pub fail: Option<f64>,
}

/// What a quantity is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Hundredths of what there is.
    Percent,
    /// Things.
    Count,
}

impl Unit {
    /// A stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Percent => "percent",
            Self::Count => "count",
        }
    }

    /// What stands behind a number in Nagios's performance data.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Bytes => "B",
            Self::Percent => "%",
            Self::Count => "",
        }
    }

    /// A quantity for people.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 1.0 => format!("{:.1} ms", value * 1000.0),
            Self::Seconds if value < 600.0 => format!("{value:.1} s"),
            Self::Seconds if value < 172_800.0 => format!("{:.0} min", value / 60.0),
            Self::Seconds => format!("{:.0} d", value / 86_400.0),
            Self::Bytes if value < 1024.0 * 1024.0 => format!("{:.0} KiB", value / 1024.0),
            Self::Bytes if value < 10.0 * 1024.0 * 1024.0 * 1024.0 => format!("{:.0} MiB", value / 1024.0 / 1024.0),
            Self::Bytes => format!("{:.0} GiB", value / 1024.0 / 1024.0 / 1024.0),
            Self::Percent => format!("{value:.1} %"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

impl Limits {
    /// Both limits for people; `None` when there is none.
    #[must_use]
    pub fn show(&self) -> Option<String> {
        let show = |value: f64| self.unit.show(value);
        match (self.warn, self.fail) {
            (Some(warn), Some(fail)) => Some(format!("{} / {}", show(warn), show(fail))),
            (Some(limit), None) | (None, Some(limit)) => Some(show(limit)),
            (None, None) => None,
        }
    }

    fn judge(&self, value: f64) -> Status {
        if self.fail.is_some_and(|fail| value >= fail) {
            Status::Fail
        } else if self.warn.is_some_and(|warn| value >= warn) {
            Status::Warn
        } else {
            Status::Ok
        }
    }
}

/// What was measured: how much, of what, and what to do when it is too much.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    value: f64,
    words: String,
    hint: Option<String>,
}

/// How a check comes to its verdict.
#[derive(Clone, Copy)]
enum Judge {
    /// From anything that was found out.
    Facts(fn(&Facts) -> Verdict),
    /// From the answer to its question.
    Answer(fn(&Answer<'_>) -> Verdict),
    /// From a quantity in the answer to its question, held against limits. An error is a reason to skip it.
    Quantity(Limits, fn(&Answer<'_>) -> Result<Measured, String>),
}

/// One check of the catalogue.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its id: three letters of the family and a number.
    pub id: &'static str,
    /// What it looks at, in a few words.
    pub title: &'static str,
    /// The layer it belongs to.
    pub layer: Layer,
    /// The exit code class of its failure.
    pub class: FailureClass,
    /// The engine it is about; `None`: both. On the other engine it is no part of the round.
    pub engine: Option<Engine>,
    /// It takes too long for every round, and is made only when that is asked for.
    pub deep: bool,
    /// It is about tables of dlc's own, and not asked of somebody else's database.
    pub own: bool,
    /// What it means when it does not hold.
    pub cause: &'static str,
    /// How to mend it.
    pub fix: &'static str,
    /// The question that it asks, in SQL whose columns are all texts.
    pub question: Question,
    judge: Judge,
}

/// A question to each engine; `None`: nothing is asked there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// To PostgreSQL.
    pub postgres: Option<&'static str>,
    /// To SQLite.
    pub sqlite: Option<&'static str>,
}

impl Question {
    const NONE: Self = Self {
        postgres: None,
        sqlite: None,
    };

    const fn postgres(sql: &'static str) -> Self {
        Self {
            postgres: Some(sql),
            sqlite: None,
        }
    }

    /// The question to one engine.
    #[must_use]
    pub fn to(&self, engine: Engine) -> Option<&'static str> {
        match engine {
            Engine::Postgres => self.postgres,
            Engine::Sqlite => self.sqlite,
        }
    }
}

/// The answer to a check's question, and everything else that was found out.
struct Answer<'a> {
    rows: &'a [Row],
    facts: &'a Facts,
}

impl Answer<'_> {
    /// A column of the first row as text; empty when there is none.
    fn text(&self, column: usize) -> &str {
        self.rows.first().map_or("", |row| text(row, column))
    }

    /// A column of the first row as a number.
    fn number(&self, column: usize) -> Option<f64> {
        self.rows.first().and_then(|row| number(row, column))
    }
}

fn text(row: &Row, column: usize) -> &str {
    row.get(column).and_then(Option::as_deref).unwrap_or_default()
}

fn number(row: &Row, column: usize) -> Option<f64> {
    text(row, column).parse().ok()
}

impl Check {
    /// The limits that a quantity is held against, unless others are given.
    #[must_use]
    pub fn limits(&self) -> Option<Limits> {
        match self.judge {
            Judge::Quantity(limits, _) => Some(limits),
            _ => None,
        }
    }

    fn verdict(&self, facts: &Facts) -> Verdict {
        if self.own && !facts.is_dlcs() {
            return Verdict::skipped("the database was never migrated by dlc");
        }
        let has_question = facts.engine().is_some_and(|engine| self.question.to(engine).is_some());
        let answer = |judge: &dyn Fn(&Answer<'_>) -> Verdict| {
            let Some(found) = facts.answers.get(self.id) else {
                if has_question {
                    return Verdict::skipped("not asked");
                }
                // A quantity can come from other facts than an answer.
                return judge(&Answer { rows: &[], facts });
            };
            match &found.value {
                Ok(rows) => judge(&Answer { rows, facts }),
                Err(why) => Verdict::skipped(format!("could not be asked: {why}")),
            }
            .took(found.took)
        };
        match self.judge {
            Judge::Facts(judge) => judge(facts),
            Judge::Answer(judge) => answer(&judge),
            Judge::Quantity(limits, measure) => {
                let limits = facts.options.limits.get(self.id).copied().unwrap_or(limits);
                answer(&|answer| match measure(answer) {
                    Err(why) => Verdict::skipped(why),
                    Ok(measured) => {
                        let words = if measured.words.is_empty() {
                            limits.unit.show(measured.value)
                        } else if measured.value == 0.0 {
                            // "0.0 ms: none" says it twice.
                            measured.words
                        } else {
                            format!("{}: {}", limits.unit.show(measured.value), measured.words)
                        };
                        let mut verdict = Verdict::new(limits.judge(measured.value), words);
                        verdict.threshold = limits.show();
                        verdict.value = Some((measured.value, limits.unit));
                        if verdict.status != Status::Ok {
                            verdict.hint = measured.hint;
                        }
                        verdict
                    }
                })
            }
        }
    }
}

/// Every check, in the order in which the layers stand on each other.
pub fn catalogue() -> impl Iterator<Item = &'static Check> {
    [
        configuration::CHECKS,
        network::CHECKS,
        server::CHECKS,
        sqlite::CHECKS,
        privileges::CHECKS,
        schema::CHECKS,
        migrations::CHECKS,
        drift::CHECKS,
        capacity::CHECKS,
        replication::CHECKS,
        activity::CHECKS,
        wraparound::CHECKS,
        upkeep::CHECKS,
        settings::CHECKS,
        business::CHECKS,
        backup::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// What one check found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The check's id.
    pub id: &'static str,
    /// The check's title.
    pub title: &'static str,
    /// The check's layer.
    pub layer: Layer,
    /// How it came out.
    pub status: Status,
    /// What was measured, or why it was skipped.
    pub measured: String,
    /// The same as a number, where it is one.
    pub value: Option<(f64, Unit)>,
    /// The limits that were applied.
    pub threshold: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// How long finding out took.
    pub took: Duration,
    /// The check whose failure made this one skipped.
    pub skipped_for: Option<&'static str>,
    class: FailureClass,
}

/// All findings of one round.
#[derive(Clone, Debug)]
pub struct Report {
    /// One per check that applies to the engine, in the catalogue's order.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Keeps the findings that are wanted, and those that kept a wanted one from being judged: a check that could not be
    /// made must not look like one that passed.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        let causes: Vec<&str> = self
            .findings
            .iter()
            .filter(|finding| wanted(finding.id))
            .filter_map(|finding| finding.skipped_for)
            .collect();
        self.findings
            .retain(|finding| wanted(finding.id) || causes.contains(&finding.id));
    }

    /// The worst status of all.
    #[must_use]
    pub fn status(&self) -> Status {
        self.findings
            .iter()
            .map(|finding| finding.status)
            .filter(|status| *status != Status::Skipped)
            .max()
            .unwrap_or(Status::Skipped)
    }

    /// The class of the first failure: it is the lowest layer's, so it is the cause.
    #[must_use]
    pub fn failure_class(&self) -> Option<FailureClass> {
        self.findings
            .iter()
            .find(|finding| finding.status == Status::Fail)
            .map(|finding| finding.class)
    }
}

/// Judges `facts` by every check.
#[must_use]
pub fn judge(facts: &Facts) -> Report {
    let mut failed: Vec<(Layer, &'static str)> = Vec::new();
    let mut findings = Vec::new();
    for check in catalogue().filter(|check| facts.wants(check)) {
        let skipped_for = failed
            .iter()
            .find(|(layer, _)| check.layer.stands_on(*layer))
            .map(|(_, id)| *id);
        let verdict = match skipped_for {
            Some(id) => Verdict::skipped(format!("{id} failed")),
            None => check.verdict(facts),
        };
        if verdict.status == Status::Fail {
            failed.push((check.layer, check.id));
        }
        findings.push(Finding {
            id: check.id,
            title: check.title,
            layer: check.layer,
            status: verdict.status,
            measured: verdict.measured,
            value: verdict.value,
            threshold: verdict.threshold,
            hint: verdict.hint,
            took: verdict.took,
            skipped_for,
            class: check.class,
        });
    }
    Report { findings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::inspection::{ConfigFacts, ConfiguredDatabase, Options, Timed};

    #[test]
    fn ids_are_unique_and_layers_ascend() {
        let ids: Vec<_> = catalogue().map(|check| check.id).collect();
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(ids.len(), unique.len());
        assert!(catalogue().map(|check| check.layer).is_sorted());
    }

    /// A round on PostgreSQL in which one question was answered.
    fn answered(id: &'static str, row: &[&str]) -> Finding {
        let database = ConfiguredDatabase {
            target: "postgres://dlc@localhost/dlc".into(),
            source: "a test".into(),
            engine: Engine::Postgres,
        };
        let config = ConfigFacts {
            database: Some(Ok(database)),
            ..ConfigFacts::default()
        };
        let options = Options {
            deep: true,
            ..Options::default()
        };
        let mut facts = Facts::unseen(config, options);
        let row = row.iter().map(|text| Some((*text).to_owned())).collect();
        let answer = Timed {
            value: Ok(vec![row]),
            took: Duration::ZERO,
        };
        facts.answers.insert(id, answer);
        let report = judge(&facts);
        report.findings.into_iter().find(|finding| finding.id == id).unwrap()
    }

    #[test]
    fn quantities_are_held_against_the_limits_of_the_catalogue() {
        for (seconds, status) in [("59.9", Status::Ok), ("60.0", Status::Warn), ("300.0", Status::Fail)] {
            assert_eq!(
                answered("LCK002", &[seconds, "pid 7", "end it"]).status,
                status,
                "{seconds}"
            );
        }
        for (age, status) in [
            ("1299999999", Status::Ok),
            ("1300000000", Status::Warn),
            ("1400000000", Status::Fail),
        ] {
            assert_eq!(answered("WRP001", &[age]).status, status, "{age}");
        }
        // Enough reads to tell: a cluster of tests never has them.
        assert_eq!(answered("PRF001", &["2.0", "99999"]).status, Status::Skipped);
        assert_eq!(answered("PRF001", &["1.4", "100000"]).status, Status::Ok);
        assert_eq!(answered("PRF001", &["1.5", "100000"]).status, Status::Warn);
    }

    #[test]
    fn a_hint_comes_only_with_something_to_mend() {
        assert_eq!(answered("LCK002", &["1.0", "pid 7", "end it"]).hint, None);
        assert_eq!(
            answered("LCK002", &["61.0", "pid 7", "end it"]).hint.as_deref(),
            Some("end it")
        );
    }

    #[test]
    fn a_failed_layer_makes_the_later_ones_skipped_not_passed() {
        let config = ConfigFacts {
            database: Some(Err("no database".into())),
            ..ConfigFacts::default()
        };
        let report = judge(&Facts {
            config,
            ..Facts::default()
        });
        assert_eq!(report.failure_class(), Some(FailureClass::Configuration));
        let later: Vec<_> = report
            .findings
            .iter()
            .filter(|f| f.layer > Layer::Configuration)
            .collect();
        assert!(!later.is_empty());
        assert!(
            later
                .iter()
                .all(|f| f.status == Status::Skipped && f.measured == "CFG001 failed")
        );
    }
}
