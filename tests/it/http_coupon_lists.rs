//! Coupons and their claims over HTTP, page by page, for whoever asks.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Database, Engine, OnEngine, Server, on_both_engines};

const COUPONS: &str = "/api/v1/coupons";

/// Names that a path, a header or a terminal could stumble over.
const KINDS: [&str; 8] = [
    "a/b c",
    "50%",
    "%2F",
    "💃🕺",
    "'; DROP TABLE coupons; --",
    "?x=1#y&limit=3",
    "ä\u{301}\u{202e}",
    "<a>; rel=\"next\", \r\n",
];

fn items<'a>(page: &'a Answer, field: &str) -> Vec<&'a str> {
    let items = page.body["items"].as_array().unwrap_or_else(|| panic!("{page:?}"));
    items.iter().map(|item| item[field].as_str().unwrap()).collect()
}

/// All pages of a list, by following its links.
async fn pages(server: &Server, first: &str, field: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(path) = next {
        let page = server.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        pages.push(items(&page, field).into_iter().map(str::to_owned).collect());
        let link = page.header("link");
        assert_eq!(link.is_empty(), page.body["next_cursor"].is_null(), "{page:?}");
        next = link
            .strip_prefix('<')
            .map(|link| link.strip_suffix(">; rel=\"next\"").unwrap().to_owned());
    }
    pages
}

async fn create(server: &Server, name: &str) -> String {
    let created = server.post(COUPONS, json!({"name": name, "amount": 50})).await;
    assert_eq!(created.status, 201, "{created:?}");
    created.header("location").to_owned()
}

/// A server where whoever writes has to sign in.
struct Strict(Server);

impl OnEngine for Strict {
    async fn on(engine: Engine) -> Self {
        let database = Database::migrated(engine).await;
        let dlc = database.dlc().env("DLC_AUTH__COUPONS", "required");
        Self(Server::start_as(database, dlc, &[]).await)
    }
}

