//! Clients that hang up: what they had begun is ended, and nobody else is in its way or part of it.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::harness::{Database, Dlc, Engine, OnEngine, Proxy, Server, on_both_engines, postgres};

#[tokio::test]
async fn whoever_hangs_up_at_any_moment_of_a_transaction_leaves_nothing_open() {
    let database = Database::migrated(Engine::Postgres).await;
    let port = postgres::cluster().await.port;
    let proxy = Proxy::to(port).await;
    let far = database.url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port));
    // One connection, so that whatever is left on it is the next one's.
    let dlc = Dlc::new()
        .env("DATABASE_URL", &far)
        .env("DLC_DATABASE__MAX_OPEN_CONNS", "1")
        .env("DLC_DATABASE__MAX_IDLE_CONNS", "1")
        .env("DLC_DATABASE__ACQUIRE_TIMEOUT", "20s");
    let server = Server::start_as(database, dlc, &[]).await;
    server.post("/api/coupons", json!({"name": "c", "amount": 1000})).await;
    proxy.delay(30);
    for moment in 0..24 {
        let claim = server
            .request(Method::POST, "/api/coupons/claim")
            .header("idempotency-key", format!("key {moment}").replace(' ', "-"))
            .json(&json!({"user_id": format!("u{moment}"), "coupon_name": "c"}))
            .timeout(Duration::from_millis(moment * 13));
        // A connection of its own is closed when the client gives up.
        let hung_up = reqwest::Client::new().execute(claim.build().unwrap()).await;
        if let Ok(answered) = hung_up {
            assert_eq!(answered.status(), 201, "{}", answered.text().await.unwrap_or_default());
        }
        let write = json!({"name": format!("n{moment}"), "amount": 1});
        let created = server.post("/api/coupons", write).await;
        assert_eq!(created.status, 201, "{created:?}");
        let named = format!("SELECT count(*) FROM coupons WHERE name = 'n{moment}'");
        assert_eq!(
            server.database.number(&named).await,
            1,
            "said to be stored, and is not: {moment}"
        );
    }
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state LIKE 'idle in transaction%'";
    let started = Instant::now();
    while server.database.number(open).await > 0 {
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "a transaction was left open"
        );
    }
    // Each claim was made whole or not at all, with its answer.
    let claimed = server.database.number("SELECT count(*) FROM claims").await;
    let left = server
        .database
        .number("SELECT remaining_amount FROM coupons WHERE name = 'c'")
        .await;
    assert_eq!(1000 - left, claimed);
    assert_eq!(
        server.database.number("SELECT count(*) FROM idempotency_keys").await,
        claimed
    );
}

#[tokio::test]
async fn whoever_gives_up_waiting_for_a_connection_waits_no_more() {
    let database = Database::migrated(Engine::Postgres).await;
    let dlc = database
        .dlc()
        .env("DLC_DATABASE__MAX_OPEN_CONNS", "1")
        .env("DLC_DATABASE__MAX_IDLE_CONNS", "1")
        .env("DLC_DATABASE__ACQUIRE_TIMEOUT", "60s")
        .env("DLC_COUPONS__ENGINE", "single")
        .env("DLC_DATABASE__LOCK_TIMEOUT", "60s")
        .env("DLC_DATABASE__STATEMENT_TIMEOUT", "60s")
        .env("DLC_SERVER__REQUEST_TIMEOUT", "90s");
    let server = Server::start_as(database, dlc, &[]).await;
    server.post("/api/coupons", json!({"name": "c", "amount": 1000})).await;
    let holder = server.database.hold_coupons().await;
    let claim = |user: String| {
        server
            .request(Method::POST, "/api/coupons/claim")
            .json(&json!({"user_id": user, "coupon_name": "c"}))
    };
    let first = tokio::spawn(claim("first".to_owned()).send());
    server.until_busy_with(1).await;
    let others: Vec<_> = (0..5).map(|n| tokio::spawn(claim(format!("u{n}")).send())).collect();
    let until_waiting = async |number: u64| {
        let started = Instant::now();
        while server.get("/api/metrics/db").await.body["pool"]["waiting"] != number {
            assert!(started.elapsed() < Duration::from_secs(20), "{number}");
        }
    };
    until_waiting(5).await;
    for other in others {
        other.abort();
    }
    until_waiting(0).await;
    holder.release().await;
    assert_eq!(first.await.unwrap().unwrap().status(), 201);
    assert_eq!(server.database.number("SELECT count(*) FROM claims").await, 1);
}

/// A server that waits for locks for as long as a busy machine needs to look at it.
struct Patient(Server);

impl OnEngine for Patient {
    async fn on(engine: Engine) -> Self {
        let database = Database::migrated(engine).await;
        let limits = [
            "DATABASE__LOCK_TIMEOUT",
            "DATABASE__STATEMENT_TIMEOUT",
            "SERVER__REQUEST_TIMEOUT",
        ];
        let dlc = limits
            .iter()
            .fold(database.dlc(), |dlc, limit| dlc.env(&format!("DLC_{limit}"), "60s"));
        Self(Server::start_as(database, dlc, &[]).await)
    }
}

on_both_engines! {
    async fn whoever_hangs_up_while_others_are_written_loses_only_their_own_claim(patient: Patient) {
        let server = patient.0;
        server.post("/api/coupons", json!({"name": "c", "amount": 1000})).await;
        let holder = server.database.hold_coupons().await;
        let claim = |user: String| {
            let request = server.request(Method::POST, "/api/coupons/claim");
            request.json(&json!({"user_id": user, "coupon_name": "c"})).send()
        };
        let first = tokio::spawn(claim("first".to_owned()));
        server.until_busy_with(1).await;
        if server.database.engine == Engine::Postgres {
            // It has looked at the row once, and now waits for it: whoever comes from here on is not in its group.
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            while server.database.number(waiting).await == 0 {}
        }
        let going: Vec<_> = (0..5).map(|n| tokio::spawn(claim(format!("going-{n}")))).collect();
        let staying: Vec<_> = (0..5).map(|n| tokio::spawn(claim(format!("staying-{n}")))).collect();
        // And whoever asks.
        server.until_at_work(12).await;
        for claim in going {
            claim.abort();
        }
        server.until_at_work(7).await;
        holder.release().await;
        assert_eq!(first.await.unwrap().unwrap().status(), 201);
        for claim in staying {
            assert_eq!(claim.await.unwrap().unwrap().status(), 201);
        }
        assert_eq!(server.database.number("SELECT count(*) FROM claims").await, 6);
        assert_eq!(server.database.number("SELECT remaining_amount FROM coupons").await, 994);
    }
}
