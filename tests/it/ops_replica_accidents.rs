//! A replica that lags, stands still, ends, hangs or is promoted costs no request; once it is well again, reads go there again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::{
    sync::{Mutex, MutexGuard},
    task::JoinSet,
};

use crate::harness::{Database, Engine, Pair, Server, postgres::Order};

/// A lag that a test need not wait for for long; and limits that the primary comes near on no machine: what fails is the replica's.
const PATIENT: &[(&str, &str)] = &[
    ("DLC_DATABASE__REPLICA_MAX_LAG", "1s"),
    ("DLC_DATABASE__ACQUIRE_TIMEOUT", "25s"),
    ("DLC_DATABASE__LOCK_TIMEOUT", "25s"),
    ("DLC_DATABASE__STATEMENT_TIMEOUT", "25s"),
    ("DLC_SERVER__REQUEST_TIMEOUT", "28s"),
];
/// No read on a replica is waited for longer than a second; the rest is for a machine with other things to do.
const LONGEST: Duration = Duration::from_secs(15);
const READERS: usize = 4;
/// What a crowd has to have read before something happens, and afterwards.
const SOME: usize = 300;

/// People who read all the time, beside one who writes and reads it back. Each answer that is no 200, and each that misses what its
/// caller has written, is a failure.
struct Crowd {
    over: Arc<AtomicBool>,
    read: Arc<AtomicUsize>,
    people: JoinSet<Result<Duration, String>>,
    /// What the server has logged.
    log: Box<dyn Fn() -> String + Send>,
    _alone: MutexGuard<'static, ()>,
}

/// One crowd at a time: several would take so much of a machine's time that every replica is behind, and no accident is told apart.
static CROWD: Mutex<()> = Mutex::const_new(());

async fn get(client: &Client, url: &str, after: Option<&str>) -> Result<(Value, Duration), String> {
    let started = Instant::now();
    let request = after.iter().fold(client.get(url), |request, after| {
        request.header("x-dlc-read-after", *after)
    });
    let answer = request.send().await.map_err(|error| format!("{url}: {error:?}"))?;
    let status = answer.status();
    let body = answer.text().await.map_err(|error| error.to_string())?;
    if status != 200 {
        return Err(format!("{url}: {status} {body}"));
    }
    Ok((serde_json::from_str(&body).unwrap(), started.elapsed()))
}

