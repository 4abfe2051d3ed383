//! Greetings over HTTP.

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Database, Engine, Person, Server, on_both_engines};

const GREETINGS: &str = "/api/v1/greetings";

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

/// Sends a body as it is written here.
async fn post_text(server: &Server, person: &Person, body: &str) -> crate::harness::Answer {
    let request = server
        .request_of(person, Method::POST, GREETINGS)
        .header("content-type", "application/json");
    server.send(request.body(body.to_owned())).await
}

/// The messages of all pages, by following the cursors.
async fn history(server: &Server, person: &Person, limit: u32) -> Vec<String> {
    let mut messages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server
            .get_as(person, &format!("{GREETINGS}?limit={limit}{cursor}"))
            .await;
        assert_eq!(
            (page.status, page.header("cache-control")),
            (200, "no-store"),
            "{page:?}"
        );
        let items = page.body["items"].as_array().unwrap();
        assert!(items.len() <= limit as usize);
        messages.extend(items.iter().map(|item| item["message"].as_str().unwrap().to_owned()));
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return messages,
        }
    }
}

on_both_engines! {
    async fn whoever_has_signed_in_is_greeted_by_name_and_no_cache_keeps_that(server: Server) {
        let ada = server.person("ada").await;
        let anybody = server.get("/api/v1/greet").await;
        assert_eq!((&anybody.body["message"], anybody.header("cache-control")), (&json!("Hello world!"), ""));
        let hello = server.get_as(&ada, "/api/v1/greet").await;
        assert_eq!((&hello.body["message"], hello.header("cache-control")), (&json!("Hello ada!"), "no-store"));
        for answer in [&anybody, &hello] {
            assert!(answer.headers.get_all("vary").iter().any(|value| value == "authorization"), "{answer:?}");
        }
        server.patch_as(&ada, "/api/v1/users/me", json!({"current_goal": "a clean lead"})).await;
        assert_eq!(server.get_as(&ada, "/api/v1/greet").await.body["message"], "Hello ada! Your goal: a clean lead");
        // Whoever is named is who is greeted, by whomever.
        assert_eq!(server.get_as(&ada, "/api/v1/greet/Eve").await.body["message"], "Hello Eve!");
        assert_eq!(server.database.number("SELECT count(*) FROM greet_history").await, 0);
    }

    async fn a_greeting_is_remembered_for_whoever_has_signed_in(server: Server) {
        let (ada, eve) = (server.person("ada").await, server.person("eve").await);
        let made = server.post_as(&ada, GREETINGS, json!({"context": {"lesson": 7, "with": ["eve", null]}})).await;
        assert_eq!((made.status, &made.body["message"]), (201, &json!("Hello ada!")), "{made:?}");
        assert_eq!(made.body["context"], json!({"lesson": 7, "with": ["eve", null]}));
        let age = Utc::now() - made.body["created_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        assert!(age.num_seconds() < 60, "{made:?}");
        let place = made.header("location").to_owned();
        let found = server.get_as(&ada, &place).await;
        assert_eq!((found.status, &found.body), (200, &made.body), "{found:?}");
        // Nobody else finds it, and whoever is not signed in has to.
        server.get_as(&eve, &place).await.assert_problem(404, "greeting_not_found");
        server.get(&place).await.assert_problem(401, "authentication_required");
        for nowhere in ["99", "0", "x", "99999999999"] {
            server.get_as(&ada, &format!("{GREETINGS}/{nowhere}")).await.assert_problem(404, "greeting_not_found");
        }
        let named = server.post_as(&ada, GREETINGS, json!({"name": "Eve", "context": null})).await;
        assert_eq!((&named.body["message"], &named.body["context"]), (&json!("Hello Eve!"), &Value::Null));
        assert_eq!(history(&server, &ada, 20).await, ["Hello Eve!", "Hello ada!"]);
        assert!(history(&server, &eve, 20).await.is_empty());
    }

    async fn nobody_s_greeting_is_remembered_and_found_by_nobody(server: Server) {
        let ada = server.person("ada").await;
        let made = server.post(GREETINGS, json!({})).await;
        assert_eq!((made.status, &made.body["message"], made.header("location")), (201, &json!("Hello world!"), ""), "{made:?}");
        let place = format!("{GREETINGS}/{}", made.body["id"]);
        server.get_as(&ada, &place).await.assert_problem(404, "greeting_not_found");
        assert!(history(&server, &ada, 20).await.is_empty());
        server.get(GREETINGS).await.assert_problem(401, "authentication_required");
    }

    async fn a_history_is_read_page_by_page_whatever_is_said_meanwhile(server: Server) {
        let ada = server.person("ada").await;
        for n in 1..=7 {
            server.post_as(&ada, GREETINGS, json!({"name": format!("n{n}")})).await;
        }
        let all: Vec<String> = (1..=7).rev().map(|n| format!("Hello n{n}!")).collect();
        for limit in [1, 2, 3, 7, 100] {
            assert_eq!(history(&server, &ada, limit).await, all, "{limit}");
        }
        // All of one moment: their numbers tell them apart.
        server.database.execute("UPDATE greet_history SET created_at = '2026-01-01T00:00:00.123456+00:00'").await;
        assert_eq!(history(&server, &ada, 2).await, all);
        let first = server.get_as(&ada, &format!("{GREETINGS}?limit=3")).await;
        server.post_as(&ada, GREETINGS, json!({"name": "late"})).await;
        let link = first.header("link");
        let next = link.trim_start_matches('<').split('>').next().unwrap();
        let second = server.get_as(&ada, next).await;
        let messages: Vec<_> = second.body["items"].as_array().unwrap().iter().map(|item| &item["message"]).collect();
        assert_eq!(messages, ["Hello n4!", "Hello n3!", "Hello n2!"], "{link}");
    }

    async fn a_greeting_that_comes_again_is_answered_again(server: Server) {
        let (ada, eve) = (server.person("ada").await, server.person("eve").await);
        let keyed = |body: Value| server.request(Method::POST, GREETINGS).header("idempotency-key", "k").json(&body);
        let body = json!({"name": "Eve", "context": {"a": 1.5, "b": {"c": 1, "d": 2}}});
        let reordered = r#"{"context": {"b": {"d": 2, "c": 1}, "a": 1.5}, "name": "Eve"}"#;
        let first = server.send(keyed(body.clone()).bearer_auth(&ada.access_token)).await;
        let again = server.send(keyed(body.clone()).bearer_auth(&ada.access_token)).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"), "{again:?}");
        assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));
        let same = server.request(Method::POST, GREETINGS).header("idempotency-key", "k").bearer_auth(&ada.access_token);
        let same = server.send(same.header("content-type", "application/json").body(reordered)).await;
        assert_eq!((same.status, same.header("idempotency-replayed")), (201, "true"), "{same:?}");
        let other = server.send(keyed(json!({"name": "Eve"})).bearer_auth(&ada.access_token)).await;
        other.assert_problem(422, "idempotency_key_reused");
        // Other people's keys are other keys, and nobody's are nobody's.
        for request in [keyed(body.clone()).bearer_auth(&eve.access_token), keyed(body.clone())] {
            let theirs = server.send(request).await;
            assert_eq!((theirs.status, theirs.header("idempotency-replayed")), (201, ""), "{theirs:?}");
            assert_ne!(theirs.body["id"], first.body["id"]);
        }
        let anonymous = server.send(keyed(body)).await;
        assert_eq!((anonymous.header("idempotency-replayed"), anonymous.header("location")), ("true", ""));
        assert_eq!(server.database.number("SELECT count(*) FROM greet_history").await, 3);
    }

    async fn a_context_is_an_object_of_bounded_size_and_depth(server: Server) {
        let ada = server.person("ada").await;
        let refused = async |context: Value, words: &str| {
            let refused = server.post_as(&ada, GREETINGS, json!({"context": context})).await;
            refused.assert_problem(400, "validation_failed");
            assert_eq!(refused.body["errors"][0]["field"], "context");
            let message = refused.body["errors"][0]["message"].as_str().unwrap();
            assert!(message.contains(words), "{refused:?}");
        };
        for other in [json!([1]), json!("x"), json!(7), json!(true)] {
            refused(other, "object").await;
        }
        refused(json!({"a": {"b": {"c": {"d": {"e": {}}}}}}), "5 deep").await;
        let of_length = |bytes: usize| json!({"a": "x".repeat(bytes - 8)});
        refused(of_length(8_193), "8192 bytes").await;
        for good in [json!({}), json!({"a": {"b": {"c": {"d": {}}}}}), of_length(8_192)] {
            let made = server.post_as(&ada, GREETINGS, json!({"context": good})).await;
            assert_eq!(made.status, 201, "{made:?}");
            assert_eq!(server.get_as(&ada, made.header("location")).await.body["context"], good);
        }
        let both = server.post_as(&ada, GREETINGS, json!({"name": "", "context": [], "more": 1})).await;
        let fields: Vec<_> = both.body["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
        assert_eq!(fields, ["context", "more"], "{both:?}");
        let both = server.post_as(&ada, GREETINGS, json!({"name": " ", "context": {"a": "\u{0}"}})).await;
        assert_eq!(both.body["errors"].as_array().map(Vec::len), Some(2), "{both:?}");
    }

    async fn numbers_and_texts_survive_on_either_database_or_are_refused_as_what_they_are(server: Server) {
        let ada = server.person("ada").await;
        // As it is written, and as whoever reads it finds it.
        for (written, read) in [
            (r#"{"n":1}"#, r#"{"n":1}"#),
            (r#"{"n":18446744073709551615}"#, r#"{"n":18446744073709551615}"#),
            (r#"{"n":-9223372036854775808}"#, r#"{"n":-9223372036854775808}"#),
            (r#"{"n":0.1}"#, r#"{"n":0.1}"#),
            (r#"{"n":1.7976931348623157e308}"#, r#"{"n":1.7976931348623157e308}"#),
            (r#"{"n":5e-324}"#, r#"{"n":5e-324}"#),
            (r#"{"a":"\ud83d\udc83"}"#, r#"{"a":"💃"}"#),
            (r#"{"a":"\\u0000"}"#, r#"{"a":"\\u0000"}"#),
            // The last of two alike.
            (r#"{"n":1,"n":2}"#, r#"{"n":2}"#),
        ] {
            let made = post_text(&server, &ada, &format!(r#"{{"context":{written}}}"#)).await;
            assert_eq!(made.status, 201, "{written}: {made:?}");
            let expected: Value = serde_json::from_str(read).unwrap();
            assert_eq!(made.body["context"], expected, "{written}");
            let found = server.get_as(&ada, made.header("location")).await;
            assert_eq!(found.body["context"], expected, "{written}: {found:?}");
        }
        // Numbers that keep their value, if not their form.
        for (written, value) in [(r#"{"n":-0}"#, 0.0), (r#"{"n":-0.0}"#, 0.0), (r#"{"n":1.0}"#, 1.0), (r#"{"n":123456789012345678901234567890}"#, 1.234_567_890_123_456_8e29)] {
            let made = post_text(&server, &ada, &format!(r#"{{"context":{written}}}"#)).await;
            assert_eq!(made.status, 201, "{written}: {made:?}");
            for answer in [&made, &server.get_as(&ada, made.header("location")).await] {
                assert_eq!(answer.body["context"]["n"].as_f64(), Some(value), "{written}: {answer:?}");
            }
        }
        for nonsense in [r#"{"n":1e400}"#, r#"{"a":"\ud800"}"#, r#"{"n":NaN}"#, r#"{"n":01}"#, r#"{"a":}"#, &"[".repeat(100_000)] {
            let refused = post_text(&server, &ada, &format!(r#"{{"context":{nonsense}}}"#)).await;
            refused.assert_problem(400, "invalid_body");
        }
    }
}