on_both_engines! {
    async fn coupons_are_listed_page_by_page_in_the_order_of_their_names(server: Server) {
        let empty = server.get(COUPONS).await;
        assert_eq!((empty.status, &empty.body, empty.header("link")), (200, &json!({"items": [], "next_cursor": null}), ""));
        for n in [4, 2, 5, 1, 3] {
            create(&server, &format!("c{n}")).await;
        }
        server.post(&format!("{COUPONS}/c1/claims"), json!({"user_id": "ann"})).await;
        assert_eq!(pages(&server, &format!("{COUPONS}?limit=2"), "name").await, [vec!["c1", "c2"], vec!["c3", "c4"], vec!["c5"]]);
        // A full last page is the last one.
        assert_eq!(pages(&server, &format!("{COUPONS}?limit=5"), "name").await, [["c1", "c2", "c3", "c4", "c5"]]);
        let page = server.get(&format!("{COUPONS}?limit=1")).await;
        assert_eq!(page.body["items"][0], server.get(&format!("{COUPONS}/c1")).await.body);
        assert_eq!(page.body["items"][0]["claims_count"], 1);
        // 20 where nothing is said.
        for n in 10..40 {
            create(&server, &format!("d{n}")).await;
        }
        let sizes: Vec<usize> = pages(&server, COUPONS, "name").await.iter().map(Vec::len).collect();
        assert_eq!(sizes, [20, 15]);
        for path in [COUPONS, "/api/v1/coupons/c1/claims"] {
            for limit in ["0", "101", "-1", "x", "", "1.5", "99999999999"] {
                let refused = server.get(&format!("{path}?limit={limit}")).await;
                refused.assert_problem(400, "validation_failed");
                assert_eq!(refused.body["errors"], json!([{"field": "limit", "message": "must be a whole number from 1 to 100"}]));
            }
            let head = server.send(server.request(Method::HEAD, path)).await;
            assert_eq!((head.status, head.text.as_str()), (200, ""));
        }
    }

    async fn claims_are_listed_in_the_order_in_which_they_were_made(server: Server) {
        create(&server, "c").await;
        create(&server, "other").await;
        let claims = format!("{COUPONS}/c/claims");
        let empty = server.get(&claims).await;
        assert_eq!((empty.status, &empty.body, empty.header("link")), (200, &json!({"items": [], "next_cursor": null}), ""));
        let who = ["zoe", "ann", "eve", "bob", "💃"];
        for user in who {
            server.post(&format!("{COUPONS}/other/claims"), json!({"user_id": user})).await;
            assert_eq!(server.post(&claims, json!({"user_id": user})).await.status, 201);
        }
        for limit in [1, 2, 4, 5, 100] {
            assert_eq!(pages(&server, &format!("{claims}?limit={limit}"), "user_id").await.concat(), who, "{limit}");
        }
        // The same people in the same order as at the literal path, and nothing of them but what is said.
        assert_eq!(server.get("/api/coupons/c").await.body["claimed_by"], json!(who));
        let item = &server.get(&claims).await.body["items"][0];
        assert_eq!(item.as_object().unwrap().keys().collect::<Vec<_>>(), ["user_id", "created_at"]);
        let age = chrono::Utc::now() - item["created_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        assert!(age.num_seconds() < 60, "{item}");
        server.get(&format!("{COUPONS}/none/claims")).await.assert_problem(404, "coupon_not_found");
        server.get(&format!("{COUPONS}/C/claims")).await.assert_problem(404, "coupon_not_found");
    }

    async fn names_of_every_kind_survive_in_links_and_cursors(server: Server) {
        let longest = "💃".repeat(255);
        let last = "\u{10ffff}".repeat(255);
        let mut made = Vec::new();
        for name in KINDS.iter().copied().chain([longest.as_str(), last.as_str()]) {
            let place = create(&server, name).await;
            for user in ["ann", "bob", "eve"] {
                assert_eq!(server.post(&format!("{place}/claims"), json!({"user_id": user})).await.status, 201);
            }
            let first = server.get(&format!("{place}/claims?limit=2")).await;
            assert!(first.header("link").starts_with(&format!("<{place}/claims?limit=2&cursor=")), "{first:?}");
            assert_eq!(pages(&server, &format!("{place}/claims?limit=1"), "user_id").await, [["ann"], ["bob"], ["eve"]], "{name}");
            made.push(name.to_owned());
        }
        for limit in [1, 2, 100] {
            let mut listed = pages(&server, &format!("{COUPONS}?limit={limit}"), "name").await.concat();
            listed.sort();
            made.sort();
            assert_eq!(listed, made, "{limit}");
        }
        for (place, status, code) in [
            ("%00", 400, "validation_failed"),
            ("a%00b", 400, "validation_failed"),
            ("%20", 400, "validation_failed"),
            ("%ff", 400, "validation_failed"),
            (&"x".repeat(256), 400, "validation_failed"),
            ("nobody", 404, "coupon_not_found"),
        ] {
            let refused = server.get(&format!("{COUPONS}/{place}/claims")).await;
            refused.assert_problem(status, code);
        }
    }

    async fn a_cursor_is_good_for_its_own_list_alone(server: Server) {
        let root = server.administrator("root").await;
        for name in ["a", "b", "a/b"] {
            let place = create(&server, name).await;
            for user in ["ann", "bob"] {
                server.post(&format!("{place}/claims"), json!({"user_id": user})).await;
            }
        }
        let cursor_of = async |path: &str| {
            let page = server.get_as(&root, &format!("{path}?limit=1")).await;
            page.body["next_cursor"].as_str().unwrap_or_else(|| panic!("{page:?}")).to_owned()
        };
        let of_a = format!("{COUPONS}/a/claims");
        let (coupons, claims) = (cursor_of(COUPONS).await, cursor_of(&of_a).await);
        server.person("ada").await;
        let users = cursor_of("/api/v1/admin/users").await;
        assert_eq!(items(&server.get(&format!("{COUPONS}?cursor={coupons}")).await, "name").len(), 2);
        assert_eq!(items(&server.get(&format!("{of_a}?limit=7&cursor={claims}")).await, "user_id"), ["bob"]);
        // Nobody has to sign in, and it is the same list for whoever has.
        assert_eq!(server.get(&format!("{of_a}?cursor={claims}")).await.body, server.get_as(&root, &format!("{of_a}?cursor={claims}")).await.body);
        // However the name is encoded, it is the same one.
        assert_eq!(items(&server.get(&format!("{COUPONS}/%61/claims?cursor={claims}")).await, "user_id"), ["bob"]);
        let mut tampered = claims.clone().into_bytes();
        tampered[0] = if tampered[0] == b'M' { b'N' } else { b'M' };
        let tampered = String::from_utf8(tampered).unwrap();
        for (path, cursor) in [
            (COUPONS, claims.as_str()),
            (COUPONS, &users),
            (&of_a, &coupons),
            (&of_a, &users),
            (&format!("{COUPONS}/b/claims"), &claims),
            (&format!("{COUPONS}/a%2Fb/claims"), &claims),
            // Whether there is such a coupon is not even asked.
            (&format!("{COUPONS}/none/claims"), &claims),
            (&of_a, &tampered),
            (&of_a, &claims[1..]),
            (&of_a, ""),
            (&of_a, "MQ"),
            (&of_a, &"x".repeat(5_000)),
            (COUPONS, "%00"),
        ] {
            server.get(&format!("{path}?cursor={cursor}")).await.assert_problem(400, "invalid_cursor");
        }
        server.get_as(&root, &format!("/api/v1/admin/users?cursor={coupons}")).await.assert_problem(400, "invalid_cursor");
        // A coupon that is gone by the second page.
        server.database.execute("DELETE FROM claims WHERE coupon_name = 'a'").await;
        server.database.execute("DELETE FROM coupons WHERE name = 'a'").await;
        server.get(&format!("{of_a}?cursor={claims}")).await.assert_problem(404, "coupon_not_found");
    }

    async fn lists_are_everybody_s_where_writers_have_to_sign_in(server: Strict) {
        let server = server.0;
        let root = server.administrator("root").await;
        assert_eq!(server.post_as(&root, COUPONS, json!({"name": "c", "amount": 5})).await.status, 201);
        assert_eq!(items(&server.get(COUPONS).await, "name"), ["c"]);
        assert_eq!(server.get(&format!("{COUPONS}/c/claims")).await.body["items"], json!([]));
        server.post(COUPONS, json!({"name": "d", "amount": 5})).await.assert_problem(401, "authentication_required");
    }

    async fn lists_are_counted_by_their_routes_and_as_what_they_do(server: Server) {
        create(&server, "c").await;
        server.get(COUPONS).await;
        server.get(&format!("{COUPONS}/c/claims")).await;
        let metrics = server.get("/metrics").await.text;
        for route in ["/api/v1/coupons", "/api/v1/coupons/{name}/claims"] {
            let counted = format!("http_request_method=\"GET\",http_route=\"{route}\",http_response_status_code=\"200\"");
            assert!(metrics.contains(&counted), "{counted}: {metrics}");
        }
        for collection in ["coupons", "claims"] {
            let counted = metrics.lines().find(|line| {
                line.contains("_count{") && line.contains("\"page\"") && line.contains(&format!("\"{collection}\""))
            });
            assert!(counted.is_some_and(|line| line.ends_with(" 1")), "{collection}: {counted:?}");
        }
    }
}

#[tokio::test]
async fn the_document_has_the_lists_and_their_problems() {
    let document: Value = crate::harness::Dlc::new().run(&["openapi"]).await.json();
    for (path, statuses) in [
        ("/api/v1/coupons", &["200", "400", "429", "500", "503"][..]),
        (
            "/api/v1/coupons/{name}/claims",
            &["200", "400", "404", "429", "500", "503"],
        ),
    ] {
        let list = &document["paths"][path]["get"];
        let found: Vec<&String> = list["responses"].as_object().unwrap().keys().collect();
        assert_eq!(found, statuses, "{path}");
        assert!(list["responses"]["200"]["headers"]["LINK"].is_object(), "{list:#}");
        assert!(
            document["paths"][path]["post"].is_object(),
            "{path} is still written to"
        );
    }
}
