//! Probes and health: always served, from the first millisecond to the last (§5.3).
//!
//! Liveness never looks at the database. Readiness tells what the service believes; details of the database are told to
//! whom the configuration allows. Not here: the answers' shapes (`views`), what is believed (`operations/readiness`), Prometheus
//! text (`metrics`).

mod views;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dlc_application::{
    operations::{
        check::{Doctor, Report},
        readiness::{DatabaseHealth, Phase, Readiness, Snapshot},
    },
    ports::{inspection::Engine, monitoring::DatabaseMonitor},
};
use poem::Request;
use poem_openapi::{OpenApi, Tags, param::Query, payload::Json, types::Any};
use serde_json::json;
use tokio::sync::Mutex;
use views::{
    AliveView, CheckView, DatabaseAnswer, DatabaseMetricsView, DatabaseView, ErrorCountsView, HealthAnswer, HealthView,
    LatencyView, MigrationsView, ObjectivesView, PhaseAnswer, PhaseView, PoolView, PoolWaitView, ReadyAnswer,
    ReadyView,
};

use super::{
    DoorWatch, Watch, Watched,
    bearer::{LooksAtToken, Presented, presented},
};

/// How long an answer about the database is good for, so that a crowd of probes is one question.
const CACHE: Duration = Duration::from_secs(1);

const PATHS: [&str; 8] = [
    "/healthz",
    "/livez",
    "/startupz",
    "/readyz",
    "/health",
    "/api/ready",
    "/api/health/db",
    "/api/metrics/db",
];

/// Whether a path is one of this file's.
pub(super) fn is_probe(path: &str) -> bool {
    PATHS.contains(&path)
}

/// Who is told details about the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure {
    /// Everyone.
    Public,
    /// Callers on this machine, unless a proxy forwarded them.
    Loopback,
    /// Administrators, as soon as they can sign in.
    Admin,
}

/// Judges who is told details.
pub(super) struct Disclosing {
    disclosure: Disclosure,
    door: DoorWatch,
}

impl Disclosing {
    pub(super) fn new(disclosure: Disclosure, door: DoorWatch) -> Self {
        Self { disclosure, door }
    }

    async fn allows(&self, request: &Request) -> bool {
        match self.disclosure {
            Disclosure::Public => true,
            Disclosure::Admin => self.is_from_administrator(request).await,
            Disclosure::Loopback => {
                let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip"]
                    .iter()
                    .any(|name| request.headers().contains_key(*name));
                let local = request
                    .remote_addr()
                    .as_socket_addr()
                    .is_some_and(|address| address.ip().to_canonical().is_loopback());
                local && !forwarded
            }
        }
    }

    /// Probes refuse nobody: whoever does not get through is told what everybody is.
    async fn is_from_administrator(&self, request: &Request) -> bool {
        match (self.door.get(), presented(request.headers())) {
            (Some(door), Presented::Token(token)) => {
                door.authenticate(token).await.is_ok_and(|principal| principal.is_admin)
            }
            _ => false,
        }
    }
}

#[derive(Tags)]
enum Tag {
    /// Is it alive, is it ready, what does it know of its database?
    Health,
}

/// One answer, kept for a second.
struct Cached<T>(Mutex<Option<(Instant, T)>>);

impl<T: Clone> Cached<T> {
    fn new() -> Self {
        Self(Mutex::new(None))
    }

    async fn get(&self, ask: impl Future<Output = T>) -> T {
        let mut slot = self.0.lock().await;
        if let Some((at, value)) = slot.as_ref()
            && at.elapsed() < CACHE
        {
            return value.clone();
        }
        let value = ask.await;
        *slot = Some((Instant::now(), value.clone()));
        value
    }
}

pub(super) struct HealthApi {
    readiness: Arc<Readiness>,
    watch: Watch,
    disclosing: Disclosing,
    examined: Cached<Examined>,
}

impl HealthApi {
    pub(super) fn new(readiness: Arc<Readiness>, watch: Watch, disclosing: Disclosing) -> Self {
        Self {
            readiness,
            watch,
            disclosing,
            examined: Cached::new(),
        }
    }

    fn snapshot(&self) -> Snapshot {
        self.readiness.snapshot(Instant::now())
    }

    /// What is known of the database, for whom it may be told to.
    async fn watched_by(&self, request: &Request) -> Option<&Watched> {
        let watched = self.watch.get()?;
        self.disclosing.allows(request).await.then_some(watched)
    }

