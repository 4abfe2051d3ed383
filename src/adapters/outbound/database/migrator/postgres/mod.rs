//! A run on PostgreSQL: a lock on one connection, the migrations on another, a third that watches.
//!
//! Each migration is one transaction, history included. One that cannot run in a transaction goes statement by statement
//! on a direct connection, and its history row says how far it came.

mod lock;
mod watch;

use std::time::{Duration, Instant};

use dlc_application::ports::migrations::{Holder, MigrateError, MigrationEvent, MigrationStep};

use self::{lock::Lock, watch::Watch};
use super::{Run, Wait, history, work::Work};
use crate::{
    connection::{DatabaseOptions, Pooler},
    error,
    session::Session,
};

pub(crate) use lock::holder;

/// The first pause after a table was not to be had; it doubles.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How often the fence is tried.
const FENCE_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn run(run: &Run<'_>) -> Result<Vec<MigrationStep>, MigrateError> {
    let options = &run.migrator.options;
    let mut session = connect(options).await?;
    // Most runs have nothing to do, and find that out on one connection and without a lock.
    let plan = run.plan(&mut session).await?;
    if plan.is_empty() {
        session.close().await;
        return Ok(Vec::new());
    }
    let mut lock = Lock::acquire(run).await?;
    let result = run_locked(&mut session, &mut lock, run).await;
    session.close().await;
    lock.release().await;
    result
}

/// A connection for migrations. A pooler that cannot carry them is found out here and not in the middle of a run.
async fn connect(options: &DatabaseOptions) -> Result<Session, MigrateError> {
    let mut session = Session::Postgres(options.postgres_session().await?);
    if options.pooler == Pooler::PgBouncer {
        let mut second = Session::Postgres(options.postgres_session().await?);
        // The same prepared statement by two clients that are lent the same server connection in turn.
        for client in [&mut session, &mut second] {
            for _ in 0..2 {
                client
                    .rows("SELECT $1", &["prepared"])
                    .await
                    .map_err(|e| error::migrate(&e, None))?;
            }
        }
        second.close().await;
    }
    Ok(session)
}

/// Holds the lock for something that is no run of migrations.
pub(super) async fn with_lock<T>(
    run: &Run<'_>,
    task: impl AsyncFnOnce(&mut Session) -> Result<T, MigrateError>,
) -> Result<T, MigrateError> {
    let mut session = connect(&run.migrator.options).await?;
    let lock = Lock::acquire(run).await?;
    let result = async {
        let failed = |e: sqlx::Error| error::migrate(&e, None);
        session.execute("BEGIN").await.map_err(failed)?;
        let result = task(&mut session).await?;
        session.execute("COMMIT").await.map_err(failed)?;
        Ok(result)
    }
    .await;
    session.close().await;
    lock.release().await;
    result
}

async fn run_locked(session: &mut Session, lock: &mut Lock, run: &Run<'_>) -> Result<Vec<MigrationStep>, MigrateError> {
    // Only now is the plan final: whoever held the lock may have done it all.
    let plan = run.plan(session).await?;
    if plan.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(work) = plan.iter().find(|work| !work.transaction)
        && !is_direct(session, &run.migrator.options).await?
    {
        return Err(MigrateError::NeedsDirectConnection(work.name.clone()));
    }
    history::install(session).await.map_err(|e| error::migrate(&e, None))?;
    let watch = Watch::start(run.migrator, lock.backend.clone()).await?;
    let mut steps = Vec::with_capacity(plan.len());
    let result = async {
        for (index, work) in plan.iter().enumerate() {
            run.started(work, index + 1, plan.len());
            watch.step(index + 1, plan.len(), &work.name);
            let mut runner = Runner {
                session,
                lock,
                run,
                watch: &watch,
                work,
            };
            let took = if work.transaction {
                runner.in_one_transaction().await?
            } else {
                runner.statement_by_statement().await?
            };
            let step = MigrationStep {
                name: work.name.clone(),
                took,
            };
            run.finished(&step);
            steps.push(step);
        }
        Ok(())
    }
    .await;
    watch.stop().await;
    result.map(|()| steps)
}

