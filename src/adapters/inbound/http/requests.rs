//! The requests there are and were: how many are being handled, and how long the others took, by route, method and outcome.
//!
//! Not here: how the figures are printed (`metrics`).

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use poem::http::{Method, StatusCode};

/// Upper bounds of the histogram's buckets in seconds, as OpenTelemetry's HTTP conventions advise; one more bucket holds what
/// is above the last.
pub(super) const BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Counts requests. A connection that has not sent a whole request is none of them. Cloning shares the counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    in_flight: AtomicUsize,
    finished: RwLock<HashMap<Outcome, Arc<Durations>>>,
}

/// What requests are told apart by. Few combinations: paths that belong to no route are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Outcome {
    /// The route's template; none for a path that belongs to no route.
    pub(super) route: &'static str,
    /// Its method; one that no route knows is `_OTHER`.
    pub(super) method: &'static str,
    /// The answer's status.
    pub(super) status: u16,
    /// The `code` of a problem; empty where there was none.
    pub(super) code: &'static str,
}

/// A method that no route knows.
pub(super) const OTHER: &str = "_OTHER";

/// A method in figures and traces, which a caller must not be able to fill with words of its own.
pub(super) fn known(method: &Method) -> &'static str {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    METHODS
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or(OTHER)
}

impl Outcome {
    pub(super) fn new(route: Option<&'static str>, method: &Method, status: StatusCode, code: &'static str) -> Self {
        Self {
            route: route.unwrap_or_default(),
            method: known(method),
            status: status.as_u16(),
            code,
        }
    }
}

/// Durations of requests with one outcome.
#[derive(Debug, Default)]
pub(super) struct Durations {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    total_us: AtomicU64,
}

impl Durations {
    fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(BUCKETS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.total_us
            .fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Requests per bucket, not cumulated.
    pub(super) fn buckets(&self) -> Vec<u64> {
        self.buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect()
    }

    /// All of them added up.
    pub(super) fn total(&self) -> Duration {
        Duration::from_micros(self.total_us.load(Ordering::Relaxed))
    }
}

impl Requests {
    /// How many are being handled.
    pub(super) fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self) -> Handled<'_> {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        Handled {
            requests: self,
            started: Instant::now(),
        }
    }

    /// All outcomes so far, in order.
    pub(super) fn finished(&self) -> Vec<(Outcome, Arc<Durations>)> {
        let finished = self.0.finished.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = finished.iter().map(|(outcome, d)| (*outcome, Arc::clone(d))).collect();
        all.sort_by_key(|(outcome, _)| *outcome);
        all
    }

    fn record(&self, outcome: Outcome, took: Duration) {
        let known = self.0.finished.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(durations) = known.get(&outcome) {
            durations.record(took);
            return;
        }
        drop(known);
        let mut finished = self.0.finished.write().unwrap_or_else(PoisonError::into_inner);
        finished.entry(outcome).or_default().record(took);
    }
}

/// One request, until it is answered or given up.
pub(super) struct Handled<'a> {
    requests: &'a Requests,
    started: Instant,
}

impl Handled<'_> {
    /// Since its head was read.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// It is answered; one that is given up by its client is not counted as finished.
    pub(super) fn finished(&self, outcome: Outcome) {
        self.requests.record(outcome, self.started.elapsed());
    }
}

impl Drop for Handled<'_> {
    fn drop(&mut self) {
        self.requests.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
