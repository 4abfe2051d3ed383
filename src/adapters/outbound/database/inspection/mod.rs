//! Finds facts out about a database without changing it; the doctor (`operations/check`) judges them.
//!
//! Not here: verdicts, thresholds.

mod postgres;
mod sqlite;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use dlc_application::ports::inspection::{ConfigFacts, DatabaseInspector, Engine, Facts, Timed};

use migration::Migration;

use crate::{connection::DatabaseOptions, migrator};

/// [`DatabaseInspector`] on both engines.
#[derive(Clone, Debug)]
pub struct SqlInspector {
    options: DatabaseOptions,
    migrations: &'static [Migration],
    file_is_open_here: bool,
}

impl SqlInspector {
    /// An inspector of a database that this process has not opened; `migrations` are those of this binary.
    #[must_use]
    pub fn new(options: &DatabaseOptions, migrations: &'static [Migration]) -> Arc<Self> {
        Arc::new(Self {
            options: options.without_time_limits(),
            migrations,
            file_is_open_here: false,
        })
    }

    /// An inspector of the database that this process serves from: it does without looking at file locks, which would
    /// drop the process's own.
    #[must_use]
    pub fn of_a_running_service(options: &DatabaseOptions, migrations: &'static [Migration]) -> Arc<Self> {
        Arc::new(Self {
            options: options.without_time_limits(),
            migrations,
            file_is_open_here: true,
        })
    }
}

#[async_trait]
impl DatabaseInspector for SqlInspector {
    async fn inspect(&self, config: ConfigFacts, limit: Duration) -> Facts {
        let known = migrator::known(self.migrations, self.options.url.engine());
        match self.options.url.engine() {
            Engine::Postgres => postgres::inspect(&self.options, config, &known, limit).await,
            Engine::Sqlite => sqlite::inspect(&self.options, config, &known, !self.file_is_open_here).await,
        }
    }
}

/// Runs `find` and notes how long it took.
async fn timed<T>(find: impl Future<Output = T>) -> Timed<T> {
    let started = Instant::now();
    let value = find.await;
    Timed {
        value,
        took: started.elapsed(),
    }
}