/// Whether the session keeps one server connection to itself.
async fn is_direct(session: &mut Session, options: &DatabaseOptions) -> Result<bool, MigrateError> {
    if options.pooler == Pooler::PgBouncer {
        return Ok(false);
    }
    let pid = backend_pid(session).await.map_err(|e| error::migrate(&e, None))?;
    let mut second = Session::Postgres(options.postgres_session().await?);
    let other = backend_pid(&mut second).await.map_err(|e| error::migrate(&e, None))?;
    second.close().await;
    Ok(pid != other)
}

async fn backend_pid(session: &mut Session) -> Result<String, sqlx::Error> {
    let pid = session.text("SELECT CAST(pg_backend_pid() AS text)", &[]).await?;
    Ok(pid.unwrap_or_default())
}

/// One migration on its way.
struct Runner<'a> {
    session: &'a mut Session,
    lock: &'a mut Lock,
    run: &'a Run<'a>,
    watch: &'a Watch,
    work: &'a Work,
}

impl Runner<'_> {
    fn failed(&self, error: &sqlx::Error) -> MigrateError {
        match error::migrate(error, Some(&self.work.name)) {
            MigrateError::TableLocked { step, .. } => MigrateError::TableLocked {
                step,
                blockers: self.watch.blockers(),
            },
            other => other,
        }
    }

    async fn in_one_transaction(&mut self) -> Result<Duration, MigrateError> {
        let mut tried = 1;
        loop {
            let result = self.attempt().await;
            if result.is_err() {
                // After a broken connection there is nothing left to roll back.
                drop(self.session.execute("ROLLBACK").await);
            }
            match result {
                Err(MigrateError::TableLocked { blockers, .. })
                    if tried < self.run.migrator.settings.table_lock_tries =>
                {
                    self.pause(tried, blockers).await;
                    tried += 1;
                }
                other => return other,
            }
        }
    }

    /// Lets those pass who have queued behind a lock that was waited for.
    async fn pause(&self, tried: u32, blockers: Vec<String>) {
        let pause = RETRY_PAUSE * 2_u32.saturating_pow(tried - 1);
        self.run.observer.observe(&MigrationEvent::Retrying {
            name: self.work.name.clone(),
            blockers,
            pause,
        });
        tokio::time::sleep(pause).await;
    }

    async fn attempt(&mut self) -> Result<Duration, MigrateError> {
        // All of it local to the transaction: behind a pooler the session is somebody else's afterwards.
        let begin = format!("BEGIN; {}", self.limits("SET LOCAL", self.table_lock_timeout()));
        self.session.execute(&begin).await.map_err(|e| self.failed(&e))?;
        let pid = backend_pid(self.session).await.map_err(|e| self.failed(&e))?;
        self.watch.backend(pid);
        self.fence("pg_try_advisory_xact_lock").await?;
        let started = Instant::now();
        for index in 0..self.work.statements.len() {
            self.lock.assert_held().await?;
            let done = self.run.execute(self.session, self.work, index).await;
            done.map_err(|e| self.failed(&e))?;
        }
        let took = started.elapsed();
        let noted = self.run.note(self.session, self.work, took).await;
        noted.map_err(|e| self.failed(&e))?;
        // Whoever lost the lock must not commit: another process may have begun already.
        self.lock.assert_held().await?;
        self.session.execute("COMMIT").await.map_err(|e| self.failed(&e))?;
        Ok(took)
    }

    fn table_lock_timeout(&self) -> Duration {
        self.run.migrator.settings.table_lock_timeout
    }

    /// An orphaned statement ends soon after its process is gone; nothing else ends it but a table that is not to be had.
    fn limits(&self, set: &str, lock_timeout: Duration) -> String {
        format!(
            "{set} lock_timeout = '{}ms'; {set} statement_timeout = 0; {set} idle_in_transaction_session_timeout = 0; \
             {set} client_connection_check_interval = '500ms'",
            lock_timeout.as_millis()
        )
    }

    /// Waits until the server is done with the last statement of a former holder that was killed.
    async fn fence(&mut self, function: &str) -> Result<(), MigrateError> {
        let wait = Wait::new(self.run.migrator.settings.lock_timeout, self.run.observer);
        let sql = format!("SELECT CAST({function}({}) AS text)", lock::FENCE);
        loop {
            let free = self.session.text(&sql, &[]).await.map_err(|e| self.failed(&e))?;
            if free.as_deref() == Some("true") {
                return Ok(());
            }
            if wait.is_over() {
                return Err(MigrateError::Locked {
                    holder: Holder::unknown("the last statement of a run that was killed"),
                    waited: wait.started.elapsed(),
                });
            }
            tokio::time::sleep(FENCE_EVERY).await;
        }
    }

    async fn statement_by_statement(&mut self) -> Result<Duration, MigrateError> {
        // The connection is this run's own, so its settings and its fence may last as long as it does.
        let limits = self.limits("SET", self.table_lock_timeout());
        self.session.execute(&limits).await.map_err(|e| self.failed(&e))?;
        let pid = backend_pid(self.session).await.map_err(|e| self.failed(&e))?;
        self.watch.backend(pid);
        self.fence("pg_try_advisory_lock").await?;
        let result = self.statements().await;
        let unlock = format!("SELECT CAST(pg_advisory_unlock({}) AS text)", lock::FENCE);
        // Should it fail, the session's end frees the lock.
        drop(self.session.rows(&unlock, &[]).await);
        result
    }

    async fn statements(&mut self) -> Result<Duration, MigrateError> {
        let by = &self.run.migrator.options.application_name;
        let of = self.work.statements.len();
        let begun = if self.run.is_up() {
            let begun = history::Progress {
                took: Duration::ZERO,
                reached: 0,
                finished: false,
            };
            self.transaction(async |session, work| history::record(session, work, by, begun).await)
                .await
        } else {
            self.transaction(async |session, work| history::begin_revert(session, &work.name).await)
                .await
        };
        begun.map_err(|e| self.failed(&e))?;
        let started = Instant::now();
        for index in 0..of {
            self.lock.assert_held().await?;
            if let Err(error) = self.try_statement(index).await {
                return Err(match error {
                    MigrateError::Failed { migration, cause } => MigrateError::Unfinished {
                        migration,
                        reached: index,
                        of,
                        cause,
                    },
                    other => other,
                });
            }
            let advanced = history::advance(self.session, &self.work.name, index + 1).await;
            advanced.map_err(|e| self.failed(&e))?;
        }
        let took = started.elapsed();
        self.lock.assert_held().await?;
        let run = self.run;
        self.transaction(async |session, work| run.note(session, work, took).await)
            .await
            .map_err(|e| self.failed(&e))?;
        Ok(took)
    }

    async fn transaction(
        &mut self,
        task: impl AsyncFnOnce(&mut Session, &Work) -> Result<(), sqlx::Error>,
    ) -> Result<(), sqlx::Error> {
        self.session.execute("BEGIN").await?;
        task(self.session, self.work).await?;
        self.session.execute("COMMIT").await
    }

    async fn try_statement(&mut self, index: usize) -> Result<(), MigrateError> {
        // A concurrent statement waits for old transactions without keeping anybody waiting; cut short, it would leave an
        // invalid index behind.
        let patient = self.work.statements[index].to_uppercase().contains("CONCURRENTLY");
        let limit = if patient {
            Duration::ZERO
        } else {
            self.table_lock_timeout()
        };
        let set = format!("SET lock_timeout = '{}ms'", limit.as_millis());
        self.session.execute(&set).await.map_err(|e| self.failed(&e))?;
        let mut tried = 1;
        loop {
            let result = self.run.execute(self.session, self.work, index).await;
            match result.map_err(|e| self.failed(&e)) {
                Err(MigrateError::TableLocked { blockers, .. })
                    if tried < self.run.migrator.settings.table_lock_tries =>
                {
                    self.pause(tried, blockers).await;
                    tried += 1;
                }
                other => return other,
            }
        }
    }
}
