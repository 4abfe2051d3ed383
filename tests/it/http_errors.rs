//! Every error is problem+json, the framework's own included.

use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Database, Engine, Server, on_both_engines};

async fn server() -> Server {
    Server::start(Database::migrated(Engine::Sqlite).await).await
}

#[tokio::test]
async fn an_unknown_route_is_404() {
    server().await.get("/nope").await.assert_problem(404, "route_not_found");
}

#[tokio::test]
async fn a_wrong_method_is_405_and_says_which_are_allowed() {
    let server = server().await;
    for (method, path, allow) in [
        (Method::POST, "/healthz", "GET, HEAD"),
        (Method::DELETE, "/api/v1/coupons", "GET, HEAD, POST"),
        (Method::DELETE, "/api/v1/coupons/c/claims", "GET, HEAD, POST"),
        (Method::PUT, "/api/v1/coupons/c", "GET, HEAD"),
        (Method::PUT, "/api/coupons/claim", "GET, HEAD, POST"),
        (Method::POST, "/docs", "GET, HEAD"),
        (Method::POST, "/metrics", "GET, HEAD"),
    ] {
        let refused = server.send(server.request(method.clone(), path)).await;
        refused.assert_problem(405, "method_not_allowed");
        assert_eq!(refused.header("allow"), allow, "{method} {path}");
    }
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let server = server().await;
    for path in ["/healthz", "/readyz", "/api/v1/greet", "/docs", "/metrics"] {
        let answer = server.send(server.request(Method::HEAD, path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
    }
    let missing = server.send(server.request(Method::HEAD, "/nope")).await;
    assert_eq!((missing.status, missing.text.as_str()), (404, ""));
}

#[tokio::test]
async fn a_body_that_is_not_json_is_400_and_another_content_type_415() {
    let server = server().await;
    let post = |content_type: &'static str, body: &'static str| {
        server.send(
            server
                .request(Method::POST, "/api/v1/coupons")
                .header("content-type", content_type)
                .body(body),
        )
    };
    post("application/json", "{").await.assert_problem(400, "invalid_body");
    post("application/json", "").await.assert_problem(400, "invalid_body");
    post("application/json", "[]").await.assert_problem(400, "invalid_body");
    post("text/plain", r#"{"name":"c","amount":1}"#)
        .await
        .assert_problem(415, "unsupported_media_type");
    let none = server
        .send(server.request(Method::POST, "/api/v1/coupons").body("{}"))
        .await;
    none.assert_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn unknown_fields_are_refused_by_the_versioned_calls_only() {
    let server = server().await;
    let body = json!({"name": "c", "amount": 1, "admin": true});
    let refused = server.post("/api/v1/coupons", body.clone()).await;
    refused.assert_problem(400, "validation_failed");
    let unknown = json!([{"field": "admin", "message": "is not known here"}]);
    assert_eq!(refused.body["errors"], unknown, "{refused:?}");
    assert_eq!(server.post("/api/coupons", body).await.status, 201);
}

#[tokio::test]
async fn a_body_of_one_mebibyte_is_read_and_one_byte_more_is_413() {
    let server = server().await;
    let body = |bytes: usize| {
        let frame = r#"{"name":"c","amount":1,"padding":""}"#.len();
        format!(r#"{{"name":"c","amount":1,"padding":"{}"}}"#, "x".repeat(bytes - frame))
    };
    let post = |body: reqwest::Body| {
        server.send(
            server
                .request(Method::POST, "/api/coupons")
                .header("content-type", "application/json")
                .body(body),
        )
    };
    assert_eq!(post(body(1024 * 1024).into()).await.status, 201);
    post(body(1024 * 1024 + 1).into())
        .await
        .assert_problem(413, "body_too_large");
}

#[tokio::test]
async fn whoever_sends_far_too_much_hears_so_and_goes_on_with_the_same_connection() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head =
        |more: &str| format!("POST /api/coupons HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{more}\r\n");
    // All of it is sent before anything is read, by its length and in pieces.
    let body = vec![b'x'; 5 * 1024 * 1024];
    let by_length = head(&format!("content-length: {}\r\n", body.len())).into_bytes();
    let piece = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    let in_pieces = head("transfer-encoding: chunked\r\n").into_bytes();
    for request in [[by_length, body].concat(), [in_pieces, piece].concat()] {
        stream.write_all(&request).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    // Whoever asks first has sent nothing: another request cannot follow.
    let asking = head("content-length: 5242880\r\nexpect: 100-continue\r\n");
    stream.write_all(asking.as_bytes()).await.unwrap();
    let answer = answer(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close"),
        "{answer}"
    );
}

/// The head of the next answer, and whatever of its body came with it.
async fn answer(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .split("content-length: ")
                .nth(1)
                .unwrap()
                .split("\r\n")
                .next()
                .unwrap();
            if body.len() >= length.parse().unwrap() {
                return text;
            }
        }
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await.unwrap();
        assert_ne!(length, 0, "{text}");
        read.extend_from_slice(&piece[..length]);
    }
}

#[tokio::test]
async fn an_answer_to_a_body_full_of_mistakes_is_short() {
    let server = server().await;
    let long = "k".repeat(500_000);
    let many: String = (0..50_000).map(|n| format!(r#""k{n}":1,"#)).collect();
    for body in [
        format!(r#"{{"{long}":1}}"#),
        format!(r#"{{{many}"name":"c","amount":1}}"#),
    ] {
        let request = server
            .request(Method::POST, "/api/v1/coupons")
            .header("content-type", "application/json");
        let refused = server.send(request.body(body)).await;
        refused.assert_problem(400, "validation_failed");
        assert!(refused.text.len() < 4_000, "{} bytes", refused.text.len());
    }
    let huge = server.post("/api/v1/greetings", json!({"context": {"n": 0}})).await;
    assert_eq!(huge.status, 201);
    let request = server
        .request(Method::POST, "/api/v1/greetings")
        .header("content-type", "application/json");
    let huge = server.send(request.body(r#"{"context":{"n":1e400}}"#)).await;
    huge.assert_problem(400, "invalid_body");
    assert!(
        huge.body["detail"]
            .as_str()
            .unwrap()
            .contains("a number in it is too large"),
        "{huge:?}"
    );
}

#[tokio::test]
async fn a_deeply_nested_body_is_refused_not_fatal() {
    let server = server().await;
    let body = "[".repeat(100_000);
    let request = server
        .request(Method::POST, "/api/coupons")
        .header("content-type", "application/json")
        .body(body);
    server.send(request).await.assert_problem(400, "invalid_body");
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_request_id_is_kept_when_it_is_fit_and_replaced_when_not() {
    let server = server().await;
    let ask = |id: String| server.send(server.request(Method::GET, "/healthz").header("x-request-id", id));
    assert_eq!(ask("abc-123".into()).await.header("x-request-id"), "abc-123");
    for unfit in ["x".repeat(129), "a b".into()] {
        let answer = ask(unfit.clone()).await;
        assert_eq!(answer.header("x-request-id").len(), 32, "{unfit}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let server = server().await;
    for path in ["/healthz", "/nope", "/docs", "/api/v1/greet"] {
        let answer = server.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert!(
            answer
                .header("content-security-policy")
                .starts_with("default-src 'none'"),
            "{path}"
        );
    }
}

on_both_engines! {
    async fn a_defect_of_the_database_is_a_500_that_says_nothing_internal(server: Server) {
        server.database.execute("ALTER TABLE coupons RENAME TO gone").await;
        let failed = server.get("/api/v1/coupons/c").await;
        failed.assert_problem(500, "internal_error");
        assert!(!failed.text.contains("coupons c"), "{failed:?}");
        assert!(!failed.text.contains("relation") && !failed.text.contains("no such table"), "{failed:?}");
        let id = failed.header("x-request-id");
        assert!(server.log().contains(id), "the log finds the request: {}", server.log());
    }
}

#[tokio::test]
async fn what_is_no_http_or_too_large_for_it_is_a_problem_too() {
    let server = server().await;
    let long = "a".repeat(200_000);
    let many: String = (0..200).map(|n| format!("x{n}: y\r\n")).collect();
    for (request, status, code) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "malformed_request"),
        (
            "GET / HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n".to_owned(),
            400,
            "malformed_request",
        ),
        ("GET / HTTP/3.7\r\nhost: x\r\n\r\n".to_owned(), 400, "malformed_request"),
        (
            format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", &long[..65_600]),
            414,
            "uri_too_long",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: x\r\nx: {long}\r\n\r\n"),
            431,
            "headers_too_large",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
            431,
            "headers_too_large",
        ),
        // The refusal comes after an answer on the same connection.
        (
            "GET /livez HTTP/1.1\r\nhost: x\r\n\r\nnonsense\r\n\r\n".to_owned(),
            400,
            "malformed_request",
        ),
    ] {
        let mut connection = TcpStream::connect(server.address()).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A connection that is closed on unread bytes is reset, after the answer.
        let _ = connection.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let refusal = &answer[answer.rfind("HTTP/1.1 ").unwrap()..];
        let (head, body) = refusal.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(head.contains("content-type: application/problem+json"), "{answer}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&body["code"], &body["status"]),
            (&json!(code), &json!(status)),
            "{answer}"
        );
        assert!(
            head.contains(&format!("x-request-id: {}\r\n", body["request_id"].as_str().unwrap())),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_body_is_said_field_by_field_and_no_value_is_repeated() {
    let server = server().await;
    let post = |body: &'static str| {
        let request = server.request(Method::POST, "/api/v1/coupons");
        server.send(
            request
                .header("content-type", "application/json; charset=utf-8")
                .body(body),
        )
    };
    for (body, detail) in [
        ("", "the body is not valid: there is none; send a JSON object"),
        ("null", "the body is not valid: it must be a JSON object, not null"),
        (
            "\"s3cret\"",
            "the body is not valid: it must be a JSON object, not a text",
        ),
        ("[7]", "the body is not valid: it must be a JSON object, not a list"),
    ] {
        let refused = post(body).await;
        refused.assert_problem(400, "invalid_body");
        assert_eq!(refused.body["detail"], detail);
    }
    for (body, errors) in [
        ("{}", json!([["name", "is required"], ["amount", "is required"]])),
        (r#"{"name": "c", "amount": null}"#, json!([["amount", "is required"]])),
        (
            r#"{"name": 4711, "amount": "s3cret"}"#,
            json!([
                ["name", "must be a text"],
                ["amount", "must be a whole number of at most 64 bits"]
            ]),
        ),
        (
            r#"{"name": "c", "amount": 1e99}"#,
            json!([["amount", "must be a whole number of at most 64 bits"]]),
        ),
        (
            r#"{"nam": "unknown field `zzz`", "amount": 1, "x": "s3cret"}"#,
            json!([
                ["name", "is required"],
                ["nam", "is not known here"],
                ["x", "is not known here"]
            ]),
        ),
    ] {
        let refused = post(body).await;
        refused.assert_problem(400, "validation_failed");
        let said = refused.body["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| json!([e["field"], e["message"]]));
        assert_eq!(json!(said.collect::<Vec<_>>()), errors, "{refused:?}");
        assert!(
            !refused.text.contains("s3cret") && !refused.text.contains("4711"),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn what_http_demands_of_a_request_is_held_against_it() {
    let server = server().await;
    for (head, code) in [
        ("GET /livez HTTP/1.1\r\n", "host_missing"),
        ("GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n", "host_missing"),
        (
            "POST /api/coupons HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n",
            "unsupported_media_type",
        ),
    ] {
        let mut connection = TcpStream::connect(server.address()).await.unwrap();
        connection
            .write_all(format!("{head}connection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
    }
    let other = server
        .request(Method::POST, "/api/coupons")
        .header("content-type", "application/vnd.api+json");
    server
        .send(other.body("{}"))
        .await
        .assert_problem(415, "unsupported_media_type");
    server
        .post("/api/v1/coupons//claims", json!({"user_id": "u"}))
        .await
        .assert_problem(404, "route_not_found");
}
