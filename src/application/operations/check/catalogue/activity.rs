//! LCK: is somebody in somebody's way?

use super::{Case, Check, Judge, Question, number, text};
use crate::{
    operations::check::{Layer, Limits, Measured, Unit, Verdict},
    ports::inspection::Engine,
};

/// The first row is the worst: seconds, words, a line that ends it.
fn worst(case: &Case<'_>) -> Result<Measured, String> {
    let Some(row) = case.rows.first() else {
        return Ok(Measured {
            words: "none".to_owned(),
            ..Measured::default()
        });
    };
    Ok(Measured {
        value: number(row, 0).unwrap_or_default(),
        words: text(row, 1).to_owned(),
        hint: Some(text(row, 2).to_owned()),
        ..Measured::default()
    })
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "LCK001",
        title: "blocked sessions",
        cause: "A session waits for a lock that another one holds, and everybody who needs the same queues behind it.",
        fix: "Find out what the holder does; end it if nobody misses it: SELECT pg_terminate_backend(pid).",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT CAST(extract(epoch FROM clock_timestamp() - min(l.waitstart)) AS text), \
                format('pid %s (%s) waits for %s', a.pid, coalesce(nullif(a.application_name, ''), a.backend_type), \
                    (SELECT string_agg(format('pid %s (%s, %s)', b.pid, coalesce(nullif(b.application_name, ''), b.backend_type), b.state), ', ') \
                     FROM pg_stat_activity b WHERE b.pid = ANY (pg_blocking_pids(a.pid)))), \
                format('SELECT pg_terminate_backend(%s);', (pg_blocking_pids(a.pid))[1]) \
         FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
         WHERE NOT l.granted AND a.datname = current_database() GROUP BY a.pid, a.application_name, a.backend_type \
         ORDER BY min(l.waitstart) LIMIT 1",
        ),
        judge: Judge::Quantity(Limits::new(Unit::Seconds, 60.0, 120.0), worst),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "LCK002",
        title: "long transactions",
        cause: "A transaction has been open for long: its locks stay, and vacuum can clear nothing away that is newer.",
        fix: "Find out what it does; idle_in_transaction_session_timeout ends forgotten ones.",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT CAST(extract(epoch FROM clock_timestamp() - xact_start) AS text), \
                format('pid %s (%s), %s', pid, coalesce(nullif(application_name, ''), 'an unnamed application'), state), \
                format('SELECT pg_terminate_backend(%s);', pid) \
         FROM pg_stat_activity WHERE datname = current_database() AND application_name <> current_setting('application_name') \
           AND backend_type = 'client backend' AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 1",
        ),
        judge: Judge::Quantity(Limits::new(Unit::Seconds, 60.0, 300.0), worst),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "LCK003",
        title: "prepared transactions",
        cause: "A transaction was prepared for a two-phase commit and never finished: it holds its locks across restarts.",
        fix: "Finish it: COMMIT PREPARED or ROLLBACK PREPARED.",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT CAST(extract(epoch FROM clock_timestamp() - prepared) AS text), format('%L of %s', gid, owner), \
                format('ROLLBACK PREPARED %L;', gid) FROM pg_prepared_xacts WHERE database = current_database() \
         ORDER BY prepared LIMIT 1",
        ),
        judge: Judge::Quantity(Limits::new(Unit::Seconds, 1.0, 30.0), worst),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "LCK004",
        title: "dumps and copies in the way of a migration",
        cause: "A dump or a COPY reads tables while migrations are pending: they would wait for it, and everybody behind them.",
        fix: "Wait until it is done, then migrate.",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT format('pid %s (%s)', a.pid, coalesce(nullif(a.application_name, ''), 'an unnamed application')), \
                string_agg(DISTINCT c.relname::text, ', ') \
         FROM pg_stat_activity a JOIN pg_locks l USING (pid) JOIN pg_class c ON c.oid = l.relation \
         WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND l.granted AND l.locktype = 'relation' \
           AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND c.relkind IN ('r', 'p') \
           AND (a.application_name IN ('pg_dump', 'pg_dumpall') OR a.query ILIKE 'copy %') \
         GROUP BY a.pid, a.application_name ORDER BY a.pid",
        ),
        judge: Judge::Case(|case| {
            let busy: Vec<String> = case
                .rows
                .iter()
                .map(|row| format!("{} reads {}", text(row, 0), text(row, 1)))
                .collect();
            let pending = case.facts.history.as_ref().is_some_and(|history| {
                history
                    .value
                    .as_ref()
                    .is_ok_and(|history| history.pending().next().is_some())
            });
            match (busy.is_empty(), pending) {
                (true, _) => Verdict::ok("none"),
                (false, false) => Verdict::ok(format!("{}; nothing is pending", busy.join("; "))),
                (false, true) => Verdict::fail(format!("{}, and migrations are pending", busy.join("; ")))
                    .hint("wait until it is done, then: dlc migrate up"),
            }
        }),
        ..Check::of(Layer::Health)
    },
];
