//! What is shown while a database is copied: a line on a terminal, one every few seconds elsewhere; nothing of what is short.

use std::{
    io::{IsTerminal, stderr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use dlc_application::ports::backups::{BackupObserver, Observer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Stop;
use crate::adapters::inbound::cli::printer::Printer;

/// What takes longer is told of.
const LONG: Duration = Duration::from_secs(1);
/// Without a terminal it is told of again this often.
const AGAIN: Duration = Duration::from_secs(5);
/// How often the line is drawn.
const TURN: Duration = Duration::from_millis(100);

/// Tells how far it is.
struct Progress {
    printer: Printer,
    stop: Stop,
    bar: Option<ProgressBar>,
    began: Instant,
    told: Mutex<Option<Instant>>,
}

/// Whoever tells of it on stderr.
pub(super) fn observer(printer: Printer, stop: &Stop) -> Observer {
    let bar = (stderr().is_terminal() && !printer.is_quiet()).then(|| {
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
    });
    Arc::new(Progress {
        printer,
        stop: stop.clone(),
        bar,
        began: Instant::now(),
        told: Mutex::new(None),
    })
}

impl BackupObserver for Progress {
    fn observe(&self, what: &'static str, done: u64, of: Option<u64>) {
        let elapsed = self.began.elapsed();
        if elapsed < LONG {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = if self.bar.is_some() { TURN } else { AGAIN };
        if told.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        *told = Some(Instant::now());
        let much = match (done, of) {
            (_, Some(of @ 1..)) => format!(": {} %", u128::from(done) * 100 / u128::from(of)),
            (0, _) => String::new(),
            (done, _) => format!(": {done}"),
        };
        let line = format!("{} s: {what}{much}", elapsed.as_secs());
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None => self.printer.note(&line),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_asked()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
