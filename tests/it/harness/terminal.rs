//! The program on a terminal: what a person sees, and what a person types.

use std::{
    fs::File,
    io::{Read, Write},
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio::process::{Child, Command};

use super::Dlc;

/// Nobody looks at a terminal for longer.
const LIMIT: Duration = Duration::from_secs(30);

/// A run on a terminal of 100 columns.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    _dlc: Dlc,
}

impl Terminal {
    pub fn start(dlc: Dlc, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize {
            ws_row: 40,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let side = || {
            let opened = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
            Stdio::from(opened.unwrap())
        };
        // A session of its own, so that Ctrl-C is a signal; `setsid` makes it without unsafe code here.
        let inner = dlc.command(arguments);
        let inner = inner.as_std();
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .current_dir(inner.get_current_dir().unwrap())
            .env_clear()
            .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("TERM", "xterm")
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .kill_on_drop(true);
        let child = command.spawn().unwrap();
        drop(command);
        let keyboard = File::from(master);
        let mut reader = keyboard.try_clone().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&screen);
        // Ends when the last program has closed its side.
        std::thread::spawn(move || {
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
            _dlc: dlc,
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
