//! How `dlc serve` leaves: in order, without losing a request, and never later than the limit.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    task::JoinHandle,
};

use crate::harness::{Database, Engine, Holder, OnEngine, Server, on_both_engines, send};

on_both_engines! {
    async fn ctrl_c_ends_it_with_exit_0_and_requests_in_flight_are_answered(server: Server) {
        server.post("/api/coupons", json!({"name": "c", "amount": 500})).await;
        // Whoever holds the row keeps every claim in flight, on either engine.
        let holder = server.database.hold_coupons().await;
        let mut requests = Vec::new();
        for user in 0..5 {
            let request = server.request(reqwest::Method::POST, "/api/coupons/claim");
            requests.push(tokio::spawn(request.json(&json!({"user_id": user.to_string(), "coupon_name": "c"})).send()));
        }
        // And whoever asks.
        server.until_at_work(6).await;
        server.signal(Signal::INT);
        server.until_logged("asked to stop").await;
        holder.release().await;
        for request in requests {
            assert_eq!(request.await.unwrap().unwrap().status(), 201);
        }
        assert_eq!(server.database.number("SELECT count(*) FROM claims").await, 5);
        let stopped = server.finished().await;
        assert_eq!(stopped.code, 0, "{stopped:?}");
    }
}

/// A claim that waits for a row, and whoever holds that.
async fn in_flight(server: &Server) -> (Holder, JoinHandle<reqwest::Result<reqwest::Response>>) {
    server.post("/api/coupons", json!({"name": "c", "amount": 5})).await;
    let holder = server.database.hold_coupons().await;
    let claim = server.request(reqwest::Method::POST, "/api/coupons/claim");
    let claim = tokio::spawn(claim.json(&json!({"user_id": "u", "coupon_name": "c"})).send());
    server.until_busy_with(1).await;
    (holder, claim)
}

#[tokio::test]
async fn a_second_signal_forces_the_end_with_exit_1() {
    let server = Server::on(Engine::Postgres).await;
    let (holder, claim) = in_flight(&server).await;
    server.signal(Signal::TERM);
    server.until_logged("asked to stop").await;
    server.signal(Signal::TERM);
    let stopped = server.finished().await;
    assert_eq!(stopped.code, 1, "{stopped:?}");
    assert!(stopped.stderr.contains("stopped by force"), "{stopped:?}");
    assert!(claim.await.unwrap().is_err());
    drop(holder);
}

#[tokio::test]
async fn half_a_request_keeps_nobody_from_leaving_cleanly() {
    use tokio::io::AsyncWriteExt;
    let server = Server::on(Engine::Sqlite).await;
    let mut half = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    assert_eq!(server.get("/healthz").await.status, 200);
    let stopped = server.stop().await;
    assert_eq!(stopped.code, 0, "{stopped:?}");
}

