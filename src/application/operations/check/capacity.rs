//! CAP, DSK: is there room: connections, time, space?

use super::{Check, FailureClass, Judge, Layer, Limits, Measured, Question, Unit, Verdict};
use crate::ports::inspection::{Engine, Facts, ServerFacts};

const fn check(id: &'static str, title: &'static str, [cause, fix]: [&'static str; 2], judge: Judge) -> Check {
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
        question: Question::NONE,
        judge,
    }
}

const fn limits(unit: Unit, warn: f64, fail: f64) -> Limits {
    Limits {
        unit,
        warn: Some(warn),
        fail: Some(fail),
    }
}

fn session(facts: &Facts) -> Result<&ServerFacts, String> {
    match facts.server.as_ref().map(|server| &server.value) {
        Some(Ok(session)) => Ok(session),
        _ => Err("no session".to_owned()),
    }
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        question: Question::postgres(
            "SELECT CAST(count(*) AS text), CAST(current_setting('max_connections')::int \
                    - current_setting('superuser_reserved_connections')::int AS text), \
                    coalesce((SELECT format('%s has %s', coalesce(nullif(application_name, ''), 'an unnamed application'), count(*)) \
                     FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY application_name \
                     ORDER BY count(*) DESC LIMIT 1), '') \
             FROM pg_stat_activity WHERE backend_type = 'client backend'",
        ),
        ..check(
            "CAP001",
            "connections in use",
            [
                "Nearly all connections of the server are taken; soon nobody gets one, not even to look.",
                "Find who has them (pg_stat_activity), lower the pools, or put PgBouncer in front.",
            ],
            Judge::Quantity(limits(Unit::Percent, 90.0, 95.0), |answer| {
                let (Some(used), Some(available)) = (answer.number(0), answer.number(1)) else {
                    return Err("no answer".to_owned());
                };
                Ok(Measured {
                    value: 100.0 * used / available.max(1.0),
                    words: format!("{used} of {available}"),
                    hint: Some(format!(
                        "{}; lower database.max_open_conns or raise max_connections",
                        answer.text(2)
                    )),
                })
            }),
        )
    },
    Check {
        question: Question::postgres(
            "SELECT CAST(current_setting('max_connections')::int \
                    - current_setting('superuser_reserved_connections')::int AS text)",
        ),
        ..check(
            "CAP002",
            "pools fit the server",
            [
                "All instances together, twice over during a rolling update, may want more connections than the server has.",
                "Lower database.max_open_conns, raise max_connections, or put PgBouncer in front (database.pooler: pgbouncer).",
            ],
            Judge::Answer(|answer| {
                let config = &answer.facts.config;
                let Some(available) = answer.number(0) else {
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
        )
    },
    check(
        "CAP003",
        "time to connect",
        [
            "A new connection takes long: a slow way, a slow login (LDAP, a name server), or a server that is out of breath.",
            "Try psql from this host; look at the server's load; a pooler near the service keeps connections open.",
        ],
        Judge::Quantity(
            Limits {
                unit: Unit::Seconds,
                warn: Some(1.0),
                fail: None,
            },
            |answer| {
                session(answer.facts)?;
                let took = answer.facts.server.as_ref().map(|server| server.took.as_secs_f64());
                Ok(Measured {
                    value: took.unwrap_or_default(),
                    ..Measured::default()
                })
            },
        ),
    ),
    check(
        "CAP004",
        "round trip",
        [
            "Every statement costs at least this much time: the server is far away, or busy.",
            "Run the service next to its database.",
        ],
        Judge::Quantity(limits(Unit::Seconds, 0.05, 0.5), |answer| {
            Ok(Measured {
                value: session(answer.facts)?.round_trip.as_secs_f64(),
                ..Measured::default()
            })
        }),
    ),
    Check {
        engine: Some(Engine::Sqlite),
        ..check(
            "DSK001",
            "space on the file system",
            [
                "The file system is nearly full; SQLite then fails every write.",
                "Make room; dlc db check DSK002 tells which tables are the largest.",
            ],
            Judge::Quantity(limits(Unit::Percent, 90.0, 95.0), |answer| {
                let space = answer.facts.sqlite.as_ref().and_then(|file| file.space);
                let Some((free, all)) = space else {
                    return Err("not looked at".to_owned());
                };
                #[allow(clippy::cast_precision_loss)] // bytes of a disk, for a percentage
                let (free, all) = (free as f64, all.max(1) as f64);
                Ok(Measured {
                    value: 100.0 * (all - free) / all,
                    words: format!("{} free", Unit::Bytes.show(free)),
                    hint: Some("make room on the file system of the database".to_owned()),
                })
            }),
        )
    },
    Check {
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
        },
        ..check(
            "DSK002",
            "size of the database",
            [
                "Nothing by itself: how large the database is, and its five largest tables.",
                "Nothing to mend.",
            ],
            Judge::Quantity(
                Limits {
                    unit: Unit::Bytes,
                    warn: None,
                    fail: None,
                },
                |answer| {
                    let value = answer.number(0).ok_or_else(|| "no answer".to_owned())?;
                    Ok(Measured {
                        value,
                        words: answer.text(1).to_owned(),
                        hint: None,
                    })
                },
            ),
        )
    },
];
