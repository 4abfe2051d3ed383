//! Probes and health, in the literal shapes of the seeds.

use serde_json::json;

use crate::harness::{Database, Engine, OnEngine, Server, on_both_engines};

on_both_engines! {
    async fn a_ready_service_says_so_in_every_dialect(server: Server) {
        for path in ["/healthz", "/livez"] {
            assert_eq!(server.get(path).await.text, r#"{"status":"ok"}"#, "{path}");
        }
        for path in ["/healthz", "/readyz?verbose", "/api/health/db", "/api/metrics/db"] {
            assert_eq!(server.get(path).await.header("cache-control"), "no-store", "{path}");
        }
        assert_eq!(server.get("/startupz").await.body["phase"], "serving");
        assert_eq!(server.get("/readyz").await.status, 200);
        assert_eq!(server.get("/health").await.text, r#"{"status":"healthy"}"#);
        let status = if server.database.engine == Engine::Sqlite { "not_configured" } else { "healthy" };
        let expected = format!(r#"{{"ready":true,"connections":{{"database":{{"status":"{status}"}}}}}}"#);
        assert_eq!(server.get("/api/ready").await.text, expected);
    }

    async fn details_about_the_database_are_told_on_loopback(server: Server) {
        let health = server.get("/api/health/db").await;
        assert_eq!(health.status, 200, "{health:?}");
        assert_eq!(health.body["migrations"]["applied"], crate::harness::ALL, "{health:?}");
        assert_eq!(health.body["migrations"]["pending"], 0);
        assert!(health.body["latency_ms"].as_f64().unwrap() >= 0.0);
        assert!(health.body["server_version"].is_string(), "{health:?}");
        assert!(health.body["pool"]["max"].as_u64().unwrap() >= 5);
        let forwarded = server.request(reqwest::Method::GET, "/api/health/db").header("x-forwarded-for", "203.0.113.7");
        assert_eq!(server.send(forwarded).await.text, r#"{"status":"healthy"}"#);
        assert_eq!(health.body["checks"][0]["id"], "CFG001", "{health:?}");
        let checks = server.get("/readyz?verbose&exclude=MIG001").await.body["checks"].clone();
        let ids: Vec<_> = checks.as_array().unwrap().iter().map(|check| check["id"].as_str().unwrap()).collect();
        assert!(ids.contains(&"CFG001") && ids.contains(&"MIG002") && !ids.contains(&"MIG001"), "{ids:?}");
        assert!(checks.as_array().unwrap().iter().all(|check| check["status"] != "fail"), "{checks}");
    }

    async fn both_faces_of_the_metrics_show_the_same_numbers(server: Server) {
        for _ in 0..3 {
            server.get("/api/v1/coupons/none").await;
        }
        let json = server.get("/api/metrics/db").await.body;
        assert_eq!(json["operations"], 3, "{json}");
        assert!(json["latency_ms"]["p99"].as_f64().unwrap() > 0.0);
        assert_eq!(json["objectives"]["availability"], json!(1.0));
        let text = server.get("/metrics").await.text;
        let finds = r#"db_client_operation_duration_seconds_count{db_operation_name="find",db_collection_name="coupons"} 3"#;
        assert!(text.contains(finds), "{text}");
        let waits = &json["pool_wait"]["count"];
        let waited = format!("\ndb_client_connection_wait_time_seconds_count {waits}\n");
        assert!(waits.as_u64() > Some(0) && text.contains(&waited), "{text}");
        assert!(text.contains("dlc_ready 1\n"), "{text}");
        let counted = r#"http_server_request_duration_seconds_count{http_request_method="GET",http_route="/api/v1/coupons/{name}",http_response_status_code="404",error_type="coupon_not_found"} 3"#;
        assert!(text.contains(counted), "{text}");
        server.get("/no/such/route").await;
        server.request(reqwest::Method::from_bytes(b"BREW").unwrap(), "/healthz").send().await.unwrap();
        let text = server.get("/metrics").await.text;
        for counted in [
            r#"_count{http_request_method="GET",http_response_status_code="404",error_type="route_not_found"} 1"#,
            r#"_count{http_request_method="_OTHER",http_route="/healthz",http_response_status_code="405",error_type="method_not_allowed"} 1"#,
            r#"_count{http_request_method="GET",http_route="/metrics",http_response_status_code="200"} 1"#,
            "http_server_active_requests 1\n",
        ] {
            assert!(text.contains(counted), "{counted}: {text}");
        }
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }
}

#[tokio::test]
async fn liveness_and_the_start_are_told_while_the_database_is_missing_and_nothing_else_is_answered() {
    let database = Database::empty(Engine::Sqlite).await;
    // Port 9 is discard's: nothing listens there.
    let dlc = database
        .dlc()
        .env("DATABASE_URL", "postgres://u:p@127.0.0.1:9/dlc_test");
    let server = Server::start_unready(database, dlc, &["--wait", "20s"]).await;
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/healthz").await.text, r#"{"status":"ok"}"#);
    let startup = server.get("/startupz").await;
    assert_eq!((startup.status, &startup.body["phase"]), (503, &json!("connecting")));
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(
        server.get("/health").await.text,
        r#"{"status":"unhealthy","error":"database connection failed"}"#
    );
    let ready = server.until("/api/ready", 503).await;
    assert_eq!(ready.body["reason"], "database_unhealthy", "{ready:?}");
    assert_eq!(server.get("/metrics").await.status, 200);
    for path in ["/api/v1/greet", "/api/v1/coupons/c", "/docs", "/nope"] {
        let refused = server.get(path).await;
        refused.assert_problem(503, "starting");
        assert_eq!(refused.header("retry-after"), "1");
    }
    let stopped = server.stop().await;
    assert_eq!(stopped.code, 0, "{stopped:?}");
}

#[tokio::test]
async fn a_refused_connection_is_told_in_the_words_of_the_seed() {
    let database = Database::empty(Engine::Sqlite).await;
    let dlc = database
        .dlc()
        .env("DATABASE_URL", "postgres://u:p@127.0.0.1:9/dlc_test");
    let server = Server::start_unready(database, dlc, &["--wait", "20s"]).await;
    let expected = r#"{"ready":false,"reason":"database_unhealthy","connections":{"database":{"status":"unhealthy","error":"connection refused"}}}"#;
    let mut said = String::new();
    // Three failed tries, the third after 0.3 s, until the loss is believed.
    for _ in 0..500 {
        said = server.get("/api/ready").await.text;
        if said == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{said}");
}

on_both_engines! {
    async fn the_doctor_s_findings_are_gauges(server: Server) {
        let started = std::time::Instant::now();
        let metrics = loop {
            let metrics = server.get("/metrics").await.text;
            if metrics.contains("dlc_check_status{") {
                break metrics;
            }
            assert!(started.elapsed() < std::time::Duration::from_secs(60), "{metrics}");
        };
        assert!(metrics.contains("dlc_check_status{id=\"MIG001\",layer=\"migrations\"} 0\n"), "{metrics}");
        assert!(metrics.contains("dlc_check_status{id=\"BAK001\",layer=\"health\"} 3\n"), "{metrics}");
        // What reads every row is for whoever asks for it.
        assert!(!metrics.contains("BIZ001") && !metrics.contains("SQL004"), "{metrics}");
    }
}

/// A server that tells details to administrators.
struct Discreet(Server);

impl OnEngine for Discreet {
    async fn on(engine: Engine) -> Self {
        let database = Database::migrated(engine).await;
        let dlc = database.dlc().env("DLC_SERVER__DETAILS", "admin");
        Self(Server::start_as(database, dlc, &[]).await)
    }
}

on_both_engines! {
    async fn details_are_told_to_administrators_where_that_is_configured(server: Discreet) {
        let server = server.0;
        let (root, ada) = (server.administrator("root").await, server.person("ada").await);
        let details = [
            ("/api/health/db", "pool"),
            ("/api/metrics/db", "operations"),
            ("/readyz?verbose", "checks"),
        ];
        for (path, detail) in details {
            let told = server.get_as(&root, path).await;
            assert_eq!((told.status, told.body[detail].is_null()), (200, false), "{told:?}");
            // Probes refuse nobody.
            let stranger = server.request(reqwest::Method::GET, path).bearer_auth("a.b.c");
            for untold in [
                server.get(path).await,
                server.get_as(&ada, path).await,
                server.send(stranger).await,
            ] {
                assert_eq!((untold.status, untold.body[detail].is_null()), (200, true), "{untold:?}");
            }
        }
        server.call_as(&root, "/api/v1/auth/logout").await;
        assert!(server.get_as(&root, "/api/health/db").await.body["pool"].is_null());
    }
}
