//! The only writer to stdout and, beside the log, to stderr.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::{
    exit::{Exit, Failure, plain},
    wrapping::wrapped,
};

static READER_IS_GONE: AtomicBool = AtomicBool::new(false);
/// Whether a report for programs was printed: one is all they can read.
static REPORTED: AtomicBool = AtomicBool::new(false);
/// Why data could not be written, the first time.
static OUTPUT_LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Version of every JSON report's shape.
pub const SCHEMA: u32 = 1;

/// Colours by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It holds.
    Good,
    /// Look at it.
    Warning,
    /// It does not hold.
    Bad,
    /// Less important.
    Faint,
}

/// Prints for people or programs, or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    quiet: bool,
    color_out: bool,
    color_err: bool,
}

impl Printer {
    /// A printer; `quiet` prints nothing, errors included.
    #[must_use]
    pub fn new(quiet: bool, color_out: bool, color_err: bool) -> Self {
        Self {
            quiet,
            color_out,
            color_err,
        }
    }

    /// A line of data.
    pub fn line(&self, text: &str) {
        if !self.quiet {
            written(writeln!(io::stdout().lock(), "{text}"));
        }
    }

    /// Words of a report: on a terminal broken between them.
    pub fn sentence(&self, text: &str) {
        for line in wrapped(text, "", self.width()) {
            self.line(&line);
        }
    }

    /// Data as it is.
    pub fn text(&self, text: &str) {
        if !self.quiet {
            written(io::stdout().lock().write_all(text.as_bytes()));
        }
    }

    /// A help, as clap makes it.
    ///
    /// # Errors
    /// As of `finish`.
    pub fn help(&self, help: &clap::Error) -> Result<(), Failure> {
        written(help.print());
        self.finish()
    }

    /// Asserts that all data was taken, or that whoever took it has seen enough.
    ///
    /// # Errors
    /// When some of it could not be written: on a full disk, for example.
    pub fn finish(&self) -> Result<(), Failure> {
        written(io::stdout().lock().flush());
        let lost = OUTPUT_LOST.lock().unwrap_or_else(PoisonError::into_inner).take();
        lost.map_or(Ok(()), |error| Err(lost_output(&error)))
    }

    /// Whether whoever read the data has gone: then there is nothing left to do.
    #[must_use]
    pub fn reader_is_gone(&self) -> bool {
        READER_IS_GONE.load(Ordering::Relaxed)
    }

    /// Makes room for the next look, on a terminal.
    pub fn clear(&self) {
        if !self.quiet && io::stdout().is_terminal() {
            let _ = write!(io::stdout().lock(), "\u{1b}[H\u{1b}[2J");
        }
    }

    /// A report for programs.
    pub fn json(&self, value: &Value) {
        REPORTED.store(true, Ordering::Relaxed);
        self.line(&format!("{value:#}"));
    }

    /// The report of a command that did what it was asked for, for programs.
    pub fn report(&self, command: &str, exit: Exit, body: Value) {
        let head = json!({"schema": SCHEMA, "command": command, "exit_code": exit as u8});
        let fields = [head, body].into_iter().filter_map(|part| match part {
            Value::Object(fields) => Some(fields),
            _ => None,
        });
        self.json(&Value::Object(fields.flatten().collect::<Map<_, _>>()));
    }

    /// The report of a command that failed, for programs, where there is none yet that tells more.
    pub fn failed_json(&self, command: &str, failure: &Failure) {
        if REPORTED.load(Ordering::Relaxed) {
            return;
        }
        self.json(&json!({
            "schema": SCHEMA, "command": command, "exit_code": failure.exit as u8,
            "error": {"code": failure.code, "message": failure.message, "hint": failure.hint},
        }));
    }

    /// A line beside the data.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{}", printable(text));
        }
    }

    /// An error: at most three lines, on a terminal broken between words.
    pub fn error(&self, failure: &Failure) {
        if self.quiet {
            return;
        }
        let width = io::stderr().is_terminal().then(textwrap::termwidth);
        let told = |tone: Tone, label: &str, text: &str| {
            let label = format!("{} ", paint(self.color_err, tone, label));
            wrapped(&printable_line(text), &label, width)
        };
        let mut lines = told(Tone::Bad, "error:", &failure.message);
        lines.extend(told(Tone::Faint, "hint:", failure.hint.as_deref().unwrap_or_default()));
        let _ = io::stderr()
            .lock()
            .write_all(format!("{}\n", lines.join("\n")).as_bytes());
    }

    /// A word of a report in its colour.
    #[must_use]
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        paint(self.color_out, tone, text)
    }

    /// Columns of the terminal that data goes to; `None` where it goes somewhere else, and lines are as long as they are.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        io::stdout().is_terminal().then(textwrap::termwidth)
    }

    /// Whether nothing is printed.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Goes on only when somebody on a terminal types yes. Without a terminal it is refused, and a declined prompt is no
    /// success.
    ///
    /// # Errors
    /// `refused` without a terminal; `declined` in words, when something else is typed.
    pub async fn confirm(self, refused: Failure, declined: &str) -> Result<(), Failure> {
        // On a thread of its own: Ctrl-C must end the command while it waits for an answer.
        let answer = tokio::task::spawn_blocking(move || self.ask("Type yes to go on:")).await;
        match answer.ok().flatten() {
            None => Err(refused),
            Some(answer) if answer == "yes" => Ok(()),
            Some(_) => Err(Failure::new(Exit::Failed, "declined", declined)),
        }
    }

    /// Goes on only when somebody on a terminal types this name.
    ///
    /// # Errors
    /// `refused` without a terminal; `declined` in words, when something else is typed.
    pub async fn confirm_name(self, name: &str, refused: Failure, declined: &str) -> Result<(), Failure> {
        let answer = tokio::task::spawn_blocking(move || self.ask("Type its name to go on:")).await;
        match answer.ok().flatten() {
            None => Err(refused),
            Some(answer) if answer == name => Ok(()),
            Some(_) => Err(Failure::new(Exit::Failed, "declined", declined)),
        }
    }

    /// Asks for a word on a terminal. `None` without one.
    #[must_use]
    fn ask(&self, question: &str) -> Option<String> {
        // Nobody can agree to what was not shown.
        if self.quiet || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        let _ = write!(io::stderr().lock(), "{question} ");
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).ok()?;
        Some(answer.trim().to_owned())
    }
}

/// What is said where data could not be written.
fn lost_output(error: &io::Error) -> Failure {
    let message = format!("the output could not be written: {}", plain(error));
    Failure::new(Exit::Failed, "output_lost", message)
}

/// Remembers what became of data.
fn written(done: io::Result<()>) {
    let Err(error) = done else { return };
    READER_IS_GONE.store(true, Ordering::Relaxed);
    // A reader that went away (`| head`) has seen what it wanted.
    if error.kind() != io::ErrorKind::BrokenPipe {
        let mut lost = OUTPUT_LOST.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get_or_insert(error);
    }
}

/// A time, to the second.
#[must_use]
pub fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The same in one line.
#[must_use]
pub fn printable_line(text: &str) -> String {
    one_line(&printable(text))
}

/// Text from a database or a file, with what could steer a terminal made visible; lines stay lines.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => c.to_string(),
            '\t' => " ".to_owned(),
            c if c.is_control() => c.escape_default().to_string(),
            c => c.to_string(),
        })
        .collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn paint(color: bool, tone: Tone, text: &str) -> String {
    if !color {
        return text.to_owned();
    }
    let code = match tone {
        Tone::Good => 32,
        Tone::Warning => 33,
        Tone::Bad => 31,
        Tone::Faint => 2,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
