//! Runs the schema's migrations: one process at a time, each step whole or not at all; and looks at them without running.
//!
//! SeaORM's own runner takes no lock (most of several starting instances fail), leaves SQLite without transactions, and
//! refuses even to tell the status of a database that is newer than the binary. So dlc runs the same migrations itself and
//! keeps SeaORM's table. Start at [`SqlMigrator`]: a run goes to `postgres/` or `sqlite/`, which lock, and execute what
//! `work` says; `history` and `catalogue` are what the database remembers; `plan` and `verify` rehearse on a `scratch` copy
//! of the structure.
//!
//! Not here: the SQL (`migration/`), what may be run (`operations/migrate`).

mod catalogue;
mod history;
mod plan;
mod postgres;
mod scratch;
mod sqlite;
mod verify;
mod work;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use dlc_application::{
    operations::migrate::{History, Known, Plan},
    ports::{
        inspection::Engine,
        migrations::{
            Holder, MigrateError, MigrationEvent, MigrationObserver, MigrationStep, Repair, RunRequest, SchemaMigrator,
            Verification,
        },
    },
};
use migration::Migration;

use self::work::Work;
use crate::{connection::DatabaseOptions, error, session::Session};

pub use catalogue::catalogue;
pub(crate) use history::read as read_history;
pub(crate) use postgres::holder as lock_holder;
pub(crate) use work::known;

/// How often a waiting process says so.
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// A look must not hang behind whoever has locked the history.
const LOOK_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// How a run waits, and what it runs.
#[derive(Clone, Copy, Debug)]
pub struct MigratorSettings {
    /// The migrations of this binary, oldest first.
    pub migrations: &'static [Migration],
    /// Longest wait for another process's run.
    pub lock_timeout: Duration,
    /// Longest wait of one statement for a table that others use (PostgreSQL): readers queue behind it that long.
    pub table_lock_timeout: Duration,
    /// How often a step is tried when a table is not to be had.
    pub table_lock_tries: u32,
}

/// [`SchemaMigrator`] on both engines, over connections of its own.
#[derive(Clone, Debug)]
pub struct SqlMigrator {
    options: DatabaseOptions,
    settings: MigratorSettings,
}

impl SqlMigrator {
    /// A runner.
    #[must_use]
    pub fn new(options: &DatabaseOptions, settings: MigratorSettings) -> Arc<Self> {
        Arc::new(Self {
            options: options.without_time_limits(),
            settings,
        })
    }

    fn engine(&self) -> Engine {
        self.options.url.engine()
    }

    fn known(&self) -> Vec<Known> {
        known(self.settings.migrations, self.engine())
    }

    /// The history of a database that does not exist yet.
    fn untouched(&self) -> History {
        History::compare(&self.known(), None)
    }

    /// A session that only looks, and waits for nobody for long; `None` when there is no SQLite file.
    async fn look(&self) -> Result<Option<Session>, MigrateError> {
        let options = DatabaseOptions {
            lock_timeout: Some(LOOK_LOCK_TIMEOUT),
            ..self.options.clone()
        };
        Ok(Session::looking(&options).await?)
    }

    async fn history_in(&self, session: &mut Session) -> Result<History, MigrateError> {
        history::read(session, &self.known())
            .await
            .map_err(|e| error::migrate(&e, None))
    }

    async fn plan_of(&self, session: &mut Session, request: &RunRequest) -> Result<Vec<Work>, MigrateError> {
        let history = self.history_in(session).await?;
        work::plan(self.settings.migrations, self.engine(), &history, request)
    }
}

#[async_trait]
impl SchemaMigrator for SqlMigrator {
    async fn history(&self) -> Result<History, MigrateError> {
        let Some(mut session) = self.look().await? else {
            return Ok(self.untouched());
        };
        let history = self.history_in(&mut session).await;
        session.close().await;
        history
    }

    async fn holder(&self) -> Result<Option<Holder>, MigrateError> {
        match self.engine() {
            Engine::Sqlite => Ok(sqlite::holder(self.options.sqlite_path()?)),
            Engine::Postgres => {
                let Some(mut session) = self.look().await? else {
                    return Ok(None);
                };
                let holder = postgres::holder(&mut session).await;
                session.close().await;
                holder.map_err(|e| error::migrate(&e, None))
            }
        }
    }

