//! What became of each scenario on each engine, kept while cucumber runs them, and told at the end: a summary for people, and a
//! page beside cucumber's own JUnit files.
//!
//! A scenario that was asked for has failed until all of its steps have passed: whatever is not run, not known or cut off is never
//! told as passed.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use cucumber::{
    Event, Writer, cli,
    event::{self, Cucumber, Hook, Step},
    gherkin::{self, Feature, Scenario},
    parser,
    writer::NonTransforming,
};

use crate::{harness::Engine, world::World};

/// What became of a scenario on one engine.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// Asked for, and not (yet) heard of.
    Unheard,
    /// Every step.
    Passed,
    /// Where, and why.
    Failed(String),
    /// It is about the other engine alone.
    NotRun,
}

/// A scenario, in the order of the files.
type Place = (String, usize);

struct Row {
    feature: Feature,
    scenario: Scenario,
    outcomes: BTreeMap<&'static str, Outcome>,
}

/// All scenarios of all engines.
#[derive(Clone, Default)]
pub(crate) struct Report(Arc<Mutex<Runs>>);

#[derive(Default)]
struct Runs {
    rows: BTreeMap<Place, Row>,
    /// How long each engine took.
    seconds: BTreeMap<&'static str, u64>,
}

fn place(feature: &Feature, scenario: &Scenario) -> Place {
    let path = feature.path.as_ref().and_then(|path| path.file_name());
    let file = path.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    (file, scenario.position.line)
}

pub(crate) fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "SQLite",
        Engine::Postgres => "PostgreSQL",
    }
}

impl Report {
    fn note(&self, engine: Engine, feature: &Feature, scenario: &Scenario, outcome: Outcome) {
        let mut runs = self.0.lock().unwrap();
        let row = runs.rows.entry(place(feature, scenario)).or_insert_with(|| Row {
            feature: feature.clone(),
            scenario: scenario.clone(),
            outcomes: BTreeMap::new(),
        });
        row.outcomes.insert(name(engine), outcome);
    }

    /// A scenario is going to be run.
    pub(crate) fn expect(&self, engine: Engine, feature: &Feature, scenario: &Scenario) {
        self.note(engine, feature, scenario, Outcome::Unheard);
    }

    /// A scenario is about the other engine alone.
    pub(crate) fn leave_out(&self, engine: Engine, feature: &Feature, scenario: &Scenario) {
        self.note(engine, feature, scenario, Outcome::NotRun);
    }

    /// An engine is done.
    pub(crate) fn took(&self, engine: Engine, time: Duration) {
        let mut runs = self.0.lock().unwrap();
        runs.seconds.insert(name(engine), time.as_secs());
    }

    /// How many scenarios on an engine were passed, failed, and not run.
    fn counts(&self, engine: Engine) -> (usize, usize, usize) {
        let runs = self.0.lock().unwrap();
        let outcomes = runs.rows.values().filter_map(|row| row.outcomes.get(name(engine)));
        outcomes.fold((0, 0, 0), |(passed, failed, not_run), outcome| match outcome {
            Outcome::Passed => (passed + 1, failed, not_run),
            Outcome::Failed(_) | Outcome::Unheard => (passed, failed + 1, not_run),
            Outcome::NotRun => (passed, failed, not_run + 1),
        })
    }

    /// Whether every scenario that was asked for has passed.
    pub(crate) fn is_well(&self, engine: Engine) -> bool {
        self.counts(engine).1 == 0
    }

    /// Whether any was run.
    pub(crate) fn is_empty(&self, engine: Engine) -> bool {
        let (passed, failed, _) = self.counts(engine);
        passed + failed == 0
    }

    /// One line about one engine.
    pub(crate) fn summary(&self, engine: Engine) -> String {
        let (passed, failed, not_run) = self.counts(engine);
        let other = match engine {
            Engine::Sqlite => name(Engine::Postgres),
            Engine::Postgres => name(Engine::Sqlite),
        };
        let seconds = self
            .0
            .lock()
            .unwrap()
            .seconds
            .get(name(engine))
            .copied()
            .unwrap_or_default();
        let mut line = format!(
            "{}: {passed} scenarios passed, {failed} failed, in {seconds} s",
            name(engine)
        );
        if not_run > 0 {
            write!(line, "; {not_run} not run here, because they are about {other} alone").unwrap();
        }
        line
    }

