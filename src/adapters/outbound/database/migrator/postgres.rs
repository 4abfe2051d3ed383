//! A run on PostgreSQL: a lock on one connection, each migration in one transaction on another.
//!
//! The lock is a transaction's advisory lock that is *polled*. A blocking one deadlocks, or hangs for ever, beside
//! `CREATE INDEX CONCURRENTLY`; a session's lock is orphaned behind a pooler. A killed holder frees it at once, but its
//! other connection may still be finishing a statement, so each migration's transaction takes a second lock as a fence.

use std::time::{Duration, Instant};

use dlc_application::{
    operations::migrate::History,
    ports::migrations::{MigrateError, MigrationEvent, MigrationStep},
};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, Statement, TransactionTrait};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::{Run, history};
use crate::{connection::DatabaseOptions, error};

/// "dlc_migr" in ASCII. Advisory locks are per database, so one number serves all.
const LOCK: i64 = 0x646c_635f_6d69_6772;
/// The fence inside each migration's transaction.
const FENCE: i64 = LOCK + 1;
/// A table's lock is waited for no longer than this: an `ALTER` that queues blocks every reader behind it.
const TABLE_LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '5s'";
/// The same for a look at the history.
const HISTORY_LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a waiting process says so.
const REPORT_EVERY: Duration = Duration::from_secs(2);

pub(super) async fn history(options: &DatabaseOptions) -> Result<History, MigrateError> {
    // Looking must not hang behind whoever has locked the history table.
    let options = DatabaseOptions {
        lock_timeout: Some(HISTORY_LOCK_TIMEOUT),
        ..options.clone()
    };
    // The probe says why it cannot connect; a pool would only say that it timed out.
    drop(options.postgres_session().await?.close().await);
    let connection = options.postgres_single().await?;
    let history = history::read(&connection).await.map_err(|e| error::migrate(&e, None));
    close(connection).await;
    history
}

pub(super) async fn run(options: &DatabaseOptions, run: &Run<'_>) -> Result<Vec<MigrationStep>, MigrateError> {
    let mut lock = Lock::acquire(options, run).await?;
    let connection = options.postgres_single().await?;
    let result = run_locked(&connection, &mut lock, run).await;
    close(connection).await;
    lock.release().await;
    result
}

async fn run_locked(
    connection: &DatabaseConnection,
    lock: &mut Lock,
    run: &Run<'_>,
) -> Result<Vec<MigrationStep>, MigrateError> {
    let outside = |e: DbErr| error::migrate(&e, None);
    let history = history::read(connection).await.map_err(outside)?;
    let plan = run.plan(&history)?;
    if plan.is_empty() {
        return Ok(Vec::new());
    }
    if !history.is_recorded() {
        history::install(connection).await.map_err(outside)?;
    }
    let mut steps = Vec::with_capacity(plan.len());
    for (index, migration) in plan.iter().enumerate() {
        run.started(migration, index + 1, plan.len());
        let started = Instant::now();
        let inside = |e: DbErr| error::migrate(&e, Some(migration.name));
        let transaction = connection.begin().await.map_err(inside)?;
        transaction
            .execute_unprepared(TABLE_LOCK_TIMEOUT)
            .await
            .map_err(inside)?;
        fence(&transaction, run).await?;
        run.step(&transaction, migration).await?;
        // Whoever lost the lock must not commit: another process may have begun already.
        lock.assert_held().await?;
        transaction.commit().await.map_err(inside)?;
        let step = MigrationStep {
            name: migration.name.to_owned(),
            took: started.elapsed(),
        };
        run.finished(&step);
        steps.push(step);
    }
    Ok(steps)
}

async fn close(connection: DatabaseConnection) {
    // The server notices a connection that ends without a goodbye just as well.
    drop(connection.close().await);
}

/// Waits until no migration of a former holder is still being finished by the server.
async fn fence(transaction: &DatabaseTransaction, run: &Run<'_>) -> Result<(), MigrateError> {
    let started = Instant::now();
    loop {
        let sql = format!("SELECT pg_try_advisory_xact_lock({FENCE})");
        let row = transaction
            .query_one_raw(Statement::from_string(transaction.get_database_backend(), sql))
            .await
            .map_err(|e| error::migrate(&e, None))?;
        let free = row
            .and_then(|row| row.try_get_by_index::<bool>(0).ok())
            .unwrap_or(false);
        if free {
            return Ok(());
        }
        if started.elapsed() >= run.lock_timeout {
            let holder = "the last statement of a run that was killed".to_owned();
            return Err(MigrateError::Locked {
                holder,
                waited: started.elapsed(),
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The migration lock: held as long as its transaction is open.
struct Lock(PgConnection);

impl Lock {
    async fn acquire(options: &DatabaseOptions, run: &Run<'_>) -> Result<Self, MigrateError> {
        let mut connection = options.postgres_session().await?;
        let failed = |e: sqlx::Error| error::migrate_sqlx(&e, None);
        connection.execute("BEGIN").await.map_err(failed)?;
        connection
            .execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            .await
            .map_err(failed)?;
        let started = Instant::now();
        let mut pause = Duration::from_millis(100);
        let mut reported: Option<Instant> = None;
        loop {
            let row = sqlx::query("SELECT pg_try_advisory_xact_lock($1)")
                .bind(LOCK)
                .fetch_one(&mut connection)
                .await
                .map_err(failed)?;
            if row.get::<bool, _>(0) {
                return Ok(Self(connection));
            }
            let waited = started.elapsed();
            let late = waited >= run.lock_timeout;
            if late || reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
                let holder = lock_holder(&mut connection)
                    .await
                    .map_err(failed)?
                    .unwrap_or_else(|| "a process that has just finished".to_owned());
                if late {
                    return Err(MigrateError::Locked { holder, waited });
                }
                run.observer.observe(&MigrationEvent::Waiting { holder, waited });
                reported = Some(Instant::now());
            }
            tokio::time::sleep(pause.min(run.lock_timeout.saturating_sub(waited))).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn assert_held(&mut self) -> Result<(), MigrateError> {
        self.0
            .execute("SELECT 1")
            .await
            .map_err(|e| error::migrate_sqlx(&e, None))
            .map(|_| ())
    }

    async fn release(mut self) {
        // Closing the connection would free the lock as well; the rollback only does it at once.
        drop(self.0.execute("ROLLBACK").await);
        drop(self.0.close().await);
    }
}

/// Who holds the migration lock, in words; `None` when it is free.
pub(crate) async fn lock_holder(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let sql = format!(
        "SELECT format('%s (pid %s, from %s, for %s s)', \
                coalesce(nullif(a.application_name, ''), 'an unnamed application'), a.pid, \
                coalesce(host(a.client_addr), 'this machine'), \
                extract(epoch FROM clock_timestamp() - a.xact_start)::bigint) \
         FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
           AND l.classid = {} AND l.objid = {}",
        LOCK >> 32,
        LOCK & 0xffff_ffff
    );
    Ok(connection
        .fetch_optional(AssertSqlSafe(sql))
        .await?
        .map(|row| row.get(0)))
}
