//! Watches the database of a running service, on connections that do not queue behind the pool.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use dlc_application::{
    operations::check::{self, Report},
    ports::{
        inspection::{ConfigFacts, DatabaseInspector, Engine, Facts, Options},
        monitoring::{DatabaseMonitor, DatabaseOverview, OperationStatistics, PoolStatus},
    },
};
use migration::Migration;

use crate::{
    connection::{Database, DatabaseOptions},
    inspection::SqlInspector,
    migrator,
    session::Session,
};

/// Nobody waits longer for an answer about the database.
const LIMIT: Duration = Duration::from_secs(2);

/// [`DatabaseMonitor`] on both engines.
#[derive(Clone, Debug)]
pub struct SqlMonitor {
    database: Database,
    options: DatabaseOptions,
    migrations: &'static [Migration],
    inspector: Arc<SqlInspector>,
    config: ConfigFacts,
    report: Arc<Mutex<Option<Report>>>,
}

impl SqlMonitor {
    /// A monitor of a connected database; `config` is what the doctor is told of the configuration.
    #[must_use]
    pub fn new(
        database: Database,
        options: &DatabaseOptions,
        config: ConfigFacts,
        migrations: &'static [Migration],
    ) -> Arc<Self> {
        let inspector = SqlInspector::of_a_running_service(options, migrations);
        Arc::new(Self {
            database,
            options: options.without_time_limits(),
            migrations,
            inspector,
            config,
            report: Arc::default(),
        })
    }

    async fn look(&self) -> Option<DatabaseOverview> {
        let mut session = Session::looking(&self.options).await.ok()??;
        let overview = self.overview_in(&mut session).await;
        session.close().await;
        overview
    }

    async fn overview_in(&self, session: &mut Session) -> Option<DatabaseOverview> {
        let version = match session.engine() {
            Engine::Postgres => "SHOW server_version",
            Engine::Sqlite => "SELECT sqlite_version()",
        };
        let server_version = session.text(version, &[]).await.ok()??;
        let known = migrator::known(self.migrations, session.engine());
        let history = migrator::read_history(session, &known).await.ok()?;
        Some(DatabaseOverview {
            server_version,
            history,
        })
    }
}

#[async_trait]
impl DatabaseMonitor for SqlMonitor {
    fn engine(&self) -> Engine {
        self.options.url.engine()
    }

    fn pool(&self) -> PoolStatus {
        self.database.pool_status()
    }

    fn statistics(&self) -> OperationStatistics {
        self.database.counters().snapshot()
    }

    async fn overview(&self) -> Option<DatabaseOverview> {
        tokio::time::timeout(LIMIT, self.look()).await.ok().flatten()
    }

    async fn facts(&self) -> Facts {
        // The audit reads every claim and the sizes every file: that is for whoever asks for it, not for a probe.
        let options = Options {
            skip: vec!["BIZ001", "DSK002"],
            ..Options::default()
        };
        let facts = self.inspector.inspect(self.config.clone(), options, LIMIT).await;
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(check::judge(&facts));
        facts
    }

    fn last_report(&self) -> Option<Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
