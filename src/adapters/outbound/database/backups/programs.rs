//! PostgreSQL's own programs, `pg_dump` and `pg_restore`: found by their version, and run without a secret in their arguments.
//! Not here: what they are run for.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use dlc_application::ports::backups::{BackupError, Observer, ProgramMissing};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgSslMode;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
};

use super::files;
use crate::url::DatabaseUrl;

/// Nobody needs longer to say which version it is.
const VERSION_LIMIT: Duration = Duration::from_secs(10);
/// How often is looked whether to go on.
const TURN: Duration = Duration::from_millis(100);
/// What is kept of what a program says, in bytes: its last words tell why it failed.
const LAST_WORDS: usize = 16 * 1024;

/// Where each version has a directory of its own: Debian and its kin, Red Hat and its kin.
const USUAL: [(&str, &str, &str); 2] = [("/usr/lib/postgresql", "", "bin"), ("/usr", "pgsql-", "bin")];

/// Where programs are looked for.
#[derive(Clone, Debug, Default)]
pub struct ProgramPlaces {
    /// The only directory; `None`: those of the search path, and the usual ones.
    pub only_in: Option<PathBuf>,
    /// The search path.
    pub path: Vec<PathBuf>,
    /// Where a file may lie for as long as a program runs.
    pub temporary: PathBuf,
    /// Variables that are none of a program's business: dlc's own, secrets among them.
    pub hidden: Vec<String>,
}

/// Comes to its end when somebody wants the whole to end.
pub(super) async fn stopped(observer: &Observer) {
    while !observer.is_stopped() {
        tokio::time::sleep(TURN).await;
    }
}

/// A program that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    name: &'static str,
    path: PathBuf,
    major: u32,
    version: String,
}

impl Program {
    /// Its name and version.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    pub(super) fn major(&self) -> u32 {
        self.major
    }
}

/// Finds the oldest version that is not older than `major`: it knows the server, and what it writes is read by the most others.
pub(super) async fn find(places: &ProgramPlaces, name: &'static str, major: u32) -> Result<Program, BackupError> {
    let mut found = Vec::new();
    for directory in directories(places) {
        let path = directory.join(name);
        // Debian's wrapper chooses by itself, and not by what the server is.
        let is_wrapper = std::fs::canonicalize(&path).is_ok_and(|real| real.ends_with("pg_wrapper"));
        if is_wrapper || !path.is_file() {
            continue;
        }
        if let Some((major, version)) = version(&path).await {
            found.push(Program {
                name,
                path,
                major,
                version,
            });
        }
    }
    let fit = found.iter().filter(|program| program.major >= major);
    fit.min_by_key(|program| program.major).cloned().ok_or_else(|| {
        let found = found
            .iter()
            .map(|program| format!("{} is {}", program.path.display(), program.version));
        BackupError::Program(ProgramMissing {
            program: name,
            major,
            found: found.collect(),
            only_in: places.only_in.clone(),
        })
    })
}

fn directories(places: &ProgramPlaces) -> Vec<PathBuf> {
    if let Some(only) = &places.only_in {
        return vec![only.clone()];
    }
    let versions = USUAL.iter().flat_map(|(parent, prefix, bin)| {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let of_a_version = entries.filter(move |entry| {
            let name = entry.file_name();
            let rest = name.to_string_lossy().strip_prefix(prefix).map(str::to_owned);
            rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        of_a_version.map(move |entry| entry.path().join(bin))
    });
    places.path.iter().cloned().chain(versions).collect()
}

/// "pg_dump (PostgreSQL) 16.4 (Debian 16.4-1)" is 16, and "16.4".
fn parse(text: &str) -> Option<(u32, String)> {
    let (_, rest) = text.trim().split_once("(PostgreSQL) ")?;
    let version = rest.split_whitespace().next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, version.to_owned()))
}

async fn version(program: &Path) -> Option<(u32, String)> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_LIMIT, command.output()).await.ok()?.ok()?;
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// A file with a password for one program, gone when this is.
struct PasswordFile(PathBuf);

impl PasswordFile {
    fn write(places: &ProgramPlaces, id: &str, password: &SecretString) -> Result<Self, BackupError> {
        let path = places.temporary.join(format!("dlc-{id}.pgpass"));
        let failed = |error: &io::Error| files::failed("cannot write the file", &path, error);
        let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file: File = options.map_err(|e| failed(&e))?;
        let written = Self(path.clone());
        let password = password.expose_secret().replace('\\', "\\\\").replace(':', "\\:");
        writeln!(file, "*:*:*:*:{password}").map_err(|e| failed(&e))?;
        Ok(written)
    }
}

impl Drop for PasswordFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// One run of a program.
pub(super) struct Run<'a> {
    pub(super) program: &'a Program,
    pub(super) places: &'a ProgramPlaces,
    pub(super) url: &'a DatabaseUrl,
    /// Names the run, for nobody else to have the same.
    pub(super) id: &'a str,
    pub(super) arguments: Vec<OsString>,
    /// The file that it writes, if it writes one.
    pub(super) file: Option<&'a Path>,
}

