//! The real binary, run to its end, in a directory of its own and with nothing in its environment but what a test gives.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    task::JoinHandle,
};

use super::program;

/// No command of a test takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A run to be made.
pub struct Dlc {
    program: PathBuf,
    without_privileges: bool,
    disk: Option<Disk>,
    environment: Vec<(String, String)>,
    directory: TempDir,
}

/// A small one, mounted for the run alone.
struct Disk {
    place: PathBuf,
    size: &'static str,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// stdout as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// stdout's lines.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// Asserts that this is one clear error: this exit code, at most three lines, these words, no password.
    pub fn assert_error(&self, code: i32, words: &str) {
        let error: Vec<&str> = self
            .stderr
            .lines()
            .skip_while(|line| !line.starts_with("error: "))
            .collect();
        assert_eq!(self.code, code, "{self:?}");
        assert!(
            !self.stderr.contains(" ERROR "),
            "the same thing is said twice: {self:?}"
        );
        assert!((1..=3).contains(&error.len()), "{self:?}");
        assert!(error.join(" ").contains(words), "{words:?} is not in {self:?}");
        self.assert_no_secret();
    }

    /// Asserts that the canary is nowhere.
    pub fn assert_no_secret(&self) {
        for text in [&self.stdout, &self.stderr] {
            // The tests' passwords begin with it, as it is or percent-encoded.
            assert!(
                !text.contains("cänary") && !text.contains("%A4nary"),
                "a password leaked: {self:?}"
            );
        }
    }
}

impl Dlc {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("dlc-test-cwd-").tempdir().unwrap();
        Self {
            program: PathBuf::from(env!("CARGO_BIN_EXE_dlc")),
            without_privileges: false,
            disk: None,
            // A test reads as a person does, without a terminal.
            environment: vec![("DLC_LOG__FORMAT".to_owned(), "pretty".to_owned())],
            directory,
        }
    }

    /// The program with a set of migrations of `harness/program.rs` instead of the shipped ones.
    pub fn with_migrations(mut self, set: &str) -> Self {
        self.program = std::env::current_exe().unwrap();
        self.env(program::MIGRATIONS, set)
    }

    /// Runs it as a user to whom file permissions mean something, should the tests be run by root.
    pub fn without_privileges(mut self) -> Self {
        self.without_privileges = rustix::process::geteuid().is_root();
        let anybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.directory.path(), anybody).unwrap();
        self
    }

    /// Runs it with a disk of that size (as `mount` takes it) at a place, which nobody else sees.
    pub fn on_a_disk_of(mut self, size: &'static str, place: &Path) -> Self {
        let place = place.to_path_buf();
        self.disk = Some(Disk { place, size });
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What a variable is by now.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let last = self.environment.iter().rfind(|(its, _)| its == name);
        last.map(|(_, value)| value.as_str())
    }

    /// Puts a file into the run's directory.
    pub fn file(self, name: &str, text: &str) -> Self {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Where the run happens.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The command, for whoever wants to hold the process.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = if self.without_privileges {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
                .arg(&self.program);
            command
        } else if let Some(Disk { place, size }) = &self.disk {
            const MOUNTED: &str = r#"mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec "$@""#;
            // Whoever may not mount anything may do so in a namespace of users.
            let is_root = rustix::process::geteuid().is_root();
            let mut command = Command::new("unshare");
            command
                .args(if is_root {
                    &["--mount"][..]
                } else {
                    &["--map-root-user", "--mount"]
                })
                .args(["sh", "-c", MOUNTED, "sh", size])
                .args([place, &self.program]);
            command
        } else {
            Command::new(&self.program)
        };
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .envs(self.counted())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Where a program that was built to count the lines it runs writes what it has counted (`scripts/coverage`); one that runs
    /// as another user cannot write to files of this one.
    fn counted(&self) -> Option<(&'static str, String)> {
        const FILE: &str = "LLVM_PROFILE_FILE";
        let file = std::env::var(FILE).ok()?;
        let user = if self.without_privileges {
            "anybody-"
        } else {
            "program-"
        };
        Some((FILE, file.replace("tests-", user)))
    }

    /// Starts it and lets it run.
    pub fn start(self, arguments: &[&str]) -> Running {
        let mut child = self.command(arguments).spawn().unwrap();
        drop(child.stdin.take());
        let [stdout, stderr] = [Said::default(), Said::default()];
        let readers = [
            tokio::spawn(listen(child.stdout.take().unwrap(), Said::clone(&stdout))),
            tokio::spawn(listen(child.stderr.take().unwrap(), Said::clone(&stderr))),
        ];
        Running {
            child,
            stdout,
            stderr,
            readers,
            _dlc: self,
        }
    }

    pub async fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with_input(arguments, "").await
    }

    /// Runs it with something on its standard input.
    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Finished {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Whether or not it is read.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        let output = tokio::time::timeout(LIMIT, child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("dlc {arguments:?} does not end"))
            .unwrap();
        Finished {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

type Said = Arc<Mutex<String>>;

async fn listen(mut pipe: impl AsyncRead + Unpin, said: Said) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        said.lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

/// A run that goes on.
pub struct Running {
    child: Child,
    stdout: Said,
    stderr: Said,
    readers: [JoinHandle<()>; 2],
    _dlc: Dlc,
}

impl Running {
    /// What it has said so far on stderr.
    pub fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// What it has printed so far on stdout.
    pub fn printed(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// Waits until it has said a word on stderr.
    pub async fn until_said(&self, word: &str) {
        let started = Instant::now();
        while !self.said().contains(word) {
            assert!(started.elapsed() < LIMIT, "{word:?} is not said: {}", self.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn signal(&self, signal: Signal) {
        super::send(self.child.id().expect("a running process"), signal);
    }

    /// Waits for the end.
    pub async fn finished(mut self) -> Finished {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        let status = ended
            .unwrap_or_else(|_| panic!("it does not end: {}", self.said()))
            .unwrap();
        for reader in self.readers {
            reader.await.unwrap();
        }
        let text = |said: &Said| said.lock().unwrap().clone();
        Finished {
            code: status.code().unwrap_or(-1),
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
        }
    }
}