    /// What the doctor finds, less what nobody wants to hear of.
    async fn checks(&self, exclude: &[String]) -> Option<Vec<CheckView>> {
        let doctor = &self.watch.get()?.doctor;
        let examined = self.examined.get(examine(doctor)).await;
        Some(views_of(&examined.report, |id| {
            !exclude.iter().any(|excluded| excluded == id)
        }))
    }
}

/// The database as the doctor saw it.
#[derive(Clone)]
struct Examined {
    report: Report,
    migrations: Option<MigrationsView>,
    server_version: Option<String>,
}

async fn examine(doctor: &Doctor) -> Examined {
    let facts = doctor.look().await;
    let history = facts.history.as_ref().and_then(|history| history.value.as_ref().ok());
    Examined {
        report: doctor.judge(&facts),
        migrations: history.map(|history| MigrationsView {
            applied: count(history.applied().count()),
            pending: count(history.pending().count()),
            current: history.current().map(str::to_owned),
        }),
        server_version: facts.server_version(),
    }
}

fn views_of(report: &Report, wanted: impl Fn(&str) -> bool) -> Vec<CheckView> {
    let shown = report.findings.iter().filter(|finding| wanted(finding.id));
    shown
        .map(|finding| CheckView {
            id: finding.id.to_owned(),
            title: finding.title.to_owned(),
            status: finding.status.name().to_owned(),
            measured: finding.measured.clone(),
            hint: finding.hint.clone(),
        })
        .collect()
}

fn database_status(health: DatabaseHealth) -> &'static str {
    match health {
        DatabaseHealth::Unknown => "unknown",
        DatabaseHealth::Healthy { .. } => "healthy",
        DatabaseHealth::Unhealthy(_) => "unhealthy",
    }
}

