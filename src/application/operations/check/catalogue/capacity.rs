//! CAP, DSK: is there room: connections, time, space?

use super::{Check, Judge, Question};
use crate::{
    operations::check::{Layer, Limits, Measured, Unit, Verdict},
    ports::inspection::{Engine, Facts, ServerFacts},
};

fn session(facts: &Facts) -> Result<&ServerFacts, String> {
    match facts.server.as_ref().map(|server| &server.value) {
        Some(Ok(session)) => Ok(session),
        _ => Err("no session".to_owned()),
    }
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "CAP001",
        title: "connections in use",
        cause: "Nearly all connections of the server are taken; soon nobody gets one, not even to look.",
        fix: "Find who has them (pg_stat_activity), lower the pools, or put PgBouncer in front.",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT CAST(CASE WHEN bool_or(query = '<insufficient privilege>') \
                              THEN (SELECT sum(numbackends) FROM pg_stat_database) \
                              ELSE count(*) FILTER (WHERE backend_type = 'client backend') END AS text), \
                    CAST(current_setting('max_connections')::int \
                    - current_setting('superuser_reserved_connections')::int \
                    - coalesce(current_setting('reserved_connections', true), '0')::int AS text), \
                    coalesce((SELECT format('%s has %s', coalesce(nullif(application_name, ''), 'an unnamed application'), count(*)) \
                     FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY application_name \
                     ORDER BY count(*) DESC LIMIT 1), '') \
             FROM pg_stat_activity",
        ),
        judge: Judge::Quantity(Limits::new(Unit::Percent, 90.0, 95.0), |case| {
            let (Some(used), Some(available)) = (case.number(0), case.number(1)) else {
                return Err("no answer".to_owned());
            };
            Ok(Measured {
                value: 100.0 * used / available.max(1.0),
                words: format!("{used} of {available}"),
                hint: Some(format!(
                    "{}; lower database.max_open_conns or raise max_connections",
                    case.text(2)
                )),
                ..Measured::default()
            })
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "CAP002",
        title: "pools fit the server",
        cause: "All instances together, twice over during a rolling update, may want more connections than the server has.",
        fix: "Lower database.max_open_conns, raise max_connections, or put PgBouncer in front (database.pooler: pgbouncer).",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT CAST(current_setting('max_connections')::int \
                    - current_setting('superuser_reserved_connections')::int \
                    - coalesce(current_setting('reserved_connections', true), '0')::int AS text)",
        ),
        judge: Judge::Case(|case| {
            let config = &case.facts.config;
            let Some(available) = case.number(0) else {
                return Verdict::skipped("no answer");
            };
            if config.pooler {
                return Verdict::skipped("a pooler shares the server's connections out");
            }
            let instances = f64::from(config.instances.max(1));
            // Twice: during a rolling update old and new instances run side by side.
            let wanted = f64::from(config.pool_size) * instances * 2.0;
            let largest = (available / (instances * 2.0)).floor();
            let words = format!(
                "{} per instance × {} × 2 = {wanted} of {available}",
                config.pool_size, config.instances
            );
            let verdict = if wanted > available {
                Verdict::fail(words).hint(format!("largest safe pool: DLC_DATABASE__MAX_OPEN_CONNS={largest}"))
            } else {
                Verdict::ok(words)
            };
            verdict.threshold(format!("{available}"))
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "CAP003",
        title: "time to connect",
        cause: "A new connection takes long: a slow way, a slow login (LDAP, a name server), or a server that is out of breath.",
        fix: "Try psql from this host; look at the server's load; a pooler near the service keeps connections open.",
        engine: Some(Engine::Postgres),
        judge: Judge::Quantity(Limits::warning(Unit::Seconds, 1.0), |case| {
            session(case.facts)?;
            let took = case.facts.server.as_ref().map(|server| server.took.as_secs_f64());
            Ok(Measured {
                value: took.unwrap_or_default(),
                ..Measured::default()
            })
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "CAP004",
        title: "round trip",
        cause: "Every statement costs at least this much time: the server is far away, or busy.",
        fix: "Run the service next to its database.",
        engine: Some(Engine::Postgres),
        judge: Judge::Quantity(Limits::new(Unit::Seconds, 0.05, 0.5), |case| {
            Ok(Measured {
                value: session(case.facts)?.round_trip.as_secs_f64(),
                ..Measured::default()
            })
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "DSK001",
        title: "space on the file system",
        cause: "The file system is nearly full; SQLite then fails every write.",
        fix: "Make room; dlc db check --deep --only DSK002 tells which tables are the largest.",
        engine: Some(Engine::Sqlite),
        judge: Judge::Quantity(Limits::new(Unit::Percent, 90.0, 95.0), |case| {
            let space = case.facts.sqlite.as_ref().and_then(|file| file.space);
            let Some((free, all)) = space else {
                return Err("not looked at".to_owned());
            };
            #[allow(clippy::cast_precision_loss)] // bytes of a disk, for a percentage
            let (free, all) = (free as f64, all.max(1) as f64);
            Ok(Measured {
                value: 100.0 * (all - free) / all,
                words: format!("{} free", Unit::Bytes.show(free)),
                hint: Some("make room on the file system of the database".to_owned()),
                ..Measured::default()
            })
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "DSK002",
        title: "size of the database",
        cause: "Nothing by itself: how large the database is, and its five largest tables.",
        fix: "Nothing to mend.",
        engine: None,
        question: Question {
            postgres: Some(
                "SELECT CAST(pg_database_size(current_database()) AS text), coalesce((SELECT string_agg(t, ', ') FROM \
                 (SELECT format('%s %s', c.oid::regclass, pg_size_pretty(pg_total_relation_size(c.oid))) AS t FROM pg_class c \
                  WHERE c.relkind IN ('r', 'm') AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) \
                  ORDER BY pg_total_relation_size(c.oid) DESC LIMIT 5) l), '')",
            ),
            sqlite: Some(
                "SELECT CAST((SELECT page_count FROM pragma_page_count()) * (SELECT page_size FROM pragma_page_size()) AS text), \
                 ''",
            ),
            // Reads every page.
            sqlite_deep: Some(
                "SELECT CAST((SELECT page_count FROM pragma_page_count()) * (SELECT page_size FROM pragma_page_size()) AS text), \
                 (SELECT group_concat(name || ' ' || (pgsize / 1024) || ' kB', ', ') FROM \
                  (SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE ORDER BY pgsize DESC LIMIT 5))",
            ),
        },
        judge: Judge::Quantity(Limits::none(Unit::Bytes), |case| {
            let value = case.number(0).ok_or_else(|| "no answer".to_owned())?;
            Ok(Measured {
                value,
                words: case.text(1).to_owned(),
                ..Measured::default()
            })
        }),
        ..Check::of(Layer::Health)
    },
];
