//! A round: what is asked for it, and what is made of the answers.

use super::{
    catalogue::{Check, catalogue},
    layer::Layer,
    options::{Options, Purpose},
    report::{Finding, Report},
    verdict::{Status, Verdict},
};
use crate::ports::inspection::{Engine, Facts, Inquiry, Question};

/// Whether a check is part of a round: it is about this engine (`None`: not known), and not too deep. One that was asked for
/// by its id always is.
fn includes(options: &Options, check: &Check, engine: Option<Engine>) -> bool {
    let named = options.only.contains(&check.id);
    (options.purpose == Purpose::Looking || check.preflight)
        && (named || engine.is_none() || check.engine.is_none() || check.engine == engine)
        && (named || !check.deep || options.deep)
}

/// What the inspector is to find out.
#[must_use]
pub fn inquiry(options: &Options, engine: Engine) -> Inquiry {
    let questions = catalogue()
        .filter(|check| includes(options, check, Some(engine)) && options.wants(check.id))
        .filter_map(|check| {
            Some(Question {
                id: check.id,
                sql: check.question.to(engine, options.deep)?,
                own: check.own,
                patient: check.deep
                    || (options.deep && engine == Engine::Sqlite && check.question.sqlite_deep.is_some()),
            })
        });
    Inquiry {
        questions: questions.collect(),
    }
}

/// Judges `facts`. The report has the checks that are wanted, and those that kept a wanted one from being judged: a check
/// that could not be made must not look like one that passed.
#[must_use]
pub fn judge(facts: &Facts, options: &Options) -> Report {
    let mut failed: Vec<(Layer, &'static str)> = Vec::new();
    let mut findings = Vec::new();
    for check in catalogue().filter(|check| includes(options, check, facts.engine())) {
        let skipped_for = failed
            .iter()
            .find(|(layer, _)| {
                // A file with orphans in it, or one that is locked, still tells how full its disk is.
                let fares = check.layer == Layer::Health && *layer == Layer::File && facts.is_readable();
                check.layer.stands_on(*layer) && !fares
            })
            .map(|(_, id)| *id);
        let verdict = match (skipped_for, check.engine) {
            (Some(id), _) => Verdict::skipped(format!("{id} failed")),
            (None, Some(engine)) if facts.engine().is_some_and(|actual| actual != engine) => {
                Verdict::skipped(format!("it is about {} only", engine.name()))
            }
            (None, _) => check.verdict(facts, options),
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
            unmade: verdict.unmade,
            skipped_for,
            class: check.class,
        });
    }
    let causes: Vec<&str> = findings
        .iter()
        .filter(|finding| options.wants(finding.id))
        .filter_map(|finding| finding.skipped_for)
        .collect();
    findings.retain(|finding| options.wants(finding.id) || causes.contains(&finding.id));
    Report { findings }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        operations::check::FailureClass,
        ports::inspection::{ConfigFacts, ConfiguredDatabase, Timed},
    };

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
        let mut facts = Facts::unseen(config);
        let row = row.iter().map(|text| Some((*text).to_owned())).collect();
        let answer = Timed {
            value: Ok(vec![row]),
            took: Duration::ZERO,
        };
        facts.answers.insert(id, answer);
        let report = judge(&facts, &options);
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
        let report = judge(&Facts::unseen(config), &Options::default());
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
