//! One throwaway PostgreSQL per run, one clone of a migrated template per test.
//!
//! The server is found in `DLC_TEST_DATABASE_URL`, else started from programs in `DLC_TEST_PG_BIN`, in the path or where
//! Debian puts them. A shell holds it and ends it when this process is gone, however it went.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

use super::Port;

/// Has every character that a URL, a shell or a YAML file could stumble over; also the canary that no output may hold.
pub const PASSWORD: &str = "cänary/+@:#?%&= '\"\\$";

const TEMPLATE: &str = "dlc_template_test";

/// A running server.
pub struct Cluster {
    /// `postgres://user:password@host:port`, without a database.
    base: String,
    /// Where it listens.
    pub port: u16,
    /// The certificate of the authority that signed the server's; none for a server of somebody else's.
    pub authority: Option<PathBuf>,
    /// Its own port and its standby's; none for a server of somebody else's.
    reserved: Vec<Port>,
    /// Whoever holds the server; none for a server of somebody else's.
    keeper: Option<Arc<Mutex<Keeper>>>,
}

/// The shell that holds a server. It ends the server when its standard input does: with this process at the latest.
struct Keeper {
    shell: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What can be done to a server of a test's own.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// An orderly, fast shutdown.
    Stop,
    /// `kill -9` of all its processes.
    Kill,
    /// SIGSTOP to all its processes.
    Freeze,
    /// SIGCONT to all its processes.
    Thaw,
    /// Starts it, and waits for nothing.
    Start,
    /// Starts it into a recovery that lasts until [`Order::OpenTheGate`]; the cluster needs `wal_level=replica` for it.
    StartBehindTheGate,
    /// Lets the recovery end.
    OpenTheGate,
    /// Fills the small disk that it is on, to the last byte; and gives that back.
    FillDisk,
    FreeDisk,
    /// Starts it if it has ended by itself.
    Revive,
    /// The same as the first ones to its standby.
    StopStandby,
    KillStandby,
    FreezeStandby,
    ThawStandby,
    StartStandby,
}

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The server of this run; started, and its template migrated, by whoever asks first.
pub async fn cluster() -> &'static Cluster {
    CLUSTER.get_or_init(Cluster::start).await
}

