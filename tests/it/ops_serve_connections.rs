//! Connections and crowds: what ties a service up elsewhere costs it nothing here.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Database, Engine, Server};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(30);

async fn server(variables: &[(&str, &str)]) -> Server {
    let database = Database::migrated(Engine::Sqlite).await;
    let dlc = variables
        .iter()
        .fold(database.dlc(), |dlc, (name, value)| dlc.env(name, value));
    Server::start_as(database, dlc, &[]).await
}

async fn saying(server: &Server, words: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(words.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_connection_without_a_whole_head_is_closed_in_time() {
    let server = server(&[("DLC_SERVER__HEADER_TIMEOUT", "200ms")]).await;
    // Nothing; what could become either protocol; half a head; an answered request and nothing more.
    let whole = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for words in ["", "P", "PRI * HTTP/2.0\r\n", "GET /healthz HTTP/1.1\r\nHost:", whole] {
        let mut stream = saying(&server, words).await;
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{words:?} is waited for");
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(
            answer.starts_with("HTTP/1.1 200 OK"),
            words == whole,
            "{words:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn hundreds_of_connections_that_say_nothing_or_half_of_it_keep_nobody_out() {
    let server = server(&[]).await;
    let mut idle = Vec::new();
    for number in 0..400 {
        idle.push(saying(&server, ["", "GET /healthz HTTP/1.1\r\nHost: x\r\nX: "][number % 2]).await);
    }
    let body = format!(
        "POST /api/coupons HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{{",
        1024 * 1024
    );
    // More than are worked on at a time.
    for _ in 0..300 {
        idle.push(saying(&server, &body).await);
    }
    assert_eq!(
        server
            .post("/api/coupons", json!({"name": "c", "amount": 1}))
            .await
            .status,
        201
    );
    drop(idle);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_a_large_one_is_read() {
    let server = server(&[]).await;
    let get = |bytes: usize| {
        server
            .request(reqwest::Method::GET, "/healthz")
            .header("x-large", "x".repeat(bytes))
    };
    assert_eq!(server.send(get(32 * 1024)).await.status, 200);
    let refused = get(128 * 1024).send().await.unwrap();
    assert_eq!(refused.status(), 431);
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn http_2_is_spoken_to_whoever_begins_with_it() {
    let server = server(&[]).await;
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let uri = format!("http://{}/healthz", server.address());
    for _ in 0..3 {
        let request = Request::get(&uri).body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.version()),
            (200, hyper::Version::HTTP_2)
        );
        assert_eq!(
            answer.into_body().collect().await.unwrap().to_bytes(),
            r#"{"status":"ok"}"#
        );
    }
    assert_eq!(server.stop().await.code, 0);
}

#[tokio::test]
async fn beyond_what_is_worked_on_and_what_may_wait_it_is_503_and_probes_are_answered() {
    let server = server(&[("DLC_SERVER__MAX_IN_FLIGHT", "1"), ("DLC_SERVER__MAX_QUEUE", "1")]).await;
    server.post("/api/coupons", json!({"name": "c", "amount": 5})).await;
    let holder = server.database.hold_coupons().await;
    let claim = |user: &str| {
        let request = server.request(reqwest::Method::POST, "/api/coupons/claim");
        tokio::spawn(request.json(&json!({"user_id": user, "coupon_name": "c"})).send())
    };
    let first = claim("first");
    server.until_busy_with(1).await;
    let second = claim("second");
    let started = Instant::now();
    while !server
        .get("/metrics")
        .await
        .text
        .contains("dlc_http_waiting_requests 1\n")
    {
        assert!(started.elapsed() < LIMIT, "the second does not wait");
    }
    let refused = server
        .request(reqwest::Method::GET, "/api/v1/greet")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(refused.text().await.unwrap().contains("\"code\":\"overloaded\""));
    assert_eq!(server.get("/readyz").await.status, 200);
    assert!(server.get("/metrics").await.text.contains("dlc_ready 1"));
    holder.release().await;
    for waiting in [first, second] {
        assert_eq!(waiting.await.unwrap().unwrap().status(), 201);
    }
}

/// Asks on one connection after another until nobody listens any more. Returns how many were answered, and what else
/// happened to a request that was sent.
async fn ask_until_closed(address: String) -> (usize, Vec<String>) {
    let (mut answered, mut lost) = (0, Vec::new());
    'connections: while let Ok(stream) = TcpStream::connect(&address).await {
        let Ok((mut sender, connection)) = conn::http1::handshake(TokioIo::new(stream)).await else {
            continue;
        };
        tokio::spawn(connection);
        loop {
            if sender.ready().await.is_err() {
                continue 'connections;
            }
            let request = Request::get("/api/v1/coupons/none").header("host", "x");
            let answer = async {
                let answer = sender
                    .send_request(request.body(Empty::<Bytes>::new()).unwrap())
                    .await?;
                let status = answer.status().as_u16();
                answer.into_body().collect().await.map(|_| status)
            };
            match answer.await {
                Ok(404) => answered += 1,
                Ok(other) => lost.push(other.to_string()),
                // Nothing of it was sent: no request was lost.
                Err(error) if error.is_canceled() => {}
                Err(error) => lost.push(format!("{error:?}")),
            }
        }
    }
    (answered, lost)
}

/// Asks the server to leave in the middle of clients' requests, and counts with them.
async fn assert_nothing_is_lost<C>(clients: usize, client: impl Fn(String) -> C)
where
    C: Future<Output = (usize, Vec<String>)> + Send + 'static,
{
    let server = server(&[]).await;
    let clients: Vec<_> = (0..clients)
        .map(|_| tokio::spawn(client(server.address().to_owned())))
        .collect();
    let busy = Instant::now();
    while busy.elapsed() < Duration::from_millis(500) {
        assert_eq!(server.get("/readyz").await.status, 200);
    }
    server.signal(Signal::TERM);
    let stopped = server.finished().await;
    assert_eq!(stopped.code, 0, "{stopped:?}");
    let mut all = 0;
    for client in clients {
        let (answered, lost) = client.await.unwrap();
        assert!(lost.is_empty(), "after {answered} answers: {lost:?}");
        all += answered;
    }
    assert!(all > 64, "{all} requests are no load");
}

#[tokio::test]
async fn sigterm_under_load_loses_no_request() {
    assert_nothing_is_lost(32, ask_until_closed).await;
}

/// The same over HTTP/2, several requests at a time on each connection.
async fn ask_over_http2_until_closed(address: String) -> (usize, Vec<String>) {
    let (mut answered, mut lost) = (0, Vec::new());
    while let Ok(stream) = TcpStream::connect(&address).await {
        let Ok((sender, connection)) = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await else {
            continue;
        };
        tokio::spawn(connection);
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (mut sender, uri) = (sender.clone(), format!("http://{address}/api/v1/coupons/none"));
            asking.spawn(async move {
                let (mut answered, mut lost) = (0, Vec::new());
                while sender.ready().await.is_ok() {
                    let request = Request::get(&uri).body(Empty::<Bytes>::new()).unwrap();
                    match sender.send_request(request).await {
                        Ok(answer) if answer.status() == 404 => answered += 1,
                        Ok(answer) => lost.push(answer.status().to_string()),
                        // Nothing of it was sent: no request was lost.
                        Err(error) if error.is_canceled() => {}
                        // The server has said that it did nothing of it, so that it can be sent again (RFC 9113, 6.8).
                        Err(error) if format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)") => {}
                        Err(error) => lost.push(format!("{error:?}")),
                    }
                }
                (answered, lost)
            });
        }
        for (more, others) in asking.join_all().await {
            answered += more;
            lost.extend(others);
        }
    }
    (answered, lost)
}

#[tokio::test]
async fn sigterm_under_load_over_http_2_loses_no_request() {
    assert_nothing_is_lost(4, ask_over_http2_until_closed).await;
}

#[tokio::test]
async fn over_http_2_a_client_that_takes_nothing_and_pings_is_let_go() {
    let server = server(&[("DLC_SERVER__HEADER_TIMEOUT", "1s")]).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    // No byte of an answer's body may be sent: SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    // GET http:/ /openapi.json (RFC 7541: indexed method and scheme, literal path and authority)
    let path = b"/openapi.json";
    let head = [
        &[0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()][..],
        path,
        &[0x01, 0x01, b'x'],
    ]
    .concat();
    let request = frame(1, 0x5, 1, &head);
    stream
        .write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &request].concat())
        .await
        .unwrap();
    let ping = frame(6, 0, 0, &[0; 8]);
    let started = Instant::now();
    let mut taken = [0; 4096];
    loop {
        let sent = stream.write_all(&ping).await;
        let read = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut taken)).await;
        if sent.is_err() || matches!(read, Ok(Ok(0) | Err(_))) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "it is still there");
    }
}

