//! Runs the schema's migrations: one process at a time, each step whole or not at all.
//!
//! SeaORM's own runner takes no lock (most of several starting instances fail), leaves SQLite without transactions, and
//! refuses even to tell the status of a database that is newer than the binary. So dlc runs the same migrations itself and
//! keeps SeaORM's table. Not here: the SQL (`migration/`), what may be run (`operations/migrate`).

mod history;
mod postgres;
mod sqlite;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dlc_application::{
    operations::migrate::{History, Target},
    ports::{
        inspection::Engine,
        migrations::{MigrateError, MigrationEvent, MigrationObserver, MigrationStep, SchemaMigrator},
    },
};
use migration::{MIGRATIONS, Migration, Script};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use crate::{connection::DatabaseOptions, error};

pub(crate) use history::read as read_history;
pub(crate) use postgres::lock_holder;

/// [`SchemaMigrator`] on both engines, over connections of its own.
#[derive(Clone, Debug)]
pub struct SqlMigrator {
    options: DatabaseOptions,
    lock_timeout: Duration,
}

/// Which way a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl SqlMigrator {
    /// A runner that waits at most `lock_timeout` for another process's run.
    #[must_use]
    pub fn new(options: &DatabaseOptions, lock_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            options: options.without_time_limits(),
            lock_timeout,
        })
    }

    async fn run(
        &self,
        direction: Direction,
        target: &Target,
        observer: &dyn MigrationObserver,
    ) -> Result<Vec<MigrationStep>, MigrateError> {
        let run = Run {
            direction,
            target,
            observer,
            lock_timeout: self.lock_timeout,
        };
        match self.options.url.engine() {
            Engine::Postgres => postgres::run(&self.options, &run).await,
            Engine::Sqlite => sqlite::run(&self.options, &run).await,
        }
    }
}

#[async_trait]
impl SchemaMigrator for SqlMigrator {
    async fn history(&self) -> Result<History, MigrateError> {
        match self.options.url.engine() {
            Engine::Postgres => postgres::history(&self.options).await,
            Engine::Sqlite => sqlite::history(&self.options).await,
        }
    }

    async fn up(&self, target: &Target, observer: &dyn MigrationObserver) -> Result<Vec<MigrationStep>, MigrateError> {
        self.run(Direction::Up, target, observer).await
    }

    async fn down(
        &self,
        target: &Target,
        observer: &dyn MigrationObserver,
    ) -> Result<Vec<MigrationStep>, MigrateError> {
        self.run(Direction::Down, target, observer).await
    }
}

/// One run, as both engines see it.
struct Run<'a> {
    direction: Direction,
    target: &'a Target,
    observer: &'a dyn MigrationObserver,
    lock_timeout: Duration,
}

impl Run<'_> {
    /// The migrations to run, in order. Asked only while the lock is held: before, another process may still change it.
    fn plan(&self, history: &History) -> Result<Vec<&'static Migration>, MigrateError> {
        let names = match self.direction {
            Direction::Up => history.plan_up(self.target)?,
            Direction::Down => history.plan_down(self.target)?,
        };
        Ok(names
            .iter()
            .filter_map(|name| MIGRATIONS.iter().find(|migration| migration.name == name))
            .collect())
    }

    fn started(&self, migration: &Migration, step: usize, of: usize) {
        self.observer.observe(&MigrationEvent::Started {
            name: migration.name.to_owned(),
            step,
            of,
        });
    }

    /// Runs one migration's statements and writes its history row, in the caller's transaction.
    async fn step(&self, transaction: &DatabaseTransaction, migration: &Migration) -> Result<(), MigrateError> {
        let script: &Script = match self.direction {
            Direction::Up => &migration.up,
            Direction::Down => &migration.down,
        };
        let failed = |e| error::migrate(&e, Some(migration.name));
        for statement in script.statements(transaction.get_database_backend()) {
            transaction.execute_unprepared(statement).await.map_err(failed)?;
        }
        match self.direction {
            Direction::Up => history::record(transaction, migration.name).await,
            Direction::Down => history::forget(transaction, migration.name).await,
        }
        .map_err(failed)
    }

    fn finished(&self, step: &MigrationStep) {
        self.observer.observe(&MigrationEvent::Finished(step.clone()));
    }
}
