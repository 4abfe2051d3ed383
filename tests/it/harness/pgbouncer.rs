//! A real PgBouncer in transaction mode in front of the test's PostgreSQL: a test's own, or with `DLC_TEST_POOLER=pgbouncer` one
//! behind which all servers of the run stand. What is tested of it is not in here.

use std::{
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;

use super::{Database, Dlc, Engine, Port, postgres};

/// The role of servers behind the shared one. It brings its limits along, because through a pooler nobody can set them.
const ROLE: &str = "dlc_test_pooled";

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
    port: Port,
    /// It ends the pooler when its standard input does: with this process at the latest.
    shell: Child,
}

static SHARED: OnceCell<Option<PgBouncer>> = OnceCell::const_new();

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
        Self::before(postgres::cluster().await.port, prepared).await
    }

    /// Starts one in front of another server of the tests; `None` where no such one can be had.
    pub async fn before(port: u16, prepared: Prepared) -> Option<Self> {
        Self::start_with(port, prepared, "").await
    }

    /// The one of this run, if it was asked for.
    pub async fn shared() -> Option<&'static Self> {
        SHARED.get_or_init(Self::start_shared).await.as_ref()
    }

    async fn start_shared() -> Option<Self> {
        match std::env::var("DLC_TEST_POOLER").as_deref() {
            Err(_) | Ok("") => return None,
            Ok("pgbouncer") => {}
            Ok(other) => panic!("DLC_TEST_POOLER is {other:?}; pgbouncer is what it can be"),
        }
        let password = postgres::PASSWORD.replace('\'', "''");
        let cluster = postgres::cluster().await;
        for sql in [
            format!("CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{password}'"),
            format!("ALTER ROLE {ROLE} SET statement_timeout = '5s'"),
            format!("ALTER ROLE {ROLE} SET lock_timeout = '2s'"),
            format!("ALTER ROLE {ROLE} SET idle_in_transaction_session_timeout = '10s'"),
        ] {
            cluster.execute("postgres", &sql).await;
        }
        // Fewer server connections than a service has of its own, so that they are really shared; a crowd of services.
        let limits = "default_pool_size = 5\nmax_client_conn = 2000\nserver_idle_timeout = 5\n";
        Some(
            Self::start_with(cluster.port, Prepared::Known, limits)
                .await
                .expect("a PgBouncer; scripts/pgbouncer gets one"),
        )
    }

    async fn start_with(behind: u16, prepared: Prepared, limits: &str) -> Option<Self> {
        let program = program(prepared)?;
        let port = Port::reserve();
        let directory = tempfile::Builder::new()
            .prefix("dlc-test-pgbouncer-")
            .tempdir()
            .unwrap()
            .keep();
        let path = directory.as_path();
        let statements = match prepared {
            Prepared::Known => "max_prepared_statements = 100",
            Prepared::KnownAndHidden => {
                "max_prepared_statements = 100\nignore_startup_parameters = extra_float_digits,options"
            }
            Prepared::SwitchedOff => "max_prepared_statements = 0",
            Prepared::TooOld => "",
        };
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}/users\npool_mode = transaction\n{statements}\n{limits}",
            behind,
            port.number,
            path.display()
        );
        std::fs::write(path.join("pgbouncer.ini"), ini).unwrap();
        let password = postgres::PASSWORD.replace('"', "\"\"");
        let users = ["dlc_test", ROLE].map(|role| format!("\"{role}\" \"{password}\"\n"));
        std::fs::write(path.join("users"), users.concat()).unwrap();
        let shell = Command::new("sh")
            .args([
                "-c",
                concat!(
                    include_str!("../../../scripts/server-user.sh"),
                    include_str!("pgbouncer.sh")
                ),
            ])
            .env("PROGRAM", program)
            .env("DIR", path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port.number)).is_err() {
            let log = std::fs::read_to_string(path.join("pgbouncer.log")).unwrap_or_default();
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "PgBouncer does not answer: {log}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(Self { port, shell })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port.number
    }

    /// The way to a database through it.
    pub fn url(&self, database: &Database) -> String {
        self.url_as("dlc_test", database)
    }

    fn url_as(&self, role: &str, database: &Database) -> String {
        let password = postgres::encode(postgres::PASSWORD);
        format!(
            "postgres://{role}:{password}@127.0.0.1:{}/{}",
            self.port(),
            database.name()
        )
    }

    /// A server of that database, behind the pooler of this run; as it was where there is none, and where the test has its own
    /// idea of where the database is.
    pub async fn in_front_of(database: &Database, dlc: Dlc) -> Dlc {
        let as_usual = database.engine == Engine::Postgres
            && dlc.variable("DATABASE_URL") == Some(&database.url)
            && dlc.variable("DLC_DATABASE__POOLER").is_none();
        if !as_usual {
            return dlc;
        }
        match Self::shared().await {
            Some(shared) => dlc
                .env("DATABASE_URL", &shared.url_as(ROLE, database))
                .env("DLC_DATABASE__POOLER", "pgbouncer")
                .env("DLC_DATABASE__MIGRATION_URL", &database.url),
            None => dlc,
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}
