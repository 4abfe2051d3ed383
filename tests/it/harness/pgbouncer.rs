//! A real PgBouncer in transaction mode in front of the test's PostgreSQL.

use std::{
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{Database, postgres};

/// What it makes of prepared statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// 1.21 or newer: it knows them.
    Known,
    /// The same, and it lets clients in that do not know of it: it ignores what they want to set.
    KnownAndHidden,
    /// The same, told not to.
    SwitchedOff,
    /// An older one, which never heard of them.
    TooOld,
}

/// A pooler; ends when dropped.
pub struct PgBouncer {
    port: u16,
    shell: Child,
    _directory: TempDir,
}

/// The program; `None` where no such one can be had.
fn program(prepared: Prepared) -> Option<PathBuf> {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/pgbouncer"));
    if prepared == Prepared::TooOld {
        command.arg("--old");
    }
    let output = command.output().unwrap();
    match output.status.code() {
        Some(0) => Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())),
        Some(3) => None,
        _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
    }
}

impl PgBouncer {
    /// Starts one; `None` where no such one can be had.
    pub async fn start(prepared: Prepared) -> Option<Self> {
        let cluster = postgres::cluster().await;
        let program = program(prepared)?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::Builder::new()
            .prefix("dlc-test-pgbouncer-")
            .tempdir()
            .unwrap();
        let path = directory.path();
        let statements = match prepared {
            Prepared::Known => "max_prepared_statements = 100",
            Prepared::KnownAndHidden => {
                "max_prepared_statements = 100\nignore_startup_parameters = extra_float_digits,options"
            }
            Prepared::SwitchedOff => "max_prepared_statements = 0",
            Prepared::TooOld => "",
        };
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}/users\npool_mode = transaction\n{statements}\n",
            cluster.port,
            path.display()
        );
        std::fs::write(path.join("pgbouncer.ini"), ini).unwrap();
        let password = postgres::PASSWORD.replace('"', "\"\"");
        std::fs::write(path.join("users"), format!("\"dlc_test\" \"{password}\"\n")).unwrap();
        let shell = Command::new("sh")
            .args(["-c", include_str!("pgbouncer.sh")])
            .env("PROGRAM", program)
            .env("DIR", path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(path.join("pgbouncer.log")).unwrap_or_default();
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "PgBouncer does not answer: {log}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(Self {
            port,
            shell,
            _directory: directory,
        })
    }

    /// The way to a database through it.
    pub fn url(&self, database: &Database) -> String {
        let password = postgres::encode(postgres::PASSWORD);
        format!(
            "postgres://dlc_test:{password}@127.0.0.1:{}/{}",
            self.port,
            database.name()
        )
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}