/// Whether the server's side of a client's connection is still the server's: the kernel keeps what was not taken for a while (other
/// states of RFC 9293, 3.3.2) when it is not.
fn is_held(stream: &TcpStream) -> bool {
    let hex = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()),
        IpAddr::V6(_) => panic!("{address}"),
    };
    let (server, client) = (stream.peer_addr().unwrap(), stream.local_addr().unwrap());
    let established = format!(" {} {} 01 ", hex(server), hex(client));
    std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&established)
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
    // Long enough for a client of a busy machine, which the one at the end is.
    let server = server(&[("DLC_SERVER__HEADER_TIMEOUT", "3s")]).await;
    // More than any socket holds, in rows that are read in a fraction of a request's time.
    let (rows, name) = (60_000, "x".repeat(240));
    let many = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         INSERT INTO claims (user_id, coupon_name) SELECT '{name}' || i, 'c' FROM n"
    );
    server.post("/api/coupons", json!({"name": "c", "amount": rows})).await;
    server.database.execute(&many).await;
    let stalled = saying(&server, "GET /api/coupons/c HTTP/1.1\r\nHost: x\r\n\r\n").await;
    stalled.readable().await.unwrap();
    assert!(is_held(&stalled));
    let started = Instant::now();
    while is_held(&stalled) {
        assert!(started.elapsed() < LIMIT, "it is waited for");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Somebody who takes it, however large it is, gets all of it.
    let whole = server.get("/api/coupons/c").await;
    assert_eq!(whole.status, 200, "{}", whole.text.get(..500).unwrap_or(&whole.text));
    assert_eq!(whole.body["claimed_by"].as_array().unwrap().len(), rows);
    drop(stalled);
}
