//! What is told while a database is copied; nothing of what is short. Not here: how it is shown (`cli/progress`).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dlc_application::ports::backups::{BackupObserver, Observer};

use super::Stop;
use crate::adapters::inbound::cli::{
    printer::Printer,
    progress::{Pace, ProgressLine},
};

/// What is over sooner is not told of.
const PACE: Pace = Pace {
    drawn: Duration::from_secs(1),
    told: Duration::from_secs(1),
    again: Duration::from_secs(5),
};

/// Tells how far it is.
struct Progress {
    line: ProgressLine,
    stop: Stop,
    began: Instant,
}

/// Whoever tells of it on stderr.
pub(super) fn observer(printer: Printer, stop: &Stop) -> Observer {
    Arc::new(Progress {
        line: ProgressLine::new(printer, PACE),
        stop: stop.clone(),
        began: Instant::now(),
    })
}

impl BackupObserver for Progress {
    fn observe(&self, what: &'static str, done: u64, of: Option<u64>) {
        self.line.tell(|| {
            let much = match (done, of) {
                (_, Some(of @ 1..)) => format!(": {} %", u128::from(done) * 100 / u128::from(of)),
                (0, _) => String::new(),
                (done, _) => format!(": {done}"),
            };
            format!("{} s: {what}{much}", self.began.elapsed().as_secs())
        });
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_asked()
    }
}
