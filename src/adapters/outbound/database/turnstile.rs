//! The turnstile in front of a pool: as many turns as the pool has connections, given in the order of asking.
//!
//! The driver's pool has a queue too, but tells neither how many stand in it nor for how long. Whoever has a turn finds a
//! connection free, or opens one, or gets one that is just being given back; so what is waited for is waited for here, and
//! counted. Not here: connections, and how the figures are told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use dlc_application::ports::monitoring::Durations;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, Span};

use crate::{statements, statistics::Histogram};

/// The right to one connection, until it is dropped: later than the connection itself.
pub(crate) type Turn = OwnedSemaphorePermit;

/// One pool's turnstile.
#[derive(Debug)]
pub(crate) struct Turnstile {
    free: Arc<Semaphore>,
    limit: Duration,
    waiting: AtomicU32,
    /// Told of everybody who begins to wait.
    wanted: Notify,
    waits: Histogram,
}

struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turnstile {
    /// A turnstile of so many turns, at which nobody waits for longer than `limit`.
    pub(crate) fn new(turns: u32, limit: Duration) -> Self {
        let turns = usize::try_from(turns).unwrap_or(usize::MAX);
        Self {
            free: Arc::new(Semaphore::new(turns.min(Semaphore::MAX_PERMITS))),
            limit,
            waiting: AtomicU32::new(0),
            wanted: Notify::new(),
            waits: Histogram::default(),
        }
    }

    /// Waits for a turn. The errors are those of the driver's pool: too long a wait, or it is closed.
    pub(crate) async fn enter(&self) -> Result<Turn, sqlx::Error> {
        // A turn that is given back goes to whoever waits, so nobody is overtaken by this.
        if let Ok(turn) = Arc::clone(&self.free).try_acquire_owned() {
            self.waits.record(Duration::ZERO);
            return Ok(turn);
        }
        let asked = Instant::now();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        self.wanted.notify_waiters();
        let span = if statements::is_within_a_trace() {
            tracing::info_span!(target: "dlc::trace", "pool wait")
        } else {
            Span::none()
        };
        let turn = tokio::time::timeout(self.limit, Arc::clone(&self.free).acquire_owned())
            .instrument(span)
            .await;
        drop(waiting);
        self.waits.record(asked.elapsed());
        match turn {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(sqlx::Error::PoolClosed),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Sends everybody away who waits, and who comes.
    pub(crate) fn close(&self) {
        self.free.close();
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Until somebody waits.
    pub(crate) async fn until_waited_for(&self) {
        let wanted = self.wanted.notified();
        if self.waiting() == 0 {
            wanted.await;
        }
    }

    /// How long was waited so far, in vain too; no time at all for whoever found a turn free.
    pub(crate) fn waits(&self) -> Durations {
        self.waits.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn turns_are_given_in_the_order_of_asking_and_nobody_overtakes() {
        let turnstile = Arc::new(Turnstile::new(1, LONG));
        let first = turnstile.enter().await.unwrap();
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..3 {
            let (turnstile, told) = (Arc::clone(&turnstile), told.clone());
            let before = turnstile.waiting();
            tokio::spawn({
                let turnstile = Arc::clone(&turnstile);
                async move {
                    let turn = turnstile.enter().await.unwrap();
                    told.send(number).unwrap();
                    drop(turn);
                }
            });
            while turnstile.waiting() == before {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(turnstile.waiting(), 3);
        drop(first);
        for number in 0..3 {
            assert_eq!(order.recv().await, Some(number));
        }
        assert_eq!((turnstile.waiting(), turnstile.waits().count), (0, 4));
    }

    #[tokio::test]
    async fn a_wait_that_is_too_long_is_the_pools_own_error_and_is_counted() {
        let turnstile = Turnstile::new(1, Duration::from_millis(20));
        let turn = turnstile.enter().await.unwrap();
        assert!(matches!(turnstile.enter().await, Err(sqlx::Error::PoolTimedOut)));
        drop(turn);
        assert_eq!((turnstile.waiting(), turnstile.waits().count), (0, 2));
        assert!(turnstile.waits().total >= Duration::from_millis(20));
        turnstile.close();
        assert!(matches!(turnstile.enter().await, Err(sqlx::Error::PoolClosed)));
    }

    #[tokio::test]
    async fn who_is_cancelled_waits_no_more_and_takes_no_turn() {
        let turnstile = Turnstile::new(1, LONG);
        let turn = turnstile.enter().await.unwrap();
        assert!(
            tokio::time::timeout(Duration::from_millis(5), turnstile.enter())
                .await
                .is_err()
        );
        assert_eq!(turnstile.waiting(), 0);
        drop(turn);
        assert!(turnstile.enter().await.is_ok());
    }
}
