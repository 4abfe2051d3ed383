//! Coupons where people have signed in, and where they have to (C19).

use reqwest::Method;
use serde_json::json;

use crate::harness::{Database, Engine, OnEngine, Server, on_both_engines};

/// A server where administrators create coupons, and people claim for themselves.
struct Strict(Server);

impl OnEngine for Strict {
    async fn on(engine: Engine) -> Self {
        let database = Database::migrated(engine).await;
        let dlc = database.dlc().env("DLC_AUTH__COUPONS", "required");
        Self(Server::start_as(database, dlc, &[]).await)
    }
}

on_both_engines! {
    async fn where_one_has_to_sign_in_administrators_create_and_people_claim_for_themselves(server: Strict) {
        let server = server.0;
        let (root, ada) = (server.administrator("root").await, server.person("ada").await);
        for (path, name) in [("/api/coupons", "a"), ("/api/v1/coupons", "b")] {
            let coupon = json!({"name": name, "amount": 5});
            server.post(path, coupon.clone()).await.assert_problem(401, "authentication_required");
            server.post_as(&ada, path, coupon.clone()).await.assert_problem(403, "not_allowed");
            assert_eq!(server.post_as(&root, path, coupon).await.status, 201);
        }
        assert_eq!(server.database.number("SELECT count(*) FROM coupons").await, 2);

        let own = ada.id.to_string();
        let claim = json!({"coupon_name": "a", "user_id": own});
        server.post("/api/coupons/claim", claim.clone()).await.assert_problem(401, "authentication_required");
        for other in [root.id.to_string(), format!("0{own}"), format!("{own} "), "somebody".to_owned()] {
            let theirs = json!({"coupon_name": "a", "user_id": other});
            server.post_as(&ada, "/api/coupons/claim", theirs).await.assert_problem(403, "not_allowed");
            server.post_as(&ada, "/api/v1/coupons/b/claims", json!({"user_id": other})).await.assert_problem(403, "not_allowed");
        }
        // Administrators claim for themselves, too.
        server.post_as(&root, "/api/coupons/claim", claim.clone()).await.assert_problem(403, "not_allowed");
        let granted = server.post_as(&ada, "/api/coupons/claim", claim).await;
        assert_eq!((granted.status, &granted.body["user_id"]), (201, &json!(own)), "{granted:?}");
        server.post("/api/v1/coupons/b/claims", json!({})).await.assert_problem(401, "authentication_required");
        let granted = server.post_as(&ada, "/api/v1/coupons/b/claims", json!({})).await;
        assert_eq!((granted.status, &granted.body["user_id"]), (201, &json!(own)), "{granted:?}");
        let again = server.post_as(&ada, "/api/v1/coupons/b/claims", json!({"user_id": own})).await;
        again.assert_problem(409, "already_claimed");
        // The literal call says for whom.
        let unnamed = server.post_as(&ada, "/api/coupons/claim", json!({"coupon_name": "a"})).await;
        assert_eq!(unnamed.body["errors"], json!([{"field": "user_id", "message": "is required"}]), "{unnamed:?}");
        // Reading is everybody's.
        for path in ["/api/coupons/a", "/api/v1/coupons/a"] {
            assert_eq!(server.get(path).await.status, 200);
        }
        assert_eq!(server.database.number("SELECT count(*) FROM claims").await, 2);
    }

    async fn where_nobody_has_to_sign_in_whoever_has_may_leave_their_name_out(server: Server) {
        let ada = server.person("ada").await;
        assert_eq!(server.post_as(&ada, "/api/v1/coupons", json!({"name": "c", "amount": 5})).await.status, 201);
        let nameless = server.post("/api/v1/coupons/c/claims", json!({})).await;
        nameless.assert_problem(400, "validation_failed");
        assert_eq!(nameless.body["errors"][0]["field"], "user_id");
        let own = server.post_as(&ada, "/api/v1/coupons/c/claims", json!({})).await;
        assert_eq!((own.status, &own.body["user_id"]), (201, &json!(ada.id.to_string())), "{own:?}");
        // And may claim for others, as everybody may.
        assert_eq!(server.post_as(&ada, "/api/v1/coupons/c/claims", json!({"user_id": "bob"})).await.status, 201);
        assert_eq!(server.post("/api/v1/coupons/c/claims", json!({"user_id": "eve"})).await.status, 201);
    }

    async fn a_key_is_its_owner_s(server: Server) {
        let (ada, eve) = (server.person("ada").await, server.person("eve").await);
        let coupon = |name: &str| json!({"name": name, "amount": 5});
        let keyed = |name: &str| server.request(Method::POST, "/api/v1/coupons").header("idempotency-key", "k").json(&coupon(name));
        for (request, replayed) in [
            (keyed("a").bearer_auth(&ada.access_token), ""),
            (keyed("b").bearer_auth(&eve.access_token), ""),
            (keyed("c"), ""),
            (keyed("a").bearer_auth(&ada.access_token), "true"),
            (keyed("b").bearer_auth(&eve.access_token), "true"),
            (keyed("c"), "true"),
        ] {
            let answer = server.send(request).await;
            assert_eq!((answer.status, answer.header("idempotency-replayed")), (201, replayed), "{answer:?}");
        }
        // Whoever is nobody any more has no keys.
        server.call_as(&ada, "/api/v1/auth/logout").await;
        server.send(keyed("a").bearer_auth(&ada.access_token)).await.assert_problem(401, "invalid_token");
        // Nobody is not somebody whose number is nothing.
        let ids: Vec<String> = server.database.rows("SELECT DISTINCT principal FROM idempotency_keys ORDER BY principal").await.concat();
        assert_eq!(ids, [String::new(), ada.id.to_string(), eve.id.to_string()]);
    }
}
