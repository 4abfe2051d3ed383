//! Threads for work that takes tens of milliseconds of a core and megabytes of memory each: few of them, with a short queue.
//!
//! Not tokio's blocking threads: there are hundreds of those, and each that hashes would hold 19 MiB. Not here: what the work is
//! (`passwords`).

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use argon2::Block;
use tokio::sync::oneshot;

/// What a thread works in; it is used again and again, and given back when there is nothing to do.
pub(super) type Memory = Vec<Block>;

/// How much there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolLimits {
    /// Threads.
    pub(super) threads: usize,
    /// What waits for one.
    pub(super) queue: usize,
    /// A thread that finds nothing to do for so long gives its memory back; after as long again it ends.
    pub(super) patience: Duration,
}

/// Why work was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotDone {
    #[error("the queue is full")]
    Full,
    #[error("no thread to be had: {0}")]
    NoThread(#[source] std::io::Error),
    #[error("the work was given up")]
    GivenUp,
}

/// The threads. They begin when they are needed, and end when nothing was to be done for a while, or the pool is dropped.
pub(super) struct HashingPool(Arc<Shared>);

struct Shared {
    limits: PoolLimits,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Box<dyn Job>>,
    /// Threads that there are, those among them that work, and those that wait for work.
    threads: usize,
    working: usize,
    idle: usize,
    closed: bool,
}

trait Job: Send {
    fn is_awaited(&self) -> bool;
    fn run(self: Box<Self>, memory: &mut Memory);
}

struct Asked<T, W> {
    work: W,
    answer: oneshot::Sender<T>,
}

impl<T: Send, W: FnOnce(&mut Memory) -> T + Send> Job for Asked<T, W> {
    fn is_awaited(&self) -> bool {
        !self.answer.is_closed()
    }

    fn run(self: Box<Self>, memory: &mut Memory) {
        // Whoever asked may have gone meanwhile.
        let _ = self.answer.send((self.work)(memory));
    }
}

