//! WRP: do numbers run out?

use super::{Check, Judge, Question, text};
use crate::{
    operations::check::{Layer, Limits, Measured, Unit, Verdict},
    ports::inspection::{Engine, Row},
};

/// The sequences `q` of the current schema that this role may read, and where they stand; the columns that `use` them, as their
/// owners or by a default; and a line for the `hidden` ones that it may not read. `last` is NULL where the next value is the start.
macro_rules! sequences {
    () => {
        "WITH q AS (SELECT c.oid, c.relname, s.seqmax AS max, s.seqmin AS min, s.seqincrement AS increment, s.seqcycle AS cycle, \
                           coalesce(CAST(CAST((xpath('//l/text()', query_to_xml(format('SELECT CASE WHEN NOT is_called THEN last_value END AS l \
                               FROM %s', c.oid::regclass), false, true, '')))[1] AS text) AS bigint), s.seqstart) AS start, \
                           pg_sequence_last_value(c.oid) AS last \
                    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid \
                    WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
                      AND has_sequence_privilege(s.seqrelid, 'SELECT')), \
         use AS (SELECT objid AS seq, refobjid AS rel, refobjsubid AS att FROM pg_depend \
                 WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i') AND refobjsubid > 0 \
                 UNION SELECT d.refobjid, f.adrelid, f.adnum FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid \
                 WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass), \
         hidden AS (SELECT format('%s sequences are hidden: GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I;', count(*), \
                                  current_schema(), current_user) AS words \
                    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid \
                    WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
                      AND NOT has_sequence_privilege(s.seqrelid, 'SELECT') HAVING count(*) > 0) "
    };
}

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
        question: Question::postgres(concat!(
            sequences!(),
            "SELECT CAST(used AS text), words, (SELECT words FROM hidden) FROM (SELECT 100.0 * coalesce(q.last, 0) / nullif(CASE WHEN q.increment > 0 \
                        THEN least(q.max, CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 \
                                          ELSE 9223372036854775807 END) \
                        ELSE greatest(q.min, CASE a.atttypid WHEN 'int2'::regtype THEN -32768 WHEN 'int4'::regtype THEN -2147483648 \
                                             ELSE -9223372036854775808 END) END, 0) AS used, \
                    format('%s is at %s', coalesce(t.relname || '.' || a.attname, q.relname), coalesce(q.last, 0)) AS words \
             FROM q LEFT JOIN use u ON u.seq = q.oid LEFT JOIN pg_class t ON t.oid = u.rel \
             LEFT JOIN pg_attribute a ON a.attrelid = u.rel AND a.attnum = u.att \
             WHERE NOT q.cycle ORDER BY used DESC NULLS LAST LIMIT 1) x \
             UNION ALL SELECT NULL, NULL, words FROM hidden"
        )),
        judge: Judge::Quantity(Limits::new(Unit::Percent, 85.0, 95.0), |case| {
            let hidden = case.text(2);
            let nothing = if hidden.is_empty() { "no sequence" } else { hidden };
            let words = [case.text(1), hidden];
            let words = words.into_iter().filter(|words| !words.is_empty());
            Ok(Measured {
                value: case.number(0).ok_or(nothing)?,
                words: words.collect::<Vec<_>>().join("; "),
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
        question: Question::postgres(concat!(
            sequences!(),
            "SELECT format('%s is at %s, %s.%s at %s', q.relname, coalesce(q.last, q.start), t.relname, a.attname, m.furthest), \
                    format('SELECT setval(%L, %s);', q.oid::regclass::text, m.furthest) \
             FROM q JOIN use u ON u.seq = q.oid JOIN pg_class t ON t.oid = u.rel AND t.relkind IN ('r', 'p') \
             JOIN pg_attribute a ON a.attrelid = u.rel AND a.attnum = u.att AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) \
             CROSS JOIN LATERAL (SELECT CAST(CAST((xpath('//m/text()', query_to_xml(format('SELECT %s(%I) AS m FROM %s', \
                                     CASE WHEN q.increment > 0 THEN 'max' ELSE 'min' END, a.attname, t.oid::regclass), \
                                     false, true, '')))[1] AS text) AS bigint) AS furthest) m \
             CROSS JOIN LATERAL (SELECT CASE WHEN q.last IS NULL THEN q.start ELSE q.last + q.increment END AS next) n \
             WHERE has_column_privilege(t.oid, a.attnum, 'SELECT') AND NOT q.cycle \
               AND CASE WHEN q.increment > 0 THEN n.next <= m.furthest ELSE n.next >= m.furthest END \
             UNION ALL SELECT NULL, words FROM hidden ORDER BY 1"
        )),
        judge: Judge::Case(|case| {
            let (behind, hidden): (Vec<&Row>, Vec<&Row>) = case.rows.iter().partition(|row| !text(row, 0).is_empty());
            if behind.is_empty() {
                return match hidden.first() {
                    None => Verdict::ok("none"),
                    Some(row) => Verdict::skipped(text(row, 1)),
                };
            }
            let column = |index| behind.iter().map(|row| text(row, index)).collect::<Vec<_>>();
            Verdict::fail(column(0).join("; ")).hint(column(1).join(" "))
        }),
        ..Check::of(Layer::Health)
    },
];
