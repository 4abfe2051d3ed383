//! What a run tells while it goes on: who holds the lock, what is tried again, and which statement takes its time.
//!
//! A thread of its own does the telling, because the run itself waits for the database.

use std::{
    io::{IsTerminal, stderr},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use dlc_application::ports::migrations::{MigrationEvent, MigrationObserver, MigrationStep, rounded};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::adapters::inbound::cli::printer::{Printer, printable};

/// What takes longer is told of.
const LONG: Duration = Duration::from_secs(1);
/// Without a terminal it is told of again this often.
const AGAIN: Duration = Duration::from_secs(5);
/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// Tells of a run.
pub struct Progress {
    events: Option<Sender<MigrationEvent>>,
    teller: Option<JoinHandle<()>>,
}

impl Progress {
    /// To stderr: a spinner on a terminal, lines elsewhere. Each step that is done goes to `report`, at once: what comes
    /// after it may fail, or be interrupted.
    #[must_use]
    pub fn new(printer: Printer, report: impl Fn(&MigrationStep) + Send + 'static) -> Self {
        let spinner = stderr().is_terminal() && !printer.is_quiet();
        Self::telling(spinner, move |line| printer.note(line), report)
    }

    /// Lines, to whoever takes them; steps are told of elsewhere.
    #[must_use]
    pub fn lines(say: impl Fn(&str) + Send + 'static) -> Self {
        Self::telling(false, say, |_| {})
    }

    fn telling(
        spinner: bool,
        say: impl Fn(&str) + Send + 'static,
        report: impl Fn(&MigrationStep) + Send + 'static,
    ) -> Self {
        let (events, heard) = channel();
        let teller = std::thread::spawn(move || {
            let mut teller = Teller {
                say,
                report,
                spinner,
                bar: None,
                statement: None,
            };
            teller.listen(&heard);
        });
        Self {
            events: Some(events),
            teller: Some(teller),
        }
    }
}

impl MigrationObserver for Progress {
    fn observe(&self, event: &MigrationEvent) {
        if let Some(events) = &self.events {
            // A teller that is gone has nothing left to tell.
            drop(events.send(event.clone()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.events.take());
        if let Some(teller) = self.teller.take() {
            drop(teller.join());
        }
    }
}

/// The statement that runs.
struct Statement {
    text: String,
    since: Instant,
    told: Option<Instant>,
}

struct Teller<S, R> {
    say: S,
    report: R,
    spinner: bool,
    bar: Option<ProgressBar>,
    statement: Option<Statement>,
}

impl<S: Fn(&str), R: Fn(&MigrationStep)> Teller<S, R> {
    fn listen(&mut self, heard: &Receiver<MigrationEvent>) {
        loop {
            match heard.recv_timeout(TURN) {
                Ok(event) => self.hear(event),
                Err(RecvTimeoutError::Timeout) => self.turn(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.clear();
                    return;
                }
            }
        }
    }

    fn hear(&mut self, event: MigrationEvent) {
        match event {
            MigrationEvent::Waiting { holder, waited } => (self.say)(&format!(
                "waiting for the migration lock ({} so far): held by {holder}",
                rounded(waited)
            )),
            MigrationEvent::Statement {
                name,
                statement,
                of,
                sql,
            } => {
                let sql = printable(&sql).split_whitespace().collect::<Vec<_>>().join(" ");
                self.statement = Some(Statement {
                    text: format!("{name}, statement {statement} of {of}: {sql}"),
                    since: Instant::now(),
                    told: None,
                });
            }
            MigrationEvent::StatementDone { .. } => self.clear(),
            MigrationEvent::Finished(step) => {
                self.clear();
                (self.report)(&step);
            }
            MigrationEvent::Retrying { name, blockers, pause } => {
                self.clear();
                let by = if blockers.is_empty() {
                    String::new()
                } else {
                    format!(": held by {}", blockers.join("; by "))
                };
                (self.say)(&format!(
                    "{name} waited too long for a table{by}; it is tried again in {}",
                    rounded(pause)
                ));
            }
            MigrationEvent::Started { .. } => {}
        }
    }

    /// Time has passed.
    fn turn(&mut self) {
        let Some(statement) = &mut self.statement else { return };
        let elapsed = statement.since.elapsed();
        if elapsed < LONG {
            return;
        }
        let line = format!("{} s: {}", elapsed.as_secs(), statement.text);
        if self.spinner {
            let bar = self.bar.get_or_insert_with(|| {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                bar.with_style(
                    ProgressStyle::with_template("{spinner} {wide_msg}")
                        .unwrap_or_else(|_| ProgressStyle::default_spinner()),
                )
            });
            bar.set_message(line);
            bar.tick();
        } else if statement.told.is_none_or(|at| at.elapsed() >= AGAIN) {
            statement.told = Some(Instant::now());
            (self.say)(&format!("running for {line}"));
        }
    }

    fn clear(&mut self) {
        self.statement = None;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