impl Crowd {
    async fn come(server: &Server) -> Self {
        let offered = server
            .post("/api/v1/coupons", json!({"name": "c", "amount": 1_000_000}))
            .await;
        assert_eq!(offered.status, 201, "{offered:?}");
        let base = format!("http://{}", server.address());
        let mut crowd = Self {
            over: Arc::default(),
            read: Arc::default(),
            people: JoinSet::new(),
            log: Box::new(server.log_as_it_comes()),
            _alone: CROWD.lock().await,
        };
        for reader in 0..READERS {
            let (over, read, client) = (Arc::clone(&crowd.over), Arc::clone(&crowd.read), server.client.clone());
            let path = [
                "/api/v1/coupons/c",
                "/api/coupons/c",
                "/api/v1/coupons",
                "/api/v1/coupons/c/claims",
            ][reader % 4];
            let url = format!("{base}{path}");
            crowd.people.spawn(async move {
                let mut longest = Duration::ZERO;
                while !over.load(Ordering::Relaxed) {
                    // It has written nothing itself.
                    let (_, took) = get(&client, &url, Some("0/0")).await?;
                    longest = longest.max(took);
                    read.fetch_add(1, Ordering::Relaxed);
                    // A crowd that took all of the machine would leave none for the replica to come back.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Ok(longest)
            });
        }
        let (over, client) = (Arc::clone(&crowd.over), server.client.clone());
        crowd.people.spawn(async move {
            let mut longest = Duration::ZERO;
            for round in 1.. {
                let claim = client.post(format!("{base}/api/v1/coupons/c/claims"));
                let claimed = claim.json(&json!({"user_id": format!("u{round}")})).send().await;
                let claimed = claimed.map_err(|error| format!("{error:?}"))?;
                if claimed.status() != 201 {
                    return Err(format!("{claimed:?}"));
                }
                // Where the machine is too busy to tell it in time, there is none.
                let after = claimed.headers().get("x-dlc-read-after").cloned();
                let after = after.as_ref().and_then(|after| after.to_str().ok());
                let url = format!("{base}/api/v1/coupons/c");
                let (seen, took) = get(&client, &url, after.filter(|_| round % 2 == 0)).await?;
                longest = longest.max(took);
                if seen["remaining_amount"] != 1_000_000 - round {
                    return Err(format!("after {round} claims: {seen}"));
                }
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
            Ok(longest)
        });
        crowd.until_read(SOME).await;
        crowd
    }

    /// Until they have read some more.
    async fn until_read(&mut self, some: usize) {
        let enough = self.read.load(Ordering::Relaxed) + some;
        while self.read.load(Ordering::Relaxed) < enough {
            if let Some(ended) = self.people.try_join_next() {
                panic!("{ended:?}: {}", (self.log)());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Nobody of them has failed, or waited for long.
    async fn go(mut self) {
        self.until_read(SOME).await;
        self.over.store(true, Ordering::Relaxed);
        while let Some(person) = self.people.join_next().await {
            let longest = person
                .unwrap()
                .unwrap_or_else(|failed| panic!("{failed}: {}", (self.log)()));
            assert!(longest < LONGEST, "somebody waited {longest:?}");
        }
    }
}

/// Something happens in the middle of reads, and is over again.
async fn accident(pair: &Pair, server: &Server, happen: impl AsyncFn(&Pair), end: impl AsyncFn(&Pair)) {
    let mut crowd = Crowd::come(server).await;
    let before = server.reads().await;
    assert!(before.replica > 0, "{before:?}");
    let said = server.log().len();
    happen(pair).await;
    server.until_replica_is_left().await;
    let left = server.reads().await;
    crowd.until_read(SOME).await;
    let away = server.reads().await;
    assert!(away.away > left.away, "{away:?}");
    end(pair).await;
    server.until_replica_is_used().await;
    crowd.until_read(SOME).await;
    crowd.go().await;
    let after = server.reads().await;
    assert!(after.replica > away.replica, "{after:?}");
    // Each change is said once.
    let (left, used) = ("is not used", "is used for reads");
    let log = server.log().split_off(said);
    assert_eq!((log.matches(left).count(), log.matches(used).count()), (1, 1), "{log}");
    assert!(log.contains("replica_away"), "{log}");
}

async fn stands(happen: Order, end: Order) {
    let pair = Pair::with("").await;
    let server = pair.serve(PATIENT).await;
    accident(
        &pair,
        &server,
        async |pair| pair.order(happen).await,
        async |pair| pair.order(end).await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed() {
    stands(Order::KillStandby, Order::StartStandby).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_stopped() {
    stands(Order::StopStandby, Order::StartStandby).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_hangs() {
    stands(Order::FreezeStandby, Order::ThawStandby).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_replay_stands_still() {
    let pair = Pair::with("").await;
    let server = pair.serve(PATIENT).await;
    accident(
        &pair,
        &server,
        async |pair| pair.pause().await,
        async |pair| pair.resume().await,
    )
    .await;
    // What was written meanwhile is there.
    server.until_replica_shows_now().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lags() {
    let pair = Pair::with("").await;
    let server = pair.serve(PATIENT).await;
    let delay = async |pair: &Pair, delay: &str| {
        pair.on_replica(&format!("ALTER SYSTEM SET recovery_min_apply_delay = '{delay}'"))
            .await;
        pair.on_replica("SELECT pg_reload_conf()").await;
    };
    accident(
        &pair,
        &server,
        async |pair| delay(pair, "5s").await,
        async |pair| delay(pair, "0").await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_on_the_replica_that_are_ended_and_statements_that_are_cancelled() {
    let pair = Pair::with("").await;
    let server = pair.serve(PATIENT).await;
    let mut crowd = Crowd::come(&server).await;
    let mut session = PgConnection::connect(&pair.replica_url()).await.unwrap();
    for round in 0..40 {
        let how = if round % 2 == 0 {
            "pg_terminate_backend"
        } else {
            "pg_cancel_backend"
        };
        let end = format!("SELECT {how}(pid) FROM pg_stat_activity WHERE datname = 'shop' AND pid <> pg_backend_pid()");
        session.execute(AssertSqlSafe(end)).await.unwrap();
        crowd.until_read(20).await;
    }
    crowd.go().await;
    server.until_replica_is_used().await;
    assert!(!server.log().contains("request failed"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_ends_statements_in_its_way() {
    // The replay waits for no statement, and what was deleted is cleaned away at once.
    let pair = Pair::with("-c max_standby_streaming_delay=0").await;
    let server = pair.serve(PATIENT).await;
    let mut crowd = Crowd::come(&server).await;
    for _ in 0..40 {
        // An exclusive lock on the table ends whoever reads it on the replica.
        pair.execute("BEGIN; LOCK TABLE coupons; LOCK TABLE claims; COMMIT")
            .await;
        pair.execute("VACUUM coupons, claims").await;
        crowd.until_read(10).await;
    }
    crowd.go().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_promoted_is_never_read_again() {
    let pair = Pair::with("").await;
    let server = pair.serve(PATIENT).await;
    let mut crowd = Crowd::come(&server).await;
    pair.on_replica("SELECT pg_promote()").await;
    server.until_replica_is_left().await;
    server.until_logged("it takes writes itself").await;
    // Whatever is written there is another world's.
    pair.on_replica("UPDATE coupons SET remaining_amount = 5").await;
    let left = server.reads().await;
    crowd.until_read(SOME).await;
    let stranger = server
        .request(reqwest::Method::GET, "/api/v1/coupons/c")
        .header("x-dlc-read-after", "0/0");
    let seen = server.send(stranger).await.body;
    assert!(seen["remaining_amount"].as_u64().unwrap() > 5, "{seen}");
    crowd.go().await;
    assert_eq!(server.reads().await.replica, left.replica);
}

#[tokio::test]
async fn a_service_begins_without_its_replica_and_finds_it_later() {
    let pair = Pair::with("").await;
    pair.order(Order::StopStandby).await;
    let server = pair.serve_at_once(&[]).await;
    server.until_logged("replica_away").await;
    let offered = server.post("/api/v1/coupons", json!({"name": "c", "amount": 5})).await;
    assert_eq!(
        (offered.status, offered.header("x-dlc-read-after").is_empty()),
        (201, false)
    );
    assert_eq!(server.get("/api/v1/coupons/c").await.body["amount"], 5);
    pair.order(Order::StartStandby).await;
    server.until_replica_is_used().await;
    server.until_replica_shows_now().await;
    let counted = server.reads().await.replica;
    assert_eq!(server.get("/api/v1/coupons/c").await.body["amount"], 5);
    assert_eq!(server.reads().await.replica, counted + 1);
    let ended = server.stop().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.assert_no_secret();
}

#[tokio::test]
async fn neither_a_primary_nor_another_database_is_taken_for_a_replica() {
    let pair = Pair::with("").await;
    let other = pair.replica_url().replace("/shop", "/postgres");
    let cluster = crate::harness::postgres::Cluster::own("").await;
    for (url, why) in [
        (pair.url(), "it takes writes itself"),
        (other, "no copy of this database"),
        (cluster.url("postgres"), "no copy of this database"),
    ] {
        let dlc = pair.dlc().env("DLC_DATABASE__REPLICA_URL", &url);
        let server = Server::start_as(Database::at(Engine::Postgres, &pair.url()), dlc, &[]).await;
        server.until_logged("replica_away").await;
        assert!(server.log().contains(why), "{}", server.log());
        let name = format!("c{}", why.len());
        let offered = server.post("/api/v1/coupons", json!({"name": name, "amount": 5})).await;
        assert!([201, 409].contains(&offered.status), "{offered:?}");
        assert_eq!(server.get(&format!("/api/v1/coupons/{name}")).await.status, 200);
        assert_eq!((server.reads().await.replica, server.reads().await.away), (0, 1));
        server.stop().await.assert_no_secret();
    }
}
