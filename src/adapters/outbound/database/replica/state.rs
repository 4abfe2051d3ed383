//! What is known of the replica, by those who read and those who watch; and what becomes of a read.
//!
//! Not here: finding it out (`positions`, `watch`).

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use dlc_application::ports::{
    StorageError, StorageErrorKind,
    freshness::{Freshness, Own, Position, Session, WriteLog},
    monitoring::{ReplicaReads, ReplicaStatus},
};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{link::Link, samples::Samples, writes::Writes};

/// Longest time for a read on a replica, wait for a connection included; then the primary is asked.
const READ_LIMIT: Duration = Duration::from_secs(1);
/// Longest wait for the primary's position, which an answer to a write tells.
const POSITION_LIMIT: Duration = Duration::from_secs(1);

/// Which reads went where.
#[derive(Debug, Default)]
struct Counts {
    replica: AtomicU64,
    own_write: AtomicU64,
    missing: AtomicU64,
    away: AtomicU64,
    busy: AtomicU64,
    failed: AtomicU64,
}

/// What is known of the replica, by those who read and those who watch.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(super) max_lag: Duration,
    instances: u32,
    /// How long a transaction may go on that nobody waits for any more.
    unfinished: Duration,
    /// Nothing that is known was found out before.
    pub(super) epoch: Instant,
    samples: Mutex<Samples>,
    writes: Writes,
    /// A position behind what callers were told is there, though they have not written it.
    told: AtomicU64,
    /// Told when there is something that the replica has yet to show.
    pub(super) awaited: Notify,
    /// The way there; none while it is not to be used.
    link: RwLock<Option<Arc<Link>>>,
    /// Told when a read has found it to be away.
    pub(super) doubted: Notify,
    /// Who wants to know the primary's position.
    asked: mpsc::Sender<oneshot::Sender<Position>>,
    counts: Counts,
}

