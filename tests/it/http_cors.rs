//! Requests from pages of other origins.

use reqwest::Method;

use crate::harness::{Answer, Database, Dlc, Engine, Server};

const FRIEND: &str = "https://app.example";

async fn server() -> Server {
    let database = Database::migrated(Engine::Sqlite).await;
    let origins = "https://App.example, http://localhost:3000";
    let dlc = database.dlc().env("DLC_SERVER__CORS_ORIGINS", origins);
    Server::start_as(database, dlc, &[]).await
}

async fn from(server: &Server, origin: &str, method: Method, path: &str, asks: Option<&str>) -> Answer {
    let mut request = server.request(method, path).header("origin", origin);
    if let Some(method) = asks {
        request = request.header("access-control-request-method", method);
    }
    server.send(request).await
}

#[tokio::test]
async fn an_origin_that_is_named_may_read_answers_and_errors() {
    let server = server().await;
    for (path, status) in [
        ("/api/v1/greet/Ada", 200),
        ("/api/v1/coupons/none", 404),
        ("/nowhere", 404),
    ] {
        let answer = from(&server, FRIEND, Method::GET, path, None).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), FRIEND);
        for header in ["retry-after", "x-dlc-read-after"] {
            let exposed = answer.header("access-control-expose-headers");
            assert!(exposed.split(", ").any(|exposed| exposed == header), "{exposed}");
        }
        assert_eq!(answer.header("vary"), "origin");
    }
}

#[tokio::test]
async fn a_browser_that_asks_first_hears_which_methods_and_headers() {
    let server = server().await;
    let asked = from(&server, FRIEND, Method::OPTIONS, "/api/v1/coupons", Some("POST")).await;
    assert_eq!((asked.status, asked.text.as_str()), (204, ""), "{asked:?}");
    assert_eq!(asked.header("access-control-allow-origin"), FRIEND);
    assert!(
        asked.header("access-control-allow-methods").contains("POST"),
        "{asked:?}"
    );
    for header in ["idempotency-key", "x-dlc-read-after"] {
        let allowed = asked.header("access-control-allow-headers");
        assert!(allowed.split(", ").any(|allowed| allowed == header), "{asked:?}");
    }
    assert_eq!(asked.header("access-control-max-age"), "600");
    // Without the question it is a method like any other, and a route that is not there stays so.
    let bare = from(&server, FRIEND, Method::OPTIONS, "/api/v1/coupons", None).await;
    bare.assert_problem(405, "method_not_allowed");
    let nowhere = from(&server, FRIEND, Method::OPTIONS, "/nowhere", Some("GET")).await;
    nowhere.assert_problem(404, "route_not_found");
}

#[tokio::test]
async fn every_other_origin_gets_the_answer_without_the_permission() {
    let server = server().await;
    for stranger in [
        "https://evil.example",
        "https://app.example.evil.example",
        "http://app.example",
        "null",
    ] {
        let answer = from(&server, stranger, Method::GET, "/api/v1/greet/Ada", None).await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (200, ""),
            "{stranger}"
        );
        assert_eq!(answer.header("vary"), "origin");
        let asked = from(&server, stranger, Method::OPTIONS, "/api/v1/coupons", Some("POST")).await;
        assert_eq!(
            (asked.status, asked.header("access-control-allow-methods")),
            (405, ""),
            "{stranger}"
        );
    }
}

#[tokio::test]
async fn by_default_there_is_no_other_origin_and_what_is_none_is_refused() {
    let server = Server::start(Database::migrated(Engine::Sqlite).await).await;
    let answer = from(&server, FRIEND, Method::GET, "/api/v1/greet/Ada", None).await;
    assert_eq!(
        (answer.header("access-control-allow-origin"), answer.header("vary")),
        ("", "")
    );
    for wrong in [
        "*",
        "app.example",
        "https://app.example/",
        "https://",
        "ftp://app.example",
    ] {
        let dlc = Dlc::new().env("DLC_SERVER__CORS_ORIGINS", wrong);
        dlc.run(&["config", "check"])
            .await
            .assert_error(78, "origins such as https://app.example");
    }
}