impl Run<'_> {
    /// Runs it to its end; `turn` is called now and then meanwhile. Whoever drops this ends the program.
    pub(super) async fn finish(self, observer: &Observer, turn: impl Fn()) -> Result<(), BackupError> {
        let failed = |cause: String| BackupError::ProgramFailed {
            program: self.program.name,
            cause,
        };
        let mut command = Command::new(&self.program.path);
        for variable in &self.places.hidden {
            command.env_remove(variable);
        }
        let password = environment(&mut command, self.url);
        let kept = match &password {
            // What cannot stand in such a file.
            Some(password) if password.expose_secret().contains(['\n', '\r']) => {
                command.env("PGPASSWORD", password.expose_secret());
                None
            }
            Some(password) => {
                let file = PasswordFile::write(self.places, self.id, password)?;
                command.env("PGPASSFILE", &file.0);
                Some(file)
            }
            None => None,
        };
        let mut child = command
            .args(&self.arguments)
            .arg("--no-password")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for dlc, which ends the program in its own time.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(crate::error::io_words(&e)))?;
        let said = child.stderr.take().map(last_words);
        let said = async {
            match said {
                Some(said) => said.await,
                None => String::new(),
            }
        };
        tokio::pin!(said);
        let mut words = None;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status.map_err(|e| failed(crate::error::io_words(&e)))?,
                said = &mut said, if words.is_none() => words = Some(said),
                () = tokio::time::sleep(TURN) => {
                    turn();
                    if observer.is_stopped() {
                        // Waited for, so that it writes to nothing any more.
                        drop(child.kill().await);
                        return Err(BackupError::Stopped);
                    }
                }
            }
        };
        drop(kept);
        if status.success() {
            return Ok(());
        }
        let words = match words {
            Some(words) => words,
            None => said.await,
        };
        let cause = cause(self.program.name, &words, password.as_ref());
        let is_full = ["No space left on device", "File too large", "Disk quota exceeded"];
        match self.file {
            Some(path) if is_full.iter().any(|full| cause.contains(full)) => Err(BackupError::Full {
                path: path.to_path_buf(),
                cause,
            }),
            _ if cause.is_empty() => Err(failed(status.to_string())),
            _ => Err(failed(cause)),
        }
    }
}

/// Where the server is, in the variables that libpq reads: those of the process list show arguments alone. Returns the password.
fn environment(command: &mut Command, url: &DatabaseUrl) -> Option<SecretString> {
    let options = url.postgres_options()?;
    for other in [
        "PGSERVICE",
        "PGSERVICEFILE",
        "PGHOSTADDR",
        "PGREQUIRESSL",
        "PGTARGETSESSIONATTRS",
    ] {
        command.env_remove(other);
    }
    match options.get_socket() {
        Some(socket) => command.env("PGHOST", socket),
        None => command.env("PGHOST", options.get_host()),
    };
    let mode = match options.get_ssl_mode() {
        PgSslMode::Disable => "disable",
        PgSslMode::Allow => "allow",
        PgSslMode::Prefer => "prefer",
        PgSslMode::Require => "require",
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    };
    command
        .env("PGPORT", options.get_port().to_string())
        .env("PGUSER", options.get_username())
        .env(
            "PGDATABASE",
            options.get_database().unwrap_or_else(|| options.get_username()),
        )
        .env("PGSSLMODE", mode)
        .env("PGAPPNAME", "dlc db")
        .env("PGCONNECT_TIMEOUT", "10")
        // Its words are read here.
        .env("LC_ALL", "C");
    match options.get_options() {
        Some(options) => command.env("PGOPTIONS", options),
        None => command.env_remove("PGOPTIONS"),
    };
    for (parameter, path) in url.certificate_files() {
        let variable = match parameter.as_str() {
            "sslcert" | "ssl-cert" => "PGSSLCERT",
            "sslkey" | "ssl-key" => "PGSSLKEY",
            _ => "PGSSLROOTCERT",
        };
        command.env(variable, path);
    }
    let password = url.password();
    if password.is_some() {
        command.env_remove("PGPASSWORD");
    }
    password
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
        .filter_map(|line| line.strip_prefix("error: ").or_else(|| line.strip_prefix("fatal: ")))
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
    fn a_version_is_read_as_each_of_them_says_it() {
        for (text, major, version) in [
            ("pg_dump (PostgreSQL) 16.4 (Debian 16.4-1.pgdg120+1)\n", 16, "16.4"),
            ("pg_dump (PostgreSQL) 9.6.24", 9, "9.6.24"),
            ("pg_restore (PostgreSQL) 18beta1", 18, "18beta1"),
        ] {
            assert_eq!(parse(text), Some((major, version.to_owned())));
        }
        assert_eq!(parse("no version at all"), None);
    }

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
}
