//! Where the primary's log ended, and when that was asked: what a replica that has come so far is as old as.
//!
//! Not here: asking (`positions`, `watch`).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use dlc_application::ports::freshness::Position;

use super::log::Log;

/// Samples kept; a replica that is behind all of them is behind, and by how much does not matter any more.
const KEPT: usize = 4096;
/// Samples closer together than this are as good as one.
const APART: Duration = Duration::from_millis(10);

/// Where one log ended when.
#[derive(Debug, Default)]
pub(super) struct Samples {
    log: Option<Log>,
    taken: VecDeque<(Instant, Position)>,
}

impl Samples {
    /// Keeps an answer, with the time at which it began to be asked for. Returns whether it is of another log than the one before.
    pub(super) fn push(&mut self, began: Instant, log: Log, position: Position) -> bool {
        let is_another = self.log.as_ref() != Some(&log);
        if is_another {
            self.log = Some(log);
            self.taken.clear();
        }
        // The newest is kept always: whoever has just written waits for a replica to reach it.
        if let [.., (before, _), (last, _)] = *self.taken.make_contiguous()
            && last.saturating_duration_since(before) < APART
        {
            self.taken.pop_back();
        }
        if self.taken.len() == KEPT {
            self.taken.pop_front();
        }
        self.taken.push_back((began, position));
        is_another
    }

    /// The log that the primary writes; `None` before it was asked.
    pub(super) fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    /// Of which time the primary is shown by whoever has replayed its log so far. What is older than that is forgotten.
    pub(super) fn reached(&mut self, replayed: Position) -> Option<Instant> {
        let reached = self.taken.iter().rposition(|(_, position)| *position <= replayed)?;
        self.taken.drain(..reached);
        self.taken.front().map(|(began, _)| *began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(timeline: u32) -> Log {
        Log {
            system: "7".to_owned(),
            database: "5".to_owned(),
            timeline,
        }
    }

    #[test]
    fn a_replica_is_as_old_as_the_newest_sample_that_it_has_reached() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut samples = Samples::default();
        assert_eq!(samples.reached(Position(9)), None);
        // Two of a time at which nothing was written.
        for (ms, position) in [(0, 10), (100, 20), (200, 20), (300, 30)] {
            samples.push(at(ms), log(1), Position(position));
        }
        assert_eq!(samples.reached(Position(9)), None, "behind all of them");
        assert_eq!(samples.reached(Position(15)), Some(at(0)));
        assert_eq!(samples.reached(Position(20)), Some(at(200)));
        assert_eq!(
            samples.reached(Position(29)),
            Some(at(200)),
            "it ages while it stands still"
        );
        assert_eq!(samples.reached(Position(31)), Some(at(300)));
    }

    #[test]
    fn another_log_has_no_samples_yet_and_those_too_close_are_one_but_for_the_newest() {
        let start = Instant::now();
        let mut samples = Samples::default();
        assert!(samples.push(start, log(1), Position(10)));
        for part in 1..=4 {
            assert!(!samples.push(start + APART / 8 * part, log(1), Position(10 + u64::from(part))));
        }
        assert_eq!(samples.taken.len(), 2);
        assert_eq!(samples.reached(Position(13)), Some(start));
        assert_eq!(samples.reached(Position(14)), Some(start + APART / 8 * 4));
        assert!(samples.push(start + APART, log(2), Position(100)));
        assert_eq!(samples.reached(Position(99)), None);
        assert_eq!(samples.log(), Some(&log(2)));
        assert_eq!(samples.reached(Position(100)), Some(start + APART));
    }
}
