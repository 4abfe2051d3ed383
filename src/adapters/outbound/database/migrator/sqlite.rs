//! A run on SQLite: the whole of it in one `BEGIN IMMEDIATE`, so that it is done altogether or not at all, and the writer
//! lock itself keeps other processes out.

use std::time::{Duration, Instant};

use dlc_application::{
    operations::{check::sqlite::APPLICATION_ID, migrate::History},
    ports::{
        connection::{ConnectError, ConnectFailure},
        migrations::{MigrateError, MigrationEvent, MigrationStep},
    },
};
use migration::MIGRATIONS;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbErr, SqliteTransactionMode, SqlxSqliteConnector, TransactionOptions,
    TransactionTrait,
};

use super::{Direction, Run, history};
use crate::{
    connection::{DatabaseOptions, read_only_options},
    error,
};

/// How long SQLite itself waits for the writer lock before this runner looks at the clock again.
const POLL: Duration = Duration::from_millis(200);
/// How often a waiting process says so.
const REPORT_EVERY: Duration = Duration::from_secs(2);

pub(super) async fn history(options: &DatabaseOptions) -> Result<History, MigrateError> {
    let path = options.sqlite_path()?;
    if !path.exists() {
        let known: Vec<&str> = MIGRATIONS.iter().map(|migration| migration.name).collect();
        return Ok(History::compare(&known, None));
    }
    let pool = options.sqlite_pool(read_only_options(path), 1).await?;
    let history = history::read(&SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone())).await;
    pool.close().await;
    history.map_err(|e| error::migrate(&e, None))
}

pub(super) async fn run(options: &DatabaseOptions, run: &Run<'_>) -> Result<Vec<MigrationStep>, MigrateError> {
    if run.direction == Direction::Down && !options.sqlite_path()?.exists() {
        return Ok(Vec::new());
    }
    let mut wait = Wait::new(run);
    let pool = loop {
        // Turning the write-ahead log on needs the lock too, so the very opening can find it taken.
        match options.sqlite_writer(POLL).await {
            Ok(pool) => break pool,
            Err(ConnectError {
                failure: ConnectFailure::TimedOut,
                ..
            }) => wait.pause().await?,
            Err(e) => return Err(e.into()),
        }
    };
    let connection = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone());
    let immediate = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let transaction = loop {
        match connection.begin_with_options(immediate).await {
            Ok(transaction) => break transaction,
            Err(e) if error::is_busy(&e) => wait.pause().await?,
            Err(e) => return Err(error::migrate(&e, None)),
        }
    };
    let result = run_locked(transaction, run).await;
    pool.close().await;
    result
}

async fn run_locked(transaction: DatabaseTransaction, run: &Run<'_>) -> Result<Vec<MigrationStep>, MigrateError> {
    let outside = |e: DbErr| error::migrate(&e, None);
    let history = history::read(&transaction).await.map_err(outside)?;
    let plan = run.plan(&history)?;
    if plan.is_empty() {
        transaction.rollback().await.map_err(outside)?;
        return Ok(Vec::new());
    }
    if !history.is_recorded() {
        history::install(&transaction).await.map_err(outside)?;
        let sql = format!("PRAGMA application_id = {APPLICATION_ID}");
        transaction.execute_unprepared(&sql).await.map_err(outside)?;
    }
    let mut steps = Vec::with_capacity(plan.len());
    for (index, migration) in plan.iter().enumerate() {
        run.started(migration, index + 1, plan.len());
        let started = Instant::now();
        run.step(&transaction, migration).await?;
        steps.push(MigrationStep {
            name: migration.name.to_owned(),
            took: started.elapsed(),
        });
    }
    transaction.commit().await.map_err(outside)?;
    // Only now are they done: before the commit any of them could still have been undone.
    for step in &steps {
        run.finished(step);
    }
    Ok(steps)
}

/// Waiting for another process's transaction, up to the run's limit.
struct Wait<'a> {
    run: &'a Run<'a>,
    started: Instant,
    reported: Option<Instant>,
}

impl<'a> Wait<'a> {
    fn new(run: &'a Run<'a>) -> Self {
        Self {
            run,
            started: Instant::now(),
            reported: None,
        }
    }

    async fn pause(&mut self) -> Result<(), MigrateError> {
        let waited = self.started.elapsed();
        let holder = "another process that writes to the file".to_owned();
        if waited >= self.run.lock_timeout {
            return Err(MigrateError::Locked { holder, waited });
        }
        if self.reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            self.run.observer.observe(&MigrationEvent::Waiting { holder, waited });
            self.reported = Some(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(())
    }
}
