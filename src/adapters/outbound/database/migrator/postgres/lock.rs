//! The migration lock on PostgreSQL: a transaction's advisory lock that is *polled*.
//!
//! A blocking one deadlocks, or hangs for ever, beside `CREATE INDEX CONCURRENTLY`; a session's lock is orphaned behind a
//! pooler. A killed holder frees it at once, but its other connection may still be finishing a statement, so each migration
//! takes a second lock as a fence.

use std::time::Duration;

use dlc_application::ports::migrations::{Holder, MigrateError};

use super::{
    super::{Run, Wait},
    BEGIN, limits,
};
use crate::{
    error,
    schema::{
        history,
        holder::{LOCK, holder},
    },
    session::Session,
};

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
        let begin = format!("{BEGIN}; {}", limits("SET LOCAL", Duration::from_secs(5)));
        let mut wait = Wait::new(run.migrator.settings.lock_timeout, run.observer);
        let mut pause = Duration::from_millis(100);
        let sql = format!("SELECT CAST(pg_try_advisory_xact_lock({LOCK}) AS text), CAST(pg_backend_pid() AS text)");
        // A transaction for each try: `CREATE INDEX CONCURRENTLY` that comes upon one in the middle of a statement waits until
        // that transaction ends, and the holder would wait for whoever waits for it.
        loop {
            session.execute(&begin).await.map_err(failed)?;
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
            session.execute("ROLLBACK").await.map_err(failed)?;
            wait.pause(pause).await;
            pause = (pause * 2).min(POLL);
        }
    }

    /// An error when the lock is lost with its connection. Asked in a way that takes no snapshot: a concurrent build of this
    /// very run that came upon one would wait for this transaction.
    pub(super) async fn assert_held(&mut self) -> Result<(), MigrateError> {
        self.session
            .execute("SHOW transaction_isolation")
            .await
            .map_err(|e| error::migrate(&e, None))
    }

    pub(super) async fn release(mut self) {
        // Closing the connection would free the lock as well; the rollback only does it at once.
        drop(self.session.execute("ROLLBACK").await);
        self.session.close().await;
    }
}
