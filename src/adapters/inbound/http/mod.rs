//! The HTTP API: poem serves it, poem-openapi describes it.
//!
//! A request passes `server` (over `tls` where that is configured) → `middleware` → `gate` → its area's file. Every error leaves as problem+json, made in
//! `problem` alone. Not here: what the calls mean (`application`), when the service starts and stops (`bootstrap`).

mod admin;
mod admission;
mod auth;
mod bearer;
mod body;
mod client;
mod coupons;
pub mod document;
mod done;
mod door;
mod exposition;
mod fields;
mod freshness;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gate;
mod greetings;
mod gzip;
mod headers;
mod health;
mod idempotency;
mod metrics;
mod middleware;
mod pages;
mod preconditions;
mod problem;
mod refusals;
mod requests;
mod routes;
mod scalars;
pub mod server;
pub mod tls;
mod users;

use std::{
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::Duration,
};

use dlc_application::{
    auth::AuthService,
    coupons::CouponService,
    greetings::GreetingService,
    operations::{check::Doctor, readiness::Readiness},
    ports::{cursors::CursorSeal, freshness::WriteLog, monitoring::DatabaseMonitor},
    users::UserService,
};
use ipnet::IpNet;
use poem::{Endpoint, EndpointExt, IntoEndpoint, IntoResponse, Response, http::header};
use poem_openapi::OpenApiService;
use tokio::sync::Notify;

use admission::Admission;
pub use admission::AdmissionLimits;
use client::TrustedProxies;
use door::{Door, Entrance};
use gate::Gate;
pub use health::Disclosure;
use requests::Requests;

/// What the API's routes work with once the gate is passed.
pub struct Services {
    /// The door.
    pub auth: Arc<AuthService>,
    /// The registry of accounts.
    pub users: Arc<UserService>,
    /// The guest book.
    pub greetings: Arc<GreetingService>,
    /// The coupon office.
    pub coupons: Arc<CouponService>,
    /// Whether coupons are for signed-in people only.
    pub coupons_need_sign_in: bool,
    /// Seals on the way from one page of a list to the next.
    pub cursors: Arc<dyn CursorSeal>,
    /// Who has written when; none where every read sees everything anyway.
    pub writes: Option<Arc<dyn WriteLog>>,
    /// Networks of proxies whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
}

/// Limits of every request.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest time for one request.
    pub request_timeout: Duration,
    /// Largest body in bytes.
    pub max_body_bytes: usize,
    /// Most requests of one client; none for no limit.
    pub rate: Option<RateLimit>,
    /// Most tries of one client at a password or a code, or at a new account; none for no limit.
    pub credentials_rate: Option<RateLimit>,
    /// Networks of proxies whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
}

/// So many requests in so long a time, of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The requests.
    pub requests: NonZeroU32,
    /// The time.
    pub window: Duration,
}

/// Who knows about the database.
pub struct Watched {
    /// What the service itself sees of it.
    pub monitor: Arc<dyn DatabaseMonitor>,
    /// What a look at it tells.
    pub doctor: Arc<Doctor>,
}

/// Empty until there is a database.
type Watch = Arc<OnceLock<Watched>>;

/// Empty until people can sign in.
type DoorWatch = Arc<OnceLock<Arc<Door>>>;

/// The running API: served from the first moment, opened when its services are there.
#[derive(Clone)]
pub struct Api {
    readiness: Arc<Readiness>,
    /// Told when a request has found no database.
    doubted: Arc<Notify>,
    watch: Watch,
    door: DoorWatch,
    gate: Gate,
    requests: Requests,
    admission: Arc<Admission>,
}

impl Api {
    /// An API that answers its probes, and 503 to everything else.
    #[must_use]
    pub fn new(readiness: Arc<Readiness>, admission: AdmissionLimits) -> Self {
        let admission = Arc::new(Admission::new(admission));
        Self {
            gate: Gate::new(Arc::clone(&readiness), Arc::clone(&admission)),
            watch: Watch::default(),
            door: DoorWatch::default(),
            readiness,
            doubted: Arc::default(),
            requests: Requests::default(),
            admission,
        }
    }

    /// Lets the health routes tell about the database.
    pub fn watch(&self, watched: Watched) {
        // Only the first call counts; there is one database.
        let _ = self.watch.set(watched);
    }

    /// Opens the gate.
    pub fn open(&self, services: &Services) {
        let proxies = TrustedProxies(services.trusted_proxies.clone());
        let door = Arc::new(Door::new(
            Arc::clone(&services.auth),
            Arc::clone(&self.readiness),
            proxies,
        ));
        let areas = (
            auth::AuthApi::new(&services.auth, &door),
            users::UsersApi::new(&services.users, &services.auth, &door),
            admin::AdminApi::new(&services.users, &services.cursors, &door),
            greetings::GreetingsApi::new(&services.greetings, &services.cursors, &door),
            coupons::CouponsApi::new(services, &door),
            coupons::CouponAliasesApi::new(services, &door),
        );
        let inner = OpenApiService::new(areas, document::TITLE, document::VERSION).into_endpoint();
        let _ = self.door.set(Arc::clone(&door));
        let writes = services.writes.clone();
        self.gate.open(Entrance { inner, door, writes }, document::pages());
    }

    fn metrics(&self) -> metrics::MetricsEndpoint {
        metrics::MetricsEndpoint {
            readiness: Arc::clone(&self.readiness),
            watch: Arc::clone(&self.watch),
            requests: self.requests.clone(),
            admission: Arc::clone(&self.admission),
        }
    }

    /// The endpoint for a server of `/metrics` alone.
    pub fn metrics_endpoint(&self, limits: Limits) -> impl Endpoint<Output = Response> + 'static {
        let (doubted, requests) = (Arc::clone(&self.doubted), Requests::default());
        let limits = Limits {
            rate: None,
            credentials_rate: None,
            ..limits
        };
        // Requests of a scraper are no traffic of the service.
        middleware::wrap(
            gate::OnlyMetrics(self.metrics().boxed()),
            limits,
            doubted,
            requests,
            &[],
        )
    }

    /// The endpoint for a server; with `/metrics`, or without where that has a server of its own.
    pub fn endpoint(
        &self,
        disclosure: Disclosure,
        limits: Limits,
        origins: &[String],
        with_metrics: bool,
    ) -> impl Endpoint<Output = Response> + 'static {
        let health = health::HealthApi::new(
            Arc::clone(&self.readiness),
            Arc::clone(&self.watch),
            health::Disclosing::new(disclosure, Arc::clone(&self.door)),
        );
        let probes = OpenApiService::new(health, document::TITLE, document::VERSION).into_endpoint();
        // What was true a moment ago is no answer, and details are for whoever asked.
        let probes = probes.map(|answer: Response| async move {
            answer.with_header(header::CACHE_CONTROL, "no-store").into_response()
        });
        let metrics = self.metrics();
        let metrics = with_metrics.then(|| metrics.boxed());
        let routes = self.gate.clone().with_probes(probes.boxed(), metrics);
        middleware::wrap(
            routes,
            limits,
            Arc::clone(&self.doubted),
            self.requests.clone(),
            origins,
        )
    }

    /// Until a request has found no database.
    pub async fn database_doubted(&self) {
        self.doubted.notified().await;
    }
}

/// Everything that is documented, for the document and for `Allow` headers.
type Documented = (
    health::HealthApi,
    auth::AuthApi,
    users::UsersApi,
    admin::AdminApi,
    greetings::GreetingsApi,
    coupons::CouponsApi,
    coupons::CouponAliasesApi,
);
