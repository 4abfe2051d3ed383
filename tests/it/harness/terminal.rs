//! The program on a terminal: what a person sees, and what a person types.

use std::{
    ffi::CString,
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::Stdio,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use tokio::process::{Child, Command};

use super::Dlc;

/// Nobody looks at a terminal for longer.
const LIMIT: Duration = Duration::from_secs(30);

/// How wide a terminal is that nobody has made narrower.
const COLUMNS: u16 = 100;

/// A run on a terminal.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
    _dlc: Option<Dlc>,
}

/// Runs it on a terminal of so many columns. Returns what was shown, escape sequences included, and the exit code.
pub async fn on_a_terminal(dlc: &Dlc, arguments: &[&str], columns: u16) -> (String, i32) {
    let Terminal {
        mut child,
        screen,
        reader,
        ..
    } = Terminal::start_as(dlc, arguments, &[], columns);
    let ended = tokio::time::timeout(LIMIT, child.wait()).await;
    let code = ended.expect("it does not end").unwrap().code().unwrap_or(-1);
    // Nobody has the other side any more.
    tokio::task::spawn_blocking(move || reader.join().unwrap())
        .await
        .unwrap();
    let shown = screen.lock().unwrap().replace("\r\n", "\n");
    (shown, code)
}

/// A terminal, and the name under which a program opens its own side of it.
fn terminal() -> (OwnedFd, CString) {
    // A program of another test must not keep it open.
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    (master, name)
}

fn side(name: &CString) -> Stdio {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    Stdio::from(rustix::fs::open(&**name, flags, Mode::empty()).unwrap())
}

/// Runs it in a window that is closed as soon as these words are shown. Returns how it ended, in the words of the shell around
/// it, which stays when the window is closed.
pub async fn in_a_window_that_closes(dlc: &Dlc, arguments: &[&str], words: &'static str) -> String {
    // The kernel tells the shell alone; like the one that people type in, it passes the signal on to what it runs.
    const SHELL: &str = r#""$0" "$@" & trap "kill -HUP $!" HUP; wait $!; wait $!; echo ended with $?"#;
    let (master, name) = terminal();
    let inner = dlc.command(arguments);
    let inner = inner.as_std();
    // Who runs the tests by nohup has them ignore what a shell could not trap then.
    let child = Command::new("env")
        .args(["--default-signal=HUP", "setsid", "--ctty", "--wait", "sh", "-c", SHELL])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(inner.get_current_dir().unwrap())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(side(&name))
        .stdout(Stdio::piped())
        .stderr(side(&name))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut window = File::from(master);
    let watching = tokio::task::spawn_blocking(move || {
        let mut shown = String::new();
        let mut buffer = [0; 4096];
        while !shown.contains(words) {
            let length = window
                .read(&mut buffer)
                .unwrap_or_else(|error| panic!("{error}: {shown}"));
            shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    });
    tokio::time::timeout(LIMIT, watching).await.unwrap().unwrap();
    let ended = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    String::from_utf8(ended.expect("it stays without its window").unwrap().stdout).unwrap()
}

impl Terminal {
    pub fn start(dlc: Dlc, arguments: &[&str]) -> Self {
        Self::start_narrow(dlc, arguments, COLUMNS)
    }

    /// Runs it on a terminal of so many columns.
    pub fn start_narrow(dlc: Dlc, arguments: &[&str], columns: u16) -> Self {
        let mut terminal = Self::start_as(&dlc, arguments, &[], columns);
        terminal._dlc = Some(dlc);
        terminal
    }

    /// Runs it in a shell that tells, before and after, how the terminal is set, and with what it ended. The shell stays when
    /// Ctrl-C is typed: with the last program of a terminal its settings would end, too.
    pub fn start_in_a_shell(dlc: Dlc, arguments: &[&str]) -> Self {
        const SHELL: &str = r#"trap : INT; echo "before: $(stty -g)"; "$0" "$@"; echo "ended with $?"; echo "after: $(stty -g)."; read line"#;
        let mut terminal = Self::start_as(&dlc, arguments, &["sh", "-c", SHELL], COLUMNS);
        terminal._dlc = Some(dlc);
        terminal
    }

    fn start_as(dlc: &Dlc, arguments: &[&str], within: &[&str], columns: u16) -> Self {
        let (master, name) = terminal();
        let size = Winsize {
            ws_row: 40,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        // A session of its own, so that Ctrl-C is a signal; `setsid` makes it without unsafe code here.
        let inner = dlc.command(arguments);
        let inner = inner.as_std();
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait"])
            .args(within)
            .arg(inner.get_program())
            .args(inner.get_args())
            .current_dir(inner.get_current_dir().unwrap())
            .env_clear()
            .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("TERM", dlc.variable("TERM").unwrap_or("xterm"))
            .stdin(side(&name))
            .stdout(side(&name))
            .stderr(side(&name))
            .kill_on_drop(true);
        let child = command.spawn().unwrap();
        drop(command);
        let keyboard = File::from(master);
        let mut reader = keyboard.try_clone().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&screen);
        // Ends when the last program has closed its side.
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                shown
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self {
            child,
            keyboard,
            screen,
            reader,
            _dlc: None,
        }
    }

    /// What was shown so far, escape sequences included.
    pub fn shown(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    pub async fn until_shown(&self, words: &str) {
        let started = Instant::now();
        while !self.shown().contains(words) {
            assert!(started.elapsed() < LIMIT, "{words:?} is not shown: {:?}", self.shown());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn type_in(&self, text: &str) {
        (&self.keyboard).write_all(text.as_bytes()).unwrap();
    }

    /// Whether what is typed is shown.
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.keyboard)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHO)
    }

    /// The exit code.
    pub async fn finished(mut self) -> i32 {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("it does not end: {:?}", self.shown()))
            .unwrap()
            .code()
            .unwrap_or(-1)
    }
}
