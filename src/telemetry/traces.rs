//! Traces: spans of the target `dlc::trace` go to a collector, as OTLP over gRPC.
//!
//! Off, there is no layer for them, and each of their places in the code is one look at a flag. Not here: which spans there
//! are (`middleware/traces` for requests, use cases, `dlc-database` for statements).

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter},
};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
};

/// The target of every span that belongs to a trace.
pub(super) const TARGET: &str = "dlc::trace";
/// How often it is said that the collector cannot be reached.
const SAID_EVERY: Duration = Duration::from_secs(60);
/// Longest wait for the collector to take one batch.
const EXPORT_LIMIT: Duration = Duration::from_secs(5);

/// Which traces to take, and where they go.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// The collector's URL.
    pub endpoint: String,
    /// Share of the traces begun here that are recorded.
    pub ratio: f64,
    /// The service's name.
    pub service_name: String,
    /// What tells this process from others of the same name.
    pub instance: String,
}

/// Traces that are being taken.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Begins; the collector is not asked for yet. Only inside of a runtime: the exporter's connection lives there.
    ///
    /// # Errors
    /// Why not, in words: the endpoint is none that the exporter understands.
    pub fn begin(tracing: &Tracing) -> Result<Self, String> {
        let exporter = OtlpExporter::builder()
            .with_tonic()
            .with_endpoint(&tracing.endpoint)
            .with_timeout(EXPORT_LIMIT)
            .build()
            .map_err(|error| error.to_string())?;
        let resource = Resource::builder()
            .with_service_name(tracing.service_name.clone())
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", tracing.instance.clone()),
            ])
            .build();
        let share = Sampler::TraceIdRatioBased(tracing.ratio);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(share)))
            .with_batch_exporter(Telling {
                inner: exporter,
                endpoint: tracing.endpoint.clone(),
                failing: Mutex::new(None),
            })
            .build();
        Ok(Self { provider })
    }

    /// What takes the spans. Its place is directly on the registry.
    pub(super) fn layer(&self) -> impl Layer<Registry> + use<> {
        // Files, lines and threads of this program would say little and make each span longer.
        OpenTelemetryLayer::<Registry, SdkTracer>::new(self.provider.tracer("dlc"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    }

    /// Sends what is left, for no longer than `limit`. Returns whether the collector took it.
    pub async fn end(self, limit: Duration) -> bool {
        let ending = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(limit).is_ok());
        matches!(tokio::time::timeout(limit, ending).await, Ok(Ok(true)))
    }
}

/// An exporter that tells when the collector does not take spans, now and then and not each time.
#[derive(Debug)]
struct Telling {
    inner: OtlpExporter,
    endpoint: String,
    /// Since it fails: when that was said last, and how many spans were lost since.
    failing: Mutex<Option<(Instant, usize)>>,
}

impl Telling {
    fn failed(&self, spans: usize, cause: &str) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let (said, lost) = match *failing {
            Some((said, lost)) if said.elapsed() < SAID_EVERY => (said, lost + spans),
            before => {
                let lost = before.map_or(0, |(_, lost)| lost) + spans;
                tracing::warn!(
                    code = "traces_lost",
                    spans = lost,
                    "traces cannot be sent to {}, and are lost: {cause}",
                    self.endpoint
                );
                (Instant::now(), 0)
            }
        };
        *failing = Some((said, lost));
    }

    fn succeeded(&self) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.take().is_some() {
            tracing::info!("traces are taken by {} again", self.endpoint);
        }
    }
}

impl SpanExporter for Telling {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        match &result {
            Ok(()) => self.succeeded(),
            Err(error) => {
                let words = error.to_string();
                // The exporter's own name says nothing to a reader.
                let cause = words
                    .split_once("export failed with ")
                    .map_or(&*words, |(_, cause)| cause);
                self.failed(spans, cause);
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
