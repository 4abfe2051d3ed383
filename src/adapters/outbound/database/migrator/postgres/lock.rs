//! The migration lock on PostgreSQL: a transaction's advisory lock that is *polled*.
//!
//! A blocking one deadlocks, or hangs for ever, beside `CREATE INDEX CONCURRENTLY`; a session's lock is orphaned behind a
//! pooler. A killed holder frees it at once, but its other connection may still be finishing a statement, so each migration
//! takes a second lock as a fence.

use std::time::Duration;

use dlc_application::ports::migrations::{Holder, MigrateError};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};

use super::{
    super::{Run, Wait, history},
    BEGIN, limits,
};
use crate::{error, session::Session};

/// "dlc_migr" in ASCII. Advisory locks are per database, so one number serves all.
const LOCK: i64 = 0x646c_635f_6d69_6772;
/// The fence around each migration's statements.
pub(super) const FENCE: i64 = LOCK + 1;
/// The longest pause between two tries.
const POLL: Duration = Duration::from_millis(500);

/// Held as long as its transaction is open.
pub(super) struct Lock {
    session: Session,
    /// The server process that holds it.
    pub(super) backend: String,
}

impl Lock {
    pub(super) async fn acquire(run: &Run<'_>) -> Result<Self, MigrateError> {
        let options = &run.migrator.options;
        let mut session = Session::Postgres(options.postgres_session().await?);
        let failed = |e: sqlx::Error| error::migrate(&e, None);
        session
            .execute(&format!("{BEGIN}; {}", limits("SET LOCAL", Duration::from_secs(5))))
            .await
            .map_err(failed)?;
        let mut wait = Wait::new(run.migrator.settings.lock_timeout, run.observer);
        let mut pause = Duration::from_millis(100);
        let sql = format!("SELECT CAST(pg_try_advisory_xact_lock({LOCK}) AS text), CAST(pg_backend_pid() AS text)");
        loop {
            let row = session.rows(&sql, &[]).await.map_err(failed)?.into_iter().next();
            let mut row = row.unwrap_or_default().into_iter();
            if row.next().flatten().as_deref() == Some("true") {
                let backend = row.next().flatten().unwrap_or_default();
                return Ok(Self { session, backend });
            }
            if wait.wants_holder() {
                let signed = history::exists(&mut session, history::OWN_TABLES[2])
                    .await
                    .map_err(failed)?;
                let holder = holder(&mut session, signed).await.map_err(failed)?;
                wait.report(holder.unwrap_or_else(|| Holder::unknown("a process that has just finished")))?;
            }
            wait.pause(pause).await;
            pause = (pause * 2).min(POLL);
        }
    }

    /// An error when the lock is lost with its connection.
    pub(super) async fn assert_held(&mut self) -> Result<(), MigrateError> {
        self.session
            .execute("SELECT 1")
            .await
            .map_err(|e| error::migrate(&e, None))
    }

    pub(super) async fn release(mut self) {
        // Closing the connection would free the lock as well; the rollback only does it at once.
        drop(self.session.execute("ROLLBACK").await);
        self.session.close().await;
    }
}

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
pub(in super::super) async fn holder(session: &mut Session, signed: bool) -> Result<Option<Holder>, sqlx::Error> {
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
