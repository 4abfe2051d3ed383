//! WRP: do numbers run out?

use super::{Check, FailureClass, Judge, Layer, Limits, Measured, Question, Unit, Verdict, text};
use crate::ports::inspection::Engine;

const fn check(
    id: &'static str,
    title: &'static str,
    [cause, fix]: [&'static str; 2],
    question: &'static str,
    judge: Judge,
) -> Check {
    Check {
        id,
        title,
        layer: Layer::Health,
        class: FailureClass::Failed,
        engine: Some(Engine::Postgres),
        deep: false,
        own: false,
        cause,
        fix,
        question: Question::postgres(question),
        judge,
    }
}

pub(super) const CHECKS: &[Check] = &[
    check(
        "WRP001",
        "age of the oldest transaction id",
        [
            "Transaction ids run out at 2.1 thousand million; the server stops taking writes before that.",
            "Find what keeps vacuum from freezing: long or prepared transactions, inactive replication slots. Then VACUUM FREEZE.",
        ],
        "SELECT CAST(age(datfrozenxid) AS text) FROM pg_database WHERE datname = current_database()",
        Judge::Quantity(
            Limits {
                unit: Unit::Count,
                warn: Some(1.3e9),
                fail: Some(1.4e9),
            },
            |answer| {
                Ok(Measured {
                    value: answer.number(0).ok_or("no answer")?,
                    words: String::new(),
                    hint: Some("look at LCK002, LCK003 and REP001, then: VACUUM (FREEZE, VERBOSE);".to_owned()),
                })
            },
        ),
    ),
    check(
        "WRP002",
        "sequences and integer keys",
        [
            "A sequence comes near the end of its column's type (an integer ends at 2,147,483,647); then inserts fail.",
            "Widen the column in a migration, expand first: a new bigint column, filled, then swapped.",
        ],
        "SELECT CAST(used AS text), words FROM (SELECT 100.0 * coalesce(s.last_value, 0) / least(s.max_value, CASE a.atttypid WHEN 'int2'::regtype THEN 32767 \
                    WHEN 'int4'::regtype THEN 2147483647 ELSE 9223372036854775807 END) AS used, \
                format('%s.%s is at %s', t.relname, a.attname, coalesce(s.last_value, 0)) AS words \
         FROM pg_sequences s JOIN pg_class c ON c.relname = s.sequencename AND c.relnamespace = s.schemaname::regnamespace \
         JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') \
         JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid \
         WHERE s.schemaname = current_schema() ORDER BY used DESC LIMIT 1) x",
        Judge::Quantity(
            Limits {
                unit: Unit::Percent,
                warn: Some(85.0),
                fail: Some(95.0),
            },
            |answer| {
                Ok(Measured {
                    value: answer.number(0).ok_or("no sequence")?,
                    words: answer.text(1).to_owned(),
                    hint: Some(
                        "widen the column to bigint in a migration; dlc migrate plan tells what that costs".to_owned(),
                    ),
                })
            },
        ),
    ),
    check(
        "WRP003",
        "sequences behind their columns",
        [
            "Rows were inserted with numbers of their own, and the sequence does not know: the next insert fails as a duplicate.",
            "Set the sequence past the largest number.",
        ],
        "SELECT format('%s is at %s, %s.%s at %s', s.sequencename, coalesce(s.last_value, 0), t.relname, a.attname, m.largest), \
                format('SELECT setval(%L, %s);', c.oid::regclass::text, m.largest) \
         FROM pg_sequences s JOIN pg_class c ON c.relname = s.sequencename AND c.relnamespace = s.schemaname::regnamespace \
         JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') \
         JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid, \
         LATERAL (SELECT CAST(CAST((xpath('//m/text()', query_to_xml(format('SELECT max(%I) AS m FROM %I.%I', a.attname, \
                      s.schemaname, t.relname), false, true, '')))[1] AS text) AS bigint) AS largest) m \
         WHERE s.schemaname = current_schema() AND has_table_privilege(t.oid, 'SELECT') \
           AND m.largest > coalesce(s.last_value, 0) ORDER BY 1",
        Judge::Answer(|answer| {
            if answer.rows.is_empty() {
                return Verdict::ok("none");
            }
            let column = |index| answer.rows.iter().map(|row| text(row, index)).collect::<Vec<_>>();
            Verdict::fail(column(0).join("; ")).hint(column(1).join(" "))
        }),
    ),
];
