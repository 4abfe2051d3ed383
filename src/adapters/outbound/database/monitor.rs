//! What the service's own pool and operations tell, without asking the database.

use std::sync::Arc;

use dlc_application::ports::{
    inspection::Engine,
    monitoring::{DatabaseMonitor, Durations, OperationStatistics, PoolStatus, ReplicaStatus},
};

use crate::connection::Database;

/// [`DatabaseMonitor`] on both engines.
#[derive(Clone, Debug)]
pub struct SqlMonitor(Database);

impl SqlMonitor {
    /// A monitor of a connected database.
    #[must_use]
    pub fn new(database: Database) -> Arc<Self> {
        Arc::new(Self(database))
    }
}

impl DatabaseMonitor for SqlMonitor {
    fn engine(&self) -> Engine {
        self.0.engine()
    }

    fn pool(&self) -> PoolStatus {
        self.0.pool_status()
    }

    fn waits(&self) -> Durations {
        self.0.waits()
    }

    fn statistics(&self) -> OperationStatistics {
        self.0.counters().snapshot()
    }

    fn replica(&self) -> Option<ReplicaStatus> {
        self.0.attached().get().map(|replica| replica.status())
    }
}
