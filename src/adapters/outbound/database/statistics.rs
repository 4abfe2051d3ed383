//! Counts and durations of database operations since the process began: one source for `/metrics` and `/api/metrics/db`.
//!
//! Lock-free counters, so that recording costs a few nanoseconds on the hot path. Not here: how they are printed.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use dlc_application::ports::{
    StorageError, StorageErrorKind,
    monitoring::{BUCKETS_MS, OperationStatistics},
};

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    under_way: AtomicUsize,
    buckets: [AtomicU64; BUCKETS_MS.len() + 1],
    total_ns: AtomicU64,
    unavailable: AtomicU64,
    timeout: AtomicU64,
    conflict: AtomicU64,
    other: AtomicU64,
}

struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// The same for an operation that shares its connection with others, so that it waits for no connection of its own.
    pub(crate) async fn observe_grouped<T>(
        &self,
        operation: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let started = Instant::now();
        let result = operation.await;
        self.record(started.elapsed(), result.as_ref().err().map(StorageError::kind));
        result
    }

    /// Runs one operation of a repository and counts it; a cancelled one is not counted as finished.
    pub(crate) async fn observe<T>(
        &self,
        operation: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let started = Instant::now();
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(&self.under_way);
        let result = operation.await;
        drop(under_way);
        self.record(started.elapsed(), result.as_ref().err().map(StorageError::kind));
        result
    }

    fn record(&self, took: Duration, error: Option<StorageErrorKind>) {
        let ms = took.as_secs_f64() * 1_000.0;
        let bucket = BUCKETS_MS
            .iter()
            .position(|bound| ms <= *bound)
            .unwrap_or(BUCKETS_MS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.total_ns
            .fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Some(kind) = error {
            let counter = match kind {
                StorageErrorKind::Unavailable => &self.unavailable,
                StorageErrorKind::Timeout => &self.timeout,
                StorageErrorKind::Conflict => &self.conflict,
                StorageErrorKind::Other => &self.other,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Operations that have been asked for and are not finished: in the pool's queue or in the database.
    pub(crate) fn under_way(&self) -> u32 {
        u32::try_from(self.under_way.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    /// The counters now.
    pub(crate) fn snapshot(&self) -> OperationStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let buckets: Vec<u64> = self.buckets.iter().map(read).collect();
        OperationStatistics {
            count: buckets.iter().sum(),
            total: Duration::from_nanos(read(&self.total_ns)),
            buckets,
            errors: [
                ("unavailable", read(&self.unavailable)),
                ("timeout", read(&self.timeout)),
                ("conflict", read(&self.conflict)),
                ("other", read(&self.other)),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_falls_into_one_bucket_and_each_failure_into_one_class() {
        let counters = Counters::default();
        counters.record(Duration::from_micros(800), None);
        counters.record(Duration::from_secs(60), Some(StorageErrorKind::Timeout));
        let snapshot = counters.snapshot();
        assert_eq!(snapshot.count, 2);
        assert_eq!((snapshot.buckets[2], snapshot.buckets[11]), (1, 1));
        assert_eq!(snapshot.errors[1], ("timeout", 1));
    }
}
