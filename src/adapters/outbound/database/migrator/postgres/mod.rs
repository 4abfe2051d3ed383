//! A run on PostgreSQL: a lock on one connection, the migrations on another, a third that watches.
//!
//! Each migration is one transaction, history included. One that cannot run in a transaction goes statement by statement
//! on a direct connection, and its history row says how far it came.

mod lock;
mod watch;

use std::time::{Duration, Instant};

use dlc_application::ports::migrations::{Holder, MigrateError, MigrationEvent, MigrationStep};

use self::{lock::Lock, watch::Watch};
use super::{Run, Wait};
use crate::{
    error, inspection,
    options::{DatabaseOptions, Pooler},
    pooling,
    schema::{history, work::Work},
    session::Session,
};

/// The first pause after a table was not to be had; it doubles.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often it is made sure during a long statement that the lock is still held.
const LOCK_PING: Duration = Duration::from_secs(30);
/// How often the fence is tried.
const FENCE_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn run(run: &Run<'_>) -> Result<Vec<MigrationStep>, MigrateError> {
    let options = &run.migrator.options;
    let mut session = connect(options).await?;
    // Most runs have nothing to do, and find that out on one connection and without a lock.
    let plan = plan(&mut session, run).await?;
    if plan.is_empty() {
        session.close().await;
        return Ok(Vec::new());
    }
    preflight(&mut session, run, &plan).await?;
    be_patient(&mut session, run).await?;
    let mut lock = Lock::acquire(run).await?;
    let result = run_locked(&mut session, &mut lock, run, &plan).await;
    session.close().await;
    lock.release().await;
    result
}

/// Before the lock, because nobody should wait only to hear that it is no use.
async fn preflight(session: &mut Session, run: &Run<'_>, plan: &[Work]) -> Result<(), MigrateError> {
    let options = &run.migrator.options;
    let affinity = if plan.iter().all(|work| work.transaction) {
        None
    } else {
        Some(is_direct(session, options).await?)
    };
    let statements = plan.iter().flat_map(|work| work.statements.clone()).collect();
    inspection::preflight(options, session, statements, affinity).await
}

/// What is to be done, read in one snapshot, and without waiting long for whoever has locked the history.
async fn plan(session: &mut Session, run: &Run<'_>) -> Result<Vec<Work>, MigrateError> {
    let outside = |e: sqlx::Error| error::migrate(&e, None);
    let plan = run.plan(session).await?;
    // With nothing to do the session ends here, and the transaction with it.
    if !plan.is_empty() {
        session.execute("COMMIT").await.map_err(outside)?;
    }
    Ok(plan)
}

/// A connection for migrations. A pooler that cannot carry them is found out here and not in the middle of a run.
async fn connect(options: &DatabaseOptions) -> Result<Session, MigrateError> {
    let mut session = Session::Postgres(options.postgres_session().await?);
    if options.pooler == Pooler::PgBouncer {
        let known = pooling::knows_prepared_statements(&mut session, options).await?;
        known.map_err(|e| error::migrate(&e, None))?;
    }
    Ok(session)
}

/// Lets the session lie idle while a lock or a table is waited for, whatever its role has by default. Behind a pooler it is somebody
/// else's meanwhile.
async fn be_patient(session: &mut Session, run: &Run<'_>) -> Result<(), MigrateError> {
    if run.migrator.options.pooler == Pooler::PgBouncer {
        return Ok(());
    }
    // Older servers do not know it.
    let patient = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'";
    session.execute(patient).await.map_err(|e| error::migrate(&e, None))
}

/// Holds the lock for something that is no run of migrations.
pub(super) async fn with_lock<T>(
    run: &Run<'_>,
    task: impl AsyncFnOnce(&mut Session) -> Result<T, MigrateError>,
) -> Result<T, MigrateError> {
    let mut session = connect(&run.migrator.options).await?;
    be_patient(&mut session, run).await?;
    let mut lock = Lock::acquire(run).await?;
    let result = async {
        let failed = |e: sqlx::Error| error::migrate(&e, None);
        let limits = limits("SET LOCAL", run.migrator.settings.table_lock_timeout);
        session.execute(&format!("{BEGIN}; {limits}")).await.map_err(failed)?;
        fence(&mut session, run, "pg_try_advisory_xact_lock").await?;
        let result = task(&mut session).await?;
        lock.assert_held().await?;
        session.execute("COMMIT").await.map_err(failed)?;
        Ok(result)
    }
    .await;
    session.close().await;
    lock.release().await;
    result
}

