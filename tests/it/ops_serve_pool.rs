//! The wait for a connection of the pool: counted, limited, and told.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::harness::{Database, Server, on_both_engines};

/// A server with one connection, on SQLite to write with, and a coupon that somebody else holds on to.
async fn narrow(database: Database, variables: &[(&str, &str)]) -> Server {
    let dlc = database
        .dlc()
        .env("DLC_DATABASE__MAX_OPEN_CONNS", "1")
        .env("DLC_DATABASE__MAX_IDLE_CONNS", "1")
        // Claims that wait for each other do so before they wait for a connection.
        .env("DLC_COUPONS__ENGINE", "single");
    let dlc = variables.iter().fold(dlc, |dlc, (name, value)| dlc.env(name, value));
    let server = Server::start_as(database, dlc, &[]).await;
    let created = server.post("/api/coupons", json!({"name": "c", "amount": 5})).await;
    assert_eq!(created.status, 201, "{created:?}");
    server
}

fn claim(server: &Server, user: &str) -> JoinHandle<reqwest::Result<Response>> {
    let request = server.request(Method::POST, "/api/coupons/claim");
    tokio::spawn(request.json(&json!({"user_id": user, "coupon_name": "c"})).send())
}

on_both_engines! {
    async fn whoever_waits_for_a_connection_is_counted(database: Database) {
        let server = narrow(database, &[]).await;
        let holder = server.database.hold_coupons().await;
        let claims = ["a", "b", "c"].map(|user| claim(&server, user));
        let started = Instant::now();
        loop {
            let pool = server.get("/api/metrics/db").await.body["pool"].clone();
            if pool["waiting"] == 2 {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{pool}");
        }
        holder.release().await;
        for claim in claims {
            assert_eq!(claim.await.unwrap().unwrap().status(), 201);
        }
        let figures = server.get("/api/metrics/db").await.body;
        let (waits, pool) = (&figures["pool_wait"], &figures["pool"]);
        // The creation, and three claims of which two waited.
        assert_eq!((&waits["count"], &pool["waiting"]), (&json!(4), &json!(0)), "{figures}");
        assert!(waits["p99"].as_f64().unwrap() > waits["p50"].as_f64().unwrap(), "{figures}");
        let metrics = server.get("/metrics").await.text;
        assert!(metrics.contains("\ndb_client_connection_wait_time_seconds_count 4\n"), "{metrics}");
        assert!(metrics.contains("\ndb_client_connection_pending_requests 0\n"), "{metrics}");
        let claims = r#"db_client_operation_duration_seconds_count{db_operation_name="claim",db_collection_name="claims"} 3"#;
        assert!(metrics.contains(claims), "{metrics}");
    }

    async fn who_waits_too_long_for_a_connection_is_told_to_come_again(database: Database) {
        // On a busy machine the first connection takes longer than a second, and who has it waits for longer than that; on SQLite for 5 s.
        let limits = [
            ("DLC_DATABASE__ACQUIRE_TIMEOUT", "2s"),
            ("DLC_DATABASE__LOCK_TIMEOUT", "60s"),
            ("DLC_DATABASE__STATEMENT_TIMEOUT", "60s"),
            ("DLC_SERVER__REQUEST_TIMEOUT", "60s"),
        ];
        let server = narrow(database, &limits).await;
        let holder = server.database.hold_coupons().await;
        let first = claim(&server, "a");
        server.until_busy_with(1).await;
        let refused = server.post("/api/coupons/claim", json!({"user_id": "b", "coupon_name": "c"})).await;
        refused.assert_problem(503, "database_timeout");
        holder.release().await;
        assert_eq!(first.await.unwrap().unwrap().status(), 201, "{}", server.log());
        assert_eq!(server.get("/api/metrics/db").await.body["errors"]["timeout"], 1);
    }
}
