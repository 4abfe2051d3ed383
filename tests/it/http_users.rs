//! One's own account over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Server, on_both_engines};

const ME: &str = "/api/v1/users/me";

on_both_engines! {
    async fn what_one_tells_of_oneself_is_set_left_alone_and_taken_away(server: Server) {
        let ada = server.person("ada").await;
        let set = server.patch_as(&ada, ME, json!({"description": "Dances.", "current_goal": "a clean lead 💃"})).await;
        assert_eq!((set.status, set.header("cache-control")), (200, "no-store"), "{set:?}");
        assert_eq!((&set.body["description"], &set.body["current_goal"]), (&json!("Dances."), &json!("a clean lead 💃")));
        let taken = server.patch_as(&ada, ME, json!({"description": null})).await;
        assert_eq!((&taken.body["description"], &taken.body["current_goal"]), (&Value::Null, &json!("a clean lead 💃")), "{taken:?}");
        let nothing = server.patch_as(&ada, ME, json!({})).await;
        assert_eq!((nothing.status, &nothing.body["current_goal"]), (200, &json!("a clean lead 💃")));
        let seen = server.get_as(&ada, ME).await;
        assert_eq!((&seen.body, seen.header("etag")), (&nothing.body, nothing.header("etag")));
        let longest = "💃".repeat(2_000);
        assert_eq!(server.patch_as(&ada, ME, json!({"description": longest})).await.body["description"], longest);
        for bad in ["", " \t", &"x".repeat(2_001)] {
            let refused = server.patch_as(&ada, ME, json!({"description": bad, "current_goal": bad})).await;
            refused.assert_problem(400, "validation_failed");
            let fields: Vec<_> = refused.body["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
            assert_eq!(fields, ["description", "current_goal"]);
        }
        let refused = server.patch_as(&ada, ME, json!({"description": 7, "more": 1})).await;
        let wrong = json!([
            {"field": "description", "message": "must be a text"},
            {"field": "more", "message": "is not known here"},
        ]);
        assert_eq!(refused.body["errors"], wrong, "{refused:?}");
    }

    async fn nobody_s_change_is_lost(server: Server) {
        let ada = server.person("ada").await;
        let change = |seen: Option<String>, text: &'static str| {
            let request = server.request_of(&ada, Method::PATCH, ME).json(&json!({"description": text}));
            server.send(match seen {
                Some(seen) => request.header("if-match", seen),
                None => request,
            })
        };
        change(None, "x").await.assert_problem(428, "precondition_required");
        let first = server.get_as(&ada, ME).await.header("etag").to_owned();
        assert!(first.starts_with('"') && first.ends_with('"'), "{first}");
        let changed = change(Some(first.clone()), "one").await;
        assert_eq!(changed.status, 200, "{changed:?}");
        let second = changed.header("etag").to_owned();
        assert_ne!(first, second);
        for stale in [first.clone(), format!("W/{second}"), "\"x\"".to_owned(), "x".to_owned(), String::new()] {
            change(Some(stale), "two").await.assert_problem(412, "precondition_failed");
        }
        assert_eq!(server.get_as(&ada, ME).await.body["description"], "one");
        assert_eq!(change(Some(format!("{first}, {second}")), "three").await.status, 200);
        assert_eq!(change(Some("*".to_owned()), "four").await.status, 200);
        // Signing in is no change.
        let before = server.get_as(&ada, ME).await;
        server.sign_in(ada.id, "ada").await;
        let after = server.get_as(&ada, ME).await;
        assert_eq!(before.header("etag"), after.header("etag"));
        assert_ne!(before.body["last_login"], after.body["last_login"]);
    }

    async fn of_many_changes_at_once_of_one_state_one_is_made(server: Server) {
        let ada = server.person("ada").await;
        let etag = server.get_as(&ada, ME).await.header("etag").to_owned();
        let requests = (0..10).map(|n| {
            let request = server.request_of(&ada, Method::PATCH, ME).header("if-match", &etag);
            tokio::spawn(request.json(&json!({"description": format!("change {n}")})).send())
        });
        let mut statuses = Vec::new();
        for request in requests.collect::<Vec<_>>() {
            statuses.push(request.await.unwrap().unwrap().status().as_u16());
        }
        let count = |status| statuses.iter().filter(|s| **s == status).count();
        assert_eq!((count(200), count(412)), (1, 9), "{statuses:?}");
    }

    async fn whoever_deletes_their_account_is_gone_and_its_name_stays_taken(server: Server) {
        let ada = server.person("ada").await;
        assert_eq!(server.post_as(&ada, "/api/v1/greetings", json!({})).await.status, 201);
        let gone = server.delete_as(&ada, ME).await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""), "{gone:?}");
        server.get_as(&ada, ME).await.assert_problem(401, "invalid_token");
        server.refresh(&ada.refresh_token).await.assert_problem(401, "invalid_refresh_token");
        server.login("ada", PASSWORD).await.assert_problem(401, "invalid_credentials");
        server.register("ADA").await.assert_problem(409, "username_taken");
        assert_eq!(server.database.number("SELECT count(*) FROM greet_history").await, 1);
        let audited = server.audit_of(ada.id).await;
        assert_eq!(audited.last().unwrap().1, "user.deleted");
    }
}
