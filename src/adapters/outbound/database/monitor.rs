//! Watches the database of a running service, on connections that do not queue behind the pool.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dlc_application::ports::{
    inspection::{ConfigFacts, DatabaseInspector, Engine, Facts},
    monitoring::{DatabaseMonitor, DatabaseOverview, OperationStatistics, PoolStatus},
};
use sea_orm::{ConnectionTrait, DatabaseConnection, SqlxSqliteConnector, Statement};

use crate::{
    connection::{Database, DatabaseOptions, read_only_options},
    inspection::SqlInspector,
    migrator,
};

/// Nobody waits longer for an answer about the database.
const LIMIT: Duration = Duration::from_secs(2);

/// [`DatabaseMonitor`] on both engines.
#[derive(Clone, Debug)]
pub struct SqlMonitor {
    database: Database,
    options: DatabaseOptions,
    inspector: Arc<SqlInspector>,
    config: ConfigFacts,
}

impl SqlMonitor {
    /// A monitor of a connected database; `config` is what the doctor is told of the configuration.
    #[must_use]
    pub fn new(database: Database, options: &DatabaseOptions, config: ConfigFacts) -> Arc<Self> {
        let inspector = SqlInspector::of_a_running_service(options);
        Arc::new(Self {
            database,
            options: options.without_time_limits(),
            inspector,
            config,
        })
    }

    async fn look(&self) -> Option<DatabaseOverview> {
        let (connection, version) = match self.options.url.engine() {
            Engine::Postgres => (self.options.postgres_single().await.ok()?, "SHOW server_version"),
            Engine::Sqlite => {
                let path = self.options.sqlite_path().ok()?;
                let pool = self.options.sqlite_pool(read_only_options(path), 1).await.ok()?;
                (
                    SqlxSqliteConnector::from_sqlx_sqlite_pool(pool),
                    "SELECT sqlite_version()",
                )
            }
        };
        let overview = overview(&connection, version).await;
        drop(connection.close().await);
        overview
    }
}

async fn overview(connection: &DatabaseConnection, version: &str) -> Option<DatabaseOverview> {
    let statement = Statement::from_string(connection.get_database_backend(), version);
    let server_version = connection
        .query_one_raw(statement)
        .await
        .ok()??
        .try_get_by_index(0)
        .ok()?;
    let history = migrator::read_history(connection).await.ok()?;
    Some(DatabaseOverview {
        server_version,
        history,
    })
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
        self.inspector.inspect(self.config.clone(), LIMIT).await
    }
}
