//! SCH: where are the tables looked for, and are there any?

use super::{Check, FailureClass, Judge, Layer, Question, Verdict};
use crate::ports::inspection::{Engine, Timed};

const fn check(id: &'static str, title: &'static str, [cause, fix]: [&'static str; 2], judge: Judge) -> Check {
    Check {
        id,
        title,
        layer: Layer::Schema,
        class: FailureClass::Failed,
        engine: None,
        deep: false,
        own: false,
        cause,
        fix,
        question: Question::NONE,
        judge,
    }
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        engine: Some(Engine::Postgres),
        question: Question::postgres("SELECT current_schema(), current_setting('search_path'), current_database()"),
        ..check(
            "SCH001",
            "search path",
            [
                "No schema of the search path exists, so a table can be neither found nor made.",
                "Create the schema, or set the search path: ALTER ROLE … IN DATABASE … SET search_path = …",
            ],
            Judge::Answer(|answer| {
                let (schema, path) = (answer.text(0), answer.text(1));
                if schema.is_empty() {
                    Verdict::fail(format!("no schema of the search path exists: {path}"))
                        .hint(format!("ALTER DATABASE {} SET search_path = public", answer.text(2)))
                } else {
                    Verdict::ok(format!("{schema} (search path {path})"))
                }
            }),
        )
    },
    check(
        "SCH002",
        "history of migrations",
        [
            "The database has no history of migrations: it was never migrated, or it is another one than you think.",
            "dlc migrate up makes the tables. If there should be data: is this the right database (dlc config show)?",
        ],
        Judge::Facts(|facts| match &facts.history {
            None => Verdict::skipped("not looked at"),
            Some(Timed { value: Err(why), took }) => Verdict::fail(why).took(*took),
            Some(Timed {
                value: Ok(history),
                took,
            }) if history.is_recorded() => Verdict::ok(format!("{} applied", history.applied().count())).took(*took),
            Some(_) => Verdict::warn("never migrated").hint("dlc migrate up"),
        }),
    ),
];
