//! Runs PostgreSQL's programs, and ends them when somebody wants the whole to end. Not here: what they are run for, where they are.

use std::{ffi::OsString, io, path::Path, process::Stdio, time::Duration};

use dlc_application::ports::backups::{BackupError, Observer};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use super::{
    environment::Environment,
    programs::{Program, ProgramPlaces},
};
use crate::url::DatabaseUrl;

/// How often is looked whether to go on.
const TURN: Duration = Duration::from_millis(100);
/// What is kept of what a program says, in bytes: its last words tell why it failed.
const LAST_WORDS: usize = 16 * 1024;

/// What a program says when there is no room.
const IS_FULL: [&str; 3] = ["No space left on device", "File too large", "Disk quota exceeded"];
/// How the lines of a script begin before it makes anything.
const HEAD: [&str; 5] = ["--", "\\restrict", "BEGIN;", "SET ", "SELECT pg_catalog.set_config("];

/// Comes to its end when somebody wants the whole to end.
pub(super) async fn stopped(observer: &Observer) {
    while !observer.is_stopped() {
        tokio::time::sleep(TURN).await;
    }
}

/// One run of a program that talks to a server.
pub(super) struct Run<'a> {
    pub(super) program: &'a Program,
    pub(super) places: &'a ProgramPlaces,
    pub(super) url: &'a DatabaseUrl,
    pub(super) arguments: Vec<OsString>,
    /// The file that it writes, if it writes one.
    pub(super) file: Option<&'a Path>,
}

/// A program at work.
struct Work {
    name: &'static str,
    child: Child,
    words: JoinHandle<String>,
}

impl Work {
    /// Its end, or why it failed.
    async fn end(&mut self, password: Option<&SecretString>) -> Result<(), BackupError> {
        let failed = |cause: String| BackupError::ProgramFailed {
            program: self.name,
            cause,
        };
        let status = self
            .child
            .wait()
            .await
            .map_err(|e| failed(crate::error::io_words(&e)))?;
        if status.success() {
            return Ok(());
        }
        let words = (&mut self.words).await.unwrap_or_default();
        match cause(self.name, &words, password) {
            cause if cause.is_empty() => Err(failed(status.to_string())),
            cause => Err(failed(cause)),
        }
    }

    /// Ends it, and waits, so that it writes to nothing any more.
    async fn kill(&mut self) {
        drop(self.child.kill().await);
    }
}

impl Run<'_> {
    /// Runs it to its end; `turn` is called now and then meanwhile. Whoever drops this ends the program.
    pub(super) async fn finish(self, observer: &Observer, turn: impl Fn()) -> Result<(), BackupError> {
        let environment = Environment::of(self.places, self.url, self.program)?;
        let mut work = self.begin(&environment, Stdio::null(), Stdio::null())?;
        let ended = tokio::select! {
            ended = work.end(environment.password.as_ref()) => Some(ended),
            () = turning(observer, turn) => None,
        };
        let Some(ended) = ended else {
            work.kill().await;
            return Err(BackupError::Stopped);
        };
        ended.map_err(|error| match (error, self.file) {
            (BackupError::ProgramFailed { cause, .. }, Some(path))
                if IS_FULL.iter().any(|full| cause.contains(full)) =>
            {
                BackupError::Full {
                    path: path.to_path_buf(),
                    cause,
                }
            }
            (error, _) => error,
        })
    }

    /// Runs it to its end, and `into` on the script that it writes, but for the setting that the server does not know.
    pub(super) async fn finish_into(
        self,
        into: Run<'_>,
        unknown_setting: &str,
        observer: &Observer,
        turn: impl Fn(),
    ) -> Result<(), BackupError> {
        let environment = Environment::of(self.places, self.url, self.program)?;
        let mut reader = self.begin(&environment, Stdio::null(), Stdio::piped())?;
        let mut writer = into.begin(&environment, Stdio::piped(), Stdio::null())?;
        let ends = reader.child.stdout.take().zip(writer.child.stdin.take());
        let password = environment.password.as_ref();
        let all = async {
            let passing = async {
                if let Some((script, statements)) = ends {
                    // Whoever does not take it any more says why.
                    drop(pass_on(script, statements, unknown_setting).await);
                }
            };
            let ((), read, written) = tokio::join!(passing, reader.end(password), writer.end(password));
            // Whoever reads fails, too, when nobody takes what it has read.
            written.and(read)
        };
        let ended = tokio::select! {
            ended = all => Some(ended),
            () = turning(observer, turn) => None,
        };
        let Some(ended) = ended else {
            tokio::join!(reader.kill(), writer.kill());
            return Err(BackupError::Stopped);
        };
        ended
    }

    fn begin(&self, environment: &Environment, stdin: Stdio, stdout: Stdio) -> Result<Work, BackupError> {
        let mut command = Command::new(&self.program.path);
        environment.give(&mut command);
        let mut child = command
            .args(&self.arguments)
            .arg("--no-password")
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            // Ctrl-C is for dlc, which ends the program in its own time.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| BackupError::ProgramFailed {
                program: self.program.name,
                cause: crate::error::io_words(&e),
            })?;
        let said = child.stderr.take();
        let words = tokio::spawn(async move {
            match said {
                Some(said) => last_words(said).await,
                None => String::new(),
            }
        });
        Ok(Work {
            name: self.program.name,
            child,
            words,
        })
    }
}

