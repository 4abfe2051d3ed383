//! `Idempotency-Key`: a request that comes again gets the same answer, and nothing is done again.

use chrono::{TimeDelta, Utc};
use dlc::{
    application::ports::idempotency::KeptAnswers,
    database::{SqlKeptAnswers, connect},
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Answer, Engine, Server, on_both_engines};

fn keyed(server: &Server, key: &str, path: &str, body: &Value) -> RequestBuilder {
    server
        .request(Method::POST, path)
        .header("idempotency-key", key)
        .json(body)
}

async fn post(server: &Server, key: &str, path: &str, body: Value) -> Answer {
    server.send(keyed(server, key, path, &body)).await
}

on_both_engines! {
    async fn a_creation_that_comes_again_is_answered_again_and_not_done_again(server: Server) {
        for (path, name) in [("/api/coupons", "a"), ("/api/v1/coupons", "b")] {
            let coupon = json!({"name": name, "amount": 5});
            let first = post(&server, "k", path, coupon.clone()).await;
            assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""), "{first:?}");
            // Whatever happened to it since, the answer is the one that was given.
            server.post("/api/coupons/claim", json!({"user_id": "u", "coupon_name": name})).await;
            let again = post(&server, "k", path, coupon).await;
            assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"), "{again:?}");
            for header in ["location", "content-type"] {
                assert_eq!((&again.body, again.header(header)), (&first.body, first.header(header)));
            }
            assert_eq!(first.header("content-type"), "application/json; charset=utf-8");
        }
        assert_eq!(server.database.number("SELECT count(*) FROM coupons").await, 2);
    }

    async fn a_claim_that_comes_again_is_granted_again_and_counted_once(server: Server) {
        server.post("/api/coupons", json!({"name": "c", "amount": 5})).await;
        for (path, body) in [
            ("/api/coupons/claim", json!({"user_id": "ann", "coupon_name": "c"})),
            ("/api/v1/coupons/c/claims", json!({"user_id": "bob"})),
        ] {
            let first = post(&server, "k", path, body.clone()).await;
            assert_eq!(first.status, 201, "{first:?}");
            let again = post(&server, "k", path, body.clone()).await;
            assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"), "{again:?}");
            assert_eq!(again.body, first.body);
            // Under another key it is another request.
            post(&server, "another", path, body).await.assert_problem(409, "already_claimed");
        }
        assert_eq!(server.database.number("SELECT remaining_amount FROM coupons").await, 3);
    }

    async fn a_key_is_good_for_one_request(server: Server) {
        let coupon = |amount: u32| json!({"name": "c", "amount": amount});
        assert_eq!(post(&server, "k", "/api/v1/coupons", coupon(5)).await.status, 201);
        post(&server, "k", "/api/v1/coupons", coupon(6)).await.assert_problem(422, "idempotency_key_reused");
        assert_eq!(post(&server, "k", "/api/v1/coupons/c/claims", json!({"user_id": "ann"})).await.status, 201);
        // The coupon in the path is part of what is asked for.
        server.post("/api/v1/coupons", json!({"name": "d", "amount": 1})).await;
        let other = post(&server, "k", "/api/v1/coupons/d/claims", json!({"user_id": "ann"})).await;
        other.assert_problem(422, "idempotency_key_reused");
        assert_eq!(server.database.number("SELECT count(*) FROM claims").await, 1);
    }

    async fn a_refused_request_is_judged_anew(server: Server) {
        let claim = || post(&server, "k", "/api/v1/coupons/c/claims", json!({"user_id": "ann"}));
        claim().await.assert_problem(404, "coupon_not_found");
        server.post("/api/v1/coupons", json!({"name": "c", "amount": 1})).await;
        assert_eq!(claim().await.status, 201);
    }

    async fn while_a_request_is_worked_on_its_key_is_in_use(server: Server) {
        server.post("/api/v1/coupons", json!({"name": "c", "amount": 5})).await;
        let holder = server.database.hold_coupons().await;
        let claim = |key: &str| keyed(&server, key, "/api/v1/coupons/c/claims", &json!({"user_id": "ann"}));
        let first = tokio::spawn(claim("k").send());
        server.until_busy_with(1).await;
        server.send(claim("k")).await.assert_problem(409, "idempotency_key_in_use");
        holder.release().await;
        assert_eq!(first.await.unwrap().unwrap().status(), 201);
        assert_eq!(server.send(claim("k")).await.header("idempotency-replayed"), "true");
    }

    async fn of_many_alike_at_once_one_is_done(server: Server) {
        let requests = (0..20).map(|_| keyed(&server, "k", "/api/v1/coupons", &json!({"name": "c", "amount": 5})).send());
        let mut bodies = Vec::new();
        for request in requests.map(tokio::spawn).collect::<Vec<_>>() {
            let answer = request.await.unwrap().unwrap();
            match answer.status().as_u16() {
                201 => bodies.push(answer.json::<Value>().await.unwrap()),
                status => assert_eq!(status, 409),
            }
        }
        assert!(!bodies.is_empty() && bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
        assert_eq!(server.database.number("SELECT count(*) FROM idempotency_keys").await, 1);
    }

    async fn nothing_is_done_whose_answer_cannot_be_kept(server: Server) {
        server.post("/api/v1/coupons", json!({"name": "c", "amount": 5})).await;
        // Looking it up works, keeping does not.
        let refuse = match server.database.engine {
            Engine::Postgres => "ALTER TABLE idempotency_keys ADD CHECK (false)",
            Engine::Sqlite => {
                "CREATE TRIGGER no BEFORE INSERT ON idempotency_keys BEGIN SELECT RAISE(ABORT, 'no'); END"
            }
        };
        server.database.execute(refuse).await;
        post(&server, "k", "/api/v1/coupons", json!({"name": "d", "amount": 5})).await.assert_problem(500, "internal_error");
        let claimed = post(&server, "k", "/api/v1/coupons/c/claims", json!({"user_id": "ann"})).await;
        claimed.assert_problem(500, "internal_error");
        assert_eq!(server.database.number("SELECT count(*) FROM coupons").await, 1);
        assert_eq!(server.database.number("SELECT count(*) FROM claims").await, 0);
        assert_eq!(server.database.number("SELECT remaining_amount FROM coupons").await, 5);
    }

    async fn a_key_that_cannot_be_kept_is_refused_and_nothing_is_done(server: Server) {
        let coupon = json!({"name": "c", "amount": 5});
        let request = || server.request(Method::POST, "/api/v1/coupons").json(&coupon);
        let long = "k".repeat(256);
        for key in ["", "a b", long.as_str(), "kä"] {
            let refused = server.send(request().header("idempotency-key", key.as_bytes())).await;
            refused.assert_problem(400, "validation_failed");
            assert_eq!(refused.body["errors"][0]["field"], "Idempotency-Key", "{key}");
        }
        let twice = request().header("idempotency-key", "a").header("idempotency-key", "b");
        server.send(twice).await.assert_problem(400, "validation_failed");
        assert_eq!(server.database.number("SELECT count(*) FROM coupons").await, 0);
        assert_eq!(post(&server, &"k".repeat(255), "/api/v1/coupons", coupon.clone()).await.status, 201);
    }

    async fn after_a_day_a_key_is_new_and_its_answer_is_forgotten(server: Server) {
        server.post("/api/v1/coupons", json!({"name": "c", "amount": 5})).await;
        let claim = |who: &str| post(&server, "k", "/api/v1/coupons/c/claims", json!({"user_id": who}));
        assert_eq!(claim("ann").await.status, 201);
        let age = |hours: i64| (Utc::now() - TimeDelta::hours(hours)).to_rfc3339();
        let make_old = format!("UPDATE idempotency_keys SET created_at = '{}'", age(25));
        server.database.execute(&make_old).await;
        assert_eq!(claim("bob").await.header("idempotency-replayed"), "");
        assert_eq!(claim("bob").await.header("idempotency-replayed"), "true");

        post(&server, "other", "/api/v1/coupons", json!({"name": "d", "amount": 5})).await;
        server.database.execute(&format!("{make_old} WHERE key = 'k'")).await;
        let answers = SqlKeptAnswers::new(connect(&server.database.options()).await.unwrap());
        let forgotten = answers.forget(Utc::now() - TimeDelta::hours(24)).await.unwrap();
        assert_eq!(forgotten, 1);
        assert_eq!(server.database.rows("SELECT key FROM idempotency_keys").await, [["other"]]);
    }
}
