//! The coupon calls over HTTP: S1's contract, and the verdicts under concurrency.

use serde_json::json;

use crate::harness::{Server, on_both_engines};

on_both_engines! {
    async fn a_coupon_is_created_looked_at_and_claimed_at_the_paths_of_the_seed(server: Server) {
        let created = server.post("/api/coupons", json!({"name": "PROMO", "amount": 2, "ignored": true})).await;
        assert_eq!(created.status, 201, "{created:?}");
        assert_eq!(created.header("location"), "/api/v1/coupons/PROMO");
        let found = server.get("/api/coupons/PROMO").await;
        assert_eq!(found.body, json!({"name": "PROMO", "amount": 2, "remaining_amount": 2, "claimed_by": []}));
        let claimed = server.post("/api/coupons/claim", json!({"user_id": "u1", "coupon_name": "PROMO"})).await;
        assert_eq!(claimed.status, 201, "{claimed:?}");
        let found = server.get("/api/coupons/PROMO").await;
        assert_eq!(found.body, json!({"name": "PROMO", "amount": 2, "remaining_amount": 1, "claimed_by": ["u1"]}));
    }

    async fn refusals_have_their_codes(server: Server) {
        let claim = |user: &str| {
            server.post("/api/coupons/claim", json!({"user_id": user, "coupon_name": "c"}))
        };
        claim("u1").await.assert_problem(404, "coupon_not_found");
        server.get("/api/coupons/c").await.assert_problem(404, "coupon_not_found");
        server.get("/api/v1/coupons/c").await.assert_problem(404, "coupon_not_found");
        assert_eq!(server.post("/api/coupons", json!({"name": "c", "amount": 1})).await.status, 201);
        server.post("/api/coupons", json!({"name": "c", "amount": 1})).await.assert_problem(409, "coupon_exists");
        assert_eq!(claim("u1").await.status, 201);
        claim("u1").await.assert_problem(409, "already_claimed");
        claim("u2").await.assert_problem(409, "out_of_stock");
    }

    async fn the_versioned_calls_do_the_same(server: Server) {
        let created = server.post("/api/v1/coupons", json!({"name": "c", "amount": 3})).await;
        assert_eq!(created.status, 201, "{created:?}");
        let claimed = server.post("/api/v1/coupons/c/claims", json!({"user_id": "u1"})).await;
        assert_eq!((claimed.status, claimed.body), (201, json!({"user_id": "u1", "coupon_name": "c"})));
        let found = server.get("/api/v1/coupons/c").await;
        assert_eq!(found.status, 200);
        assert_eq!(found.body["remaining_amount"], 2);
        assert_eq!(found.body["claims_count"], 1);
        assert_eq!(found.body["created_at"], created.body["created_at"]);
    }

    async fn an_unchanged_coupon_is_not_sent_again(server: Server) {
        server.post("/api/v1/coupons", json!({"name": "c", "amount": 3})).await;
        let etag = server.get("/api/v1/coupons/c").await.header("etag").to_owned();
        let again = || server.request(reqwest::Method::GET, "/api/v1/coupons/c").header("if-none-match", &etag);
        let unchanged = server.send(again()).await;
        assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""));
        server.post("/api/v1/coupons/c/claims", json!({"user_id": "u1"})).await;
        assert_eq!(server.send(again()).await.status, 200);
    }

    async fn a_coupon_that_is_called_as_a_call_is_found_and_none_is_made_that_no_address_can_end_in(server: Server) {
        server.get("/api/coupons/claim").await.assert_problem(404, "coupon_not_found");
        assert_eq!(server.post("/api/coupons", json!({"name": "claim", "amount": 3})).await.status, 201);
        let found = server.get("/api/coupons/claim").await;
        assert_eq!((found.status, &found.body["remaining_amount"]), (200, &json!(3)));
        for name in [".", ".."] {
            for path in ["/api/coupons", "/api/v1/coupons"] {
                server.post(path, json!({"name": name, "amount": 1})).await.assert_problem(400, "validation_failed");
            }
        }
    }

    async fn names_of_every_kind_survive_the_way_through_a_path(server: Server) {
        for name in ["a/b c", "50%", "💃🕺", "'; DROP TABLE coupons; --", "?x=1#y", "ä\u{301}\u{202e}"] {
            let created = server.post("/api/v1/coupons", json!({"name": name, "amount": 1})).await;
            assert_eq!(created.status, 201, "{name}: {created:?}");
            let found = server.get(created.header("location")).await;
            assert_eq!((found.status, &found.body["name"]), (200, &json!(name)), "{found:?}");
        }
    }

    async fn every_refused_field_is_named(server: Server) {
        let refused = server.post("/api/coupons", json!({"name": " ", "amount": 0})).await;
        refused.assert_problem(400, "validation_failed");
        let fields: Vec<_> = refused.body["errors"].as_array().unwrap().iter().map(|e| &e["field"]).collect();
        assert_eq!(fields, ["name", "amount"]);
        for (name, amount) in [
            (json!("n".repeat(256)), json!(1)),
            (json!("a\u{0}b"), json!(1)),
            (json!("c"), json!(2_147_483_648_i64)),
            (json!("c"), json!(-1)),
            (json!("c"), json!(1.5)),
            (json!("c"), json!("1")),
            (json!("c"), json!(null)),
            (json!(7), json!(1)),
        ] {
            let refused = server.post("/api/v1/coupons", json!({"name": name, "amount": amount})).await;
            assert_eq!(refused.status, 400, "{refused:?}");
        }
        let longest = server.post("/api/v1/coupons", json!({"name": "💃".repeat(255), "amount": 2_147_483_647})).await;
        assert_eq!(longest.status, 201, "{longest:?}");
    }

    async fn a_flash_sale_sells_exactly_what_there_is(server: Server) {
        server.post("/api/coupons", json!({"name": "sale", "amount": 5})).await;
        let claims = (0..50).map(|user| {
            let request = server.request(reqwest::Method::POST, "/api/coupons/claim");
            request.json(&json!({"user_id": format!("u{user}"), "coupon_name": "sale"})).send()
        });
        let claims: Vec<_> = claims.map(tokio::spawn).collect();
        let mut statuses = Vec::new();
        for claim in claims {
            statuses.push(claim.await.unwrap().unwrap().status().as_u16());
        }
        let count = |status| statuses.iter().filter(|s| **s == status).count();
        assert_eq!((count(201), count(409)), (5, 45), "{statuses:?}");
        assert_eq!(server.database.number("SELECT count(*) FROM claims").await, 5);
        assert_eq!(server.database.number("SELECT remaining_amount FROM coupons").await, 0);
    }

    async fn ten_claims_of_one_person_are_one_claim(server: Server) {
        server.post("/api/coupons", json!({"name": "sale", "amount": 50})).await;
        let claims = (0..10).map(|_| {
            let request = server.request(reqwest::Method::POST, "/api/coupons/claim");
            request.json(&json!({"user_id": "ann", "coupon_name": "sale"})).send()
        });
        let claims: Vec<_> = claims.map(tokio::spawn).collect();
        let mut granted = 0;
        for claim in claims {
            let status = claim.await.unwrap().unwrap().status().as_u16();
            assert!(status == 201 || status == 409, "{status}");
            granted += usize::from(status == 201);
        }
        assert_eq!(granted, 1);
        assert_eq!(server.database.number("SELECT remaining_amount FROM coupons").await, 49);
    }

    async fn a_row_that_does_not_hold_up_spoils_no_other_answer(server: Server) {
        server.post("/api/coupons", json!({"name": "good", "amount": 1})).await;
        let bad = "INSERT INTO coupons (name, amount, remaining_amount, created_at) VALUES ('bad', 1, 1, NULL)";
        server.database.execute(bad).await;
        // Asked for at the same time, so that they travel together.
        let requests = (0..40).map(|n| {
            let path = if n % 2 == 0 { "/api/v1/coupons/good" } else { "/api/v1/coupons/bad" };
            (n, tokio::spawn(server.request(reqwest::Method::GET, path).send()))
        });
        for (n, request) in requests.collect::<Vec<_>>() {
            let status = request.await.unwrap().unwrap().status().as_u16();
            assert_eq!(status, if n % 2 == 0 { 200 } else { 500 });
        }
    }
}
