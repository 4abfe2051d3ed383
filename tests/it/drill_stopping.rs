//! Drill: SIGTERM in the middle of a crowd that claims. The probe says so first, whoever comes is still served, every request that
//! was sent is answered, and the tables hold what was answered: no claim more, no claim less. Stuck requests: `ops_serve_stop`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn};
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use serde_json::json;
use tokio::{net::TcpStream, task::JoinSet};

use crate::harness::{
    Database, Engine, Server,
    drill::{Figures, Random, drill},
    on_both_engines,
    sales::PATIENT,
};

const CLIENTS: usize = 32;
/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// What the crowd has in common.
#[derive(Default)]
struct Crowd {
    next: AtomicUsize,
    answered: AtomicUsize,
    /// Since the probe says that the server leaves.
    is_leaving: AtomicBool,
}

/// What one client heard.
#[derive(Default)]
struct Heard {
    granted: Vec<String>,
    after_the_probe: usize,
    lost: Vec<String>,
}

/// Claims on one connection after another, each time for somebody else, until nobody listens any more.
async fn claim_until_closed(address: String, crowd: Arc<Crowd>) -> Heard {
    let mut heard = Heard::default();
    'connections: while let Ok(stream) = TcpStream::connect(&address).await {
        let Ok((mut sender, connection)) = conn::http1::handshake(TokioIo::new(stream)).await else {
            continue;
        };
        tokio::spawn(connection);
        loop {
            if sender.ready().await.is_err() {
                continue 'connections;
            }
            let user = format!("u{}", crowd.next.fetch_add(1, Ordering::Relaxed));
            let body = json!({"user_id": user, "coupon_name": "c"}).to_string();
            let request = Request::post("/api/coupons/claim")
                .header("host", "x")
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(body)))
                .unwrap();
            let is_after_the_probe = crowd.is_leaving.load(Ordering::Relaxed);
            let answer = async {
                let answer = sender.send_request(request).await?;
                let status = answer.status().as_u16();
                let body = answer.into_body().collect().await?.to_bytes();
                Ok::<_, hyper::Error>((status, String::from_utf8_lossy(&body).into_owned()))
            };
            match answer.await {
                Ok((201, _)) => {
                    heard.granted.push(user);
                    heard.after_the_probe += usize::from(is_after_the_probe);
                    crowd.answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(other) => heard.lost.push(format!("{other:?}")),
                // Nothing of it was sent: no request was lost.
                Err(error) if error.is_canceled() => {}
                Err(error) => heard.lost.push(format!("{error:?}")),
            }
        }
    }
    heard
}

async fn leave_in_the_middle(engine: Engine, mut random: Random) -> Figures {
    let database = Database::migrated(engine).await;
    let dlc = PATIENT
        .iter()
        .fold(database.dlc(), |dlc, (name, value)| dlc.env(name, value));
    let dlc = dlc.env("DLC_SHUTDOWN__DELAY", "1s").env("DLC_SHUTDOWN__TIMEOUT", "30s");
    let server = Server::start_as(Database::at(engine, &database.url), dlc, &[]).await;
    let coupon = server.post("/api/coupons", json!({"name": "c", "amount": 1_000_000}));
    assert_eq!(coupon.await.status, 201);
    let crowd = Arc::new(Crowd::default());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(claim_until_closed(server.address().to_owned(), Arc::clone(&crowd)));
    }
    let (moment, started) = (200 + random.below(200), Instant::now());
    while crowd.answered.load(Ordering::Relaxed) < moment {
        assert!(started.elapsed() < LIMIT, "{}", server.log());
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let asked = Instant::now();
    server.signal(Signal::TERM);
    let probe = server.until("/readyz", 503).await;
    assert_eq!(
        server.get("/api/ready").await.body["reason"],
        "server_shutting_down",
        "{probe:?}"
    );
    crowd.is_leaving.store(true, Ordering::Relaxed);
    let stopped = server.finished().await;
    let took = asked.elapsed();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    let (mut granted, mut lost, mut after_the_probe) = (Vec::new(), Vec::new(), 0);
    for heard in clients.join_all().await {
        lost.extend(heard.lost);
        granted.extend(heard.granted);
        after_the_probe += heard.after_the_probe;
    }
    assert!(lost.is_empty(), "{lost:?}: {stopped:?}");
    granted.sort_unstable();
    let mut kept: Vec<String> = database
        .rows("SELECT user_id FROM claims")
        .await
        .into_iter()
        .flatten()
        .collect();
    kept.sort_unstable();
    assert_eq!(granted, kept);
    let audit = database.dlc().run(&["coupon", "audit"]).await;
    assert_eq!(audit.code, 0, "{audit:?}");
    Figures::default()
        .count("claims answered and kept", granted.len())
        .count("of them begun after the probe said 503", after_the_probe)
        .count("requests lost", lost.len())
        .longest("left within", took)
}

on_both_engines! {
    async fn under_load_the_probe_says_so_first_and_every_claim_that_was_sent_is_answered_and_kept(engine: Engine) {
        drill(format!("SIGTERM under load ({engine:?})"), async |random| leave_in_the_middle(engine, random).await).await;
    }
}
