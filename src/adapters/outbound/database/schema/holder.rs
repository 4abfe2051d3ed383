//! Who migrates just now on PostgreSQL: asked of the server, and of the table in which holders of the lock sign.

use std::time::Duration;

use dlc_application::ports::migrations::Holder;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};

use super::history;
use crate::session::Session;

/// "dlc_migr" in ASCII. Advisory locks are per database, so one number serves all.
pub(crate) const LOCK: i64 = 0x646c_635f_6d69_6772;

/// Which server process holds the lock.
fn held_sql() -> String {
    format!(
        "SELECT CAST(pid AS text) FROM pg_lock_status() WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid = {} AND objid = {}",
        LOCK >> 32,
        LOCK & 0xffff_ffff
    )
}

/// Who holds the migration lock; `None` when it is free. `signed`: whether the table is there in which a holder signs.
pub(crate) async fn holder(session: &mut Session, signed: bool) -> Result<Option<Holder>, sqlx::Error> {
    // Nearly always it is free, and this is the cheapest way to find that out.
    let held = held_sql();
    let Some(pid) = session.text(&held, &[]).await? else {
        return Ok(None);
    };
    let [_, _, table, _] = history::OWN_TABLES;
    let (columns, join) = if signed {
        (
            "h.who, CAST(extract(epoch FROM clock_timestamp() - coalesce(h.since, a.xact_start))::bigint AS text), \
             CAST(h.step AS text), CAST(h.steps AS text), h.migration, \
             CAST(extract(epoch FROM clock_timestamp() - h.heartbeat)::bigint AS text)",
            format!("LEFT JOIN {table} h ON h.backend_pid = a.pid"),
        )
    } else {
        (
            "NULL, CAST(extract(epoch FROM clock_timestamp() - a.xact_start)::bigint AS text), NULL, NULL, NULL, NULL",
            String::new(),
        )
    };
    let sql = format!(
        "SELECT format('%s (pid %s, from %s)', coalesce(nullif(a.application_name, ''), 'an unnamed application'), \
                a.pid, coalesce(host(a.client_addr), 'this machine')), {columns} \
         FROM pg_stat_activity a {join} WHERE a.pid = CAST($1 AS integer)"
    );
    let Some(row) = session.rows(&sql, &[&pid]).await?.into_iter().next() else {
        return Ok(None);
    };
    let mut columns = row.into_iter();
    let mut next = || columns.next().flatten();
    let seconds = |text: Option<String>| text.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let seen = next().unwrap_or_default();
    let noted = next();
    let held = seconds(next());
    let (step, steps, migration) = (next(), next(), next());
    Ok(Some(Holder {
        who: noted.unwrap_or(seen),
        held,
        step: match (
            step.and_then(|n| n.parse().ok()),
            steps.and_then(|n| n.parse().ok()),
            migration,
        ) {
            (Some(step), Some(steps), Some(migration)) => Some((step, steps, migration)),
            _ => None,
        },
        silent: seconds(next()),
    }))
}

/// The same in words, as somebody asks who has a plain connection.
pub(crate) async fn holder_in_words(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let held = connection.fetch_optional(AssertSqlSafe(held_sql())).await?;
    let Some(pid) = held.map(|row| row.get::<String, _>(0)) else {
        return Ok(None);
    };
    let sql = "SELECT format('%s (pid %s)', coalesce(nullif(application_name, ''), 'an unnamed application'), pid) \
               FROM pg_stat_activity WHERE pid = CAST($1 AS integer)";
    let who = sqlx::query(sql).bind(pid).fetch_optional(connection).await?;
    Ok(who.map(|row| row.get(0)))
}
