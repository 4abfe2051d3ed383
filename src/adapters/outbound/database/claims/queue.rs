//! Who waits for which coupon, and who goes next.
//!
//! One line per coupon, in the order of coming; a coupon is in one group at a time. Coupons take turns: one that has been served
//! goes to the end, however long its line, so a hot one never has more than one lane, and the others the rest. A coupon whose
//! row was found locked by somebody else is served alone, in a group that waits for it. Those have lanes of their own: a row that
//! somebody keeps locked holds up nobody but its own line, and more of them than there are such lanes hold up each other.
//!
//! Not here: what a group does.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dlc_application::ports::inspection;
use dlc_domain::coupons::CouponName;
use tokio::sync::Notify;

use super::group::{Lock, Waiting};

/// How long a group may take before the next one is begun beside it, however few wait: some commits. Else whoever waits would
/// wait for a connection that is not to be had, or for an answer that does not come.
const PATIENCE: Duration = Duration::from_millis(20);

/// So many groups of a coupon wait for its row after it was found locked. Another instance that sells the same one has it locked
/// for half of the time, and finding that out takes a statement.
const CONTENDED_FOR: u8 = 16;

/// How much may wait and run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Groups at a time that leave locked rows out.
    pub(super) free: usize,
    /// Groups at a time that wait for a locked row.
    pub(super) waiting: usize,
    /// Claims that have to wait for another of those to be begun beside one that is under way.
    pub(super) beside: usize,
    /// Most claims of a group.
    pub(super) group: usize,
    /// Most claims that wait for one coupon.
    pub(super) line: usize,
    /// Most claims that wait in all.
    pub(super) all: usize,
}

impl Limits {
    /// SQLite has one writer, and nobody else ever has a row of its own locked there. On PostgreSQL a second group is written
    /// while the first one's commit is made durable, where there is enough for two: else it makes both of them smaller. Measured on
    /// two cores with 1,000 coupons: with 64 clients two small groups took a sixth longer in all than one, with 256 no longer.
    pub(super) fn of(engine: inspection::Engine, connections: u32) -> Self {
        // One connection at least is left to others, where there is more than one.
        let most = usize::try_from(connections)
            .unwrap_or(usize::MAX)
            .saturating_sub(1)
            .clamp(1, 2);
        let (free, waiting) = match engine {
            inspection::Engine::Postgres => (most, most),
            inspection::Engine::Sqlite => (1, 1),
        };
        Self {
            free,
            waiting,
            beside: 64,
            group: 256,
            line: 1024,
            all: 4096,
        }
    }

    /// So many lanes can be busy at a time.
    pub(super) fn lanes(self) -> usize {
        self.free + self.waiting
    }
}

/// Those who wait for one coupon.
#[derive(Default)]
struct Line {
    claims: VecDeque<Waiting>,
    /// Whether a group has some of it at the moment.
    is_served: bool,
    /// How many of its groups wait for its row, because that was found locked.
    contended: u8,
}

#[derive(Default)]
struct State {
    lines: HashMap<CouponName, Line>,
    /// Coupons with claims that no group has, each once.
    ready: VecDeque<CouponName>,
    waiting: usize,
    next_number: u64,
    free_groups: usize,
    /// When the last one of those was begun.
    free_since: Option<Instant>,
    waiting_groups: usize,
    is_closed: bool,
}

/// The queue.
pub(super) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    changed: Notify,
}

/// What a lane takes.
pub(super) struct Group {
    pub(super) coupons: Vec<CouponName>,
    pub(super) claims: Vec<Waiting>,
    pub(super) lock: Lock,
}

