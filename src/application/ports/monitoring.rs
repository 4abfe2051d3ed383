//! What the running service can tell about its own database connections.

use std::time::Duration;

use super::inspection::Engine;

/// Upper bounds of the histogram's buckets, in milliseconds; one more bucket holds what is above the last.
pub const BUCKETS_MS: [f64; 11] = [0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 100.0, 500.0, 1_000.0, 5_000.0];

/// The pool at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Most connections.
    pub max: u32,
    /// Open connections.
    pub open: u32,
    /// Open and unused.
    pub idle: u32,
    /// Open and used.
    pub in_use: u32,
    /// Operations that wait for a connection.
    pub waiting: u32,
}

/// Durations since the process began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// How many there were.
    pub count: u64,
    /// All of them added up.
    pub total: Duration,
    /// How many per bucket of [`BUCKETS_MS`], not cumulated, and those above the last.
    pub buckets: Vec<u64>,
}

/// Durations of one kind of operation, pool wait included; of those that were finished, good or bad.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationDurations {
    /// What is done: `claim`.
    pub name: &'static str,
    /// The table that it is about.
    pub collection: &'static str,
    /// How long it took.
    pub durations: Durations,
}

/// Database operations since the process began.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationStatistics {
    /// Each kind of operation.
    pub operations: Vec<OperationDurations>,
    /// Failed operations by class: unavailable, timeout, overloaded, conflict, other.
    pub errors: [(&'static str, u64); 5],
}

impl OperationStatistics {
    /// Operations of all kinds.
    #[must_use]
    pub fn all(&self) -> Durations {
        let kinds = self.operations.iter().map(|operation| &operation.durations);
        kinds.fold(Durations::default(), |sum, kind| sum.and(kind))
    }
}

impl Durations {
    /// These and those.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let length = self.buckets.len().max(other.buckets.len());
        let at = |buckets: &[u64], index: usize| buckets.get(index).copied().unwrap_or_default();
        Self {
            count: self.count + other.count,
            total: self.total + other.total,
            buckets: (0..length)
                .map(|index| at(&self.buckets, index) + at(&other.buckets, index))
                .collect(),
        }
    }

    /// The duration, in milliseconds, below which the share `quantile` (0–1) of all of them stayed; linear within its
    /// bucket, and the last bound for whatever is above it. `None` before the first one.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // counts stay far below 2^52
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = quantile * self.count as f64;
        let mut below = 0.0;
        for (index, count) in self.buckets.iter().enumerate() {
            let count = *count as f64;
            if below + count >= rank && count > 0.0 {
                let lower = if index == 0 { 0.0 } else { BUCKETS_MS[index - 1] };
                let upper = BUCKETS_MS.get(index).copied().unwrap_or(lower);
                return Some(lower + (upper - lower) * (rank - below) / count);
            }
            below += count;
        }
        BUCKETS_MS.last().copied()
    }

    /// Mean duration in milliseconds. `None` before the first one.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn mean_ms(&self) -> Option<f64> {
        (self.count > 0).then(|| self.total.as_secs_f64() * 1_000.0 / self.count as f64)
    }
}

/// A replica for reads at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Whether reads go there.
    pub used: bool,
    /// How old what it shows is; `None` while nothing is known of it.
    pub behind: Option<Duration>,
    /// Where reads went.
    pub reads: ReplicaReads,
}

/// Where reads went that may be a little old, since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicaReads {
    /// Answered by the replica.
    pub replica: u64,
    /// By the primary, because the replica did not have what the caller has written.
    pub own_write: u64,
    /// By the primary, because the replica did not have what was looked for.
    pub missing: u64,
    /// By the primary, because the replica was away or too far behind.
    pub away: u64,
    /// By the primary, because no connection to the replica was free.
    pub busy: u64,
    /// By the primary, after the replica had failed.
    pub failed: u64,
}

/// Watches the database of a running service, and asks it nothing.
pub trait DatabaseMonitor: Send + Sync {
    /// Its engine.
    fn engine(&self) -> Engine;

    /// The pool now.
    fn pool(&self) -> PoolStatus;

    /// How long was waited for a connection; no time at all where one was free.
    fn waits(&self) -> Durations;

    /// Operations so far.
    fn statistics(&self) -> OperationStatistics;

    /// The replica now; `None` where none is configured.
    fn replica(&self) -> Option<ReplicaStatus>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_come_from_the_buckets() {
        let mut buckets = vec![0; BUCKETS_MS.len() + 1];
        let statistics = |count, buckets: &Vec<u64>| Durations {
            count,
            total: Duration::from_secs(1),
            buckets: buckets.clone(),
        };
        assert_eq!(statistics(0, &buckets).quantile_ms(0.5), None);
        buckets[2] = 99;
        buckets[11] = 1;
        let median = statistics(100, &buckets).quantile_ms(0.5).unwrap();
        assert!((0.5..=1.0).contains(&median), "{median}");
        assert_eq!(statistics(100, &buckets).quantile_ms(1.0), Some(5_000.0));
        assert_eq!(statistics(100, &buckets).mean_ms(), Some(10.0));
    }
}
