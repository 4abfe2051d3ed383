//! One line on stderr that says how far something is: it changes on a terminal, and is written again every few seconds elsewhere. Not
//! here: what it says.

use std::{
    io::{IsTerminal, stderr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::printer::Printer;

/// How often a terminal's line changes.
const TURN: Duration = Duration::from_millis(100);

/// When it is told. What is short is not worth a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// At first on a terminal.
    pub(super) drawn: Duration,
    /// At first elsewhere.
    pub(super) told: Duration,
    /// And then elsewhere.
    pub(super) again: Duration,
}

/// Such a line. It is gone when this is.
pub(super) struct ProgressLine {
    printer: Printer,
    again: Duration,
    state: Mutex<State>,
}

struct State {
    bar: Option<ProgressBar>,
    /// When the next one is due.
    due: Instant,
}

impl ProgressLine {
    /// Begins now.
    pub(super) fn new(printer: Printer, pace: Pace) -> Self {
        let bar = (!printer.is_quiet() && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        let first = if bar.is_some() { pace.drawn } else { pace.told };
        let state = State {
            bar,
            due: Instant::now() + first,
        };
        Self {
            printer,
            again: pace.again,
            state: Mutex::new(state),
        }
    }

    /// Tells how far it is, where that is due. Called often.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        let mut state = self.state();
        let now = Instant::now();
        if now < state.due {
            return;
        }
        state.due = now + if state.bar.is_some() { TURN } else { self.again };
        match &state.bar {
            Some(bar) => {
                bar.set_message(line());
                bar.tick();
            }
            None => self.printer.note(&line()),
        }
    }

    /// Tells something that stays.
    pub(super) fn note(&self, line: &str) {
        match &self.state().bar {
            Some(bar) => bar.suspend(|| self.printer.note(line)),
            None => self.printer.note(line),
        }
    }

    /// Makes room for what comes next.
    pub(super) fn end(&self) {
        if let Some(bar) = self.state().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.end();
    }
}
