//! How many requests a client may make, and whose address counts.

use reqwest::Method;

use crate::harness::{Answer, Database, Engine, Server};

async fn server(limit: &str, proxies: &str) -> Server {
    let database = Database::migrated(Engine::Sqlite).await;
    let dlc = database
        .dlc()
        .env("DLC_SERVER__RATE_LIMIT", limit)
        .env("DLC_SERVER__TRUSTED_PROXIES", proxies);
    Server::start_as(database, dlc, &[]).await
}

async fn ask(server: &Server, forwarded_for: &str) -> Answer {
    let request = server.request(Method::GET, "/api/v1/greet");
    server.send(request.header("x-forwarded-for", forwarded_for)).await
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let server = server("3/1h", "").await;
    for left in ["2", "1", "0"] {
        let answer = server.get("/api/v1/greet").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), "\"address\";q=3;w=3600");
        assert!(
            answer
                .header("ratelimit")
                .starts_with(&format!("\"address\";r={left};t=")),
            "{answer:?}"
        );
    }
    let refused = server.get("/api/v1/greet").await;
    refused.assert_problem(429, "rate_limited");
    let after: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1_100..=1_200).contains(&after), "{refused:?}");
    assert_eq!(refused.header("ratelimit"), format!("\"address\";r=0;t={after}"));
    // Whatever the route says, and where there is none.
    server.get("/nowhere").await.assert_problem(429, "rate_limited");
    // Whoever looks after the service is never shut out.
    for path in ["/healthz", "/readyz", "/metrics", "/api/metrics/db"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.header("ratelimit")), (200, ""), "{path}");
    }
    let counted = server.get("/metrics").await.text;
    assert!(
        counted.contains("http_response_status_code=\"429\",error_type=\"rate_limited\""),
        "{counted}"
    );
}

#[tokio::test]
async fn an_error_says_how_much_is_left_too() {
    let server = server("3/1h", "").await;
    let missing = server.get("/nowhere").await;
    missing.assert_problem(404, "route_not_found");
    assert!(
        missing.header("ratelimit").starts_with("\"address\";r=2;"),
        "{missing:?}"
    );
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_share_and_cannot_write_itself_another() {
    let server = server("1/1h", "127.0.0.0/8, ::1").await;
    assert_eq!(ask(&server, "203.0.113.7").await.status, 200);
    assert_eq!(ask(&server, "203.0.113.8").await.status, 200);
    ask(&server, "203.0.113.7").await.assert_problem(429, "rate_limited");
    // What stands to the left of the proxy's own entry is the client's invention.
    ask(&server, "198.51.100.1, 203.0.113.7")
        .await
        .assert_problem(429, "rate_limited");
}

#[tokio::test]
async fn without_a_trusted_proxy_nobody_is_believed() {
    let server = server("1/1h", "").await;
    assert_eq!(ask(&server, "203.0.113.7").await.status, 200);
    ask(&server, "203.0.113.8").await.assert_problem(429, "rate_limited");
}

#[tokio::test]
async fn without_a_limit_nothing_is_said_of_one() {
    let server = server("off", "").await;
    let answer = server.get("/api/v1/greet").await;
    assert_eq!(
        (
            answer.status,
            answer.header("ratelimit"),
            answer.header("ratelimit-policy")
        ),
        (200, "", "")
    );
}

#[tokio::test]
async fn a_limit_that_is_none_and_a_network_that_is_none_are_78() {
    let database = Database::empty(Engine::Sqlite).await;
    for (variable, value) in [
        ("DLC_SERVER__RATE_LIMIT", "many"),
        ("DLC_SERVER__RATE_LIMIT", "0/1s"),
        ("DLC_SERVER__RATE_LIMIT", "10/0s"),
        ("DLC_SERVER__RATE_LIMIT", "10/2h"),
        ("DLC_SERVER__RATE_LIMIT", "10/500ms"),
        ("DLC_SERVER__TRUSTED_PROXIES", "10.0.0.0/99"),
    ] {
        let refused = database.dlc().env(variable, value).run(&["serve", "--port", "0"]).await;
        refused.assert_error(78, value);
    }
}
