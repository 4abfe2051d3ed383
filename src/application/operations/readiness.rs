//! What the service believes about itself: how far its start has come, whether its database answers, whether it leaves.
//!
//! The probes read it, the start, the database monitor and the shutdown write it. Not here: the probes' JSON, the pinging.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::ports::connection::ConnectFailure;

/// Failed pings in a row after which the database counts as lost (§3.5); one success brings it back.
const FAILURES_UNTIL_LOST: u32 = 3;

/// How far the service has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the database.
    Connecting,
    /// Looking at the history, or waiting for the migration lock.
    Checking,
    /// Applying migrations.
    Migrating {
        /// 1 for the first step.
        step: usize,
        /// Steps in all.
        of: usize,
        /// The step's migration.
        current: String,
    },
    /// The gate is passed.
    Serving,
    /// A signal came: finishing what is in flight.
    Stopping,
}

impl Phase {
    /// A stable name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Checking => "checking",
            Self::Migrating { .. } => "migrating",
            Self::Serving => "serving",
            Self::Stopping => "stopping",
        }
    }
}

/// What is known of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseHealth {
    /// Not asked yet.
    Unknown,
    /// The last ping was answered.
    Healthy {
        /// How long the answer took.
        latency: Duration,
    },
    /// Several pings failed in a row.
    Unhealthy(ConnectFailure),
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How far the service has come.
    pub phase: Phase,
    /// Who holds the migration lock that this process waits for.
    pub lock_holder: Option<String>,
    /// What is known of the database.
    pub database: DatabaseHealth,
    /// Since the process began.
    pub elapsed: Duration,
}

impl Snapshot {
    /// Whether requests should be sent here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Serving && matches!(self.database, DatabaseHealth::Healthy { .. })
    }
}

#[derive(Debug)]
struct State {
    phase: Phase,
    lock_holder: Option<String>,
    database: DatabaseHealth,
    failures: u32,
}

/// The shared belief.
#[derive(Debug)]
pub struct Readiness {
    started: Instant,
    state: Mutex<State>,
}

impl Readiness {
    /// A service that has just been started.
    #[must_use]
    pub fn new(started: Instant) -> Self {
        let state = State {
            phase: Phase::Connecting,
            lock_holder: None,
            database: DatabaseHealth::Unknown,
            failures: 0,
        };
        Self {
            started,
            state: Mutex::new(state),
        }
    }

    /// The service has come to `phase`.
    pub fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = phase;
        state.lock_holder = None;
    }

    /// The service waits for the migration lock, held by `holder`.
    pub fn wait_for(&self, holder: String) {
        self.lock().lock_holder = Some(holder);
    }

    /// The database answered. Returns whether that is news.
    pub fn database_answered(&self, latency: Duration) -> bool {
        let mut state = self.lock();
        let news = !matches!(state.database, DatabaseHealth::Healthy { .. });
        state.failures = 0;
        state.database = DatabaseHealth::Healthy { latency };
        news
    }

    /// The database did not answer a ping. Returns whether it counts as lost from now on.
    pub fn database_failed(&self, failure: ConnectFailure) -> bool {
        let mut state = self.lock();
        state.failures += 1;
        let healthy = !matches!(state.database, DatabaseHealth::Unhealthy(_));
        if state.failures >= FAILURES_UNTIL_LOST || !healthy {
            state.database = DatabaseHealth::Unhealthy(failure);
            return healthy;
        }
        false
    }

    /// Whether the database counts as lost: then nobody should be kept waiting for it.
    #[must_use]
    pub fn database_is_lost(&self) -> bool {
        matches!(self.lock().database, DatabaseHealth::Unhealthy(_))
    }

    /// Everything as of `now`.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let state = self.lock();
        Snapshot {
            phase: state.phase.clone(),
            lock_holder: state.lock_holder.clone(),
            database: state.database,
            elapsed: now.saturating_duration_since(self.started),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every write leaves the state whole, so a panicking writer spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving() -> Readiness {
        let readiness = Readiness::new(Instant::now());
        readiness.enter(Phase::Serving);
        readiness
    }

    fn is_ready(readiness: &Readiness) -> bool {
        readiness.snapshot(Instant::now()).is_ready()
    }

    #[test]
    fn a_service_is_ready_once_the_gate_is_passed_and_the_database_answers() {
        let readiness = Readiness::new(Instant::now());
        readiness.database_answered(Duration::ZERO);
        assert!(!is_ready(&readiness));
        readiness.enter(Phase::Serving);
        assert!(is_ready(&readiness));
        readiness.enter(Phase::Stopping);
        assert!(!is_ready(&readiness));
    }

    #[test]
    fn three_failures_in_a_row_lose_the_database_and_one_answer_brings_it_back() {
        let readiness = serving();
        readiness.database_answered(Duration::ZERO);
        assert!(!readiness.database_failed(ConnectFailure::Refused));
        assert!(!readiness.database_failed(ConnectFailure::Refused));
        assert!(is_ready(&readiness));
        assert!(readiness.database_failed(ConnectFailure::Refused));
        assert!(!is_ready(&readiness));
        assert!(readiness.database_answered(Duration::ZERO));
        assert!(is_ready(&readiness));
    }

    #[test]
    fn failures_that_are_not_in_a_row_lose_nothing() {
        let readiness = serving();
        for _ in 0..4 {
            readiness.database_answered(Duration::ZERO);
            readiness.database_failed(ConnectFailure::TimedOut);
            readiness.database_failed(ConnectFailure::TimedOut);
        }
        assert!(is_ready(&readiness));
    }
}
