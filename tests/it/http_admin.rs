//! Everybody's accounts over HTTP, for administrators.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Person, Server, on_both_engines};

const USERS: &str = "/api/v1/admin/users";

/// Accounts that nobody signs in to.
async fn crowd(server: &Server, names: impl IntoIterator<Item = String>) {
    for name in names {
        let insert = format!("INSERT INTO users (username, password_hash) VALUES ('{name}', 'none')");
        server.database.execute(&insert).await;
    }
}

/// All pages of a list, by following its links: names page by page.
async fn pages(server: &Server, person: &Person, first: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(path) = next {
        let page = server.get_as(person, &path).await;
        assert_eq!(page.status, 200, "{page:?}");
        let names = page.body["items"].as_array().unwrap().iter();
        pages.push(
            names
                .map(|user| user["username"].as_str().unwrap().to_owned())
                .collect(),
        );
        let link = page.header("link");
        assert_eq!(link.is_empty(), page.body["next_cursor"].is_null(), "{page:?}");
        next = link
            .strip_prefix('<')
            .map(|link| link.strip_suffix(">; rel=\"next\"").unwrap().to_owned());
    }
    pages
}

on_both_engines! {
    async fn accounts_are_listed_page_by_page(server: Server) {
        let root = server.administrator("root").await;
        crowd(&server, (1..=5).map(|n| format!("user-{n}"))).await;
        server.database.execute("UPDATE users SET deleted_at = created_at WHERE username IN ('user-2', 'user-4')").await;
        assert_eq!(pages(&server, &root, &format!("{USERS}?limit=2")).await, [vec!["root", "user-1"], vec!["user-3", "user-5"]]);
        assert_eq!(pages(&server, &root, &format!("{USERS}?limit=3&state=all")).await, [["root", "user-1", "user-2"], ["user-3", "user-4", "user-5"]]);
        assert_eq!(pages(&server, &root, &format!("{USERS}?state=deleted")).await, [["user-2", "user-4"]]);
        assert_eq!(pages(&server, &root, &format!("{USERS}?limit=1&state=deleted")).await, [["user-2"], ["user-4"]]);
        // 20 where nothing is said.
        crowd(&server, (6..=30).map(|n| format!("user-{n}"))).await;
        let sizes: Vec<usize> = pages(&server, &root, USERS).await.iter().map(Vec::len).collect();
        assert_eq!(sizes, [20, 9]);
        for limit in ["0", "101", "-1", "x", "", "1.5", "99999999999"] {
            let refused = server.get_as(&root, &format!("{USERS}?limit={limit}")).await;
            refused.assert_problem(400, "validation_failed");
            assert_eq!(refused.body["errors"], json!([{"field": "limit", "message": "must be a whole number from 1 to 100"}]));
        }
        server.get_as(&root, &format!("{USERS}?state=gone")).await.assert_problem(400, "validation_failed");
    }

    async fn a_cursor_is_good_for_its_own_list_alone(server: Server) {
        let (root, other) = (server.administrator("root").await, server.administrator("other").await);
        let cursor_of = async |person: &Person, path: &str| {
            let page = server.get_as(person, path).await;
            page.body["next_cursor"].as_str().unwrap_or_else(|| panic!("{page:?}")).to_owned()
        };
        let users = cursor_of(&root, &format!("{USERS}?limit=1")).await;
        for _ in 0..2 {
            server.post_as(&root, "/api/v1/greetings", json!({})).await;
            server.post_as(&other, "/api/v1/greetings", json!({})).await;
        }
        let greetings = cursor_of(&root, "/api/v1/greetings?limit=1").await;
        assert_eq!(server.get_as(&root, &format!("{USERS}?cursor={users}")).await.status, 200);
        // With another limit it is the same list.
        assert_eq!(server.get_as(&root, &format!("{USERS}?limit=7&cursor={users}")).await.status, 200);
        assert_eq!(server.get_as(&root, &format!("/api/v1/greetings?cursor={greetings}")).await.status, 200);
        let mut tampered = users.clone().into_bytes();
        tampered[0] = if tampered[0] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(tampered).unwrap();
        for (person, path) in [
            (&other, format!("{USERS}?cursor={users}")),
            (&root, format!("{USERS}?state=all&cursor={users}")),
            (&root, format!("/api/v1/greetings?cursor={users}")),
            (&root, format!("{USERS}?cursor={greetings}")),
            (&other, format!("/api/v1/greetings?cursor={greetings}")),
            (&root, format!("{USERS}?cursor={tampered}")),
            (&root, format!("{USERS}?cursor={}", &users[1..])),
            (&root, format!("{USERS}?cursor={users}AAAA")),
            (&root, format!("{USERS}?cursor=")),
            (&root, format!("{USERS}?cursor=MQ")),
            (&root, format!("{USERS}?cursor={}", "x".repeat(5_000))),
        ] {
            server.get_as(person, &path).await.assert_problem(400, "invalid_cursor");
        }
    }

    async fn an_administrator_looks_at_an_account_and_changes_it(server: Server) {
        let (root, ada) = (server.administrator("root").await, server.person("ada").await);
        let path = format!("{USERS}/{}", ada.id);
        let seen = server.get_as(&root, &path).await;
        assert_eq!((seen.status, seen.header("cache-control")), (200, "no-store"), "{seen:?}");
        let fields: Vec<&String> = seen.body.as_object().unwrap().keys().collect();
        assert_eq!(
            fields,
            ["id", "username", "description", "current_goal", "is_admin", "allow_password_reset", "created_at", "updated_at", "deleted_at", "last_login"]
        );
        let change = json!({"description": "Teaches.", "is_admin": true});
        server.send(server.request_of(&root, Method::PATCH, &path).json(&change)).await.assert_problem(428, "precondition_required");
        let stale = server.request_of(&root, Method::PATCH, &path).header("if-match", "\"1-1\"").json(&change);
        server.send(stale).await.assert_problem(412, "precondition_failed");
        let changed = server.patch_as(&root, &path, change).await;
        assert_eq!((changed.status, &changed.body["is_admin"], &changed.body["description"]), (200, &json!(true), &json!("Teaches.")), "{changed:?}");
        // An administrator at once, with the token that she has.
        assert_eq!(server.get_as(&ada, USERS).await.status, 200);
        server.patch_as(&root, &path, json!({"is_admin": "yes"})).await.assert_problem(400, "validation_failed");
        let closed = server.patch_as(&root, &path, json!({"username": "eve"})).await;
        assert_eq!(closed.body["errors"], json!([{"field": "username", "message": "is not known here"}]));
        let by = |action: &str| (format!("user:{}", root.id), action.to_owned());
        let audited = server.audit_of(ada.id).await;
        for action in ["user.promoted", "user.changed"] {
            assert!(audited.contains(&by(action)), "{action} in {audited:?}");
        }
    }

    async fn a_deleted_account_is_there_for_administrators_until_it_is_restored(server: Server) {
        let (root, ada) = (server.administrator("root").await, server.person("ada").await);
        let path = format!("{USERS}/{}", ada.id);
        let gone = server.delete_as(&root, &path).await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""), "{gone:?}");
        assert_ne!(server.get_as(&root, &path).await.body["deleted_at"], Value::Null);
        server.delete_as(&root, &path).await.assert_problem(404, "user_not_found");
        server.patch_as(&root, &path, json!({"description": "x"})).await.assert_problem(404, "user_not_found");
        server.call_as(&root, &format!("{path}/password-reset")).await.assert_problem(404, "user_not_found");
        server.login("ada", PASSWORD).await.assert_problem(401, "invalid_credentials");
        let back = server.call_as(&root, &format!("{path}/restore")).await;
        assert_eq!((back.status, &back.body["deleted_at"], &back.body["username"]), (200, &Value::Null, &json!("ada")), "{back:?}");
        assert_eq!(server.login("ada", PASSWORD).await.status, 200);
    }

    async fn whoever_is_not_there_is_404(server: Server) {
        let root = server.administrator("root").await;
        for id in ["99", "0", "-1", "x", "99999999999", "1%20"] {
            let path = format!("{USERS}/{id}");
            server.get_as(&root, &path).await.assert_problem(404, "user_not_found");
            server.delete_as(&root, &path).await.assert_problem(404, "user_not_found");
            let change = server.request_of(&root, Method::PATCH, &path).header("if-match", "*").json(&json!({}));
            server.send(change).await.assert_problem(404, "user_not_found");
            server.call_as(&root, &format!("{path}/restore")).await.assert_problem(404, "user_not_found");
            server.call_as(&root, &format!("{path}/password-reset")).await.assert_problem(404, "user_not_found");
        }
    }

    async fn somebody_always_administrates(server: Server) {
        let root = server.administrator("root").await;
        let path = format!("{USERS}/{}", root.id);
        server.patch_as(&root, &path, json!({"is_admin": false})).await.assert_problem(409, "last_administrator");
        server.delete_as(&root, &path).await.assert_problem(409, "last_administrator");
        server.delete_as(&root, "/api/v1/users/me").await.assert_problem(409, "last_administrator");
        // Of two who demote each other at the same time, one stays.
        let other = server.administrator("other").await;
        let demote = |by: &Person, whom: &Person| {
            let request = server.request_of(by, Method::PATCH, &format!("{USERS}/{}", whom.id));
            tokio::spawn(request.header("if-match", "*").json(&json!({"is_admin": false})).send())
        };
        let (one, two) = (demote(&root, &other), demote(&other, &root));
        let mut statuses = [one.await.unwrap().unwrap().status().as_u16(), two.await.unwrap().unwrap().status().as_u16()];
        statuses.sort_unstable();
        assert!(statuses[0] == 200 && [401, 409].contains(&statuses[1]), "{statuses:?}");
        assert_eq!(server.database.number("SELECT count(*) FROM users WHERE is_admin").await, 1);
    }
}
