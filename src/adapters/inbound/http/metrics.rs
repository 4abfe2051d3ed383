//! `GET /metrics`: Prometheus' text format, names by OpenTelemetry's conventions for databases.
//!
//! Written out here rather than by a metrics library: the numbers live in one place (`ports/monitoring`), from which
//! `/api/metrics/db` reads them back as JSON, and recorders of such libraries cannot be read back.

use std::{fmt::Write, sync::Arc, time::Instant};

use dlc_application::{operations::readiness::Readiness, ports::monitoring::BUCKETS_MS};
use poem::{
    Endpoint, Request, Response,
    error::MethodNotAllowedError,
    http::{Method, header},
};

use super::{Watch, Watched};

pub(super) const PATH: &str = "/metrics";

pub(super) struct MetricsEndpoint {
    readiness: Arc<Readiness>,
    watch: Watch,
}

impl MetricsEndpoint {
    pub(super) fn new(readiness: Arc<Readiness>, watch: Watch) -> Self {
        Self { readiness, watch }
    }

    /// Writing to a string does not fail, so the results of `writeln!` are dropped.
    fn text(&self) -> String {
        let mut text = String::with_capacity(4096);
        let snapshot = self.readiness.snapshot(Instant::now());
        let mut gauge = |name: &str, help: &str, samples: &[(&str, f64)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        gauge(
            "dlc_build_info",
            "Version of the program.",
            &[(concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0)],
        );
        gauge(
            "dlc_ready",
            "1 when requests should be sent here.",
            &[("", f64::from(u8::from(snapshot.is_ready())))],
        );
        gauge(
            "dlc_uptime_seconds",
            "Seconds since the process began.",
            &[("", snapshot.elapsed.as_secs_f64())],
        );
        let Some(Watched { monitor, doctor }) = self.watch.get() else {
            return text;
        };
        let pool = monitor.pool();
        gauge(
            "db_client_connection_max",
            "Most connections of the pool.",
            &[("", pool.max.into())],
        );
        gauge(
            "db_client_connection_count",
            "Open connections of the pool.",
            &[
                ("{state=\"idle\"}", pool.idle.into()),
                ("{state=\"used\"}", pool.in_use.into()),
            ],
        );
        gauge(
            "db_client_connection_pending_requests",
            "Operations that wait for a connection.",
            &[("", pool.waiting.into())],
        );
        let statistics = monitor.statistics();
        let name = "db_client_operation_duration_seconds";
        let _ = writeln!(
            text,
            "# HELP {name} Duration of database operations, pool wait included.\n# TYPE {name} histogram"
        );
        let mut below = 0;
        for (bound, count) in BUCKETS_MS.iter().zip(&statistics.buckets) {
            below += count;
            let _ = writeln!(text, "{name}_bucket{{le=\"{}\"}} {below}", bound / 1_000.0);
        }
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {}", statistics.count);
        let _ = writeln!(
            text,
            "{name}_sum {}\n{name}_count {}",
            statistics.total.as_secs_f64(),
            statistics.count
        );
        let name = "dlc_database_errors_total";
        let _ = writeln!(
            text,
            "# HELP {name} Failed database operations by class.\n# TYPE {name} counter"
        );
        for (class, count) in statistics.errors {
            let _ = writeln!(text, "{name}{{class=\"{class}\"}} {count}");
        }
        if let Some(report) = doctor.last_report() {
            let name = "dlc_check_status";
            let _ = writeln!(
                text,
                "# HELP {name} How a check of the database came out: 0 ok, 1 warn, 2 fail, 3 skipped.\n# TYPE {name} gauge"
            );
            for finding in &report.findings {
                let (id, layer) = (finding.id, finding.layer.name());
                let _ = writeln!(
                    text,
                    "{name}{{id=\"{id}\",layer=\"{layer}\"}} {}",
                    finding.status.number()
                );
            }
        }
        text
    }
}

impl Endpoint for MetricsEndpoint {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        match *request.method() {
            Method::GET | Method::HEAD => Ok(Response::builder()
                .content_type("text/plain; version=0.0.4; charset=utf-8")
                .header(header::CACHE_CONTROL, "no-store")
                .body(if request.method() == Method::HEAD {
                    String::new()
                } else {
                    self.text()
                })),
            _ => Err(MethodNotAllowedError.into()),
        }
    }
}
