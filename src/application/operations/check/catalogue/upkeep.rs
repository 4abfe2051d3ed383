//! BLT, PRF, COL: is it looked after: vacuum, indexes, collations?

use super::{Check, Judge, Question, text};
use crate::{
    operations::check::{Layer, Limits, Measured, Unit, Verdict},
    ports::inspection::Engine,
};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "BLT001",
        title: "dead rows",
        cause: "Rows that nobody needs any more take up space, and every scan reads past them.",
        fix: "VACUUM the table; find out what kept autovacuum from it (LCK002). VACUUM FULL gives the space back, and locks.",
        engine: Some(Engine::Postgres),
        deep: true,
        question: Question::postgres(
            "SELECT CAST(max(b) AS text), (array_agg(format('%s: %s dead of %s rows', t, d, d + l) ORDER BY b DESC))[1], \
                    (array_agg(format('VACUUM (ANALYZE) %s;', t) ORDER BY b DESC))[1] \
             FROM (SELECT relid::regclass AS t, n_dead_tup AS d, n_live_tup AS l, \
                          pg_table_size(relid) * n_dead_tup / greatest(n_dead_tup + n_live_tup, 1) AS b \
                   FROM pg_stat_user_tables) x",
        ),
        judge: Judge::Quantity(Limits::new(Unit::Bytes, 1_073_741_824.0, 5_368_709_120.0), |case| {
            Ok(Measured {
                value: case.number(0).ok_or("no table")?,
                words: case.text(1).to_owned(),
                hint: Some(case.text(2).to_owned()),
                ..Measured::default()
            })
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "BLT002",
        title: "last vacuum and analyze",
        cause: "A table has changed much since it was last vacuumed or analyzed: the planner guesses, space is not reused.",
        fix: "Is autovacuum on? By hand: VACUUM (ANALYZE).",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT CAST(coalesce(max(extract(epoch FROM clock_timestamp() - seen)), 0) AS text), \
                coalesce((array_agg(format('%s, %s changes since', t, changes) ORDER BY seen))[1], 'no table has changed much'), \
                (array_agg(format('VACUUM (ANALYZE) %s;', t) ORDER BY seen))[1] \
         FROM (SELECT relid::regclass AS t, n_mod_since_analyze + n_dead_tup AS changes, \
                      coalesce(greatest(last_analyze, last_autoanalyze, last_vacuum, last_autovacuum), \
                               pg_postmaster_start_time()) AS seen \
               FROM pg_stat_user_tables WHERE n_mod_since_analyze + n_dead_tup > 1000 + n_live_tup / 5) x",
        ),
        judge: Judge::Quantity(Limits::new(Unit::Seconds, 86_400.0, 172_800.0), |case| {
            Ok(Measured {
                value: case.number(0).ok_or("no answer")?,
                words: case.text(1).to_owned(),
                hint: Some(case.text(2).to_owned()),
                ..Measured::default()
            })
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "PRF001",
        title: "cache hits",
        cause: "Many reads go past the server's cache to the operating system or the disk.",
        fix: "Raise shared_buffers (a quarter of the memory is usual), or find the statement that reads everything.",
        engine: Some(Engine::Postgres),
        deep: true,
        question: Question::postgres(
            "SELECT CAST(100.0 * blks_read / greatest(blks_hit + blks_read, 1) AS text), CAST(blks_hit + blks_read AS text) \
             FROM pg_stat_database WHERE datname = current_database()",
        ),
        judge: Judge::Quantity(Limits::warning(Unit::Percent, 1.5), |case| {
            // After a start everything is read once.
            if case.number(1).unwrap_or_default() < 100_000.0 {
                return Err("too few reads so far to tell".to_owned());
            }
            Ok(Measured {
                value: case.number(0).ok_or("no answer")?,
                words: "of the reads miss the cache".to_owned(),
                hint: Some("look at shared_buffers".to_owned()),
                ..Measured::default()
            })
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "PRF002",
        title: "indexes",
        cause: "A foreign key has no index, so each delete of the row that it refers to reads the whole table; or an index is \
                 there twice, or was never used, and costs every write.",
        fix: "Add or drop the index in a migration.",
        engine: Some(Engine::Postgres),
        deep: true,
        question: Question::postgres(
            "SELECT format('foreign key %s on %s has no index', quote_ident(k.conname), k.conrelid::regclass) \
             FROM pg_constraint k WHERE k.contype = 'f' \
               AND k.connamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
               AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL \
                               AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey) \
               AND (SELECT reltuples FROM pg_class WHERE oid = k.conrelid) > 1000 \
             UNION ALL \
             SELECT format('indexes %s are the same', string_agg(i.indexrelid::regclass::text, ' and ' ORDER BY i.indexrelid)) \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
             WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
             GROUP BY i.indrelid, i.indkey::text, i.indoption::text, i.indclass::text, i.indcollation::text, coalesce(i.indexprs::text, ''), \
                      coalesce(i.indpred::text, '') HAVING count(*) > 1 \
             UNION ALL \
             SELECT format('index %s was never used', s.indexrelid::regclass) FROM pg_stat_user_indexes s \
             JOIN pg_index i USING (indexrelid) WHERE s.idx_scan = 0 AND NOT i.indisunique \
               AND pg_relation_size(s.indexrelid) > 104857600 \
             ORDER BY 1",
        ),
        judge: Judge::Case(|case| {
            let found: Vec<&str> = case.rows.iter().map(|row| text(row, 0)).collect();
            if found.is_empty() {
                Verdict::ok("nothing to see")
            } else {
                Verdict::warn(found.join("; "))
                    .hint("add or drop it in a migration; dlc migrate plan tells what that costs")
            }
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "COL001",
        title: "collation version",
        cause: "The operating system's sorting rules have changed since the database was made: indexes on text may be wrong.",
        fix: "REINDEX DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION.",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT coalesce(datcollversion, ''), coalesce(pg_database_collation_actual_version(oid), ''), quote_ident(datname) \
         FROM pg_database WHERE datname = current_database()",
        ),
        judge: Judge::Case(|case| {
            let (recorded, actual, name) = (case.text(0), case.text(1), case.text(2));
            if recorded.is_empty() || recorded == actual {
                Verdict::ok(if recorded.is_empty() {
                    "without a version"
                } else {
                    recorded
                })
            } else {
                Verdict::warn(format!("{recorded} when the database was made, {actual} now")).hint(format!(
                    "REINDEX DATABASE CONCURRENTLY {name}; ALTER DATABASE {name} REFRESH COLLATION VERSION;"
                ))
            }
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "COL002",
        title: "encoding and time zone",
        cause: "The database cannot hold every character, or shows times in a zone that nobody expects.",
        fix: "The encoding is chosen when a database is made: dump it, create it with ENCODING 'UTF8', restore.",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            // Each session of dlc's asks for UTC, so its own setting says nothing about other people's.
            "SELECT current_setting('server_encoding'), \
                coalesce((SELECT split_part(c, '=', 2) FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) c \
                          WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                            AND s.setrole = 0 AND c ILIKE 'timezone=%'), ''), quote_ident(current_database())",
        ),
        judge: Judge::Case(|case| {
            let (encoding, zone) = (case.text(0), case.text(1));
            let words = if zone.is_empty() {
                format!("{encoding}; no time zone of its own")
            } else {
                format!("{encoding}, {zone}")
            };
            if encoding != "UTF8" {
                Verdict::fail(words).hint("dump it, make a database with ENCODING 'UTF8' TEMPLATE template0, restore")
            } else if ["", "UTC", "Etc/UTC", "GMT"].contains(&zone) {
                Verdict::ok(words)
            } else {
                Verdict::warn(words).hint(format!("ALTER DATABASE {} SET TimeZone = 'UTC';", case.text(2)))
            }
        }),
        ..Check::of(Layer::Health)
    },
];