impl HashingPool {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self(Arc::new(Shared {
            limits,
            state: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Does some work on one of the threads. Work that nobody waits for any more is not begun.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let (answer, answered) = oneshot::channel();
        self.ask(Box::new(Asked { work, answer }))?;
        answered.await.map_err(|_| NotDone::GivenUp)
    }

    fn ask(&self, job: Box<dyn Job>) -> Result<(), NotDone> {
        let PoolLimits { threads, queue, .. } = self.0.limits;
        let mut state = self.0.lock();
        if state.working + state.waiting.len() >= threads + queue {
            // Those who have gone keep nobody out.
            state.waiting.retain(|job| job.is_awaited());
            if state.working + state.waiting.len() >= threads + queue {
                return Err(NotDone::Full);
            }
        }
        state.waiting.push_back(job);
        if state.idle < state.waiting.len() && state.threads < threads {
            let shared = Arc::clone(&self.0);
            let begun = thread::Builder::new()
                .name("hashing".to_owned())
                .spawn(move || shared.work());
            match begun {
                Ok(_) => state.threads += 1,
                // Those that there are will come to it.
                Err(_) if state.threads > 0 => {}
                Err(error) => {
                    state.waiting.pop_back();
                    return Err(NotDone::NoThread(error));
                }
            }
        }
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl Drop for HashingPool {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        step_back();
        let mut memory = Memory::new();
        while let Some(job) = self.next(&mut memory) {
            // Should it ever panic: its asker is told that it was given up, and the thread goes on.
            let _ = catch_unwind(AssertUnwindSafe(|| job.run(&mut memory)));
            self.lock().working -= 1;
        }
    }

    /// The next job, or nothing when the thread is to end.
    ///
    /// Memory first, thread later: the allocator keeps what is freed for a second, and it is the end of a thread that makes it look
    /// for what it has kept for longer. Measured: freed at the end of the threads, 76 MiB stayed.
    fn next(&self, memory: &mut Memory) -> Option<Box<dyn Job>> {
        let mut state = self.lock();
        loop {
            match state.waiting.pop_front() {
                Some(job) if job.is_awaited() => {
                    state.working += 1;
                    return Some(job);
                }
                Some(_) => continue,
                None if state.closed => break,
                None => {}
            }
            state.idle += 1;
            let woken = self.changed.wait_timeout(state, self.limits.patience);
            let (woken, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.waiting.is_empty() {
                if memory.capacity() == 0 {
                    break;
                }
                *memory = Memory::new();
            }
        }
        state.threads -= 1;
        None
    }
}

/// Lets other threads go first. Hashing takes whole cores for as long as somebody signs in; with the same priority as the
/// runtime's threads it would take half of a busy machine from requests that take a millisecond. A sign-in may be slower then, the
/// rest must not. Where it cannot be had, things go on as they are.
fn step_back() {
    // Elsewhere than on Linux this is about the whole process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(10);
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Weak,
            atomic::{AtomicBool, Ordering},
            mpsc,
        },
        time::Instant,
    };

    use futures_util::poll;

    use super::*;

    const LIMITS: PoolLimits = PoolLimits {
        threads: 1,
        queue: 1,
        patience: Duration::from_secs(10),
    };

    fn until(what: &str, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(30), "never: {what}");
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn what_finds_no_place_is_refused_at_once_and_the_rest_is_done() {
        let pool = HashingPool::new(LIMITS);
        let (go, may_go) = mpsc::channel::<()>();
        let mut first = Box::pin(pool.run(move |_| may_go.recv().is_ok()));
        assert!(poll!(&mut first).is_pending());
        let mut second = Box::pin(pool.run(|_| 2));
        assert!(poll!(&mut second).is_pending());
        assert!(matches!(pool.run(|_| 3).await, Err(NotDone::Full)));
        go.send(()).unwrap();
        assert!(first.await.unwrap());
        assert_eq!(second.await.unwrap(), 2);
        assert_eq!(pool.run(|_| 4).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_not_begun_and_keeps_nobody_out() {
        let pool = HashingPool::new(LIMITS);
        let (go, may_go) = mpsc::channel::<()>();
        let mut first = Box::pin(pool.run(move |_| may_go.recv().is_ok()));
        assert!(poll!(&mut first).is_pending());
        let begun = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&begun);
        let mut second = Box::pin(pool.run(move |_| told.store(true, Ordering::Relaxed)));
        assert!(poll!(&mut second).is_pending());
        drop(second);
        let mut third = Box::pin(pool.run(|_| 3));
        assert!(poll!(&mut third).is_pending());
        go.send(()).unwrap();
        assert_eq!(third.await.unwrap(), 3);
        assert!(!begun.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_thread_survives_a_panic_and_its_asker_is_told() {
        let pool = HashingPool::new(LIMITS);
        assert!(matches!(
            pool.run(|_| panic!("on purpose")).await,
            Err::<(), _>(NotDone::GivenUp)
        ));
        assert_eq!(pool.run(|_| 2).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn threads_end_when_there_is_nothing_to_do_and_begin_again() {
        let pool = HashingPool::new(PoolLimits {
            patience: Duration::from_millis(1),
            ..LIMITS
        });
        for round in 0..3 {
            assert_eq!(pool.run(move |_| round).await.unwrap(), round);
            until("the thread ends", || pool.0.lock().threads == 0);
        }
    }

    #[tokio::test]
    async fn threads_end_with_the_pool() {
        let pool = HashingPool::new(LIMITS);
        assert_eq!(pool.run(|_| 1).await.unwrap(), 1);
        let shared: Weak<Shared> = Arc::downgrade(&pool.0);
        drop(pool);
        until("the threads end", || shared.strong_count() == 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_threads_let_others_go_first() {
        let niceness = |_: &mut Memory| rustix::process::getpriority_process(None).unwrap();
        let pool = HashingPool::new(LIMITS);
        let here = niceness(&mut Memory::new());
        assert_eq!(pool.run(niceness).await.unwrap(), (here + 10).min(19));
        assert_eq!(niceness(&mut Memory::new()), here, "and nobody else does");
    }
}