/// Takes turns until somebody wants the whole to end.
async fn turning(observer: &Observer, turn: impl Fn()) {
    while !observer.is_stopped() {
        turn();
        tokio::time::sleep(TURN).await;
    }
}

/// Hands a script of `pg_restore`'s over without the line that sets something. That line is one of its head; what is further down is
/// somebody's own, data or the body of a routine.
async fn pass_on(
    script: impl AsyncRead + Unpin,
    mut statements: impl AsyncWrite + Unpin,
    setting: &str,
) -> io::Result<()> {
    let unknown = format!("SET {setting} = 0;");
    let mut script = BufReader::new(script);
    let mut line = Vec::new();
    loop {
        line.clear();
        if script.read_until(b'\n', &mut line).await? == 0 {
            break;
        }
        let text = line.trim_ascii_end();
        if text == unknown.as_bytes() {
            continue;
        }
        statements.write_all(&line).await?;
        let is_head = text.is_empty() || HEAD.iter().any(|begin| text.starts_with(begin.as_bytes()));
        if !is_head {
            break;
        }
    }
    tokio::io::copy_buf(&mut script, &mut statements).await?;
    statements.shutdown().await
}

async fn last_words(mut pipe: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..length]);
        if kept.len() > 2 * LAST_WORDS {
            kept.drain(..kept.len() - LAST_WORDS);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Why it failed: its errors, without its name before each and without what it shows of a statement.
fn cause(program: &str, said: &str, password: Option<&SecretString>) -> String {
    let prefix = format!("{program}: ");
    let errors: Vec<&str> = said
        .lines()
        .map(|line| line.strip_prefix(&prefix).unwrap_or(line).trim())
        .filter_map(|line| {
            let said = line.strip_prefix("error: ").or_else(|| line.strip_prefix("fatal: "));
            // psql names the line of the script.
            let of_psql = || line.split_once(": ERROR:  ").or_else(|| line.split_once(": FATAL:  "));
            said.or_else(|| of_psql().map(|(_, said)| said))
        })
        .collect();
    let text = if errors.is_empty() {
        said.lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default()
            .to_owned()
    } else {
        errors.join("; ")
    };
    // None of them says it, for all that is known; but it is theirs to say.
    match password
        .map(ExposeSecret::expose_secret)
        .filter(|password| !password.is_empty())
    {
        Some(password) => text.replace(password, "…"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_what_the_program_says_of_its_errors_without_the_password() {
        let said = "pg_dump: error: connection to server failed: hush\npg_dump: detail: x\n";
        let password = SecretString::from("hush");
        assert_eq!(
            cause("pg_dump", said, Some(&password)),
            "connection to server failed: …"
        );
        assert_eq!(cause("pg_dump", "sh: something else\n\n", None), "sh: something else");
    }

    #[tokio::test]
    async fn a_script_is_passed_on_without_the_setting_of_its_head_and_with_all_that_follows() {
        let head = "--\n\\restrict abc\n\nBEGIN;\n\nSET lock_timeout = 0;\n";
        let rest = "SELECT pg_catalog.set_config('search_path', '', false);\nCREATE FUNCTION f() AS $$\n\
                    SET transaction_timeout = 0;\n$$;\nCOPY t FROM stdin;\nSET transaction_timeout = 0;\n\\.\n\u{e4}";
        let script = format!("{head}SET transaction_timeout = 0;\n{rest}");
        let mut passed = Vec::new();
        pass_on(script.as_bytes(), &mut passed, "transaction_timeout")
            .await
            .unwrap();
        assert_eq!(String::from_utf8(passed).unwrap(), format!("{head}{rest}"));
    }
}
