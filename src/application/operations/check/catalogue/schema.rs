//! SCH: where are the tables looked for, and are there any?

use super::{Check, Judge, Question};
use crate::{
    operations::check::{Layer, Verdict},
    ports::inspection::{Engine, Timed},
};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "SCH001",
        title: "search path",
        cause: "No schema of the search path exists, so a table can be neither found nor made.",
        fix: "Create the schema, or set the search path: ALTER ROLE … IN DATABASE … SET search_path = …",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT current_schema(), current_setting('search_path'), quote_ident(current_database())",
        ),
        preflight: true,
        judge: Judge::Case(|case| {
            let (schema, path) = (case.text(0), case.text(1));
            if schema.is_empty() {
                Verdict::fail(format!("no schema of the search path exists: {path}")).hint(format!(
                    "create one of them, or: ALTER DATABASE {} SET search_path = public;",
                    case.text(2)
                ))
            } else {
                Verdict::ok(format!("{schema} (search path {path})"))
            }
        }),
        ..Check::of(Layer::Schema)
    },
    Check {
        id: "SCH002",
        title: "history of migrations",
        cause: "The database has no history of migrations: it was never migrated, or it is another one than you think.",
        fix: "dlc migrate up makes the tables. If there should be data: is this the right database (dlc config show)?",
        question: Question::both(
            "SELECT CAST(count(*) AS text) FROM pg_class WHERE relkind IN ('r', 'p') \
             AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())",
            "SELECT CAST(count(*) AS text) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        ),
        judge: Judge::Case(|case| match &case.facts.history {
            None => Verdict::skipped("not looked at"),
            Some(Timed { value: Err(why), took }) => Verdict::fail(why)
                .hint("is it locked, or may this role not read it? dlc db check --only LCK001")
                .took(*took),
            Some(Timed {
                value: Ok(history),
                took,
            }) if history.is_recorded() => Verdict::ok(format!("{} applied", history.applied().count())).took(*took),
            Some(_) => match case.number(0) {
                Some(tables) if tables > 0.0 => Verdict::skipped(format!(
                    "{tables} tables and no history of dlc's: somebody else's database"
                )),
                _ => Verdict::warn("never migrated").hint("dlc migrate up"),
            },
        }),
        ..Check::of(Layer::Schema)
    },
];
