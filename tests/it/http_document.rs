//! The OpenAPI document and its explorer.

use crate::harness::{Database, Dlc, Engine, Server};

#[tokio::test]
async fn the_document_is_openapi_3_0_3_and_the_same_everywhere() {
    let server = Server::start(Database::migrated(Engine::Sqlite).await).await;
    let served = server.get("/openapi.json").await;
    assert_eq!(served.body["openapi"], "3.0.3");
    assert_eq!(served.text, Dlc::new().run(&["openapi"]).await.stdout);
    let yaml = server.get("/openapi.yaml").await;
    assert!(yaml.text.starts_with("openapi: 3.0.3\n"), "{}", &yaml.text[..40]);
    assert_eq!(yaml.text, Dlc::new().run(&["openapi", "--format", "yaml"]).await.stdout);
}

#[tokio::test]
async fn every_operation_states_its_errors_as_problems_and_has_an_id() {
    let document = Dlc::new().run(&["openapi"]).await.json();
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/healthz",
        "/readyz",
        "/api/ready",
        "/api/v1/greet/{name}",
        "/api/v1/coupons/{name}/claims",
        "/api/coupons/claim",
    ] {
        assert!(paths.contains_key(path), "{path} is not in {:?}", paths.keys());
    }
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["operationId"].is_string(), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                if status.starts_with('4') || (status == "500") {
                    assert!(
                        response["content"]["application/problem+json"].is_object(),
                        "{method} {path} {status}"
                    );
                }
            }
        }
    }
    for (body, closed) in [
        ("ChangeMeBody", true),
        ("ChangePasswordBody", true),
        ("ChangeUserBody", true),
        ("CreateCouponBody", true),
        ("ClaimBody", true),
        ("LoginBody", true),
        ("PasswordResetBody", true),
        ("RecordGreetingBody", true),
        ("RefreshBody", true),
        ("RegisterBody", true),
        ("ClaimAliasBody", false),
    ] {
        let schema = &document["components"]["schemas"][body];
        assert_eq!(schema["additionalProperties"] == false, closed, "{schema}");
    }
    let name = &document["components"]["schemas"]["CreateCouponBody"]["properties"]["name"];
    assert_eq!(
        (&name["minLength"], &name["maxLength"]),
        (&1.into(), &255.into()),
        "{name}"
    );
    let claim = &document["paths"]["/api/v1/coupons/{name}/claims"]["post"]["responses"];
    for status in ["201", "400", "401", "404", "409", "413", "415", "500", "503"] {
        assert!(claim[status].is_object(), "{status}");
    }
}

#[tokio::test]
async fn every_operation_that_looks_at_a_token_says_so_and_whether_one_is_needed() {
    let document = Dlc::new().run(&["openapi"]).await.json();
    let scheme = &document["components"]["securitySchemes"]["accessToken"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"], &scheme["bearerFormat"]),
        (&"http".into(), &"bearer".into(), &"JWT".into())
    );
    let needed = serde_json::json!([{"accessToken": []}]);
    let taken = serde_json::json!([{"accessToken": []}, {}]);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let called = format!("{method} {path}");
            let expected = match called.as_str() {
                "get /api/v1/greet" | "post /api/v1/greetings" | "post /api/v1/auth/register" => &taken,
                "get /readyz" | "get /api/health/db" | "get /api/metrics/db" => &taken,
                "post /api/v1/auth/logout" | "post /api/v1/auth/logout-all" => &needed,
                _ if path.starts_with("/api/v1/auth/") => &serde_json::Value::Null,
                _ if ["/api/v1/users", "/api/v1/admin", "/api/v1/greetings"]
                    .iter()
                    .any(|area| path.starts_with(area)) =>
                {
                    &needed
                }
                _ if path.contains("coupons") && method == "post" => &taken,
                _ => &serde_json::Value::Null,
            };
            assert_eq!(&operation["security"], expected, "{called}");
            if expected == &needed {
                assert!(operation["responses"]["401"].is_object(), "{called}");
            }
        }
    }
    // What people read who try it out: an example of each body, and of each answer about people.
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let needs_one = schema["additionalProperties"] == false
            || ["User", "Tokens", "ResetCode", "Greeting", "Said"]
                .iter()
                .any(|area| name.contains(area))
                && name.ends_with("View");
        assert!(!needs_one || schema["example"].is_object(), "{name}");
    }
}

#[tokio::test]
async fn the_explorer_comes_from_the_binary_alone() {
    let server = Server::start(Database::migrated(Engine::Sqlite).await).await;
    let page = server.get("/docs").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert!(page.text.starts_with("<!doctype html>"));
    assert!(!page.text.contains("<script src=") && !page.text.contains("<link rel=\"stylesheet\""));
    assert!(page.header("content-security-policy").contains("connect-src 'self'"));
    for path in ["/", "/swagger", "/swagger/index.html"] {
        let lead = server.get(path).await;
        assert_eq!((lead.status, lead.header("location")), (307, "/docs"), "{path}");
    }
    let again = server
        .request(reqwest::Method::GET, "/docs")
        .header("if-none-match", page.header("etag"));
    assert_eq!(server.send(again).await.status, 304);
    let short = server
        .request(reqwest::Method::GET, "/docs")
        .header("accept-encoding", "gzip");
    let short = short.send().await.unwrap();
    assert_eq!(short.headers()["content-encoding"], "gzip");
    // Other bytes that say the same have a weak tag, and either is known again.
    let (tag, weak) = (
        page.header("etag"),
        short.headers()["etag"].to_str().unwrap().to_owned(),
    );
    assert_eq!(weak, format!("W/{tag}"));
    for known in [tag, &weak, "*", &format!("\"other\", {weak}")] {
        let again = server
            .request(reqwest::Method::GET, "/docs")
            .header("if-none-match", known);
        assert_eq!(server.send(again).await.status, 304, "{known}");
    }
    assert!(short.bytes().await.unwrap().len() < 600_000);
}
