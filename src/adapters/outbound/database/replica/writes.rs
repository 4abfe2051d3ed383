//! When anybody wrote last, and each session, for as long as a replica might not show it.
//!
//! Whoever presents no position is bound by what anybody wrote: a token is not a person, who has several, signs out, or reads with
//! none what they have written with one. Whoever does present one says what it must see, and is held to its own session besides.
//!
//! By the clock of this process, which costs a write nothing but a look at it. What is older than the replica may be behind is in
//! every replica that is used, and is forgotten: at most what was written within twice that time is kept.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use dlc_application::ports::freshness::Session;

/// Who wrote when.
#[derive(Debug)]
pub(super) struct Writes {
    kept: Duration,
    /// Before which nothing was written through this process.
    began: Instant,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    anybody: Instant,
    sessions: HashMap<Session, Instant>,
    swept: Instant,
}

impl Writes {
    pub(super) fn new(kept: Duration, began: Instant) -> Self {
        let last = Last {
            anybody: began,
            sessions: HashMap::new(),
            swept: began,
        };
        Self {
            kept,
            began,
            last: Mutex::new(last),
        }
    }

    /// Somebody has written, at the latest now.
    pub(super) fn note(&self, session: Option<Session>, now: Instant) {
        self.note_until(session, now, now);
    }

    /// Somebody has written, or may do so yet; not after `until`.
    pub(super) fn note_until(&self, session: Option<Session>, until: Instant, now: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Two that end at once may come in either order; the later one counts.
        last.anybody = last.anybody.max(until);
        if let Some(session) = session {
            let noted = last.sessions.entry(session).or_insert(until);
            *noted = (*noted).max(until);
        }
        if now.saturating_duration_since(last.swept) > self.kept {
            last.swept = now;
            let kept = self.kept;
            last.sessions
                .retain(|_, wrote| now.saturating_duration_since(*wrote) <= kept);
        }
    }

    /// When a session wrote last, as itself.
    pub(super) fn of_session(&self, session: Option<Session>) -> Instant {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let wrote = session.and_then(|session| last.sessions.get(&session).copied());
        wrote.unwrap_or(self.began)
    }

    /// When anybody wrote last, or may do so yet.
    pub(super) fn of_anybody(&self) -> Instant {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).anybody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_written_yet_counts_until_then_and_forgets_nobody_else() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let writes = Writes::new(Duration::from_secs(2), began);
        let (one, other) = (Some(Session(1)), Some(Session(2)));
        writes.note(other, after(3));
        writes.note_until(one, after(20), after(4));
        assert_eq!(writes.of_session(one), after(20));
        assert_eq!(writes.of_session(other), after(3));
        // A write that is known to be over takes nothing from one that is not.
        writes.note(one, after(5));
        assert_eq!(writes.of_session(one), after(20));
    }

    const KEPT: Duration = Duration::from_secs(2);

    #[test]
    fn a_session_is_bound_by_its_own_writes_and_who_says_nothing_by_anybodys() {
        let writes = Writes::new(KEPT, Instant::now());
        let (ada, bob) = (Some(Session(1)), Some(Session(2)));
        let (first, second) = (writes.began + KEPT / 4, writes.began + KEPT / 2);
        assert_eq!(writes.of_anybody(), writes.began);
        writes.note(ada, second);
        writes.note(bob, first);
        assert_eq!(
            (writes.of_session(ada), writes.of_session(bob), writes.of_session(None)),
            (second, first, writes.began)
        );
        assert_eq!(writes.of_anybody(), second);
        writes.note(None, second + KEPT);
        assert_eq!((writes.of_session(ada), writes.of_anybody()), (second, second + KEPT));
    }

    #[test]
    fn what_every_replica_shows_is_forgotten() {
        let writes = Writes::new(KEPT, Instant::now());
        let at = |kept: u32| writes.began + KEPT * kept + Duration::from_nanos(u64::from(kept));
        writes.note(Some(Session(1)), at(0));
        writes.note(Some(Session(2)), at(1));
        assert_eq!(writes.of_session(Some(Session(1))), writes.began);
        writes.note(Some(Session(3)), at(2));
        assert_eq!(writes.last.lock().unwrap().sessions.len(), 1);
    }
}
