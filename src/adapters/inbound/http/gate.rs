//! The gate: until the database is connected, migrated and trusted, nothing but the probes is answered.

use std::sync::{Arc, OnceLock};

use dlc_application::operations::readiness::Readiness;
use poem::{Endpoint, Request, Response, endpoint::BoxEndpoint, error::NotFoundError};

use super::{admission::Admission, document, health, metrics, problem::Problem, routes};

type Routes = BoxEndpoint<'static, Response>;

/// The way to the API's routes; cloning shares it.
#[derive(Clone)]
pub(super) struct Gate {
    readiness: Arc<Readiness>,
    behind: Arc<OnceLock<Behind>>,
    admission: Arc<Admission>,
}

/// What is reached only once the gate is open.
struct Behind {
    business: Routes,
    pages: Routes,
}

impl Gate {
    pub(super) fn new(readiness: Arc<Readiness>, admission: Arc<Admission>) -> Self {
        Self {
            admission,
            readiness,
            behind: Arc::new(OnceLock::new()),
        }
    }

    /// Opens the way, for good.
    pub(super) fn open(&self, business: Routes, pages: Routes) {
        let _ = self.behind.set(Behind { business, pages });
    }

    /// The gate with the routes beside it that are always open.
    pub(super) fn with_probes(self, probes: Routes, metrics: Option<Routes>) -> GatedRoutes {
        GatedRoutes {
            gate: self,
            probes,
            metrics,
        }
    }

    fn closed(&self) -> Problem {
        let snapshot = self.readiness.snapshot(std::time::Instant::now());
        Problem::unavailable(
            "starting",
            format!(
                "the service is starting ({}); ask again in a moment",
                snapshot.phase.name()
            ),
        )
    }
}

/// All routes.
pub(super) struct GatedRoutes {
    gate: Gate,
    probes: Routes,
    /// None where they have a listener of their own.
    metrics: Option<Routes>,
}

/// Whether a path is behind the gate: not a probe, and not the metrics.
pub(super) fn is_gated(path: &str) -> bool {
    path != metrics::PATH && !health::is_probe(path)
}

/// What a listener for metrics alone answers.
pub(super) struct OnlyMetrics(pub(super) Routes);

impl Endpoint for OnlyMetrics {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        if request.uri().path() == metrics::PATH {
            self.0.call(request).await
        } else {
            Err(NotFoundError.into())
        }
    }
}

impl Endpoint for GatedRoutes {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let path = request.uri().path();
        if path == metrics::PATH {
            match &self.metrics {
                Some(metrics) => metrics.call(request).await,
                None => Err(NotFoundError.into()),
            }
        } else if health::is_probe(path) {
            self.probes.call(request).await
        } else if let Some(behind) = self.gate.behind.get() {
            // poem's routes let an empty parameter match; no template does.
            if routes::find(path).is_none() {
                return Err(NotFoundError.into());
            }
            let _inside = self.gate.admission.enter().await?;
            let routes = if document::PATHS.contains(&path) {
                &behind.pages
            } else {
                &behind.business
            };
            routes.call(request).await
        } else {
            Err(self.gate.closed().into())
        }
    }
}
