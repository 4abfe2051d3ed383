//! What is told while a database is moved. Not here: how it is shown (`cli/progress`).

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use dlc_application::{
    operations::moving::{MoveEvent, MovePhase},
    ports::moving::MoveObserver,
};

use crate::adapters::inbound::cli::{
    numbers::grouped,
    printer::Printer,
    progress::{Pace, ProgressLine},
};

const PACE: Pace = Pace {
    drawn: Duration::from_millis(100),
    told: Duration::from_secs(3),
    again: Duration::from_secs(3),
};

/// Tells of a move.
pub(super) struct Progress {
    line: ProgressLine,
    phase: Mutex<Option<(MovePhase, Instant)>>,
}

impl Progress {
    pub(super) fn new(printer: Printer) -> Self {
        Self {
            line: ProgressLine::new(printer, PACE),
            phase: Mutex::new(None),
        }
    }

    /// Makes room for the report.
    pub(super) fn end(&self) {
        self.line.end();
    }

    /// Since when it is in this phase.
    fn since(&self, phase: MovePhase) -> Instant {
        let mut known = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        match *known {
            Some((same, since)) if same == phase => since,
            _ => {
                let now = Instant::now();
                *known = Some((phase, now));
                now
            }
        }
    }
}

impl MoveObserver for Progress {
    fn observe(&self, event: MoveEvent) {
        let (phase, table, rows, of) = match event {
            MoveEvent::Reached { phase, table, rows, of } => (phase, table, rows, of),
            MoveEvent::SourceInUse { by } => {
                self.line.note(&format!(
                    "the source is in use ({by}): what is written there from now on is not moved; better stop the service first"
                ));
                return;
            }
        };
        let since = self.since(phase);
        self.line.tell(|| {
            let of = of.map_or_else(String::new, |of| format!(" of {}", grouped(of)));
            let seconds = since.elapsed().as_secs_f64();
            let rate = if seconds > 0.5 {
                format!(" · {:.0}/s", rows as f64 / seconds)
            } else {
                String::new()
            };
            format!("{phase} {table}: {}{of} rows{rate}", grouped(rows))
        });
    }
}
