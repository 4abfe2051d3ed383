//! How far a move is: a line that changes on a terminal, a line every few seconds elsewhere.

use std::{
    io::{IsTerminal, stderr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use dlc_application::{
    operations::moving::{MoveEvent, MovePhase},
    ports::moving::MoveObserver,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::adapters::inbound::cli::{bench::grouped, printer::Printer};

/// How often a terminal's line changes.
const TURN: Duration = Duration::from_millis(100);
/// Without a terminal it is told of this often.
const AGAIN: Duration = Duration::from_secs(3);

/// Tells of a move.
pub(super) struct Progress {
    printer: Printer,
    state: Mutex<State>,
}

struct State {
    bar: Option<ProgressBar>,
    phase: Option<(MovePhase, Instant)>,
    told: Instant,
}

impl Progress {
    pub(super) fn new(printer: Printer) -> Self {
        let bar = (!printer.is_quiet() && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self {
            printer,
            state: Mutex::new(State {
                bar,
                phase: None,
                told: Instant::now(),
            }),
        }
    }

    /// Makes room for the report.
    pub(super) fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl MoveObserver for Progress {
    fn observe(&self, event: MoveEvent) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (phase, table, rows, of) = match event {
            MoveEvent::Reached { phase, table, rows, of } => (phase, table, rows, of),
            MoveEvent::SourceInUse { by } => {
                let line = format!(
                    "the source is in use ({by}): what is written there from now on is not moved; better stop the service first"
                );
                match &state.bar {
                    Some(bar) => bar.suspend(|| self.printer.note(&line)),
                    None => self.printer.note(&line),
                }
                return;
            }
        };
        let now = Instant::now();
        let since = match state.phase {
            Some((same, since)) if same == phase => since,
            _ => now,
        };
        state.phase = Some((phase, since));
        let every = if state.bar.is_some() { TURN } else { AGAIN };
        if now - state.told < every {
            return;
        }
        state.told = now;
        let of = of.map_or_else(String::new, |of| format!(" of {}", grouped(of)));
        let seconds = (now - since).as_secs_f64();
        let rate = if seconds > 0.5 {
            format!(" · {:.0}/s", rows as f64 / seconds)
        } else {
            String::new()
        };
        let line = format!("{phase} {table}: {}{of} rows{rate}", grouped(rows));
        match &state.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None => self.printer.note(&line),
        }
    }
}
