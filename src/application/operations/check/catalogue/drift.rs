//! DRF: is the live schema the one that the last run left, and the one that the code needs?

use super::{Check, Judge, Question, columns::with_needed_columns, text};
use crate::{
    operations::check::{Layer, Verdict},
    ports::inspection::Engine,
};

/// The columns that are needed, less those that `$exists` finds.
macro_rules! missing_columns {
    ($exists:literal) => {
        concat!(
            with_needed_columns!(),
            "SELECT CAST(t || '.' || c AS text) FROM need WHERE NOT EXISTS (",
            $exists,
            ") ORDER BY 1"
        )
    };
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "DRF001",
        title: "schema since the last run",
        cause: "Somebody has changed the schema since the last migration, past dlc.",
        fix: "dlc migrate verify names every object. Put the change into a migration or take it back; then dlc migrate repair.",
        judge: Judge::Case(|case| {
            let Some(drift) = &case.facts.drift else {
                return Verdict::skipped("not looked at");
            };
            match &drift.value {
                Err(why) => Verdict::skipped(format!("could not be asked: {why}")),
                Ok(None) => Verdict::skipped("no schema was recorded"),
                Ok(Some(changes)) if changes.is_empty() => Verdict::ok("as recorded"),
                Ok(Some(changes)) => {
                    let words: Vec<String> = changes.iter().map(ToString::to_string).collect();
                    let words = format!("{} changed: {}", changes.len(), words.join("; "));
                    let verdict = if case.options.strict {
                        Verdict::fail(words)
                    } else {
                        Verdict::warn(words)
                    };
                    verdict.hint("dlc migrate verify")
                }
            }
            .took(drift.took)
        }),
        ..Check::of(Layer::Drift)
    },
    Check {
        id: "DRF002",
        title: "tables and columns in use",
        cause: "A table or column is gone that the service's statements name: they fail.",
        fix: "dlc migrate status tells whether migrations are pending; dlc migrate verify, what was changed by hand.",
        own: true,
        question: Question::both(
            missing_columns!(
                "SELECT 1 FROM pg_attribute a WHERE a.attrelid = to_regclass(t) AND a.attname = c \
                 AND a.attnum > 0 AND NOT a.attisdropped"
            ),
            missing_columns!("SELECT 1 FROM pragma_table_info(t) WHERE name = c"),
        ),
        judge: Judge::Case(|case| {
            let missing: Vec<&str> = case.rows.iter().map(|row| text(row, 0)).collect();
            if missing.is_empty() {
                Verdict::ok("all there")
            } else if case.facts.history.as_ref().is_some_and(|history| {
                history
                    .value
                    .as_ref()
                    .is_ok_and(|history| history.pending().next().is_some())
            }) {
                Verdict::skipped(format!(
                    "migrations are pending; missing so far: {}",
                    missing.join(", ")
                ))
            } else {
                Verdict::fail(format!("missing: {}", missing.join(", "))).hint("dlc migrate verify")
            }
        }),
        ..Check::of(Layer::Drift)
    },
    Check {
        id: "DRF003",
        title: "invalid indexes and constraints",
        cause: "An index was left invalid by a concurrent build that was cut short: it costs writes and serves no read. Or a \
                 constraint was added NOT VALID and old rows were never checked.",
        fix: "Rebuild the index, validate the constraint; neither keeps writers waiting.",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT format('index %s is invalid', i.indexrelid::regclass), \
                    CASE WHEN c.relkind = 'I' THEN format('ALTER INDEX %s ATTACH PARTITION (one for each partition);', i.indexrelid::regclass) \
                         WHEN c.relname ~ '_cc(new|old)[0-9]*$' THEN format('DROP INDEX CONCURRENTLY %s;', i.indexrelid::regclass) \
                         ELSE format('REINDEX INDEX CONCURRENTLY %s;', i.indexrelid::regclass) END \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
             WHERE NOT i.indisvalid AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
             UNION ALL \
             SELECT format('constraint %s of %s is not validated', quote_ident(k.conname), k.conrelid::regclass), \
                    format('ALTER TABLE %s VALIDATE CONSTRAINT %s;', k.conrelid::regclass, quote_ident(k.conname)) \
             FROM pg_constraint k WHERE NOT k.convalidated AND k.conrelid <> 0 AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) \
               AND k.connamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
             ORDER BY 1",
        ),
        judge: Judge::Case(|case| {
            if case.rows.is_empty() {
                return Verdict::ok("none");
            }
            let column = |index| case.rows.iter().map(|row| text(row, index)).collect::<Vec<_>>();
            Verdict::warn(column(0).join("; ")).hint(column(1).join(" "))
        }),
        ..Check::of(Layer::Drift)
    },
];
