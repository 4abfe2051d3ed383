//! What is shown while a crowd is at work: one line on a terminal, nothing elsewhere.

use std::{
    collections::VecDeque,
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{crowd::Crowd, report::millis, tally::Part};
use crate::adapters::inbound::cli::{numbers::grouped, printer::Printer};

/// How often it is drawn. It takes a little time from whom it tells of.
pub(super) const TURN: Duration = Duration::from_millis(250);

/// What *now* is: so many turns.
const NOW: usize = 4;

/// A line on the terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    seen: VecDeque<(Instant, u64)>,
    began: Instant,
    limit: Option<Duration>,
}

impl Progress {
    /// On a terminal; `None` elsewhere.
    pub(super) fn new(printer: Printer, limit: Option<Duration>) -> Option<Self> {
        if printer.is_quiet() || !stderr().is_terminal() {
            return None;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        Some(Self {
            bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner())),
            seen: VecDeque::new(),
            began: Instant::now(),
            limit,
        })
    }

    /// Shows how far it is.
    pub(super) fn show(&mut self, crowd: &Crowd) {
        let (now, sent) = (Instant::now(), crowd.taken());
        let (since, before) = *self.seen.front().unwrap_or(&(self.began, 0));
        self.seen.push_back((now, sent));
        if self.seen.len() > NOW {
            self.seen.pop_front();
        }
        let seconds = (now - since).as_secs_f64().max(0.001);
        let rate = (sent - before) as f64 / seconds;
        let goal = self.limit.map_or_else(
            || format!("{} of {}", grouped(sent), grouped(crowd.total)),
            |limit| {
                let left = limit.saturating_sub(self.began.elapsed()).as_secs();
                format!("{}, {left} s left", grouped(sent))
            },
        );
        self.bar.set_message(format!(
            "{goal} · {rate:.0}/s · granted {} · p99 {} ms",
            grouped(crowd.tally.granted()),
            millis(crowd.tally.latencies(Part::All).p99),
        ));
        self.bar.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
