//! The HTTP API: poem serves it, poem-openapi describes it.
//!
//! A request passes `acceptor` → `middleware` → `gate` → its area's file. Every error leaves as problem+json, made in
//! `problem` alone. Not here: what the calls mean (`application`), when the service starts and stops (`bootstrap`).

pub mod acceptor;
mod allow;
mod coupons;
pub mod document;
mod fields;
mod gate;
mod greetings;
mod health;
mod metrics;
mod middleware;
mod problem;
mod scalars;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dlc_application::{
    coupons::CouponService,
    operations::{check::Doctor, readiness::Readiness},
    ports::monitoring::DatabaseMonitor,
};
use poem::{Endpoint, EndpointExt, IntoEndpoint};
use poem_openapi::OpenApiService;

use gate::Gate;
pub use health::Disclosure;

/// What the API's routes work with once the gate is passed.
pub struct Services {
    /// The coupon office.
    pub coupons: Arc<CouponService>,
    /// Whether coupons are for signed-in people only.
    pub coupons_need_sign_in: bool,
}

/// Limits of every request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest time for one request.
    pub request_timeout: Duration,
    /// Largest body in bytes.
    pub max_body_bytes: usize,
}

/// Counts the requests that are being handled: a connection that has not sent a whole request is none of them.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self) -> Handled<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Handled(self)
    }
}

/// One request, until it is answered or given up.
struct Handled<'a>(&'a InFlight);

impl Drop for Handled<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
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

/// The running API: served from the first moment, opened when its services are there.
#[derive(Clone)]
pub struct Api {
    readiness: Arc<Readiness>,
    watch: Watch,
    gate: Gate,
    in_flight: InFlight,
}

impl Api {
    /// An API that answers its probes, and 503 to everything else.
    #[must_use]
    pub fn new(readiness: Arc<Readiness>) -> Self {
        Self {
            gate: Gate::new(Arc::clone(&readiness)),
            watch: Watch::default(),
            readiness,
            in_flight: InFlight::default(),
        }
    }

    /// The requests that are being handled.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        self.in_flight.clone()
    }

    /// Lets the health routes tell about the database.
    pub fn watch(&self, watched: Watched) {
        // Only the first call counts; there is one database.
        let _ = self.watch.set(watched);
    }

    /// Opens the gate.
    pub fn open(&self, services: &Services) {
        let greetings = greetings::GreetingsApi;
        let coupons = coupons::CouponsApi::new(services, &self.readiness);
        let aliases = coupons::CouponAliasesApi::new(services, &self.readiness);
        let business = OpenApiService::new((greetings, coupons, aliases), document::TITLE, document::VERSION);
        self.gate.open(business.into_endpoint(), document::pages());
    }

    /// The endpoint for a server.
    pub fn endpoint(&self, disclosure: Disclosure, limits: Limits) -> impl Endpoint + 'static {
        let health = health::HealthApi::new(Arc::clone(&self.readiness), Arc::clone(&self.watch), disclosure);
        let probes = OpenApiService::new(health, document::TITLE, document::VERSION).into_endpoint();
        let metrics = metrics::MetricsEndpoint::new(Arc::clone(&self.readiness), Arc::clone(&self.watch));
        let routes = self.gate.clone().with_probes(probes.boxed(), metrics.boxed());
        middleware::wrap(routes, limits, Arc::clone(&self.readiness), self.in_flight.clone())
    }
}

/// Everything that is documented, for the document and for `Allow` headers.
type Documented = (
    health::HealthApi,
    greetings::GreetingsApi,
    coupons::CouponsApi,
    coupons::CouponAliasesApi,
);