    async fn identity(&self) -> Result<String, MigrateError> {
        if self.engine() == Engine::Sqlite {
            let path = self.options.sqlite_path()?;
            return Ok(path
                .canonicalize()
                .unwrap_or_else(|_| path.to_path_buf())
                .display()
                .to_string());
        }
        let Some(mut session) = self.look().await? else {
            return Ok(String::new());
        };
        let sql = "SELECT concat(c.system_identifier, '/', d.oid) FROM pg_control_system() c, pg_database d \
                   WHERE d.datname = current_database()";
        let identity = session.text(sql, &[]).await.map_err(|e| error::migrate(&e, None));
        session.close().await;
        Ok(identity?.unwrap_or_default())
    }

    async fn run(
        &self,
        request: &RunRequest,
        observer: &dyn MigrationObserver,
    ) -> Result<Vec<MigrationStep>, MigrateError> {
        let run = Run {
            migrator: self,
            request,
            observer,
        };
        match self.engine() {
            Engine::Postgres => postgres::run(&run).await,
            Engine::Sqlite => sqlite::run(&run).await,
        }
    }

    async fn plan(&self, request: &RunRequest) -> Result<Plan, MigrateError> {
        plan::plan(self, request).await
    }

    async fn verify(&self) -> Result<Verification, MigrateError> {
        verify::verify(self).await
    }

    async fn diagnose(&self) -> Result<Vec<Repair>, MigrateError> {
        verify::diagnose(self).await
    }

    async fn repair(&self, observer: &dyn MigrationObserver) -> Result<Vec<Repair>, MigrateError> {
        verify::repair(self, observer).await
    }
}

/// One run, as both engines see it.
#[derive(Clone, Copy)]
struct Run<'a> {
    migrator: &'a SqlMigrator,
    request: &'a RunRequest,
    observer: &'a dyn MigrationObserver,
}

impl Run<'_> {
    fn is_up(&self) -> bool {
        matches!(self.request, RunRequest::Up(_))
    }

    /// What to do, in order. Final only while the lock is held: before, another process may still change it.
    async fn plan(&self, session: &mut Session) -> Result<Vec<Work>, MigrateError> {
        let plan = self.migrator.plan_of(session, self.request).await?;
        work::refuse_destructive(self.request, &plan)?;
        Ok(plan)
    }

    fn started(&self, work: &Work, step: usize, of: usize) {
        self.observer.observe(&MigrationEvent::Started {
            name: work.name.clone(),
            step,
            of,
        });
    }

    fn finished(&self, step: &MigrationStep) {
        self.observer.observe(&MigrationEvent::Finished(step.clone()));
    }

    /// Runs one statement and tells of it.
    async fn execute(&self, session: &mut Session, work: &Work, index: usize) -> Result<(), sqlx::Error> {
        let sql = &work.statements[index];
        self.observer.observe(&MigrationEvent::Statement {
            name: work.name.clone(),
            statement: index + 1,
            of: work.statements.len(),
            sql: sql.clone(),
        });
        let started = Instant::now();
        session.execute(sql).await?;
        self.observer.observe(&MigrationEvent::StatementDone {
            took: started.elapsed(),
        });
        Ok(())
    }

    /// Notes a step as done, and the schema that it made, in the caller's transaction.
    async fn note(&self, session: &mut Session, work: &Work, took: Duration) -> Result<(), sqlx::Error> {
        let by = &self.migrator.options.application_name;
        if self.is_up() {
            let done = history::Progress {
                took,
                reached: work.statements.len(),
                finished: true,
            };
            history::record(session, work, by, done).await?;
        } else {
            history::forget(session, &work.name).await?;
        }
        catalogue::record(session, by).await
    }
}

/// Waiting for another process, up to the run's limit.
struct Wait<'a> {
    limit: Duration,
    observer: &'a dyn MigrationObserver,
    started: Instant,
    reported: Option<Instant>,
}

impl<'a> Wait<'a> {
    fn new(limit: Duration, observer: &'a dyn MigrationObserver) -> Self {
        Self {
            limit,
            observer,
            started: Instant::now(),
            reported: None,
        }
    }

    /// Whether it is time to find out who holds the lock: every now and then, and at the end.
    fn wants_holder(&self) -> bool {
        self.is_over() || self.reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY)
    }

    fn is_over(&self) -> bool {
        self.started.elapsed() >= self.limit
    }

    /// Says who holds the lock; an error when the waiting is over.
    fn report(&mut self, holder: Holder) -> Result<(), MigrateError> {
        let waited = self.started.elapsed();
        if self.is_over() {
            return Err(MigrateError::Locked { holder, waited });
        }
        self.observer.observe(&MigrationEvent::Waiting { holder, waited });
        self.reported = Some(Instant::now());
        Ok(())
    }

    /// A pause that does not outlast the limit.
    async fn pause(&self, pause: Duration) {
        tokio::time::sleep(pause.min(self.limit.saturating_sub(self.started.elapsed()))).await;
    }
}
