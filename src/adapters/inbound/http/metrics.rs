//! `GET /metrics`: which figures there are, by OpenTelemetry's names for HTTP and databases.
//!
//! Written out here rather than by a metrics library: the numbers live in one place each, from which `/api/metrics/db` reads
//! them back as JSON, and recorders of such libraries cannot be read back. What each means: docs/observability.md.

use std::{sync::Arc, time::Instant};

use dlc_application::{
    operations::{check::Report, readiness::Readiness},
    ports::monitoring::{BUCKETS_MS, DatabaseMonitor, Durations, ReplicaStatus},
};
use poem::{
    Endpoint, Request, Response,
    error::MethodNotAllowedError,
    http::{Method, header},
};

use super::{
    Watch, Watched,
    admission::Admission,
    exposition::Exposition,
    requests::{BUCKETS, Requests},
};
use crate::telemetry::process;

pub(super) const PATH: &str = "/metrics";

/// Everything that is counted somewhere.
#[derive(Clone)]
pub(super) struct MetricsEndpoint {
    pub(super) readiness: Arc<Readiness>,
    pub(super) watch: Watch,
    pub(super) requests: Requests,
    pub(super) admission: Arc<Admission>,
}

impl MetricsEndpoint {
    fn text(&self) -> String {
        let mut page = Exposition::new();
        self.service(&mut page);
        self.http(&mut page);
        if let Some(Watched { monitor, doctor }) = self.watch.get() {
            database(&mut page, monitor.as_ref());
            if let Some(report) = doctor.last_report() {
                checks(&mut page, &report);
            }
        }
        page.into_text()
    }

    fn service(&self, page: &mut Exposition) {
        let snapshot = self.readiness.snapshot(Instant::now());
        page.family("dlc_build_info", "gauge", "Version of the program; always 1.");
        page.sample("dlc_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let ready = u8::from(snapshot.is_ready());
        page.single("dlc_ready", "gauge", "1 when requests should be sent here.", ready);
        let elapsed = snapshot.elapsed.as_secs_f64();
        page.single(
            "dlc_uptime_seconds",
            "gauge",
            "Seconds since the process began.",
            elapsed,
        );
        let Some(process) = process::look() else { return };
        let (name, help) = (
            "process_resident_memory_bytes",
            "Memory of the process that is really there.",
        );
        page.single(name, "gauge", help, process.resident_bytes);
        let (name, help) = ("process_cpu_seconds_total", "Time of the process on processors.");
        page.single(name, "counter", help, process.cpu.as_secs_f64());
        page.single(
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            process.open_files,
        );
        page.single("process_threads", "gauge", "Threads.", process.threads);
    }

    fn http(&self, page: &mut Exposition) {
        let (name, help) = (
            "http_server_active_requests",
            "Requests that are being handled, waiting ones included.",
        );
        page.single(name, "gauge", help, self.requests.in_flight());
        let (name, help) = (
            "dlc_http_waiting_requests",
            "Requests that wait for their turn (server.max_in_flight).",
        );
        page.single(name, "gauge", help, self.admission.waiting());
        let name = "http_server_request_duration_seconds";
        page.family(
            name,
            "histogram",
            "Duration of requests, from their head to the answer's.",
        );
        for (outcome, durations) in self.requests.finished() {
            let status = outcome.status.to_string();
            let labels = [
                ("http_request_method", outcome.method),
                ("http_route", outcome.route),
                ("http_response_status_code", status.as_str()),
                ("error_type", outcome.code),
            ];
            let labels: Vec<_> = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let sum = durations.total().as_secs_f64();
            page.histogram(name, &labels, BUCKETS.into_iter(), &durations.buckets(), sum);
        }
    }
}

fn database(page: &mut Exposition, monitor: &dyn DatabaseMonitor) {
    let pool = monitor.pool();
    page.single(
        "db_client_connection_max",
        "gauge",
        "Most connections of the pool.",
        pool.max,
    );
    let name = "db_client_connection_count";
    page.family(name, "gauge", "Open connections of the pool.");
    page.sample(name, &[("state", "idle")], pool.idle);
    page.sample(name, &[("state", "used")], pool.in_use);
    let name = "db_client_connection_pending_requests";
    page.single(name, "gauge", "Operations that wait for a connection.", pool.waiting);
    let name = "db_client_connection_wait_time_seconds";
    page.family(
        name,
        "histogram",
        "Waits for a connection of the pool; 0 where one was free.",
    );
    durations(page, name, &[], &monitor.waits());
    let statistics = monitor.statistics();
    let name = "db_client_operation_duration_seconds";
    page.family(
        name,
        "histogram",
        "Duration of database operations, pool wait included.",
    );
    for operation in &statistics.operations {
        let labels = [
            ("db_operation_name", operation.name),
            ("db_collection_name", operation.collection),
        ];
        durations(page, name, &labels, &operation.durations);
    }
    let name = "dlc_database_errors_total";
    page.family(name, "counter", "Failed database operations by class.");
    for (class, count) in statistics.errors {
        page.sample(name, &[("class", class)], count);
    }
    if let Some(status) = monitor.replica() {
        replica(page, &status);
    }
}

fn replica(page: &mut Exposition, status: &ReplicaStatus) {
    let used = u8::from(status.used);
    page.single("dlc_replica_used", "gauge", "1 while reads go to the replica.", used);
    if let Some(behind) = status.behind {
        let (name, help) = ("dlc_replica_behind_seconds", "How old what the replica shows is.");
        page.single(name, "gauge", help, behind.as_secs_f64());
    }
    let name = "dlc_replica_reads_total";
    page.family(
        name,
        "counter",
        "Reads that may be a little old, by who answered them and why.",
    );
    let reads = status.reads;
    for (target, reason, count) in [
        ("replica", "", reads.replica),
        ("primary", "own_write", reads.own_write),
        ("primary", "missing", reads.missing),
        ("primary", "away", reads.away),
        ("primary", "busy", reads.busy),
        ("primary", "failed", reads.failed),
    ] {
        page.sample(name, &[("target", target), ("reason", reason)], count);
    }
}

fn durations(page: &mut Exposition, name: &str, labels: &[(&str, &str)], durations: &Durations) {
    let bounds = BUCKETS_MS.iter().map(|ms| ms / 1_000.0);
    page.histogram(name, labels, bounds, &durations.buckets, durations.total.as_secs_f64());
}

fn checks(page: &mut Exposition, report: &Report) {
    let name = "dlc_check_status";
    page.family(
        name,
        "gauge",
        "How a check of the database came out: 0 ok, 1 warn, 2 fail, 3 skipped.",
    );
    for finding in &report.findings {
        let labels = [("id", finding.id), ("layer", finding.layer.name())];
        page.sample(name, &labels, finding.status.number());
    }
}

impl Endpoint for MetricsEndpoint {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        match *request.method() {
            Method::GET | Method::HEAD => Ok(Response::builder()
                .content_type("text/plain; version=0.0.4; charset=utf-8")
                .header(header::CACHE_CONTROL, "no-cache")
                .body(if request.method() == Method::HEAD {
                    String::new()
                } else {
                    self.text()
                })),
            _ => Err(MethodNotAllowedError.into()),
        }
    }
}
