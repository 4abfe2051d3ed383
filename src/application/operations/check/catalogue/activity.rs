//! LCK: is somebody in somebody's way?

use super::{Case, Check, Judge, Question, number, text};
use crate::{
    operations::check::{FailureClass, Layer, Limits, Measured, Purpose, Unit, Verdict},
    ports::inspection::Engine,
};

/// Why nothing was seen, where that says nothing: PostgreSQL hides what sessions of other roles do.
fn hidden(case: &Case<'_>) -> Option<String> {
    let server = case.facts.server.as_ref()?.value.as_ref().ok()?;
    (server.hidden_sessions > 0).then(|| {
        format!(
            "{} sessions of other roles are hidden: GRANT pg_read_all_stats TO {};",
            server.hidden_sessions, server.role
        )
    })
}

/// The first row is the worst: seconds, words, a line that ends it.
fn worst(case: &Case<'_>) -> Result<Measured, String> {
    let Some(row) = case.rows.first() else {
        if let Some(why) = hidden(case) {
            return Err(why);
        }
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
            "SELECT CAST(extract(epoch FROM clock_timestamp() - w.since) AS text), \
                    format('pid %s (%s) waits for %s', a.pid, coalesce(nullif(a.application_name, ''), a.backend_type, 'hidden'), \
                        CASE WHEN h.pid = 0 THEN 'a prepared transaction' \
                             ELSE format('pid %s (%s, %s)', h.pid, coalesce(nullif(b.application_name, ''), b.backend_type, 'hidden'), \
                                         coalesce(b.state, 'hidden')) END), \
                    CASE WHEN h.pid = 0 THEN 'SELECT gid FROM pg_prepared_xacts; then ROLLBACK PREPARED that one' \
                         ELSE format('SELECT pg_terminate_backend(%s);', h.pid) END \
             FROM (SELECT pid, min(waitstart) AS since FROM pg_locks WHERE NOT granted GROUP BY pid) w \
             JOIN pg_stat_activity a USING (pid) \
             CROSS JOIN LATERAL (SELECT u.pid FROM unnest(pg_blocking_pids(a.pid)) u (pid) \
                                 ORDER BY cardinality(pg_blocking_pids(u.pid)), u.pid LIMIT 1) h \
             LEFT JOIN pg_stat_activity b ON b.pid = h.pid \
             WHERE a.datname = current_database() ORDER BY w.since LIMIT 1",
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
                c.relname::text, CAST(bool_or(l.mode <> 'AccessShareLock') AS text) \
         FROM pg_stat_activity a JOIN pg_locks l USING (pid) JOIN pg_class c ON c.oid = l.relation \
         WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND l.granted AND l.locktype = 'relation' \
           AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND c.relkind IN ('r', 'p') \
           AND (a.application_name IN ('pg_dump', 'pg_dumpall') OR a.query ILIKE 'copy %') \
         GROUP BY a.pid, a.application_name, c.relname ORDER BY a.pid, c.relname",
        ),
        class: FailureClass::Locked,
        preflight: true,
        judge: Judge::Case(|case| {
            let users = |wanted: &dyn Fn(&str, bool) -> bool| {
                let of = case
                    .rows
                    .iter()
                    .filter(|row| wanted(text(row, 1), text(row, 2) == "true"));
                of.map(|row| format!("{} uses {}", text(row, 0), text(row, 1)))
                    .collect::<Vec<_>>()
            };
            let pending = &case.facts.pending_sql;
            let in_the_way = users(&|table, writes| pending.iter().any(|sql| collides(sql, table, writes)));
            if in_the_way.is_empty() {
                if let Some(why) = hidden(case) {
                    return Verdict::skipped(why);
                }
                let others = users(&|_, _| true);
                return Verdict::ok(if others.is_empty() {
                    "none".to_owned()
                } else {
                    format!("{}; nothing that is pending needs it", others.join("; "))
                });
            }
            let words = format!("{}, and a pending migration needs it", in_the_way.join("; "));
            let verdict = match case.options.purpose {
                Purpose::Looking => Verdict::warn(words),
                Purpose::Migrating => Verdict::fail(words),
            };
            verdict.hint("wait until it is done, then: dlc migrate up")
        }),
        ..Check::of(Layer::Health)
    },
];

/// Whether a statement of a migration and a dump or a copy would wait for each other at a table. Whoever only reads is in
/// the way of nothing but the strongest lock, which no `CREATE …` takes.
fn collides(sql: &str, table: &str, writes: bool) -> bool {
    let sql = sql.to_ascii_lowercase();
    let named = sql
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
        .any(|word| word == table.to_ascii_lowercase());
    named && (writes || !sql.trim_start().starts_with("create"))
}

#[cfg(test)]
mod tests {
    use super::collides;

    #[test]
    fn a_dump_is_in_the_way_of_what_changes_its_table_and_a_copy_into_it_of_more() {
        for (sql, table, writes, expected) in [
            ("ALTER TABLE claims ADD note text", "claims", false, true),
            ("ALTER TABLE \"claims\" ADD note text", "claims", false, true),
            ("ALTER TABLE claims_old ADD note text", "claims", false, false),
            ("CREATE INDEX i ON claims (id)", "claims", false, false),
            ("CREATE INDEX i ON claims (id)", "claims", true, true),
            ("CREATE TABLE notes (id integer)", "claims", true, false),
            ("DROP TABLE Claims", "claims", false, true),
        ] {
            assert_eq!(collides(sql, table, writes), expected, "{sql} {table} {writes}");
        }
    }
}