#[tokio::test]
async fn first_it_is_not_ready_then_nobody_gets_in_then_requests_end_and_the_database_is_let_go_of_last() {
    let database = Database::migrated(Engine::Postgres).await;
    let dlc = database
        .dlc()
        .env("DLC_SHUTDOWN__DELAY", "1s")
        .env("DLC_DATABASE__LOCK_TIMEOUT", "60s")
        .env("DLC_DATABASE__STATEMENT_TIMEOUT", "60s");
    let server = Server::start_as(database, dlc, &[]).await;
    let (holder, claim) = in_flight(&server).await;
    server.signal(Signal::TERM);
    // Whoever asks is told to send nothing more, while everybody who comes is still served.
    server.until("/readyz", 503).await;
    assert_eq!(server.get("/api/ready").await.body["reason"], "server_shutting_down");
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/api/v1/coupons/c").await.status, 200);
    // Then nobody gets in any more.
    let started = Instant::now();
    while tokio::net::TcpStream::connect(server.address()).await.is_ok() {
        assert!(started.elapsed() < Duration::from_secs(20), "{}", server.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What is in flight has its connections, until it is answered.
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dlc serve%' \
                    AND datname = current_database()";
    assert!(server.database.number(sessions).await > 0);
    assert!(!server.log().contains("stopped") && !claim.is_finished());
    holder.release().await;
    assert_eq!(claim.await.unwrap().unwrap().status(), 201);
    server.until_logged("stopped").await;
    assert_eq!(
        server.database.number(sessions).await,
        0,
        "the pool was closed before the process ended"
    );
    assert_eq!(server.finished().await.code, 0);
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off_with_exit_1() {
    let database = Database::migrated(Engine::Postgres).await;
    let dlc = database
        .dlc()
        .env("DLC_SHUTDOWN__TIMEOUT", "300ms")
        .env("DLC_DATABASE__LOCK_TIMEOUT", "60s")
        .env("DLC_DATABASE__STATEMENT_TIMEOUT", "60s")
        .env("DLC_SERVER__REQUEST_TIMEOUT", "90s");
    let server = Server::start_as(database, dlc, &[]).await;
    let (holder, claim) = in_flight(&server).await;
    let stopped = server.stop().await;
    assert_eq!(stopped.code, 1, "{stopped:?}");
    assert!(stopped.stderr.contains("stop_forced"), "{stopped:?}");
    assert!(claim.await.unwrap().is_err());
    drop(holder);
}

/// As the first process of a container it gets no signal that it does not ask for, and nobody else reaps or forwards.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn as_the_first_process_of_a_container_it_leaves_when_it_is_asked_to() {
    let database = Database::migrated(Engine::Sqlite).await;
    let dlc = database.dlc();
    let inner = dlc.command(&["serve", "--port", "0"]);
    let inner = inner.as_std();
    let mut command = Command::new("unshare");
    // Whoever may not make a namespace of processes may do so in one of users.
    let may = Command::new("unshare")
        .args(["--pid", "--fork", "true"])
        .status()
        .await
        .unwrap();
    if !may.success() {
        command.args(["--user", "--map-root-user"]);
    }
    let mut outer = command
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(inner.get_current_dir().unwrap())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(outer.stderr.take().unwrap()).lines();
    let mut said = String::new();
    while let Some(line) = log.next_line().await.unwrap() {
        said.push_str(&line);
        if line.contains("ready in ") {
            break;
        }
    }
    let pid = outer.id().unwrap();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let first: u32 = children
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("{children:?}: {said}"));
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    assert!(status.contains(&format!("NSpid:\t{first}\t1\n")), "{status}");
    send(first, Signal::TERM);
    let ended = tokio::time::timeout(Duration::from_secs(20), outer.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(0), "{said}");
}

#[tokio::test]
async fn an_answer_that_is_taken_slowly_is_taken_whole() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let database = Database::migrated(Engine::Postgres).await;
    database
        .execute("INSERT INTO coupons (name, amount, remaining_amount, created_at) VALUES ('c', 40000, 0, now())")
        .await;
    let claims =
        "INSERT INTO claims (user_id, coupon_name) SELECT repeat('x', 200) || g, 'c' FROM generate_series(1, 40000) g";
    database.execute(claims).await;
    let dlc = database.dlc().env("DLC_SHUTDOWN__TIMEOUT", "60s");
    let server = Server::start_as(database, dlc, &[]).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut client = socket.connect(server.address().parse().unwrap()).await.unwrap();
    client
        .write_all(b"GET /api/coupons/c HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut taken = vec![0; 1024];
    client.read_exact(&mut taken).await.unwrap();
    server.signal(Signal::TERM);
    server.until_logged("asked to stop").await;
    // Three seconds and more for all of it.
    let mut part = vec![0; 64 * 1024];
    loop {
        let length = client.read(&mut part).await.unwrap();
        if length == 0 {
            break;
        }
        taken.extend_from_slice(&part[..length]);
        let pace = Duration::from_micros(length as u64 * 400 / 1024);
        tokio::time::sleep(pace).await;
    }
    let taken = String::from_utf8(taken).unwrap();
    let (head, body) = taken.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}\r\n", body.len())),
        "{head}: {} came",
        body.len()
    );
    assert_eq!(server.finished().await.code, 0);
}
