//! The doctor: judges facts about a database, layer by layer, and says what to do next.
//!
//! Pure: facts in, report out. A check is one entry in its family's file; its id never changes meaning. A layer that
//! fails makes the checks of later layers *skipped*, never *passed*. Not here: finding facts out (`ports/inspection`).

mod configuration;
mod migrations;
mod network;
mod server;
pub mod sqlite;

use std::time::Duration;

use crate::ports::inspection::{Engine, Facts};

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
    /// The schema's history.
    Migrations,
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
            Self::Migrations => "migrations",
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
    threshold: Option<&'static str>,
    hint: Option<String>,
    took: Duration,
}

impl Verdict {
    fn new(status: Status, measured: impl Into<String>) -> Self {
        Self {
            status,
            measured: measured.into(),
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

    fn threshold(mut self, threshold: &'static str) -> Self {
        self.threshold = Some(threshold);
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
    judge: fn(&Facts) -> Verdict,
}

/// Every check, in the order in which the layers stand on each other.
pub fn catalogue() -> impl Iterator<Item = &'static Check> {
    [
        configuration::CHECKS,
        network::CHECKS,
        server::CHECKS,
        sqlite::CHECKS,
        migrations::CHECKS,
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
    /// The limit that was applied.
    pub threshold: Option<&'static str>,
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
    let mut failed: Option<(Layer, &'static str)> = None;
    let mut findings = Vec::new();
    let engine = match &facts.config.database {
        Some(Ok(database)) => Some(database.engine),
        _ => None,
    };
    let applies = |check: &&Check| engine.is_none() || check.engine.is_none() || check.engine == engine;
    for check in catalogue().filter(applies) {
        let skipped_for = failed.filter(|(layer, _)| *layer < check.layer).map(|(_, id)| id);
        let verdict = match skipped_for {
            Some(id) => Verdict::skipped(format!("{id} failed")),
            None => (check.judge)(facts),
        };
        if verdict.status == Status::Fail && failed.is_none() {
            failed = Some((check.layer, check.id));
        }
        findings.push(Finding {
            id: check.id,
            title: check.title,
            layer: check.layer,
            status: verdict.status,
            measured: verdict.measured,
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
    use crate::ports::inspection::ConfigFacts;

    #[test]
    fn ids_are_unique_and_layers_ascend() {
        let ids: Vec<_> = catalogue().map(|check| check.id).collect();
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(ids.len(), unique.len());
        assert!(catalogue().map(|check| check.layer).is_sorted());
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