/// There is no room to wait.
#[derive(Debug)]
pub(super) struct Full;

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a claim.
    pub(super) fn push(&self, mut waiting: Waiting) -> Result<(), Full> {
        let mut state = self.state();
        let state = &mut *state;
        if state.waiting >= self.limits.all {
            return Err(Full);
        }
        waiting.number = state.next_number;
        let line = match state.lines.entry(waiting.claim.coupon.clone()) {
            Entry::Occupied(line) => line.into_mut(),
            Entry::Vacant(place) => place.insert(Line::default()),
        };
        // A line that is neither empty nor served is in `ready` already, and stays there when all of it has gone away.
        let is_ready = line.claims.is_empty() && !line.is_served;
        if line.claims.len() >= self.limits.line {
            // Whoever has gone away takes no room from whoever is there.
            let before = line.claims.len();
            line.claims.retain(|waiting| !waiting.is_given_up());
            state.waiting -= before - line.claims.len();
            if line.claims.len() >= self.limits.line {
                return Err(Full);
            }
        }
        if is_ready {
            state.ready.push_back(waiting.claim.coupon.clone());
        }
        line.claims.push_back(waiting);
        state.waiting += 1;
        state.next_number += 1;
        // Whoever makes it worth a second group wakes a lane, too.
        if is_ready || state.waiting == self.limits.beside {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// The next group; `None` when the queue is closed and nobody waits any more.
    pub(super) async fn next(&self) -> Option<Group> {
        loop {
            let is_held_back = {
                let mut state = self.state();
                if let Some(group) = self.take(&mut state) {
                    // Another lane may find something to do as well.
                    if !state.ready.is_empty() {
                        self.changed.notify_one();
                    }
                    return Some(group);
                }
                if state.is_closed && state.waiting == 0 {
                    self.changed.notify_one();
                    return None;
                }
                !state.ready.is_empty() && state.free_groups > 0 && state.free_groups < self.limits.free
            };
            let changed = self.changed.notified();
            if is_held_back {
                let _ = tokio::time::timeout(PATIENCE, changed).await;
            } else {
                changed.await;
            }
        }
    }

    /// Takes what may go.
    fn take(&self, state: &mut State) -> Option<Group> {
        let mut group = Group {
            coupons: Vec::new(),
            claims: Vec::new(),
            lock: Lock::IfFree,
        };
        let enough = state.free_groups == 0
            || state.waiting >= self.limits.beside
            || state.free_since.is_none_or(|since| since.elapsed() >= PATIENCE);
        let may_be_free = enough && state.free_groups < self.limits.free;
        let mut passed = VecDeque::new();
        while let Some(name) = state.ready.pop_front() {
            let Some(line) = state.lines.get_mut(&name) else {
                continue;
            };
            let alone = line.contended > 0;
            let may_go = if alone {
                group.claims.is_empty() && state.waiting_groups < self.limits.waiting
            } else {
                may_be_free
            };
            if !may_go {
                passed.push_back(name);
                if !may_be_free && state.waiting_groups >= self.limits.waiting {
                    break;
                }
                continue;
            }
            let number = line.claims.len().min(self.limits.group - group.claims.len());
            group.claims.extend(line.claims.drain(..number));
            line.is_served = true;
            group.coupons.push(name);
            if alone {
                group.lock = Lock::Wait;
            }
            if alone || group.claims.len() >= self.limits.group {
                break;
            }
        }
        // Whoever was passed over stays at the head.
        while let Some(name) = passed.pop_back() {
            state.ready.push_front(name);
        }
        if group.claims.is_empty() {
            return None;
        }
        state.waiting -= group.claims.len();
        match group.lock {
            Lock::IfFree => {
                state.free_groups += 1;
                state.free_since = Some(Instant::now());
            }
            Lock::Wait => state.waiting_groups += 1,
        }
        Some(group)
    }

    /// Ends a group. Whoever found the coupon's row `locked`, and whoever comes `later` for another reason, are at the head of
    /// their lines then, in the order in which they came.
    ///
    /// Returns those who wait in lines that have `timed_out`, to be told so.
    #[must_use]
    pub(super) fn finish(
        &self,
        coupons: Vec<CouponName>,
        lock: Lock,
        locked: Vec<Waiting>,
        later: Vec<Waiting>,
        timed_out: &[CouponName],
    ) -> Vec<Waiting> {
        let mut sent_away = Vec::new();
        let mut state = self.state();
        let state = &mut *state;
        match lock {
            Lock::IfFree => state.free_groups -= 1,
            Lock::Wait => state.waiting_groups -= 1,
        }
        for name in &coupons {
            if let Some(line) = state.lines.get_mut(name) {
                line.contended = if locked.iter().any(|waiting| waiting.claim.coupon == *name) {
                    CONTENDED_FOR
                } else {
                    line.contended.saturating_sub(1)
                };
            }
        }
        let mut back = locked;
        back.extend(later);
        back.sort_unstable_by_key(|waiting| waiting.number);
        state.waiting += back.len();
        for waiting in back.into_iter().rev() {
            if let Some(line) = state.lines.get_mut(&waiting.claim.coupon) {
                line.claims.push_front(waiting);
            }
        }
        for name in coupons {
            let Some(line) = state.lines.get_mut(&name) else {
                continue;
            };
            line.is_served = false;
            if timed_out.contains(&name) {
                state.waiting -= line.claims.len();
                sent_away.extend(line.claims.drain(..));
            }
            if line.claims.is_empty() {
                state.lines.remove(&name);
            } else {
                state.ready.push_back(name);
            }
        }
        if !state.ready.is_empty() || state.is_closed {
            self.changed.notify_one();
        }
        sent_away
    }

    /// Lets the lanes end when nobody waits any more.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use dlc_domain::coupons::{Claim, ClaimantId};
    use tokio::sync::oneshot;

    use super::*;

    const LIMITS: Limits = Limits {
        free: 2,
        waiting: 1,
        beside: 2,
        group: 4,
        line: 5,
        all: 8,
    };

    /// Claims whose callers wait for as long as this is kept.
    #[derive(Default)]
    struct Callers {
        answers: Vec<oneshot::Receiver<super::super::group::Answer>>,
    }

    impl Callers {
        fn claim(&mut self, coupon: &str) -> Waiting {
            let (answer, answered) = oneshot::channel();
            self.answers.push(answered);
            let claim = Claim {
                coupon: CouponName::parse(coupon).unwrap(),
                claimant: ClaimantId::parse(format!("u{}", self.answers.len())).unwrap(),
                at: chrono::DateTime::UNIX_EPOCH,
            };
            Waiting::new(claim, None, None, answer)
        }

        fn come(&mut self, queue: &Queue, coupon: &str, times: usize) {
            for _ in 0..times {
                queue.push(self.claim(coupon)).unwrap();
            }
        }
    }

    /// What would go now: its coupons, how many claims, and how it locks.
    fn next(queue: &Queue) -> Option<Group> {
        queue.take(&mut queue.state())
    }

    fn names(group: &Group) -> Vec<&str> {
        group.coupons.iter().map(CouponName::as_str).collect()
    }

    #[test]
    fn there_is_a_bound_to_a_line_and_to_all_of_them_and_whoever_is_taken_makes_room() {
        let (queue, mut callers) = (Queue::new(LIMITS), Callers::default());
        callers.come(&queue, "hot", 5);
        assert!(queue.push(callers.claim("hot")).is_err(), "its line is full");
        callers.come(&queue, "other", 3);
        assert!(queue.push(callers.claim("third")).is_err(), "all lines are");
        let group = next(&queue).unwrap();
        assert_eq!(group.claims.len(), 4);
        callers.come(&queue, "third", 4);
        assert!(queue.push(callers.claim("third")).is_err());
    }

    #[test]
    fn a_line_whose_callers_have_all_gone_away_is_served_once() {
        let (queue, mut callers) = (Queue::new(LIMITS), Callers::default());
        callers.come(&queue, "hot", 5);
        callers.answers.clear();
        callers.come(&queue, "hot", 5);
        assert_eq!(next(&queue).unwrap().claims.len(), 4);
        callers.come(&queue, "hot", 2);
        assert!(next(&queue).is_none(), "another lane has it");
    }

    #[test]
    fn a_hot_coupon_has_one_lane_and_the_others_the_rest() {
        let (queue, mut callers) = (Queue::new(LIMITS), Callers::default());
        callers.come(&queue, "hot", 5);
        callers.come(&queue, "a", 1);
        callers.come(&queue, "b", 1);
        let hot = next(&queue).unwrap();
        assert_eq!((names(&hot), hot.claims.len()), (vec!["hot"], 4));
        let others = next(&queue).unwrap();
        assert_eq!(names(&others), ["a", "b"]);
        assert!(next(&queue).is_none(), "both lanes are busy");
        let _ = queue.finish(hot.coupons, hot.lock, Vec::new(), Vec::new(), &[]);
        // It has waited for its turn like everybody else, and goes on with whoever came meanwhile.
        callers.come(&queue, "c", 1);
        assert_eq!(names(&next(&queue).unwrap()), ["hot", "c"]);
    }

    #[test]
    fn a_coupon_whose_row_is_locked_waits_alone_and_only_so_many_do() {
        let (queue, mut callers) = (Queue::new(LIMITS), Callers::default());
        for coupon in ["locked", "locked too", "free"] {
            callers.come(&queue, coupon, 1);
        }
        let Group { coupons, claims, lock } = next(&queue).unwrap();
        assert_eq!((coupons.len(), lock), (3, Lock::IfFree));
        let locked: Vec<_> = claims
            .into_iter()
            .filter(|waiting| waiting.claim.coupon.as_str() != "free")
            .collect();
        let _ = queue.finish(coupons, lock, locked, Vec::new(), &[]);
        callers.come(&queue, "free", 1);
        let waits = next(&queue).unwrap();
        assert_eq!((names(&waits), waits.lock), (vec!["locked"], Lock::Wait));
        let free = next(&queue).unwrap();
        assert_eq!((names(&free), free.lock), (vec!["free"], Lock::IfFree));
        assert!(next(&queue).is_none(), "one waits already");
        let _ = queue.finish(waits.coupons, waits.lock, Vec::new(), Vec::new(), &[]);
        let waits = next(&queue).unwrap();
        assert_eq!((names(&waits), waits.lock), (vec!["locked too"], Lock::Wait));
    }

    #[test]
    fn a_row_that_was_locked_once_is_waited_for_a_while_and_then_tried_again() {
        let (queue, mut callers) = (Queue::new(LIMITS), Callers::default());
        callers.come(&queue, "c", 2);
        let Group { coupons, claims, lock } = next(&queue).unwrap();
        callers.come(&queue, "c", 1);
        let _ = queue.finish(coupons, lock, claims, Vec::new(), &[]);
        let mut waits = 0;
        let last = loop {
            let group = next(&queue).unwrap();
            if group.lock == Lock::IfFree {
                break group;
            }
            waits += 1;
            callers.come(&queue, "c", 1);
            let _ = queue.finish(group.coupons, group.lock, Vec::new(), Vec::new(), &[]);
        };
        assert_eq!((waits, last.claims.len()), (CONTENDED_FOR, 1));
    }

    #[test]
    fn whoever_is_asked_again_is_before_whoever_came_later() {
        let (queue, mut callers) = (Queue::new(LIMITS), Callers::default());
        callers.come(&queue, "c", 3);
        let Group {
            coupons,
            mut claims,
            lock,
        } = next(&queue).unwrap();
        callers.come(&queue, "c", 1);
        let later = vec![claims.remove(1)];
        let _ = queue.finish(coupons, lock, claims, later, &[]);
        let numbers: Vec<u64> = next(&queue)
            .unwrap()
            .claims
            .iter()
            .map(|waiting| waiting.number)
            .collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
    }

    #[test]
    fn when_a_time_has_run_out_whoever_waited_behind_is_sent_away_and_nobody_else() {
        let (queue, mut callers) = (Queue::new(LIMITS), Callers::default());
        callers.come(&queue, "slow", 5);
        let group = next(&queue).unwrap();
        callers.come(&queue, "other", 1);
        let slow = group.coupons.clone();
        let sent_away = queue.finish(group.coupons, group.lock, Vec::new(), Vec::new(), &slow);
        assert_eq!(sent_away.len(), 1);
        assert_eq!(names(&next(&queue).unwrap()), ["other"]);
        assert_eq!(queue.state().waiting, 0);
    }

    #[test]
    fn a_coupon_that_nobody_waits_for_takes_no_room() {
        let (queue, mut callers) = (Queue::new(LIMITS), Callers::default());
        callers.come(&queue, "c", 1);
        let group = next(&queue).unwrap();
        let _ = queue.finish(group.coupons, group.lock, Vec::new(), Vec::new(), &[]);
        assert!(queue.state().lines.is_empty());
    }
}
