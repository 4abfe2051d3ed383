//! A PostgreSQL as an operator has one: recipes stop it, restore it and start it.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::{Dlc, Port, postgres};

/// The server; it ends, and its folder with it, when this is dropped.
pub struct Service {
    pub directory: PathBuf,
    pub port: u16,
    _reserved: Port,
    shell: Child,
    scripts: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Service {
    /// Makes one of the server's programs in `programs`, and does not start it.
    pub fn new(programs: &Path) -> Self {
        let reserved = Port::reserve();
        let port = reserved.number;
        let directory = tempfile::Builder::new()
            .prefix("dlc-test-service-")
            .tempdir_in(postgres::directory_for_data())
            .unwrap()
            .keep();
        let mut shell = Command::new("sh")
            .args([
                "-c",
                concat!(
                    include_str!("../../../scripts/server-user.sh"),
                    include_str!("service.sh")
                ),
            ])
            .env("BIN", programs)
            .env("DIR", &directory)
            .env("PORT", port.to_string())
            .env("PASSWORD", postgres::PASSWORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let scripts = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().unwrap());
        let mut service = Self {
            directory,
            port,
            _reserved: reserved,
            shell,
            scripts,
            answers,
        };
        assert_eq!(service.answer(), "done\n", "no server could be made; see above");
        service
    }

    fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer
    }

    /// Runs a script as the server's user, who finds the server's programs and its data.
    pub fn run(&mut self, script: &str) -> String {
        let path = self.directory.join("script");
        std::fs::write(&path, script).unwrap();
        writeln!(self.scripts.as_mut().unwrap(), "{}", path.display()).unwrap();
        let answer = self.answer();
        let said = std::fs::read_to_string(self.directory.join("said")).unwrap();
        assert_eq!(answer, "done\n", "{script}\n{said}");
        said
    }

    /// dlc, at one of its databases.
    pub fn dlc(&self, database: &str) -> Dlc {
        let password = postgres::encode(postgres::PASSWORD);
        let url = format!("postgres://dlc_test:{password}@127.0.0.1:{}/{database}", self.port);
        Dlc::new().env("DATABASE_URL", &url)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.scripts.take());
        drop(self.shell.wait());
    }
}