/// Percent-encodes for a URL.
pub fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl Cluster {
    async fn start() -> Self {
        let cluster = match std::env::var("DLC_TEST_DATABASE_URL") {
            Ok(url) => Self::given(&url),
            Err(_) => Self::spawn("", Vec::from([Port::reserve()]), None).await,
        };
        cluster
            .execute("postgres", &format!("DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)"))
            .await;
        cluster
            .execute("postgres", &format!("CREATE DATABASE {TEMPLATE}"))
            .await;
        let migrated = super::Dlc::new()
            .env("DATABASE_URL", &cluster.url(TEMPLATE))
            .run(&["migrate", "up"])
            .await;
        assert_eq!(migrated.code, 0, "{migrated:?}");
        cluster
    }

    fn given(url: &str) -> Self {
        let parsed = url::Url::parse(url).expect("DLC_TEST_DATABASE_URL is a URL");
        let name = parsed.path().trim_start_matches('/');
        assert!(
            name.contains("_test"),
            "tests refuse the database {name:?}: its name lacks _test"
        );
        let port = parsed.port().unwrap_or(5432);
        Self {
            base: url.rsplit_once('/').expect("a database").0.to_owned(),
            port,
            authority: None,
            reserved: Vec::new(),
            keeper: None,
        }
    }

    /// A server of a test's own, with more options.
    pub async fn own(extra: &str) -> Self {
        Self::spawn(extra, Vec::from([Port::reserve()]), None).await
    }

    /// The same with a streaming standby, which comes when it comes.
    pub async fn with_standby(extra: &str) -> Self {
        Self::spawn(extra, Vec::from([Port::reserve(), Port::reserve()]), None).await
    }

    /// Where its standby listens.
    pub fn standby_port(&self) -> u16 {
        self.reserved.get(1).expect("a server with a standby").number
    }

    /// The same without a standby, and with its data on a disk of that size, as `mount` takes it.
    pub async fn on_a_disk_of(size: &str, extra: &str) -> Self {
        Self::spawn(extra, Vec::from([Port::reserve()]), Some(size)).await
    }

    async fn spawn(extra: &str, reserved: Vec<Port>, disk: Option<&str>) -> Self {
        let port = reserved[0].number;
        let parent = directory_for_data();
        let directory = tempfile::Builder::new()
            .prefix("dlc-test-postgres-")
            .tempdir_in(parent)
            .unwrap()
            .keep();
        // Its disk is seen by nobody else. Whoever may not mount anything may do so in a namespace of users.
        let around: &[&str] = match (disk, rustix::process::geteuid().is_root()) {
            (None, _) => &[],
            (Some(_), true) => &["unshare", "--mount"],
            (Some(_), false) => &["unshare", "--map-root-user", "--mount", "env", "MAPPED=1"],
        };
        let program = [around, &["sh"]].concat();
        let mut shell = Command::new(program[0])
            .args(&program[1..])
            .args([
                "-c",
                concat!(
                    include_str!("../../../scripts/server-user.sh"),
                    include_str!("postgres.sh")
                ),
            ])
            .env("DISK", disk.unwrap_or_default())
            .env("BIN", programs())
            .env("DIR", &directory)
            .env("PORT", port.to_string())
            .env("PASSWORD", PASSWORD)
            .env("EXTRA", extra)
            .env(
                "STANDBY_PORT",
                reserved.get(1).map_or_else(String::new, |port| port.number.to_string()),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let (orders, answers) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        let answers = BufReader::new(answers);
        let keeper = Arc::new(Mutex::new(Keeper { shell, orders, answers }));
        let base = format!("postgres://dlc_test:{}@127.0.0.1:{port}", encode(PASSWORD));
        let authority = Some(directory.join("tls/ca.crt"));
        let cluster = Self {
            base,
            port,
            authority,
            reserved,
            keeper: Some(Arc::clone(&keeper)),
        };
        let started = Instant::now();
        while let Err(error) = PgConnection::connect(&cluster.url("postgres")).await {
            assert!(
                keeper.lock().unwrap().shell.try_wait().unwrap().is_none(),
                "PostgreSQL did not start; see above"
            );
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "PostgreSQL does not answer: {error}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster
    }

    /// Does something to the server, and waits until it is done.
    pub async fn order(&self, order: Order) {
        let words = match order {
            Order::Stop => "stop",
            Order::Kill => "kill",
            Order::Freeze => "freeze",
            Order::Thaw => "thaw",
            Order::Start => "start",
            Order::StartBehindTheGate => "start behind the gate",
            Order::OpenTheGate => "open the gate",
            Order::FillDisk => "fill the disk",
            Order::FreeDisk => "free the disk",
            Order::Revive => "revive",
            Order::StopStandby => "stop standby",
            Order::KillStandby => "kill standby",
            Order::FreezeStandby => "freeze standby",
            Order::ThawStandby => "thaw standby",
            Order::StartStandby => "start standby",
        };
        let keeper = Arc::clone(self.keeper.as_ref().expect("a server of the test's own"));
        let done = tokio::task::spawn_blocking(move || {
            let mut keeper = keeper.lock().unwrap();
            writeln!(keeper.orders, "{words}").unwrap();
            let mut answer = String::new();
            keeper.answers.read_line(&mut answer).unwrap();
            answer
        });
        assert_eq!(done.await.unwrap(), "done\n", "{order:?}");
    }

    /// The URL of one database.
    pub fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.base)
    }

    /// Runs one statement as the superuser.
    pub async fn execute(&self, database: &str, sql: &str) {
        let mut session = PgConnection::connect(&self.url(database)).await.unwrap();
        session
            .execute(AssertSqlSafe(sql))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        session.close().await.unwrap();
    }

    /// Makes a database: a clone of the migrated template, or an empty one.
    pub async fn create(&self, migrated: bool) -> String {
        let name = format!(
            "dlc_{}_{}_test",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let template = if migrated { TEMPLATE } else { "template0" };
        self.execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await;
        name
    }

    /// Removes a database, sessions and all.
    pub async fn remove(&self, name: &str) {
        self.execute("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await;
    }
}

/// Memory where there is enough of it (a container's default is 64 MiB, a database is 8 MiB), else the disk.
pub fn directory_for_data() -> PathBuf {
    const ENOUGH: u64 = 2 * 1024 * 1024 * 1024;
    let memory = Path::new("/dev/shm");
    match rustix::fs::statvfs(memory) {
        Ok(found) if found.f_bavail * found.f_frsize >= ENOUGH => memory.to_path_buf(),
        _ => std::env::temp_dir(),
    }
}

/// The directory of the server's programs.
pub fn programs() -> PathBuf {
    if let Ok(directory) = std::env::var("DLC_TEST_PG_BIN") {
        return PathBuf::from(directory);
    }
    let in_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|majors| {
            majors
                .filter_map(Result::ok)
                .map(|major| major.path().join("bin"))
                .collect()
        })
        .unwrap_or_default();
    debian.sort();
    debian
        .into_iter()
        .chain(in_path)
        .find(|directory| directory.join("postgres").exists() && directory.join("initdb").exists())
        .expect("no PostgreSQL server found; scripts/test installs one")
}

/// Programs of a server of that major. The suite itself runs on whatever the machine has.
pub fn programs_of(major: &str) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres");
    let got = Command::new(script).arg(major).output().unwrap();
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
    PathBuf::from(String::from_utf8(got.stdout).unwrap().trim())
}
