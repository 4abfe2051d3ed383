//! Counts and durations of database operations since the process began: one source for `/metrics` and `/api/metrics/db`.
//!
//! Lock-free counters, so that recording costs a few nanoseconds on the hot path. Not here: how they are printed, and the
//! wait for a connection (`turnstile`).

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use dlc_application::ports::{
    StorageError, StorageErrorKind,
    monitoring::{BUCKETS_MS, Durations, OperationDurations, OperationStatistics},
};

/// What repositories do, told apart in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    CreateCoupon,
    FindCoupon,
    FindCouponWithClaimants,
    PageCoupons,
    PageClaims,
    Claim,
    CreateUser,
    FindUser,
    FindUserByName,
    PageUsers,
    ChangeUser,
    DeleteUser,
    RestoreUser,
    AllowReset,
    PurgeUsers,
    CountPurgeable,
    SignInState,
    SignIn,
    Refresh,
    FindPrincipal,
    EndSession,
    EndSessions,
    ChangePassword,
    MayReset,
    ResetPassword,
    ForgetSessions,
    RecordGreeting,
    FindGreeting,
    PageGreetings,
    PruneGreetings,
}

impl Operation {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 30] = [
        Self::CreateCoupon,
        Self::FindCoupon,
        Self::FindCouponWithClaimants,
        Self::PageCoupons,
        Self::PageClaims,
        Self::Claim,
        Self::CreateUser,
        Self::FindUser,
        Self::FindUserByName,
        Self::PageUsers,
        Self::ChangeUser,
        Self::DeleteUser,
        Self::RestoreUser,
        Self::AllowReset,
        Self::PurgeUsers,
        Self::CountPurgeable,
        Self::SignInState,
        Self::SignIn,
        Self::Refresh,
        Self::FindPrincipal,
        Self::EndSession,
        Self::EndSessions,
        Self::ChangePassword,
        Self::MayReset,
        Self::ResetPassword,
        Self::ForgetSessions,
        Self::RecordGreeting,
        Self::FindGreeting,
        Self::PageGreetings,
        Self::PruneGreetings,
    ];

    /// Its name, and the table that it is about.
    const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::CreateCoupon => ("create", "coupons"),
            Self::FindCoupon => ("find", "coupons"),
            Self::FindCouponWithClaimants => ("find_with_claimants", "coupons"),
            Self::PageCoupons => ("page", "coupons"),
            Self::PageClaims => ("page", "claims"),
            Self::Claim => ("claim", "claims"),
            Self::CreateUser => ("create", "users"),
            Self::FindUser => ("find", "users"),
            Self::FindUserByName => ("find_by_name", "users"),
            Self::PageUsers => ("page", "users"),
            Self::ChangeUser => ("change", "users"),
            Self::DeleteUser => ("delete", "users"),
            Self::RestoreUser => ("restore", "users"),
            Self::AllowReset => ("allow_reset", "users"),
            Self::PurgeUsers => ("purge", "users"),
            Self::CountPurgeable => ("count_purgeable", "users"),
            Self::SignInState => ("sign_in_state", "sessions"),
            Self::SignIn => ("sign_in", "sessions"),
            Self::Refresh => ("refresh", "sessions"),
            Self::FindPrincipal => ("find_principal", "sessions"),
            Self::EndSession => ("end", "sessions"),
            Self::EndSessions => ("end_all", "sessions"),
            Self::ChangePassword => ("change_password", "users"),
            Self::MayReset => ("may_reset", "users"),
            Self::ResetPassword => ("reset_password", "users"),
            Self::ForgetSessions => ("forget", "sessions"),
            Self::RecordGreeting => ("record", "greet_history"),
            Self::FindGreeting => ("find", "greet_history"),
            Self::PageGreetings => ("page", "greet_history"),
            Self::PruneGreetings => ("prune", "greet_history"),
        }
    }
}

/// Durations in buckets.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS_MS.len() + 1],
    total_ns: AtomicU64,
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let ms = took.as_secs_f64() * 1_000.0;
        let bucket = BUCKETS_MS
            .iter()
            .position(|bound| ms <= *bound)
            .unwrap_or(BUCKETS_MS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.total_ns
            .fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Durations {
        let buckets: Vec<u64> = self
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect();
        Durations {
            count: buckets.iter().sum(),
            total: Duration::from_nanos(self.total_ns.load(Ordering::Relaxed)),
            buckets,
        }
    }
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    operations: [Histogram; Operation::ALL.len()],
    unavailable: AtomicU64,
    timeout: AtomicU64,
    overloaded: AtomicU64,
    conflict: AtomicU64,
    other: AtomicU64,
}

impl Counters {
    /// Runs one operation of a repository and counts it; a cancelled one is not counted as finished.
    pub(crate) async fn observe<T>(
        &self,
        operation: Operation,
        run: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let started = Instant::now();
        let result = run.await;
        self.record(
            operation,
            started.elapsed(),
            result.as_ref().err().map(StorageError::kind),
        );
        result
    }

    fn record(&self, operation: Operation, took: Duration, error: Option<StorageErrorKind>) {
        self.operations[operation as usize].record(took);
        if let Some(kind) = error {
            let counter = match kind {
                StorageErrorKind::Unavailable => &self.unavailable,
                StorageErrorKind::Timeout => &self.timeout,
                StorageErrorKind::Overloaded => &self.overloaded,
                StorageErrorKind::Conflict => &self.conflict,
                StorageErrorKind::Other => &self.other,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counters now.
    pub(crate) fn snapshot(&self) -> OperationStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let operations = Operation::ALL.map(|operation| {
            let (name, collection) = operation.labels();
            OperationDurations {
                name,
                collection,
                durations: self.operations[operation as usize].snapshot(),
            }
        });
        OperationStatistics {
            operations: operations.into(),
            errors: [
                ("unavailable", read(&self.unavailable)),
                ("timeout", read(&self.timeout)),
                ("overloaded", read(&self.overloaded)),
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
    fn each_operation_falls_into_one_bucket_of_its_own_and_each_failure_into_one_class() {
        let counters = Counters::default();
        counters.record(Operation::FindCoupon, Duration::from_micros(800), None);
        counters.record(
            Operation::Claim,
            Duration::from_secs(60),
            Some(StorageErrorKind::Timeout),
        );
        let snapshot = counters.snapshot();
        let all = snapshot.all();
        assert_eq!(all.count, 2);
        assert_eq!((all.buckets[2], all.buckets[11]), (1, 1));
        assert_eq!(snapshot.errors[1], ("timeout", 1));
        let counts = snapshot
            .operations
            .iter()
            .map(|o| (o.name, o.collection, o.durations.count));
        assert_eq!(
            counts
                .filter(|(_, collection, _)| ["coupons", "claims"].contains(collection))
                .collect::<Vec<_>>(),
            [
                ("create", "coupons", 0),
                ("find", "coupons", 1),
                ("find_with_claimants", "coupons", 0),
                ("page", "coupons", 0),
                ("page", "claims", 0),
                ("claim", "claims", 1)
            ]
        );
    }
}