    /// A page about all that was run, feature by feature.
    pub(crate) fn page(&self, engines: &[Engine]) -> String {
        let mut page = PAGE.to_owned();
        for engine in engines {
            writeln!(page, "<p>{}</p>", escape(&self.summary(*engine))).unwrap();
        }
        let mut last = String::new();
        for ((file, line), row) in &self.0.lock().unwrap().rows {
            if *file != last {
                if !last.is_empty() {
                    page.push_str("</table>\n");
                }
                last.clone_from(file);
                page.push_str(&head(file, &row.feature, engines));
            }
            let title = format!(
                "{} <small>{}:{line} {}</small>",
                escape(&row.scenario.name),
                file,
                tags(&row.scenario.tags)
            );
            write!(
                page,
                "<tr><td><details><summary>{title}</summary>{}</details></td>",
                steps(row)
            )
            .unwrap();
            for engine in engines {
                let (class, words) = match row.outcomes.get(name(*engine)) {
                    Some(Outcome::Passed) => ("passed", "passed".to_owned()),
                    Some(Outcome::Failed(why)) => ("failed", format!("failed<pre>{}</pre>", escape(why))),
                    Some(Outcome::Unheard) => ("failed", "failed: it did not come to its end".to_owned()),
                    Some(Outcome::NotRun) | None => ("not-run", "not run".to_owned()),
                };
                write!(page, "<td class=\"{class}\">{words}</td>").unwrap();
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</table>\n</html>\n");
        page
    }
}

const PAGE: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><title>dlc: features</title>
<style>
body { font: 16px/1.4 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; } td, th { border: 1px solid #bbb; padding: .3em .6em; text-align: left; vertical-align: top; }
td + td, th + th { width: 9em; } small { color: #666; } pre { white-space: pre-wrap; overflow-wrap: anywhere; max-width: 60em; }
.passed { background: #dff3df; } .failed { background: #f8d7d7; } .not-run { color: #666; }
</style>
<h1>Features</h1>
";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn tags(tags: &[String]) -> String {
    let tags: Vec<_> = tags.iter().map(|tag| format!("@{}", escape(tag))).collect();
    tags.join(" ")
}

fn head(file: &str, feature: &Feature, engines: &[Engine]) -> String {
    let columns: String = engines
        .iter()
        .map(|engine| format!("<th>{}</th>", name(*engine)))
        .collect();
    format!(
        "<h2>{} <small>{file} {}</small></h2>\n<p>{}</p>\n<table><tr><th>Scenario</th>{columns}</tr>\n",
        escape(&feature.name),
        tags(&feature.tags),
        escape(feature.description.as_deref().unwrap_or_default().trim()),
    )
}

fn steps(row: &Row) -> String {
    let background = row.feature.background.iter().flat_map(|background| &background.steps);
    let line = |step: &gherkin::Step| {
        let more = step
            .docstring()
            .map_or_else(String::new, |text| format!("<pre>{}</pre>", escape(text.trim())));
        format!("{} {}{more}<br>", escape(step.keyword.trim()), escape(&step.value))
    };
    background.chain(&row.scenario.steps).map(line).collect()
}

/// Hears what cucumber does on one engine.
pub(crate) struct Listener {
    pub(crate) engine: Engine,
    pub(crate) report: Report,
}

impl Listener {
    fn hear(&self, feature: &Feature, scenario: &Scenario, event: &event::Scenario<World>) {
        let failed = |what: &str, why: &str| Outcome::Failed(format!("{what}\n{why}"));
        let outcome = match event {
            event::Scenario::Step(step, is) | event::Scenario::Background(step, is) => match is {
                Step::Failed(_, _, _, why) => failed(&step.value, &why.to_string()),
                Step::Skipped => failed(&step.value, "nobody knows what this means"),
                Step::Started | Step::Passed(..) => return,
            },
            event::Scenario::Hook(_, Hook::Failed(_, why)) => {
                failed("before or after the scenario", &format!("{why:?}"))
            }
            event::Scenario::Finished => {
                let runs = self.report.0.lock().unwrap();
                let so_far = runs
                    .rows
                    .get(&place(feature, scenario))
                    .and_then(|row| row.outcomes.get(name(self.engine)));
                match so_far {
                    Some(Outcome::Unheard) => Outcome::Passed,
                    _ => return,
                }
            }
            _ => return,
        };
        self.report.note(self.engine, feature, scenario, outcome);
    }
}

impl Writer<World> for Listener {
    type Cli = cli::Empty;

    async fn handle_event(&mut self, event: parser::Result<Event<Cucumber<World>>>, _: &cli::Empty) {
        match event.as_deref() {
            Ok(Cucumber::Feature(feature, event::Feature::Scenario(scenario, event))) => {
                self.hear(feature, scenario, &event.event);
            }
            Ok(Cucumber::Feature(feature, event::Feature::Rule(_, event::Rule::Scenario(scenario, event)))) => {
                self.hear(feature, scenario, &event.event);
            }
            // What cannot be read fails the run by itself.
            _ => {}
        }
    }
}

impl NonTransforming for Listener {}
