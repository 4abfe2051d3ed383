//! Every check that there is, family by family. A new one goes into its family's file, and nowhere else.

mod activity;
mod backup;
mod business;
mod capacity;
mod columns;
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

use super::{
    layer::Layer,
    limits::{Limits, Measured},
    options::Options,
    verdict::{FailureClass, Status, Verdict},
};
use crate::ports::inspection::{Engine, Facts, Row, Unanswered};

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

/// The answer to a question; `None`: it was not asked.
type Answer<'a> = Option<Result<&'a [Row], &'a Unanswered>>;

/// How a check comes to its verdict.
#[derive(Clone, Copy)]
enum Judge {
    /// From anything that was found out.
    Case(fn(&Case<'_>) -> Verdict),
    /// From the answer to its question, a refused one too.
    Answer(fn(&Case<'_>, Answer<'_>) -> Verdict),
    /// From a quantity, held against limits. An error is a reason to skip it.
    Quantity(Limits, fn(&Case<'_>) -> Result<Measured, String>),
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
    /// The engine it is about; `None`: both. On the other engine it is no part of the round, unless it is asked for by its id:
    /// then it is skipped.
    pub engine: Option<Engine>,
    /// It takes too long for every round, and is made only when that is asked for.
    pub deep: bool,
    /// It is made before a migration, too: what it finds would stop that, or somebody else.
    pub preflight: bool,
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
    /// To SQLite, where the round is a deep one; `None`: the same.
    pub sqlite_deep: Option<&'static str>,
}

impl Question {
    const NONE: Self = Self {
        postgres: None,
        sqlite: None,
        sqlite_deep: None,
    };

    const fn postgres(sql: &'static str) -> Self {
        Self {
            postgres: Some(sql),
            ..Self::NONE
        }
    }

    const fn sqlite(sql: &'static str) -> Self {
        Self {
            sqlite: Some(sql),
            ..Self::NONE
        }
    }

    const fn both(postgres: &'static str, sqlite: &'static str) -> Self {
        Self {
            postgres: Some(postgres),
            sqlite: Some(sqlite),
            ..Self::NONE
        }
    }

    /// The question to one engine.
    #[must_use]
    pub fn to(&self, engine: Engine, deep: bool) -> Option<&'static str> {
        match engine {
            Engine::Postgres => self.postgres,
            Engine::Sqlite if deep => self.sqlite_deep.or(self.sqlite),
            Engine::Sqlite => self.sqlite,
        }
    }
}

/// What a check has to judge.
struct Case<'a> {
    /// The answer to its own question.
    rows: &'a [Row],
    /// Everything else that was found out.
    facts: &'a Facts,
    /// How strict to be.
    options: &'a Options,
}

impl Case<'_> {
    /// A column of the answer's first row as text; empty when there is none.
    fn text(&self, column: usize) -> &str {
        self.rows.first().map_or("", |row| text(row, column))
    }

    /// A column of the answer's first row as a number.
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

    /// A check of a layer, with what nearly all checks of that layer have in common.
    const fn of(layer: Layer) -> Self {
        let (engine, class) = match layer {
            Layer::Configuration => (None, FailureClass::Configuration),
            Layer::Network | Layer::Server => (Some(Engine::Postgres), FailureClass::Unreachable),
            Layer::File => (Some(Engine::Sqlite), FailureClass::Unreachable),
            Layer::Privileges => (Some(Engine::Postgres), FailureClass::Permission),
            Layer::Schema | Layer::Migrations | Layer::Drift => (None, FailureClass::Failed),
            Layer::Health => (Some(Engine::Postgres), FailureClass::Failed),
        };
        Self {
            id: "",
            title: "",
            layer,
            class,
            engine,
            deep: false,
            preflight: false,
            own: false,
            cause: "",
            fix: "",
            question: Question::NONE,
            judge: Judge::Case(|_| Verdict::skipped("nobody judges it")),
        }
    }

    pub(super) fn verdict(&self, facts: &Facts, options: &Options) -> Verdict {
        if self.own && !facts.is_dlcs() {
            let is_unread = matches!(&facts.history, Some(history) if history.value.is_err());
            return Verdict::skipped(if is_unread {
                "the history of migrations cannot be read (SCH002)"
            } else {
                "the database was never migrated by dlc"
            });
        }
        let found = facts.answers.get(self.id);
        let took = found.map(|found| found.took);
        let answer = found.map(|found| found.value.as_deref());
        let case = Case {
            rows: answer.and_then(Result::ok).unwrap_or_default(),
            facts,
            options,
        };
        let is_asked = facts
            .engine()
            .is_some_and(|engine| self.question.to(engine, false).is_some());
        let verdict = match (self.judge, answer) {
            (Judge::Answer(judge), answer) => judge(&case, answer),
            (_, Some(Err(why))) => Verdict::unmade(format!("could not be asked: {}", why.words)),
            (_, None) if is_asked => Verdict::skipped(why_not_asked(facts)),
            (Judge::Case(judge), _) => judge(&case),
            (Judge::Quantity(limits, measure), _) => {
                let limits = options.limits.get(self.id).copied().unwrap_or(limits);
                match measure(&case) {
                    Err(why) => Verdict::skipped(why),
                    Ok(measured) => held_against(limits, measured),
                }
            }
        };
        match took {
            Some(took) => verdict.took(took),
            None => verdict,
        }
    }
}

fn why_not_asked(facts: &Facts) -> &'static str {
    match &facts.sqlite {
        Some(file) if file.left_log => "a killed process left its log; see SQL001",
        Some(file) if file.size.is_none() => "the file does not exist yet",
        Some(_) => "the file cannot be read",
        None => "not asked",
    }
}

fn judged(limits: Limits, value: f64) -> Status {
    if limits.fail.is_some_and(|fail| value >= fail) {
        Status::Fail
    } else if limits.warn.is_some_and(|warn| value >= warn) {
        Status::Warn
    } else {
        Status::Ok
    }
}

fn held_against(limits: Limits, measured: Measured) -> Verdict {
    let words = if measured.words.is_empty() {
        limits.unit.show(measured.value)
    } else if measured.value == 0.0 {
        // "0.0 ms: none" says it twice.
        measured.words
    } else {
        format!("{}: {}", limits.unit.show(measured.value), measured.words)
    };
    let status = judged(limits, measured.value);
    let status = if measured.suspect {
        status.max(Status::Warn)
    } else {
        status
    };
    let mut verdict = Verdict::new(status, words);
    verdict.threshold = limits.show();
    verdict.value = Some((measured.value, limits.unit));
    if status != Status::Ok {
        verdict.hint = measured.hint;
    }
    verdict
}
