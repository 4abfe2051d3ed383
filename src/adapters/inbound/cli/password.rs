//! A password that somebody gives: typed on the terminal without being shown, or as a line of standard input.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, IsTerminal, Write},
};

use rustix::{
    process::Signal,
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr},
};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    exit::{Exit, Failure, plain},
    printer::Printer,
};

/// More than any password has, in bytes: what comes without an end is not read to its end.
const LONGEST_LINE: u64 = 4096;

/// Where a password comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PasswordSource {
    /// It is typed.
    Terminal,
    /// It is a line of standard input.
    Stdin,
    /// It is made.
    Generated,
}

impl PasswordSource {
    /// Decides before anything is opened.
    pub(super) fn choose(stdin: bool, generate: bool, printer: Printer) -> Result<Self, Failure> {
        let is_terminal = io::stdin().is_terminal();
        let refused =
            |message: &str, hint: &str| Err(Failure::new(Exit::Usage, "password_missing", message).hint(hint));
        match (stdin, generate) {
            (_, true) => Ok(Self::Generated),
            // It would be shown while it is typed.
            (true, _) if is_terminal => refused(
                "--password-stdin is for a pipe or a file, and standard input is a terminal",
                "leave it away: then the password is asked for",
            ),
            (true, _) => Ok(Self::Stdin),
            // Who wants nothing printed is not asked anything, either.
            _ if is_terminal && !printer.is_quiet() => Ok(Self::Terminal),
            _ => refused(
                "there is no terminal to type a password on",
                "give it with --password-stdin, or have one made with --generate",
            ),
        }
    }
}

/// The first line of standard input, without its end.
pub(super) async fn read_line() -> Result<String, Failure> {
    // On a thread of its own: Ctrl-C must end the command while it waits for a line.
    let line = tokio::task::spawn_blocking(|| line_of(io::stdin().lock())).await;
    match line
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| unreadable(&error))?
    {
        Some(line) if !line.is_empty() => Ok(line),
        _ => Err(
            Failure::new(Exit::Usage, "password_missing", "standard input holds no password")
                .hint("the first line is the password"),
        ),
    }
}

/// Asks for a password twice. It is not shown, and whatever ends the question, the terminal shows again what is typed.
pub(super) async fn ask_twice() -> Result<String, Failure> {
    let mut terminal = Terminal::open().map_err(|error| unreadable(&error))?;
    let first = terminal.ask("Password: ").await?;
    let second = terminal.ask("The same again: ").await?;
    if first == second {
        Ok(first)
    } else {
        Err(Failure::new(
            Exit::Failed,
            "passwords_differ",
            "the two passwords differ; nothing was done",
        ))
    }
}

/// The terminal, not showing what is typed. Echo is turned off here and turned on where this is dropped, both on the command's own
/// thread: the thread that reads may be left behind by Ctrl-C, and what it would do on its way out would come too late.
struct Terminal {
    device: File,
    before: Termios,
    /// Whether a question stands there without an answer.
    asked: bool,
}

impl Terminal {
    fn open() -> io::Result<Self> {
        // Not standard output or error, which may go elsewhere.
        let device = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&device)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent
            .local_modes
            .insert(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHONL);
        // What was typed before was typed at something else.
        tcsetattr(&device, OptionalActions::Flush, &silent)?;
        Ok(Self {
            device,
            before,
            asked: false,
        })
    }

    async fn ask(&mut self, question: &str) -> Result<String, Failure> {
        let failed = |error: io::Error| unreadable(&error);
        self.device.write_all(question.as_bytes()).map_err(failed)?;
        self.asked = true;
        let reader = self.device.try_clone().map_err(failed)?;
        let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
        let mut quit = signal(SignalKind::quit()).map_err(failed)?;
        let mut hung_up = signal(SignalKind::hangup()).map_err(failed)?;
        // Taken and left alone: whoever is stopped here would leave the shell with a terminal that shows nothing.
        let _stopped = signal(SignalKind::from_raw(Signal::TSTP.as_raw())).map_err(failed)?;
        let interrupted = |by: &str| {
            let message = format!("ended by {by}; nothing was done");
            Err(Failure::new(Exit::Interrupted, "interrupted", message))
        };
        tokio::select! {
            line = tokio::task::spawn_blocking(|| line_of(BufReader::new(reader))) => {
                let line = line.map_err(io::Error::other).flatten().map_err(failed)?;
                // The end of a line is shown.
                self.asked = line.is_none();
                line.ok_or_else(|| Failure::new(Exit::Failed, "password_missing", "no password was typed; nothing was done"))
            }
            _ = terminated.recv() => interrupted("SIGTERM"),
            _ = quit.recv() => interrupted("SIGQUIT"),
            _ = hung_up.recv() => interrupted("SIGHUP"),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.asked {
            // Half an answer must not become the next thing that the shell reads, and shows.
            let _ = tcsetattr(&self.device, OptionalActions::Flush, &self.before);
            let _ = self.device.write_all(b"\n");
        } else {
            let _ = tcsetattr(&self.device, OptionalActions::Now, &self.before);
        }
    }
}

/// A line without its end; `None` when there is none.
fn line_of(reader: impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.take(LONGEST_LINE).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    if line.ends_with('\n') {
        line.pop();
        if line.ends_with('\r') {
            line.pop();
        }
    }
    Ok(Some(line))
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        "password_unreadable",
        format!("the password cannot be read: {}", plain(error)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_end_and_nothing_else() {
        for (text, line) in [
            ("", None),
            ("\n", Some("")),
            ("tulip", Some("tulip")),
            ("tulip\n", Some("tulip")),
            ("tulip\r\n", Some("tulip")),
            (" tulip \nferry\n", Some(" tulip ")),
            ("tulip\n\n", Some("tulip")),
        ] {
            assert_eq!(line_of(text.as_bytes()).unwrap().as_deref(), line, "{text:?}");
        }
        assert!(line_of(&b"\xff\n"[..]).is_err());
        assert_eq!(line_of("x".repeat(10_000).as_bytes()).unwrap().unwrap().len(), 4096);
    }
}
