//! A primary and its streaming standby, of a test's own, and servers that know of both. Not here: what they must do.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::{
    Database, Dlc, Engine, Server,
    postgres::{Cluster, Order},
};

/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A primary and its standby.
pub struct Pair {
    pub cluster: Cluster,
    /// The standby's port.
    pub standby: u16,
}

impl Pair {
    /// A pair with an empty database `shop`, and with more options for both.
    pub async fn with(extra: &str) -> Self {
        // Commits are not waited for in these clusters; the standby shall have them soon all the same.
        // Nobody is silent in the middle of signing in here, and a crowd of new connections takes its time on a busy machine.
        let patient = "-c authentication_timeout=60s";
        let options = format!("-c wal_level=replica -c max_wal_senders=6 -c wal_writer_delay=10ms {patient} {extra}");
        let cluster = Cluster::with_standby(&options).await;
        let standby = cluster.standby_port();
        let pair = Self { cluster, standby };
        pair.cluster.execute("postgres", "CREATE DATABASE shop").await;
        let started = Instant::now();
        while let Err(error) = PgConnection::connect(&pair.replica_url()).await {
            assert!(started.elapsed() < LIMIT, "the standby does not come: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        pair
    }

    pub fn url(&self) -> String {
        self.cluster.url("shop")
    }

    pub fn replica_url(&self) -> String {
        let (here, there) = (format!(":{}/", self.cluster.port), format!(":{}/", self.standby));
        self.url().replace(&here, &there)
    }

    /// The binary with this pair.
    pub fn dlc(&self) -> Dlc {
        Database::at(Engine::Postgres, &self.url())
            .dlc()
            .env("DLC_DATABASE__REPLICA_URL", &self.replica_url())
    }

    /// Serves, and waits until reads go to the standby.
    pub async fn serve(&self, variables: &[(&str, &str)]) -> Server {
        let server = self.serve_at_once(variables).await;
        server.until_replica_is_used().await;
        server
    }

    /// Serves.
    pub async fn serve_at_once(&self, variables: &[(&str, &str)]) -> Server {
        let dlc = variables
            .iter()
            .fold(self.dlc(), |dlc, (name, value)| dlc.env(name, value));
        Server::start_as(Database::at(Engine::Postgres, &self.url()), dlc, &[]).await
    }

    /// Runs one statement on the primary, behind everybody's back.
    pub async fn execute(&self, sql: &str) {
        self.cluster.execute("shop", sql).await;
    }

    /// Runs one statement on the standby; again where what is replayed just then ends it.
    pub async fn on_replica(&self, sql: &str) {
        let started = Instant::now();
        loop {
            let mut session = PgConnection::connect(&self.replica_url()).await.unwrap();
            let Err(error) = session.execute(AssertSqlSafe(sql)).await else {
                return session.close().await.unwrap();
            };
            let is_in_the_way = error.to_string().contains("conflict with recovery");
            assert!(is_in_the_way && started.elapsed() < LIMIT, "{sql}: {error}");
        }
    }

    pub async fn pause(&self) {
        self.on_replica("SELECT pg_wal_replay_pause()").await;
        let started = Instant::now();
        let mut session = PgConnection::connect(&self.replica_url()).await.unwrap();
        while sqlx::query_scalar::<_, String>("SELECT pg_get_wal_replay_pause_state()")
            .fetch_one(&mut session)
            .await
            .unwrap()
            != "paused"
        {
            assert!(started.elapsed() < LIMIT, "the replay does not pause");
        }
    }

    pub async fn resume(&self) {
        self.on_replica("SELECT pg_wal_replay_resume()").await;
    }

    pub async fn order(&self, order: Order) {
        self.cluster.order(order).await;
    }
}

/// How many reads were answered by whom, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    pub replica: u64,
    pub own_write: u64,
    pub missing: u64,
    pub away: u64,
    pub busy: u64,
    pub failed: u64,
}

impl Server {
    /// One figure.
    pub async fn figure(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").await.text;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    /// Which reads went where.
    pub async fn reads(&self) -> Reads {
        let text = self.get("/metrics").await.text;
        let of = |target: &str, reason: &str| {
            let name = format!("dlc_replica_reads_total{{target=\"{target}\",reason=\"{reason}\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&name));
            line.unwrap_or_else(|| panic!("{name}: {text}")).parse().unwrap()
        };
        Reads {
            replica: of("replica", ""),
            own_write: of("primary", "own_write"),
            missing: of("primary", "missing"),
            away: of("primary", "away"),
            busy: of("primary", "busy"),
            failed: of("primary", "failed"),
        }
    }

    /// Waits until reads go to the replica.
    pub async fn until_replica_is_used(&self) {
        self.until_figure("dlc_replica_used", |used| used == Some(1.0)).await;
    }

    /// Waits until they do not.
    pub async fn until_replica_is_left(&self) {
        self.until_figure("dlc_replica_used", |used| used == Some(0.0)).await;
    }

    pub async fn until_figure(&self, name: &str, is_so: impl Fn(Option<f64>) -> bool) {
        let started = Instant::now();
        loop {
            let figure = self.figure(name).await;
            if is_so(figure) {
                return;
            }
            assert!(started.elapsed() < LIMIT, "{name} is {figure:?}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the replica shows the primary as it is now.
    pub async fn until_replica_shows_now(&self) {
        let now = Instant::now();
        loop {
            // Measured before it is asked: what is younger then is younger than the call.
            let since = now.elapsed();
            let behind = self.figure("dlc_replica_behind_seconds").await;
            if behind.is_some_and(|behind| behind < since.as_secs_f64()) {
                return;
            }
            assert!(since < LIMIT, "the replica is {behind:?} behind: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
