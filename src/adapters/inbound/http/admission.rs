//! Bounded work: so many requests at a time behind the gate, so many more waiting in order, and 503 for the rest.
//!
//! What is admitted is served as fast as it can be; a crowd costs the memory of its waiting, and no more than that. The
//! probes do not pass here: a busy service is busy and not dead.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::problem::Problem;

/// How many may be inside, and how many may wait.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    /// Requests at a time.
    pub in_flight: usize,
    /// Requests that wait for their turn.
    pub queue: usize,
}

/// Lets requests in.
pub(super) struct Admission {
    free: Semaphore,
    waiting: AtomicUsize,
    longest_queue: usize,
}

impl Admission {
    pub(super) fn new(limits: AdmissionLimits) -> Self {
        Self {
            free: Semaphore::new(limits.in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
            longest_queue: limits.queue,
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes a free place; `None` where whoever comes has to wait. Holding what it returns is being inside.
    pub(super) fn enter_at_once(&self) -> Option<SemaphorePermit<'_>> {
        self.free.try_acquire().ok()
    }

    /// Waits for its turn, where there is room to wait.
    pub(super) async fn enter(&self) -> Result<SemaphorePermit<'_>, Problem> {
        if let Some(permit) = self.enter_at_once() {
            return Ok(permit);
        }
        let waiting = Waiting::new(&self.waiting);
        if waiting.before > self.longest_queue.saturating_sub(1) {
            return Err(overloaded());
        }
        // Nobody closes the semaphore.
        self.free.acquire().await.map_err(|_| overloaded())
    }
}

pub(super) fn overloaded() -> Problem {
    Problem::unavailable("overloaded", "too many requests at a time; try again in a moment")
}

/// A place in the queue, until its holder is admitted or gives up.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        let before = count.fetch_add(1, Ordering::Relaxed);
        Self { count, before }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn whoever_finds_neither_place_nor_queue_is_turned_away_and_a_place_is_taken_in_order() {
        let admission = Admission::new(AdmissionLimits { in_flight: 1, queue: 1 });
        let inside = admission.enter().await.unwrap();
        let waiting = admission.enter();
        tokio::pin!(waiting);
        assert!(
            tokio::time::timeout(Duration::from_millis(1), &mut waiting)
                .await
                .is_err()
        );
        assert_eq!(
            admission.enter().await.err().map(|problem| problem.code),
            Some("overloaded")
        );
        drop(inside);
        let second = waiting.await.unwrap();
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 0);
        drop(second);
        assert!(admission.enter().await.is_ok());
    }

    #[tokio::test]
    async fn whoever_gives_up_waiting_gives_up_the_place_in_the_queue() {
        let admission = Admission::new(AdmissionLimits { in_flight: 1, queue: 1 });
        let _inside = admission.enter().await.unwrap();
        let gave_up = tokio::time::timeout(Duration::from_millis(1), admission.enter()).await;
        assert!(gave_up.is_err());
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 0);
    }
}
