//! WRP: do numbers run out?

use super::{Check, Judge, Question, text};
use crate::{
    operations::check::{Layer, Limits, Measured, Unit, Verdict},
    ports::inspection::Engine,
};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "WRP001",
        title: "age of the oldest transaction id",
        cause: "Transaction ids run out at 2.1 thousand million; the server stops taking writes before that.",
        fix: "Find what keeps vacuum from freezing: long or prepared transactions, inactive replication slots. Then VACUUM FREEZE.",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT CAST(age(datfrozenxid) AS text) FROM pg_database WHERE datname = current_database()",
        ),
        judge: Judge::Quantity(Limits::new(Unit::Count, 1.3e9, 1.4e9), |case| {
            Ok(Measured {
                value: case.number(0).ok_or("no answer")?,
                hint: Some("look at LCK002, LCK003 and REP001, then: VACUUM (FREEZE, VERBOSE);".to_owned()),
                ..Measured::default()
            })
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "WRP002",
        title: "sequences and integer keys",
        cause: "A sequence comes near the end of its column's type (an integer ends at 2,147,483,647); then inserts fail.",
        fix: "Widen the column in a migration, expand first: a new bigint column, filled, then swapped.",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT CAST(used AS text), words FROM (SELECT 100.0 * coalesce(s.last_value, 0) / least(s.max_value, CASE a.atttypid WHEN 'int2'::regtype THEN 32767 \
                    WHEN 'int4'::regtype THEN 2147483647 ELSE 9223372036854775807 END) AS used, \
                format('%s.%s is at %s', t.relname, a.attname, coalesce(s.last_value, 0)) AS words \
         FROM pg_sequences s JOIN pg_class c ON c.relname = s.sequencename AND c.relnamespace = s.schemaname::regnamespace \
         JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') \
         JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid \
         WHERE s.schemaname = current_schema() ORDER BY used DESC LIMIT 1) x",
        ),
        judge: Judge::Quantity(Limits::new(Unit::Percent, 85.0, 95.0), |case| {
            Ok(Measured {
                value: case.number(0).ok_or("no sequence")?,
                words: case.text(1).to_owned(),
                hint: Some(
                    "widen the column to bigint in a migration; dlc migrate plan tells what that costs".to_owned(),
                ),
                ..Measured::default()
            })
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "WRP003",
        title: "sequences behind their columns",
        cause: "Rows were inserted with numbers of their own, and the sequence does not know: the next insert fails as a duplicate.",
        fix: "Set the sequence past the largest number.",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT format('%s is at %s, %s.%s at %s', s.sequencename, coalesce(s.last_value, 0), t.relname, a.attname, m.largest), \
                format('SELECT setval(%L, %s);', c.oid::regclass::text, m.largest) \
         FROM pg_sequences s JOIN pg_class c ON c.relname = s.sequencename AND c.relnamespace = s.schemaname::regnamespace \
         JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') \
         JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid, \
         LATERAL (SELECT CAST(CAST((xpath('//m/text()', query_to_xml(format('SELECT max(%I) AS m FROM %I.%I', a.attname, \
                      s.schemaname, t.relname), false, true, '')))[1] AS text) AS bigint) AS largest) m \
         WHERE s.schemaname = current_schema() AND has_table_privilege(t.oid, 'SELECT') \
           AND m.largest > coalesce(s.last_value, 0) ORDER BY 1",
        ),
        judge: Judge::Case(|case| {
            if case.rows.is_empty() {
                return Verdict::ok("none");
            }
            let column = |index| case.rows.iter().map(|row| text(row, index)).collect::<Vec<_>>();
            Verdict::fail(column(0).join("; ")).hint(column(1).join(" "))
        }),
        ..Check::of(Layer::Health)
    },
];
