//! Runs the schema's migrations: one process at a time, each step whole or not at all; and looks at them without running.
//!
//! SeaORM's own runner takes no lock (most of several starting instances fail), leaves SQLite without transactions, and
//! refuses even to tell the status of a database that is newer than the binary. So dlc runs the same migrations itself and
//! keeps SeaORM's table. Start at [`SqlMigrator`]: a run goes to `postgres/` or `sqlite/`, which lock, and execute what
//! `schema/work` says; `plan` and `verify` rehearse on a `scratch` copy
//! of the structure.
//!
//! Not here: the SQL (`migration/`), what may be run (`operations/migrate`).

mod plan;
mod postgres;
mod scratch;
mod sqlite;
mod verify;

use std::{
    os::unix::fs::MetadataExt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use dlc_application::{
    operations::migrate::{History, Known, Plan, SchemaObject},
    ports::{
        inspection::Engine,
        migrations::{
            Holder, MigrateError, MigrationEvent, MigrationObserver, MigrationOverview, MigrationStep, Repair,
            RunRequest, SchemaMigrator, Verification,
        },
    },
};
use migration::Migration;

use crate::{
    error,
    options::DatabaseOptions,
    schema::{
        catalogue, history, holder,
        work::{self, Work, known},
    },
    session::Session,
};

/// How often a waiting process says so.
const REPORT_EVERY: Duration = Duration::from_secs(2);

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

/// Tables in one schema and a search path that selects another one: new tables would be made beside the old ones. One that selects
/// none hides them all.
fn refuse_elsewhere(found: &history::Found) -> Result<(), MigrateError> {
    if found.nowhere {
        return Err(MigrateError::NoSchema);
    }
    match &found.elsewhere {
        None => Ok(()),
        Some((found, current)) => Err(MigrateError::OtherSchema {
            found: found.clone(),
            current: current.clone(),
        }),
    }
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

    /// What all migrations of this binary make, object by object, without anything of it being made.
    pub(crate) async fn blueprint(&self) -> Result<Vec<SchemaObject>, MigrateError> {
        verify::blueprint(self).await
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
        Ok(Session::looking(&self.options).await?)
    }

    /// The history, as the first thing that a look is about.
    async fn history_in(&self, session: &mut Session) -> Result<History, MigrateError> {
        self.found_in(session).await.map(|(history, _)| history)
    }

    async fn found_in(&self, session: &mut Session) -> Result<(History, history::Found), MigrateError> {
        let looked = history::look(session, &self.known()).await;
        let (history, found) = looked.map_err(|e| error::migrate(&e, None))?;
        refuse_elsewhere(&found)?;
        Ok((history, found))
    }

    /// The history within a transaction that has begun already.
    async fn history_within(&self, session: &mut Session) -> Result<History, MigrateError> {
        let failed = |e: sqlx::Error| error::migrate(&e, None);
        let found = history::find_within(session).await.map_err(failed)?;
        refuse_elsewhere(&found)?;
        history::read(session, &found, &self.known()).await.map_err(failed)
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

    async fn status(&self) -> Result<MigrationOverview, MigrateError> {
        let Some(mut session) = self.look().await? else {
            return Ok(MigrationOverview {
                history: self.untouched(),
                holder: sqlite::holder(self.options.sqlite_path()?),
            });
        };
        let overview = async {
            let (history, found) = self.found_in(&mut session).await?;
            let holder = match self.engine() {
                Engine::Sqlite => sqlite::holder(self.options.sqlite_path()?),
                // A name for whoever holds the lock is worth a line, and its lack is no reason to fail.
                Engine::Postgres => holder::holder(&mut session, found.holder).await.unwrap_or_default(),
            };
            Ok(MigrationOverview { history, holder })
        }
        .await;
        session.close().await;
        overview
    }

    async fn identity(&self) -> Result<String, MigrateError> {
        if self.engine() == Engine::Sqlite {
            // One file has several paths, and perhaps several names.
            let found = std::fs::metadata(self.options.sqlite_path()?);
            return Ok(found.map_or_else(|_| String::new(), |file| format!("{}/{}", file.dev(), file.ino())));
        }
        let Some(mut session) = self.look().await? else {
            return Ok(String::new());
        };
        // A copy of all files keeps the identifier, but not the moment at which its server was started.
        let sql = "SELECT concat_ws('/', c.system_identifier, pg_postmaster_start_time(), d.oid) \
                   FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()";
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

    async fn repair(&self, shown: &[Repair], observer: &dyn MigrationObserver) -> Result<Vec<Repair>, MigrateError> {
        verify::repair(self, shown, observer).await
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
        let history = self.migrator.history_in(session).await?;
        self.plan_for(&history)
    }

    fn plan_for(&self, history: &History) -> Result<Vec<Work>, MigrateError> {
        let migrator = self.migrator;
        let plan = work::plan(migrator.settings.migrations, migrator.engine(), history, self.request)?;
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