/// A replica that is attached to a database. Empty on most.
pub(crate) type Attached = OnceLock<Arc<Replica>>;

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Replica {
    /// Nothing is known of it yet. `asked` takes whoever wants to know the primary's position.
    pub(super) fn new(
        max_lag: Duration,
        instances: u32,
        unfinished: Duration,
        asked: mpsc::Sender<oneshot::Sender<Position>>,
    ) -> Self {
        let epoch = Instant::now();
        Self {
            max_lag,
            instances,
            unfinished,
            samples: Mutex::default(),
            writes: Writes::new(max_lag, epoch),
            epoch,
            told: AtomicU64::new(0),
            awaited: Notify::new(),
            link: RwLock::default(),
            doubted: Notify::new(),
            asked,
            counts: Counts::default(),
        }
    }

    pub(super) fn link(&self) -> Option<Arc<Link>> {
        self.link.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes another link the one to use. Whoever waits for an answer on the one before asks the primary instead.
    pub(super) fn set_link(&self, link: Option<Arc<Link>>) {
        let mut current = self.link.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = std::mem::replace(&mut *current, link) {
            before.leave();
        }
    }

    /// A read has found nobody there: the others shall not wait for it, too. The watch finds out what is the matter.
    fn doubt(&self, link: &Arc<Link>) {
        let mut current = self.link.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
            *current = None;
            link.leave();
            self.doubted.notify_one();
        }
    }

    pub(super) fn samples(&self) -> MutexGuard<'_, Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a link shows all that a caller has written.
    fn shows(&self, link: &Link, own: &Own) -> bool {
        // Bound by a position a caller may have written anywhere; by time only where there is no elsewhere.
        match own.after {
            Some(after) => link.has_replayed(after) && link.as_of() >= self.writes.of_session(own.session),
            None => self.instances <= 1 && self.shows_everything(link),
        }
    }

    /// Whether a link shows all that was written, and told of, through this process.
    pub(super) fn shows_everything(&self, link: &Link) -> bool {
        link.has_replayed(Position(self.told.load(Ordering::Acquire))) && link.as_of() >= self.writes.of_anybody()
    }

    /// Another log has begun, in which positions of the one before mean nothing. Whoever was told one was so before the first question
    /// about this log, which is as old as a replica is from now on.
    pub(super) fn forget_told(&self) {
        self.told.store(0, Ordering::Release);
    }

    /// The replica, where a read may be asked there.
    fn for_read(&self, freshness: Freshness) -> Option<Arc<Link>> {
        let Freshness::MayLag(own) = freshness else { return None };
        let link = self
            .link()
            .filter(|link| link.is_usable() && link.as_of().elapsed() <= self.max_lag);
        let Some(link) = link else {
            add(&self.counts.away);
            return None;
        };
        if self.shows(&link, &own) {
            Some(link)
        } else {
            add(&self.counts.own_write);
            None
        }
    }

    /// Asks the replica; `None`: the primary has to be asked.
    async fn attempt<T>(&self, link: &Arc<Link>, ask: impl Future<Output = Result<T, StorageError>>) -> Option<T> {
        let answer = tokio::select! {
            biased;
            () = link.left() => Some(Err(StorageError::new(StorageErrorKind::Timeout, "the replica was left"))),
            answer = tokio::time::timeout(READ_LIMIT, ask) => answer.ok(),
        };
        match answer {
            Some(Ok(found)) => return Some(found),
            // A statement that got in the way of the replay, or took too long, says nothing of the next one.
            Some(Err(error)) if error.kind() != StorageErrorKind::Unavailable => {
                tracing::debug!("a read has failed on the replica; the primary answers it: {:?}", error);
            }
            Some(Err(_)) | None => self.doubt(link),
        }
        add(&self.counts.failed);
        None
    }

    /// Reads on the replica, where that is fresh enough for it and has an answer; `None`: the primary has to be asked.
    pub(crate) async fn read<T, F>(
        &self,
        freshness: Freshness,
        is_answer: fn(&T) -> bool,
        ask: impl FnOnce(Arc<Link>) -> F,
    ) -> Option<T>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        let link = self.for_read(freshness)?;
        if !link.has_free_connection() {
            add(&self.counts.busy);
            return None;
        }
        let found = self.attempt(&link, ask(Arc::clone(&link))).await?;
        if is_answer(&found) {
            add(&self.counts.replica);
            Some(found)
        } else {
            // What is not there may have come since: nobody is told that a thing does not exist which somebody has shown them.
            add(&self.counts.missing);
            None
        }
    }

    /// Ends it: what is read from now on is read on the primary.
    pub(crate) async fn close(&self) {
        let link = self.link();
        self.set_link(None);
        if let Some(link) = link {
            link.close().await;
        }
    }

    pub(crate) fn status(&self) -> ReplicaStatus {
        let link = self.link();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let behind = link.as_ref().map(|link| link.as_of().elapsed());
        ReplicaStatus {
            used: link.is_some_and(|link| link.is_usable()) && behind.is_some_and(|behind| behind <= self.max_lag),
            behind,
            reads: ReplicaReads {
                replica: read(&self.counts.replica),
                own_write: read(&self.counts.own_write),
                missing: read(&self.counts.missing),
                away: read(&self.counts.away),
                busy: read(&self.counts.busy),
                failed: read(&self.counts.failed),
            },
        }
    }
}

#[async_trait]
impl WriteLog for Replica {
    fn wrote(&self, session: Option<Session>) {
        self.writes.note(session, Instant::now());
        self.awaited.notify_one();
    }

    fn told(&self, until: Position) {
        // While nobody writes the log does not grow: the replica has come so far, and refusals take no reads from it.
        if self.told.fetch_max(until.0, Ordering::AcqRel) < until.0 {
            self.awaited.notify_one();
        }
    }

    fn may_write_yet(&self, session: Option<Session>) {
        let now = Instant::now();
        self.writes.note_until(session, now + self.unfinished, now);
    }

    async fn position(&self) -> Option<Position> {
        let (answer, answered) = oneshot::channel();
        self.asked.try_send(answer).ok()?;
        tokio::time::timeout(POSITION_LIMIT, answered).await.ok()?.ok()
    }
}
