//! The gate: until the database is connected, migrated and trusted, nothing but the probes is answered.

use std::sync::{Arc, OnceLock};

use dlc_application::operations::readiness::Readiness;
use futures_util::{
    FutureExt,
    future::{Either, ready},
};
use poem::{Endpoint, Request, Response, endpoint::BoxEndpoint, error::NotFoundError};

use super::{admission::Admission, document, door::Entrance, health, metrics, problem::Problem, routes};

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
    business: Entrance<Routes>,
    pages: Routes,
}

impl Endpoint for Behind {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        if document::PATHS.contains(&request.uri().path()) {
            Either::Left(self.pages.call(request))
        } else {
            Either::Right(self.business.call(request))
        }
    }
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
    pub(super) fn open(&self, business: Entrance<Routes>, pages: Routes) {
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

    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        let path = request.uri().path();
        if path == metrics::PATH {
            return Either::Left(match &self.metrics {
                Some(metrics) => Either::Left(metrics.call(request)),
                None => Either::Right(ready(Err(NotFoundError.into()))),
            });
        }
        if health::is_probe(path) {
            return Either::Left(Either::Left(self.probes.call(request)));
        }
        let Some(behind) = self.gate.behind.get() else {
            return Either::Left(Either::Right(ready(Err(self.gate.closed().into()))));
        };
        // poem's routes let an empty parameter match; no template does.
        if routes::find(path).is_none() {
            return Either::Left(Either::Right(ready(Err(NotFoundError.into()))));
        }
        Either::Right(match self.gate.admission.enter_at_once() {
            Some(inside) => Either::Left(behind.call(request).map(|answer| {
                drop(inside);
                answer
            })),
            // Whoever waits does so for long enough not to mind an allocation; the others carry no more than a pointer for it.
            None => Either::Right(Box::pin(async {
                let _inside = self.gate.admission.enter().await?;
                behind.call(request).await
            })),
        })
    }
}
