//! Who sees what beside a replica: whoever names a position sees that far, and whoever names none misses nothing of this service's.

use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::{Request, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use crate::harness::{Answer, Database, Engine, PASSWORD, Pair, Person, PgBouncer, Prepared, Proxy, Server, send};

const HEADER: &str = "x-dlc-read-after";
/// A replica that stands still is good for the whole test.
const PATIENT: (&str, &str) = ("DLC_DATABASE__REPLICA_MAX_LAG", "1h");
const LIMIT: Duration = Duration::from_secs(30);

fn ok(answer: Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

async fn offer(server: &Server, name: &str, amount: u32) -> Answer {
    let body = json!({"name": name, "amount": amount});
    let offered = server.post("/api/v1/coupons", body).await;
    assert_eq!(offered.status, 201, "{offered:?}");
    offered
}

async fn claim(server: &Server, user: &str) -> Answer {
    server.post("/api/v1/coupons/c/claims", json!({"user_id": user})).await
}

/// What is left of the coupon, for whoever names a position or none.
async fn remaining(server: &Server, after: Option<&str>) -> u64 {
    let read = server.request(Method::GET, "/api/v1/coupons/c");
    let read = after.iter().fold(read, |read, after| read.header(HEADER, *after));
    ok(server.send(read).await)["remaining_amount"].as_u64().unwrap()
}

/// What somebody's description is for them.
async fn description(server: &Server, of: &Person, after: Option<&str>) -> String {
    let read = server.request_of(of, Method::GET, "/api/v1/users/me");
    let read = after.iter().fold(read, |read, after| read.header(HEADER, *after));
    let me = ok(server.send(read).await);
    me["description"].as_str().unwrap_or_default().to_owned()
}

async fn describe(server: &Server, who: &Person, description: &str) -> Answer {
    let change = server
        .request_of(who, Method::PATCH, "/api/v1/users/me")
        .header("if-match", "*")
        .json(&json!({"description": description}));
    let changed = server.send(change).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    changed
}

#[tokio::test]
async fn who_names_no_position_misses_nothing_of_anybodys_however_they_present_themselves() {
    let pair = Pair::with("").await;
    let server = pair.serve(&[PATIENT]).await;
    let ada = server.person("ada").await;
    let elsewhere = server.sign_in(ada.id, "ada").await;
    offer(&server, "c", 9).await;
    server.until_replica_shows_now().await;
    pair.pause().await;
    // With a token, and read without one: the same person for all that one can know.
    let with_token = server
        .request_of(&ada, Method::POST, "/api/v1/coupons/c/claims")
        .json(&json!({"user_id": "u"}));
    assert_eq!(server.send(with_token).await.status, 201);
    assert_eq!(remaining(&server, None).await, 8);
    assert_eq!(remaining(&server, Some("0/0")).await, 9, "the replica stands still");
    // On one device, and read on another.
    let changed = describe(&server, &ada, "new").await;
    assert_eq!(description(&server, &elsewhere, None).await, "new");
    assert_eq!(description(&server, &elsewhere, Some("0/0")).await, "");
    let after = Some(changed.header(HEADER));
    assert_eq!(description(&server, &elsewhere, after).await, "new");
    // The token that wrote sees it whatever it names.
    assert_eq!(description(&server, &ada, Some("0/0")).await, "new");
    // Who has just got a token has written nothing with it, and does not miss what was written with the one before.
    let refresh = json!({"refresh_token": ada.refresh_token});
    let refreshed = server.post("/api/v1/auth/refresh", refresh).await;
    assert!(!refreshed.header(HEADER).is_empty(), "{refreshed:?}");
    for tokens in [refreshed, server.login("ada", PASSWORD).await] {
        let again = Person {
            access_token: ok(tokens)["access_token"].as_str().unwrap().to_owned(),
            ..ada.clone()
        };
        assert_eq!(description(&server, &again, None).await, "new");
    }
    // Once the replica has it, it answers again.
    pair.resume().await;
    server.until_replica_shows_now().await;
    let counted = server.reads().await.replica;
    assert_eq!(remaining(&server, None).await, 8);
    assert_eq!(server.reads().await.replica, counted + 1);
}

#[tokio::test]
async fn refusals_take_no_reads_from_the_replica() {
    let pair = Pair::with("").await;
    let server = pair.serve(&[PATIENT]).await;
    let ada = server.person("ada").await;
    offer(&server, "c", 9).await;
    let repeated = server
        .request(Method::POST, "/api/v1/coupons/c/claims")
        .header("idempotency-key", "k");
    let send = async |user: &str| {
        let request = repeated.try_clone().unwrap();
        server.send(request.json(&json!({"user_id": user}))).await
    };
    assert_eq!(send("u").await.status, 201);
    server.until_replica_shows_now().await;
    pair.pause().await;
    let not_allowed = format!("/api/v1/admin/users/{}", ada.id);
    let not_allowed = server
        .request_of(&ada, Method::PATCH, &not_allowed)
        .header("if-match", "*")
        .json(&json!({"description": "x"}));
    let stranger = server
        .request(Method::POST, "/api/v1/greetings")
        .bearer_auth("nonsense")
        .json(&json!({}));
    let refusals = [
        (400, server.post("/api/v1/coupons", json!({"name": ""})).await),
        (401, server.send(stranger).await),
        (401, server.login("nobody", PASSWORD).await),
        (403, server.send(not_allowed).await),
        (405, server.post("/api/v1/users/me", json!({})).await),
        (422, send("other").await),
    ];
    for (status, refused) in refusals {
        assert_eq!((refused.status, refused.header(HEADER)), (status, ""), "{refused:?}");
    }
    let counted = server.reads().await;
    assert_eq!(remaining(&server, None).await, 8);
    assert_eq!(server.reads().await.replica, counted.replica + 1, "nobody has written");
    // A refusal that tells what is there takes them for as long as the replica needs to come so far.
    pair.resume().await;
    assert_eq!(claim(&server, "u").await.status, 409);
    let counted = server.reads().await.replica;
    let started = Instant::now();
    while server.reads().await.replica == counted {
        assert_eq!(remaining(&server, None).await, 8);
        assert!(started.elapsed() < LIMIT, "{:?}", server.reads().await);
    }
}

#[tokio::test]
async fn whoever_is_told_what_is_there_sees_it_from_then_on() {
    let pair = Pair::with("").await;
    let server = pair.serve(&[PATIENT]).await;
    let ada = server.person("ada").await;
    describe(&server, &ada, "old").await;
    offer(&server, "c", 9).await;
    server.until_replica_shows_now().await;
    let before = server.get_as(&ada, "/api/v1/users/me").await.header("etag").to_owned();
    pair.pause().await;
    // Somebody else's doing, of which this service knows nothing.
    pair.execute("UPDATE coupons SET remaining_amount = 0").await;
    assert_eq!(remaining(&server, None).await, 9, "nobody was told");
    let refused = claim(&server, "u").await;
    refused.assert_problem(409, "out_of_stock");
    assert_eq!(remaining(&server, Some(refused.header(HEADER))).await, 0);
    assert_eq!(remaining(&server, None).await, 0);
    assert_eq!(remaining(&server, Some("0/0")).await, 9, "the replica stands still");
    pair.execute("UPDATE users SET description = 'new', updated_at = now()")
        .await;
    let stale = server
        .request_of(&ada, Method::PATCH, "/api/v1/users/me")
        .header("if-match", before)
        .json(&json!({"description": "mine"}));
    let stale = server.send(stale).await;
    stale.assert_problem(412, "precondition_failed");
    assert_eq!(description(&server, &ada, Some(stale.header(HEADER))).await, "new");
    assert_eq!(description(&server, &ada, None).await, "new");
    let unknown = server
        .post("/api/v1/coupons/none/claims", json!({"user_id": "u"}))
        .await;
    unknown.assert_problem(404, "coupon_not_found");
    assert!(!unknown.header(HEADER).is_empty(), "{unknown:?}");
}

#[tokio::test]
async fn a_write_of_which_nobody_knows_what_became_is_seen_once_it_is_there() {
    let pair = Pair::with("").await;
    let limits = [
        PATIENT,
        ("DLC_DATABASE__LOCK_TIMEOUT", "60s"),
        ("DLC_DATABASE__STATEMENT_TIMEOUT", "60s"),
    ];
    let server = pair.serve(&limits).await;
    offer(&server, "c", 9).await;
    server.until_replica_shows_now().await;
    pair.pause().await;
    // The client hangs up in the middle of it, and it is done all the same.
    let holder = server.database.hold_coupons().await;
    let request = server.request(Method::POST, "/api/v1/coupons/c/claims");
    let claiming = tokio::spawn(request.json(&json!({"user_id": "u"})).send());
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let started = Instant::now();
    while server.database.number(waiting).await == 0 {
        assert!(started.elapsed() < LIMIT);
    }
    let counted = server.reads().await;
    assert_eq!(remaining(&server, None).await, 9);
    assert_eq!(server.reads().await.replica, counted.replica + 1);
    claiming.abort();
    while server.reads().await.own_write == counted.own_write {
        assert_eq!(remaining(&server, None).await, 9);
        assert!(started.elapsed() < LIMIT, "{:?}", server.reads().await);
    }
    holder.release().await;
    while server.database.number("SELECT remaining_amount FROM coupons").await == 9 {
        assert!(started.elapsed() < LIMIT);
    }
    assert_eq!(remaining(&server, None).await, 8);
    assert_eq!(remaining(&server, Some("0/0")).await, 9, "the replica stands still");
}

#[tokio::test]
async fn a_write_whose_commit_is_not_answered_is_seen_too() {
    let pair = Pair::with("").await;
    let proxy = Proxy::to(pair.cluster.port).await;
    // In clear, so that the proxy can read along.
    let way = pair
        .url()
        .replace(&format!(":{}/", pair.cluster.port), &format!(":{}/", proxy.port));
    let way = format!("{way}?sslmode=disable");
    let dlc = pair.dlc().env("DATABASE_URL", &way).env(PATIENT.0, PATIENT.1);
    let server = Server::start_as(Database::at(Engine::Postgres, &pair.url()), dlc, &[]).await;
    server.until_replica_is_used().await;
    let ada = server.person("ada").await;
    describe(&server, &ada, "old").await;
    server.until_replica_shows_now().await;
    pair.pause().await;
    let change = server
        .request_of(&ada, Method::PATCH, "/api/v1/users/me")
        .header("if-match", "*")
        .json(&json!({"description": "new"}));
    let lost = async {
        let lost = tokio::time::timeout(LIMIT, proxy.lose_the_answer_to("COMMIT"));
        lost.await.expect("a commit");
    };
    let (changed, ()) = tokio::join!(server.send(change), lost);
    assert!(
        changed.status >= 500 && changed.header(HEADER).is_empty(),
        "{changed:?}"
    );
    let started = Instant::now();
    while server.database.rows("SELECT description FROM users").await != [["new"]] {
        assert!(started.elapsed() < LIMIT);
    }
    assert_eq!(description(&server, &ada, None).await, "new");
    // The token that may have written does not see the past, whatever it names.
    assert_eq!(description(&server, &ada, Some("0/0")).await, "new");
}

#[tokio::test]
async fn answers_of_a_service_that_leaves_tell_where_the_log_was() {
    let pair = Pair::with("").await;
    let limits = [
        ("DLC_DATABASE__LOCK_TIMEOUT", "60s"),
        ("DLC_DATABASE__STATEMENT_TIMEOUT", "60s"),
    ];
    let server = pair.serve(&limits).await;
    offer(&server, "c", 9).await;
    let holder = server.database.hold_coupons().await;
    let url = format!("http://{}/api/v1/coupons/c/claims", server.address());
    let one = tokio::spawn(server.client.post(&url).json(&json!({"user_id": "one"})).send());
    // Over HTTP/2 the client is told by GOAWAY which of its requests are answered still.
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let two = Request::post(&url).header("content-type", "application/json");
    let two = two
        .body(Full::new(Bytes::from_static(br#"{"user_id": "two"}"#)))
        .unwrap();
    let two = tokio::spawn(sender.send_request(two));
    server.until_at_work(3).await;
    server.signal(Signal::TERM);
    server.until_logged("asked to stop").await;
    holder.release().await;
    let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
    for (status, headers) in [(one.status(), one.headers()), (two.status(), two.headers())] {
        assert_eq!(status, 201, "{headers:?}");
        assert!(headers.contains_key(HEADER), "{headers:?}");
    }
    assert_eq!(server.finished().await.code, 0);
}

#[tokio::test]
async fn a_replica_that_hangs_takes_nothing_of_the_primarys_time_to_say_goodbye() {
    let pair = Pair::with("").await;
    let server = pair.serve(&[PATIENT]).await;
    offer(&server, "c", 9).await;
    server.until_replica_shows_now().await;
    // Nobody reads past this lock, which is on the standby, too, as soon as it has heard of it.
    let mut holder = PgConnection::connect(&pair.url()).await.unwrap();
    holder.execute("BEGIN; LOCK TABLE coupons").await.unwrap();
    let mut standby = PgConnection::connect(&pair.replica_url()).await.unwrap();
    let is_locked =
        "SELECT count(*) FROM pg_locks WHERE relation = 'coupons'::regclass AND mode = 'AccessExclusiveLock'";
    while sqlx::query_scalar::<_, i64>(is_locked)
        .fetch_one(&mut standby)
        .await
        .unwrap()
        == 0
    {}
    // Somebody asks there. Then nobody answers any more, and they hang up, which leaves the question.
    let read = server.request(Method::GET, "/api/v1/coupons/c").header(HEADER, "0/0");
    let reading = tokio::spawn(read.send());
    let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = 'shop'";
    let mut frozen: Vec<i32> = Vec::new();
    while frozen.is_empty() {
        frozen = sqlx::query_scalar(waiting).fetch_all(&mut standby).await.unwrap();
    }
    let tell_all = |signal| frozen.iter().for_each(|pid| send(u32::try_from(*pid).unwrap(), signal));
    tell_all(Signal::STOP);
    reading.abort();
    let stopped = server.stop().await;
    tell_all(Signal::CONT);
    assert!(stopped.stderr.contains("the replica did not let"), "{stopped:?}");
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert!(!stopped.stderr.contains("the database did not let"), "{stopped:?}");
}

#[tokio::test]
async fn a_primary_that_does_not_say_where_its_log_ends_is_told_of_once() {
    let pair = Pair::with("").await;
    let role = "CREATE ROLE waiter LOGIN PASSWORD 'tulip'; GRANT ALL ON SCHEMA public TO waiter; \
                ALTER DATABASE shop OWNER TO waiter";
    pair.execute(role).await;
    let as_waiter = |url: String| {
        let (_, place) = url.rsplit_once('@').unwrap();
        format!("postgres://waiter:tulip@{place}")
    };
    let (primary, replica) = (as_waiter(pair.url()), as_waiter(pair.replica_url()));
    let dlc = pair
        .dlc()
        .env("DATABASE_URL", &primary)
        .env("DLC_DATABASE__REPLICA_URL", &replica);
    let server = Server::start_as(Database::at(Engine::Postgres, &primary), dlc, &[]).await;
    server.until_replica_is_used().await;
    let change = async |how: &str| {
        pair.execute(&format!("{how} EXECUTE ON FUNCTION pg_control_system() {}", {
            if how == "GRANT" { "TO PUBLIC" } else { "FROM PUBLIC" }
        }))
        .await;
    };
    for round in 1..=2 {
        change("REVOKE").await;
        let words = "the primary does not say where its log ends: permission denied";
        let started = Instant::now();
        while server.log().matches(words).count() < round {
            assert!(started.elapsed() < LIMIT, "{}", server.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let offered = offer(&server, &format!("c{round}"), 1).await;
        assert_eq!(offered.header(HEADER), "");
        server.until_replica_is_left().await;
        change("GRANT").await;
        while server.log().matches("says where its log ends again").count() < round {
            assert!(started.elapsed() < LIMIT, "{}", server.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server.until_replica_is_used().await;
        assert_eq!(server.log().matches(words).count(), round, "{}", server.log());
    }
}

#[tokio::test]
async fn a_name_behind_which_there_are_several_servers_is_said_in_one_line() {
    let pair = Pair::with("").await;
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = door.local_addr().unwrap().port();
    let servers = [pair.standby, pair.cluster.port];
    tokio::spawn(async move {
        for server in servers.into_iter().cycle() {
            let (mut client, _) = door.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let several = pair
        .replica_url()
        .replace(&format!(":{}/", pair.standby), &format!(":{port}/"));
    let dlc = pair.dlc().env("DLC_DATABASE__REPLICA_URL", &several);
    let server = Server::start_as(Database::at(Engine::Postgres, &pair.url()), dlc, &[]).await;
    server.until_logged("replica_away").await;
    offer(&server, "c", 9).await;
    for _ in 0..20 {
        assert_eq!(remaining(&server, Some("0/0")).await, 9);
    }
    let log = server.log();
    assert!(!log.contains("after_connect") && !log.contains("ERROR"), "{log}");
    assert_eq!(log.matches("is not used").count(), 1, "{log}");
    assert_eq!(server.reads().await.replica, 0, "{log}");
}

#[tokio::test]
async fn a_replica_is_read_through_a_pooler() {
    let pair = Pair::with("").await;
    let before = async |port| {
        let pooler = PgBouncer::before(port, Prepared::Known).await;
        pooler.expect("a PgBouncer; scripts/pgbouncer gets one")
    };
    let (primary, standby) = (before(pair.cluster.port).await, before(pair.standby).await);
    let through = |url: String, from: u16, to: u16| url.replace(&format!(":{from}/"), &format!(":{to}/"));
    let dlc = pair
        .dlc()
        .env("DATABASE_URL", &through(pair.url(), pair.cluster.port, primary.port()))
        .env("DLC_DATABASE__MIGRATION_URL", &pair.url())
        .env(
            "DLC_DATABASE__REPLICA_URL",
            &through(pair.replica_url(), pair.standby, standby.port()),
        )
        .env("DLC_DATABASE__POOLER", "pgbouncer")
        .env(PATIENT.0, PATIENT.1);
    let server = Server::start_as(Database::at(Engine::Postgres, &pair.url()), dlc, &[]).await;
    server.until_replica_is_used().await;
    let ada = server.person("ada").await;
    offer(&server, "c", 9).await;
    server.until_replica_shows_now().await;
    let counted = server.reads().await.replica;
    assert_eq!(remaining(&server, None).await, 9);
    assert_eq!(description(&server, &ada, None).await, "");
    assert_eq!(server.reads().await.replica, counted + 2);
    pair.pause().await;
    let claimed = claim(&server, "u").await;
    assert_eq!(claimed.status, 201, "{claimed:?}");
    assert_eq!(remaining(&server, Some(claimed.header(HEADER))).await, 8);
    assert_eq!(remaining(&server, None).await, 8);
    assert_eq!(remaining(&server, Some("0/0")).await, 9, "the replica stands still");
}