async fn run_locked(
    session: &mut Session,
    lock: &mut Lock,
    run: &Run<'_>,
    checked: &[Work],
) -> Result<Vec<MigrationStep>, MigrateError> {
    // Whoever held the lock may have done it all, or reverted more.
    let plan = plan(session, run).await?;
    if plan.is_empty() {
        return Ok(Vec::new());
    }
    if plan
        .iter()
        .any(|work| checked.iter().all(|known| known.name != work.name))
    {
        preflight(session, run, &plan).await?;
    }
    let install = format!(
        "{BEGIN}; {}",
        limits("SET LOCAL", run.migrator.settings.table_lock_timeout)
    );
    let outside = |e: sqlx::Error| error::migrate(&e, None);
    session.execute(&install).await.map_err(outside)?;
    history::install(session).await.map_err(outside)?;
    session.execute("COMMIT").await.map_err(outside)?;
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
            let done = if work.transaction {
                runner.in_one_transaction().await?
            } else {
                runner.statement_by_statement().await?
            };
            // A killed process's last commit came through after all.
            let Some(took) = done else { continue };
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

/// Whether the session keeps one server connection to itself, so that what is set on it stays with it and with nobody else.
///
/// Nobody can be asked, so it is tried: a mark that is set on this session must always be seen by it, and never by another
/// one. Behind a quiet transaction pooler the other one is lent the very same connection and sees the mark; behind a busy one
/// this session is soon lent a connection without it.
pub(crate) async fn is_direct(session: &mut Session, options: &DatabaseOptions) -> Result<bool, MigrateError> {
    if options.pooler == Pooler::PgBouncer {
        return Ok(false);
    }
    let failed = |e: sqlx::Error| error::migrate(&e, None);
    let mark = format!("{}/{:?}", options.application_name, std::time::SystemTime::now());
    let mut other = Session::Postgres(options.postgres_session().await?);
    session
        .rows("SELECT set_config('dlc.mark', $1, false)", &[&mark])
        .await
        .map_err(failed)?;
    let seen = "SELECT current_setting('dlc.mark', true)";
    let mut direct = true;
    for _ in 0..10 {
        let here = session.text(seen, &[]).await.map_err(failed)?;
        let there = other.text(seen, &[]).await.map_err(failed)?;
        direct &= here.as_ref() == Some(&mark) && there.as_ref() != Some(&mark);
        if !direct {
            break;
        }
    }
    other.close().await;
    Ok(direct)
}

async fn backend_pid(session: &mut Session) -> Result<String, sqlx::Error> {
    let pid = session.text("SELECT CAST(pg_backend_pid() AS text)", &[]).await?;
    Ok(pid.unwrap_or_default())
}

/// Whatever a role or a database has for a default: nothing else fits a migration. A lock transaction that kept its
/// snapshot would be waited for by `CREATE INDEX CONCURRENTLY`, for ever.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// An orphaned statement ends soon after its process is gone; nothing else ends it but a table that is not to be had.
fn limits(set: &str, lock_timeout: Duration) -> String {
    let local = set == "SET LOCAL";
    // What a transaction says at its beginning, a session says once.
    let kind = if local {
        ""
    } else {
        "; SET default_transaction_isolation = 'read committed'"
    };
    // PostgreSQL 17 has one more limit, which older ones do not know.
    format!(
        "{set} lock_timeout = '{}ms'; {set} statement_timeout = 0; {set} idle_in_transaction_session_timeout = 0; \
         {set} client_connection_check_interval = '500ms'{kind}; \
         SELECT set_config(name, '0', {local}) FROM pg_settings WHERE name = 'transaction_timeout'",
        lock_timeout.as_millis()
    )
}

/// Waits until the server is done with the last statement of a former holder that was killed.
async fn fence(session: &mut Session, run: &Run<'_>, function: &str) -> Result<(), MigrateError> {
    let mut wait = Wait::new(run.migrator.settings.lock_timeout, run.observer);
    let sql = format!("SELECT CAST({function}({}) AS text)", lock::FENCE);
    loop {
        let free = session.text(&sql, &[]).await.map_err(|e| error::migrate(&e, None))?;
        if free.as_deref() == Some("true") {
            return Ok(());
        }
        if wait.wants_holder() {
            wait.report(Holder::unknown("the last statement of a run that was killed"))?;
        }
        wait.pause(FENCE_EVERY).await;
    }
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
            MigrateError::TableLocked { step, unfinished, .. } => MigrateError::TableLocked {
                step,
                unfinished,
                blockers: self.watch.blockers(),
            },
            other => other,
        }
    }

    /// How long it took; `None` when it turned out to be done already.
    async fn in_one_transaction(&mut self) -> Result<Option<Duration>, MigrateError> {
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
        let pause = (RETRY_PAUSE * 2_u32.saturating_pow((tried - 1).min(16))).min(LONGEST_PAUSE);
        self.run.observer.observe(&MigrationEvent::Retrying {
            name: self.work.name.clone(),
            blockers,
            pause,
        });
        tokio::time::sleep(pause).await;
    }

    async fn attempt(&mut self) -> Result<Option<Duration>, MigrateError> {
        // All of it local to the transaction: behind a pooler the session is somebody else's afterwards.
        let begin = format!("{BEGIN}; {}", limits("SET LOCAL", self.table_lock_timeout()));
        self.session.execute(&begin).await.map_err(|e| self.failed(&e))?;
        let pid = backend_pid(self.session).await.map_err(|e| self.failed(&e))?;
        self.watch.backend(pid);
        fence(self.session, self.run, "pg_try_advisory_xact_lock").await?;
        if self.is_done().await? {
            self.session.execute("ROLLBACK").await.map_err(|e| self.failed(&e))?;
            return Ok(None);
        }
        let started = Instant::now();
        for index in 0..self.work.statements.len() {
            self.execute(index).await?;
        }
        let took = started.elapsed();
        let noted = self.run.note(self.session, self.work, took).await;
        noted.map_err(|e| self.failed(&e))?;
        // Whoever lost the lock must not commit: another process may have begun already.
        self.lock.assert_held().await?;
        self.session.execute("COMMIT").await.map_err(|e| self.failed(&e))?;
        Ok(Some(took))
    }

    /// Whether somebody's last commit came through while this run waited at the fence. Only behind it is that final.
    async fn is_done(&mut self) -> Result<bool, MigrateError> {
        let entered = history::is_entered(self.session, &self.work.name).await;
        let entered = entered.map_err(|e| self.failed(&e))?;
        // The revert of one that is unfinished finds no entry, and has something to do all the same.
        Ok(if self.run.is_up() {
            entered
        } else {
            !entered && self.work.transaction
        })
    }

    /// Runs a statement while the lock is held. It may take hours, in which the lock's own connection would look idle to
    /// whatever lies in between.
    async fn execute(&mut self, index: usize) -> Result<(), MigrateError> {
        self.lock.assert_held().await?;
        let done = {
            let statement = self.run.execute(self.session, self.work, index);
            tokio::pin!(statement);
            loop {
                tokio::select! {
                    done = &mut statement => break done,
                    () = tokio::time::sleep(LOCK_PING) => self.lock.assert_held().await?,
                }
            }
        };
        done.map_err(|e| self.failed(&e))
    }

    fn table_lock_timeout(&self) -> Duration {
        self.run.migrator.settings.table_lock_timeout
    }

    async fn statement_by_statement(&mut self) -> Result<Option<Duration>, MigrateError> {
        // The connection is this run's own, so its settings and its fence may last as long as it does.
        let limits = limits("SET", self.table_lock_timeout());
        self.session.execute(&limits).await.map_err(|e| self.failed(&e))?;
        let pid = backend_pid(self.session).await.map_err(|e| self.failed(&e))?;
        self.watch.backend(pid);
        fence(self.session, self.run, "pg_try_advisory_lock").await?;
        let result = match self.is_done().await {
            Ok(true) => Ok(None),
            Ok(false) => self.statements().await.map(Some),
            Err(error) => Err(error),
        };
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
            self.transaction(async |session, work| history::begin_revert(session, work, by).await)
                .await
        };
        begun.map_err(|e| self.failed(&e))?;
        let started = Instant::now();
        for index in 0..of {
            if let Err(error) = self.try_statement(index).await {
                return Err(match error {
                    MigrateError::TableLocked { step, blockers, .. } => MigrateError::TableLocked {
                        step,
                        unfinished: Some((index, of)),
                        blockers,
                    },
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
        self.session.execute(BEGIN).await?;
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
            match self.execute(index).await {
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
