//! Greetings over HTTP.

use serde_json::json;

use crate::harness::{Database, Engine, Server};

#[tokio::test]
async fn a_name_is_greeted_and_nobody_is_the_world() {
    let server = Server::start(Database::migrated(Engine::Sqlite).await).await;
    assert_eq!(
        server.get("/api/v1/greet").await.body,
        json!({"message": "Hello world!"})
    );
    assert_eq!(
        server.get("/api/v1/greet/Ada").await.body,
        json!({"message": "Hello Ada!"})
    );
    assert_eq!(
        server.get("/api/v1/greet/A%2FB%20%F0%9F%92%83").await.body,
        json!({"message": "Hello A/B 💃!"})
    );
}

#[tokio::test]
async fn a_name_that_breaks_the_rules_is_named_as_the_field() {
    let server = Server::start(Database::migrated(Engine::Sqlite).await).await;
    for name in ["%20", "a%00b", &"x".repeat(256)] {
        let refused = server.get(&format!("/api/v1/greet/{name}")).await;
        refused.assert_problem(400, "validation_failed");
        assert_eq!(refused.body["errors"][0]["field"], "name", "{refused:?}");
    }
    let not_utf8 = server.get("/api/v1/greet/%FF").await;
    not_utf8.assert_problem(400, "validation_failed");
    assert_eq!(not_utf8.body["errors"][0]["field"], "path", "{not_utf8:?}");
}