fn pool_view(monitor: &dyn DatabaseMonitor) -> PoolView {
    let pool = monitor.pool();
    PoolView {
        max: pool.max,
        open: pool.open,
        idle: pool.idle,
        in_use: pool.in_use,
        waiting: pool.waiting,
    }
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

#[OpenApi(tag = "Tag::Health")]
impl HealthApi {
    /// Alive?
    ///
    /// Says nothing about the database, so that a database's absence restarts nobody.
    #[oai(path = "/healthz", method = "get", operation_id = "healthz")]
    async fn healthz(&self) -> Json<AliveView> {
        Json(AliveView {
            status: "ok".to_owned(),
        })
    }

    /// Alive?
    #[oai(path = "/livez", method = "get", operation_id = "livez")]
    async fn livez(&self) -> Json<AliveView> {
        Json(AliveView {
            status: "ok".to_owned(),
        })
    }

    /// Started?
    #[oai(path = "/startupz", method = "get", operation_id = "startupz")]
    async fn startupz(&self) -> PhaseAnswer {
        let snapshot = self.snapshot();
        let view = Json(PhaseView::new(&snapshot));
        match snapshot.phase {
            Phase::Serving | Phase::Stopping => PhaseAnswer::Yes(view),
            Phase::Connecting | Phase::Checking | Phase::Migrating { .. } => PhaseAnswer::No(view),
        }
    }

    /// Ready for requests?
    #[oai(path = "/readyz", method = "get", operation_id = "readyz")]
    async fn readyz(
        &self,
        request: &Request,
        _token: LooksAtToken,
        /// Lists the doctor's checks, to whom `server.details` allows.
        verbose: Query<Option<String>>,
        /// Leaves a check out of the list; may be repeated.
        #[oai(explode = true, default)]
        exclude: Query<Vec<String>>,
    ) -> PhaseAnswer {
        let snapshot = self.snapshot();
        let mut view = PhaseView::new(&snapshot);
        if verbose.0.is_some_and(|value| value != "false") && self.disclosing.allows(request).await {
            view.checks = self.checks(&exclude.0).await;
        }
        if snapshot.is_ready() {
            PhaseAnswer::Yes(Json(view))
        } else {
            PhaseAnswer::No(Json(view))
        }
    }

    /// Healthy?
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(&self) -> HealthAnswer {
        if self.snapshot().is_ready() {
            HealthAnswer::Healthy(Json(HealthView {
                status: "healthy".to_owned(),
                error: None,
            }))
        } else {
            HealthAnswer::Unhealthy(Json(HealthView {
                status: "unhealthy".to_owned(),
                error: Some("database connection failed".to_owned()),
            }))
        }
    }

    /// Ready, connection by connection?
    #[oai(path = "/api/ready", method = "get", operation_id = "ready")]
    async fn ready(&self) -> ReadyAnswer {
        let snapshot = self.snapshot();
        if snapshot.phase == Phase::Stopping {
            return ReadyAnswer::NotReady(Json(ReadyView {
                ready: false,
                reason: Some("server_shutting_down".to_owned()),
                connections: Any(json!({"database": "not_checked"})),
            }));
        }
        if snapshot.is_ready() {
            let embedded = self
                .watch
                .get()
                .is_some_and(|watched| watched.monitor.engine() == Engine::Sqlite);
            let status = if embedded { "not_configured" } else { "healthy" };
            return ReadyAnswer::Ready(Json(ReadyView {
                ready: true,
                reason: None,
                connections: Any(json!({"database": {"status": status}})),
            }));
        }
        let error = match snapshot.database {
            DatabaseHealth::Unhealthy(failure) => failure.phrase(),
            DatabaseHealth::Unknown | DatabaseHealth::Healthy { .. } => "starting",
        };
        ReadyAnswer::NotReady(Json(ReadyView {
            ready: false,
            reason: Some("database_unhealthy".to_owned()),
            connections: Any(json!({"database": {"status": "unhealthy", "error": error}})),
        }))
    }

    /// The database's health
    ///
    /// Details are told to whom `server.details` allows; anyone else learns the status.
    #[oai(path = "/api/health/db", method = "get", operation_id = "databaseHealth")]
    async fn database(&self, request: &Request, _token: LooksAtToken) -> DatabaseAnswer {
        let snapshot = self.snapshot();
        let mut view = DatabaseView {
            status: database_status(snapshot.database).to_owned(),
            backend: None,
            latency_ms: None,
            server_version: None,
            migrations: None,
            pool: None,
            checks: None,
        };
        if let Some(Watched { monitor, doctor }) = self.watched_by(request).await {
            view.backend = Some(monitor.engine().name().to_owned());
            view.pool = Some(pool_view(monitor.as_ref()));
            if let DatabaseHealth::Healthy { latency } = snapshot.database {
                view.latency_ms = Some(latency.as_secs_f64() * 1_000.0);
                let examined = self.examined.get(examine(doctor)).await;
                view.checks = Some(views_of(&examined.report, |_| true));
                view.migrations = examined.migrations;
                view.server_version = examined.server_version;
            }
        }
        match snapshot.database {
            DatabaseHealth::Healthy { .. } => DatabaseAnswer::Healthy(Json(view)),
            DatabaseHealth::Unknown | DatabaseHealth::Unhealthy(_) => DatabaseAnswer::Unhealthy(Json(view)),
        }
    }

    /// Figures about the database
    ///
    /// The same numbers as `/metrics`; told to whom `server.details` allows.
    #[oai(path = "/api/metrics/db", method = "get", operation_id = "databaseMetrics")]
    async fn metrics(&self, request: &Request, _token: LooksAtToken) -> Json<DatabaseMetricsView> {
        let status = database_status(self.snapshot().database).to_owned();
        let mut view = DatabaseMetricsView {
            status,
            pool: None,
            pool_wait: None,
            operations: None,
            errors: None,
            latency_ms: None,
            objectives: None,
        };
        if let Some(Watched { monitor, .. }) = self.watched_by(request).await {
            let statistics = monitor.statistics();
            let all = statistics.all();
            let [unavailable, timeout, overloaded, conflict, other] = statistics.errors.map(|(_, count)| count);
            let failed = unavailable + timeout + overloaded + conflict + other;
            view.pool = Some(pool_view(monitor.as_ref()));
            let waits = monitor.waits();
            view.pool_wait = Some(PoolWaitView {
                count: waits.count,
                average: waits.mean_ms(),
                p50: waits.quantile_ms(0.5),
                p95: waits.quantile_ms(0.95),
                p99: waits.quantile_ms(0.99),
            });
            view.operations = Some(all.count);
            view.errors = Some(ErrorCountsView {
                unavailable,
                timeout,
                overloaded,
                conflict,
                other,
            });
            view.latency_ms = Some(LatencyView {
                average: all.mean_ms(),
                p50: all.quantile_ms(0.5),
                p95: all.quantile_ms(0.95),
                p99: all.quantile_ms(0.99),
            });
            #[allow(clippy::cast_precision_loss)] // counts stay far below 2^52
            let availability = (all.count > 0).then(|| 1.0 - failed as f64 / all.count as f64);
            view.objectives = Some(ObjectivesView {
                availability,
                availability_target: 0.999,
                average_below_100_ms: all.mean_ms().map(|mean| mean < 100.0),
            });
        }
        Json(view)
    }
}
