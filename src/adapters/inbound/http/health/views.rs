//! What the health routes answer: shapes alone, most of them literal words of the seeds.

use dlc_application::operations::readiness::{DatabaseHealth, Phase, Snapshot};
use poem_openapi::{ApiResponse, Object, payload::Json, types::Any};
use serde_json::Value;

/// Alive.
#[derive(Debug, Object)]
pub(super) struct AliveView {
    /// Always `ok`.
    pub(super) status: String,
}

/// How far the start has come.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct PhaseView {
    /// connecting, checking, migrating, serving or stopping.
    pub(super) phase: String,
    /// The step under way.
    pub(super) step: Option<u32>,
    /// Steps in all.
    pub(super) of: Option<u32>,
    /// The migration under way.
    pub(super) current: Option<String>,
    /// Since the process began.
    pub(super) elapsed_ms: u64,
    /// Who holds the migration lock that this process waits for.
    pub(super) lock_holder: Option<String>,
    /// What is wrong with the database, in fixed words.
    pub(super) database: Option<String>,
    /// The doctor's checks, when asked for by `verbose`.
    pub(super) checks: Option<Vec<CheckView>>,
}

/// One of the doctor's checks.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct CheckView {
    /// Its id.
    pub(super) id: String,
    /// What it looks at.
    pub(super) title: String,
    /// ok, warn, fail or skipped.
    pub(super) status: String,
    /// What was measured, or why it was skipped.
    pub(super) measured: String,
    /// What to do next.
    pub(super) hint: Option<String>,
}

impl PhaseView {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let number = |value: usize| u32::try_from(value).ok();
        let (step, of, current) = match &snapshot.phase {
            Phase::Migrating { step, of, current } => (number(*step), number(*of), Some(current.clone())),
            _ => (None, None, None),
        };
        let database = match snapshot.database {
            DatabaseHealth::Unhealthy(failure) => Some(failure.phrase().to_owned()),
            DatabaseHealth::Unknown | DatabaseHealth::Healthy { .. } => None,
        };
        Self {
            phase: snapshot.phase.name().to_owned(),
            step,
            of,
            current,
            elapsed_ms: u64::try_from(snapshot.elapsed.as_millis()).unwrap_or(u64::MAX),
            lock_holder: snapshot.lock_holder.clone(),
            database,
            checks: None,
        }
    }
}

#[derive(ApiResponse)]
pub(super) enum PhaseAnswer {
    /// Yes.
    #[oai(status = 200)]
    Yes(Json<PhaseView>),
    /// Not now.
    #[oai(status = 503)]
    No(Json<PhaseView>),
}

/// Healthy or not, in S1's words.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct HealthView {
    /// `healthy` or `unhealthy`.
    pub(super) status: String,
    /// `database connection failed`
    pub(super) error: Option<String>,
}

#[derive(ApiResponse)]
pub(super) enum HealthAnswer {
    /// Ready, and the database answers.
    #[oai(status = 200)]
    Healthy(Json<HealthView>),
    /// The database does not answer, or the service is starting or stopping.
    #[oai(status = 503)]
    Unhealthy(Json<HealthView>),
}

/// Ready or not, in S2's words: `connections.database` is an object with a `status`, or the string `not_checked`.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct ReadyView {
    /// Whether requests should be sent here.
    pub(super) ready: bool,
    /// `database_unhealthy` or `server_shutting_down`
    pub(super) reason: Option<String>,
    /// `{"database": {"status": "healthy"}}`
    pub(super) connections: Any<Value>,
}

#[derive(ApiResponse)]
pub(super) enum ReadyAnswer {
    /// Ready.
    #[oai(status = 200)]
    Ready(Json<ReadyView>),
    /// Not ready.
    #[oai(status = 503)]
    NotReady(Json<ReadyView>),
}

/// The pool at one moment.
#[derive(Debug, Object)]
pub(super) struct PoolView {
    /// Most connections.
    pub(super) max: u32,
    /// Open connections.
    pub(super) open: u32,
    /// Open and unused.
    pub(super) idle: u32,
    /// Open and used.
    pub(super) in_use: u32,
    /// Operations that wait for a connection.
    pub(super) waiting: u32,
}

/// The schema's history in numbers.
#[derive(Clone, Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct MigrationsView {
    /// Applied migrations.
    pub(super) applied: u32,
    /// Pending ones.
    pub(super) pending: u32,
    /// The newest applied one.
    pub(super) current: Option<String>,
}

/// The database, as far as the caller may know.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct DatabaseView {
    /// `healthy`, `unhealthy` or `unknown`
    pub(super) status: String,
    /// `postgres` or `sqlite`
    pub(super) backend: Option<String>,
    /// Of the last ping.
    pub(super) latency_ms: Option<f64>,
    /// As the server writes it.
    pub(super) server_version: Option<String>,
    /// The schema.
    pub(super) migrations: Option<MigrationsView>,
    /// The pool.
    pub(super) pool: Option<PoolView>,
    /// The doctor's checks, as `dlc db check` makes them.
    pub(super) checks: Option<Vec<CheckView>>,
}

#[derive(ApiResponse)]
pub(super) enum DatabaseAnswer {
    /// The database answers.
    #[oai(status = 200)]
    Healthy(Json<DatabaseView>),
    /// It does not, or is not connected yet.
    #[oai(status = 503)]
    Unhealthy(Json<DatabaseView>),
}

/// Failed operations by class.
#[derive(Debug, Object)]
pub(super) struct ErrorCountsView {
    /// The database could not be reached.
    pub(super) unavailable: u64,
    /// A time limit ran out.
    pub(super) timeout: u64,
    /// Too much was waiting for the database already.
    pub(super) overloaded: u64,
    /// Another writer was first.
    pub(super) conflict: u64,
    /// Anything else.
    pub(super) other: u64,
}

/// Durations of database operations in milliseconds, pool wait included.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct LatencyView {
    /// Mean.
    pub(super) average: Option<f64>,
    /// Median.
    pub(super) p50: Option<f64>,
    /// 95 of 100 were faster.
    pub(super) p95: Option<f64>,
    /// 99 of 100 were faster.
    pub(super) p99: Option<f64>,
}

/// Waits for a connection of the pool, in milliseconds; 0 where one was free.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct PoolWaitView {
    /// How many there were.
    pub(super) count: u64,
    /// Mean.
    pub(super) average: Option<f64>,
    /// Median.
    pub(super) p50: Option<f64>,
    /// 95 of 100 were shorter.
    pub(super) p95: Option<f64>,
    /// 99 of 100 were shorter.
    pub(super) p99: Option<f64>,
}

/// The service's goals for its database (S2), and whether they hold since the process began.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct ObjectivesView {
    /// Share of operations that did not fail.
    pub(super) availability: Option<f64>,
    /// 0.999
    pub(super) availability_target: f64,
    /// Whether the average duration is below 100 ms.
    pub(super) average_below_100_ms: Option<bool>,
}

/// Figures about the database.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct DatabaseMetricsView {
    /// `healthy`, `unhealthy` or `unknown`
    pub(super) status: String,
    /// The pool.
    pub(super) pool: Option<PoolView>,
    /// Waits for a connection since the process began.
    pub(super) pool_wait: Option<PoolWaitView>,
    /// Operations since the process began.
    pub(super) operations: Option<u64>,
    /// Failed ones.
    pub(super) errors: Option<ErrorCountsView>,
    /// Durations.
    pub(super) latency_ms: Option<LatencyView>,
    /// Goals.
    pub(super) objectives: Option<ObjectivesView>,
}
