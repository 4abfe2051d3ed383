//! Reads that may be a little old go to a replica, and nobody misses there what they have written themselves.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Engine, Pair, Person, Reads, Server, on_both_engines};

const HEADER: &str = "x-dlc-read-after";
/// A replica that stands still is good for the whole test.
const PATIENT: (&str, &str) = ("DLC_DATABASE__REPLICA_MAX_LAG", "1h");

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{pointer} of {value}"))
}

/// Somebody with a greeting, and an administrator.
struct People {
    ada: Person,
    boss: Person,
    greeting: i64,
}

impl People {
    async fn come(pair: &Pair, server: &Server) -> Self {
        let (ada, boss) = (server.person("ada").await, server.person("boss").await);
        pair.execute(&format!("UPDATE users SET is_admin = TRUE WHERE id = {}", boss.id))
            .await;
        let greeted = server
            .request_of(&ada, Method::POST, "/api/v1/greetings")
            .json(&json!({}));
        let greeted = server.send(greeted).await;
        assert_eq!(greeted.status, 201, "{greeted:?}");
        Self {
            ada,
            boss,
            greeting: greeted.body["id"].as_i64().unwrap(),
        }
    }

    /// Every kind of read that may be a little old: what it says of the one thing that there is of a kind.
    async fn everything(&self, server: &Server) -> Vec<(&'static str, String)> {
        let anybody = async |path: &str| ok(server.get(path).await);
        let ada = async |path: &str| ok(server.get_as(&self.ada, path).await);
        let boss = async |path: &str| ok(server.get_as(&self.boss, path).await);
        let greeting = format!("/api/v1/greetings/{}", self.greeting);
        let user = format!("/api/v1/admin/users/{}", self.ada.id);
        vec![
            (
                "a coupon",
                anybody("/api/v1/coupons/c").await["remaining_amount"].to_string(),
            ),
            (
                "its claimants",
                anybody("/api/coupons/c").await["claimed_by"].to_string(),
            ),
            (
                "coupons",
                anybody("/api/v1/coupons").await["items"][0]["remaining_amount"].to_string(),
            ),
            (
                "claims",
                anybody("/api/v1/coupons/c/claims").await["items"][0]["user_id"].to_string(),
            ),
            (
                "history",
                text(&ada("/api/v1/greetings").await, "/items/0/message").to_owned(),
            ),
            ("a greeting", text(&ada(&greeting).await, "/message").to_owned()),
            (
                "oneself",
                text(&ada("/api/v1/users/me").await, "/description").to_owned(),
            ),
            (
                "accounts",
                text(&boss("/api/v1/admin/users").await, "/items/0/description").to_owned(),
            ),
            ("an account", text(&boss(&user).await, "/description").to_owned()),
        ]
    }
}

fn ok(answer: Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

async fn offer(server: &Server, name: &str, amount: u32) -> Answer {
    let offered = server
        .post("/api/v1/coupons", json!({"name": name, "amount": amount}))
        .await;
    assert_eq!(offered.status, 201, "{offered:?}");
    offered
}

async fn claim(server: &Server, coupon: &str, user: &str) -> Answer {
    let claimed = server
        .post(&format!("/api/v1/coupons/{coupon}/claims"), json!({"user_id": user}))
        .await;
    assert_eq!(claimed.status, 201, "{claimed:?}");
    claimed
}

#[tokio::test]
async fn every_read_that_may_be_a_little_old_is_answered_by_the_replica_and_no_other_one() {
    let pair = Pair::with("").await;
    let server = pair.serve(&[PATIENT]).await;
    let people = People::come(&pair, &server).await;
    offer(&server, "c", 9).await;
    claim(&server, "c", "first").await;
    pair.execute("UPDATE users SET description = 'before'; UPDATE greet_history SET message = 'before'")
        .await;
    server.until_replica_shows_now().await;
    pair.pause().await;
    // The replica does not have this.
    pair.execute(
        "UPDATE users SET description = 'after'; UPDATE greet_history SET message = 'after'; \
         UPDATE coupons SET remaining_amount = 7; UPDATE claims SET user_id = 'other'",
    )
    .await;
    let counted = server.reads().await;
    let before = people.everything(&server).await;
    let expected = [
        "8",
        "[\"first\"]",
        "8",
        "\"first\"",
        "before",
        "before",
        "before",
        "before",
        "before",
    ];
    assert_eq!(
        before.iter().map(|(_, seen)| seen.as_str()).collect::<Vec<_>>(),
        expected,
        "{before:?}"
    );
    let replica = counted.replica + 9;
    assert_eq!(server.reads().await, Reads { replica, ..counted });
    // What is not there is looked for on the primary, and whoever decides by what they read does not read there.
    pair.execute("INSERT INTO coupons (name, amount, remaining_amount, created_at) VALUES ('new', 5, 5, now())")
        .await;
    assert_eq!(server.get("/api/v1/coupons/new").await.status, 200);
    assert_eq!(server.get("/api/coupons/new").await.status, 200);
    assert_eq!(server.get("/api/v1/coupons/new/claims").await.status, 200);
    assert_eq!(server.reads().await.missing, counted.missing + 3);
    pair.execute(&format!(
        "UPDATE users SET is_admin = FALSE WHERE id = {}",
        people.boss.id
    ))
    .await;
    server
        .get_as(&people.boss, "/api/v1/admin/users")
        .await
        .assert_problem(403, "not_allowed");
    pair.execute(&format!(
        "UPDATE users SET is_admin = TRUE WHERE id = {}",
        people.boss.id
    ))
    .await;
    pair.resume().await;
    server.until_replica_shows_now().await;
    let counted = server.reads().await.replica;
    let after = people.everything(&server).await;
    let expected = [
        "7",
        "[\"other\"]",
        "7",
        "\"other\"",
        "after",
        "after",
        "after",
        "after",
        "after",
    ];
    assert_eq!(
        after.iter().map(|(_, seen)| seen.as_str()).collect::<Vec<_>>(),
        expected,
        "{after:?}"
    );
    assert_eq!(
        server.reads().await.replica,
        counted + 9,
        "the new state is the replica's, too"
    );
}

#[tokio::test]
async fn whoever_has_written_reads_it_at_once_a_thousand_times_however_old_the_replica_is() {
    let pair = Pair::with("").await;
    let server = pair.serve(&[PATIENT]).await;
    let people = People::come(&pair, &server).await;
    offer(&server, "c", 1_000_000).await;
    server.until_replica_shows_now().await;
    pair.pause().await;
    let stranger = server.request(Method::GET, "/api/v1/coupons/c").header(HEADER, "0/0");
    let (mut remaining, mut reads) = (1_000_000, 0);
    for round in 0..100 {
        // With and without the header, by turns.
        let with_header = round % 2 == 0;
        let read = async |person: Option<&Person>, written: &Answer, path: &str| {
            let request = match person {
                Some(person) => server.request_of(person, Method::GET, path),
                None => server.request(Method::GET, path),
            };
            let after = written.header(HEADER);
            assert!(!after.is_empty(), "{written:?}");
            ok(server
                .send(if with_header {
                    request.header(HEADER, after)
                } else {
                    request
                })
                .await)
        };
        let user = format!("u{round}");
        let claimed = claim(&server, "c", &user).await;
        remaining -= 1;
        assert_eq!(
            read(None, &claimed, "/api/v1/coupons/c").await["remaining_amount"],
            remaining
        );
        let alias = read(None, &claimed, "/api/coupons/c").await;
        assert_eq!(alias["claimed_by"][round], user);
        let list = read(None, &claimed, "/api/v1/coupons?limit=1").await;
        assert_eq!(list["items"][0]["remaining_amount"], remaining);
        if round < 100 {
            let claims = read(None, &claimed, "/api/v1/coupons/c/claims?limit=100").await;
            assert_eq!(claims["items"][round]["user_id"], user);
        }
        let me = ok(server.get_as(&people.ada, "/api/v1/users/me").await);
        let change = server
            .request_of(&people.ada, Method::PATCH, "/api/v1/users/me")
            .header("if-match", "*")
            .json(&json!({"description": user}));
        let changed = server.send(change).await;
        assert_eq!(changed.status, 200, "{me}: {changed:?}");
        let ada = Some(&people.ada);
        assert_eq!(read(ada, &changed, "/api/v1/users/me").await["description"], user);
        let greet = server
            .request_of(&people.ada, Method::POST, "/api/v1/greetings")
            .json(&json!({"name": user}));
        let greeted = server.send(greet).await;
        assert_eq!(greeted.status, 201, "{greeted:?}");
        let said = format!("Hello {user}!");
        assert_eq!(
            read(ada, &greeted, "/api/v1/greetings").await["items"][0]["message"],
            said
        );
        let path = greeted.header("location").to_owned();
        assert_eq!(read(ada, &greeted, &path).await["message"], said);
        let path = format!("/api/v1/admin/users/{}", people.ada.id);
        let change = server
            .request_of(&people.boss, Method::PATCH, &path)
            .header("if-match", "*")
            .json(&json!({"current_goal": user}));
        let changed = server.send(change).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        let boss = Some(&people.boss);
        assert_eq!(read(boss, &changed, &path).await["current_goal"], user);
        let listed = read(boss, &changed, "/api/v1/admin/users").await;
        assert_eq!(listed["items"][0]["current_goal"], user);
        let name = format!("d{round}");
        let created = offer(&server, &name, 1).await;
        assert_eq!(
            read(None, &created, &format!("/api/v1/coupons/{name}")).await["amount"],
            1
        );
        reads += 10;
        // The replica is in use all the time: whoever has written nothing sees the past.
        let seen = ok(server.send(stranger.try_clone().unwrap()).await);
        assert_eq!(seen["remaining_amount"], 1_000_000);
    }
    assert_eq!(reads, 1_000);
    let counted = server.reads().await;
    assert!(
        counted.replica >= 100 && counted.own_write >= 1_000 - 50 && counted.away == 0,
        "{counted:?}"
    );
}

#[tokio::test]
async fn who_writes_is_not_in_the_way_of_who_names_a_position() {
    let pair = Pair::with("").await;
    let server = pair.serve(&[PATIENT]).await;
    let people = People::come(&pair, &server).await;
    offer(&server, "c", 9).await;
    server.until_replica_shows_now().await;
    pair.pause().await;
    claim(&server, "c", "u").await;
    let counted = server.reads().await;
    // Neither the administrator nor anybody else has written.
    for path in ["/api/v1/admin/users", "/api/v1/coupons/c"] {
        let read = server.request_of(&people.boss, Method::GET, path).header(HEADER, "0/0");
        assert_eq!(server.send(read).await.status, 200);
    }
    let replica = counted.replica + 2;
    assert_eq!(server.reads().await, Reads { replica, ..counted });
    // Who says nothing may be whoever it was that wrote.
    server.get_as(&people.boss, "/api/v1/coupons/c").await;
    let own_write = counted.own_write + 1;
    assert_eq!(server.reads().await.own_write, own_write);
    // The replica itself is good.
    server.until_replica_is_used().await;
}

#[tokio::test]
async fn a_position_is_good_at_another_instance_and_without_one_that_asks_the_primary() {
    let pair = Pair::with("").await;
    let two = [PATIENT, ("DLC_DATABASE__INSTANCES", "2")];
    let (here, there) = (pair.serve(&two).await, pair.serve(&two).await);
    offer(&here, "c", 1_000_000).await;
    there.until_replica_shows_now().await;
    pair.pause().await;
    for round in 1..=100 {
        let claimed = claim(&here, "c", &format!("u{round}")).await;
        let after = claimed.header(HEADER);
        for path in ["/api/v1/coupons/c", "/api/coupons/c"] {
            let read = there.request(Method::GET, path).header(HEADER, after);
            assert_eq!(ok(there.send(read).await)["remaining_amount"], 1_000_000 - round);
            assert_eq!(ok(there.get(path).await)["remaining_amount"], 1_000_000 - round);
            let stranger = there.request(Method::GET, path).header(HEADER, "0/0");
            assert_eq!(ok(there.send(stranger).await)["remaining_amount"], 1_000_000);
        }
    }
    // Once the replica has come so far, it answers those who present their position.
    let claimed = claim(&here, "c", "last").await;
    pair.resume().await;
    there.until_replica_shows_now().await;
    let counted = there.reads().await;
    let read = there
        .request(Method::GET, "/api/v1/coupons/c")
        .header(HEADER, claimed.header(HEADER));
    assert_eq!(ok(there.send(read).await)["remaining_amount"], 1_000_000 - 101);
    let replica = counted.replica + 1;
    assert_eq!(there.reads().await, Reads { replica, ..counted });
}

#[tokio::test]
async fn a_replica_that_has_everything_is_used_however_idle_the_primary_is() {
    let pair = Pair::with("").await;
    let server = pair.serve(&[]).await;
    // The next record goes behind the header of a page on which there is none yet.
    for _ in 0..3 {
        pair.execute("SELECT pg_switch_wal()").await;
        let started = Instant::now();
        server.until_replica_shows_now().await;
        assert!(
            started.elapsed().as_secs() < 10,
            "only something else that was written has brought it on"
        );
        assert_eq!(server.figure("dlc_replica_used").await, Some(1.0));
    }
}

#[tokio::test]
async fn writes_and_who_is_told_of_one_get_a_position_and_what_is_none_is_refused() {
    let pair = Pair::with("").await;
    let server = pair.serve(&[]).await;
    let created = offer(&server, "c", 1).await;
    let position = created.header(HEADER).to_owned();
    let halves: Vec<&str> = position.split('/').collect();
    assert!(
        halves.len() == 2 && halves.iter().all(|half| u32::from_str_radix(half, 16).is_ok()),
        "{position}"
    );
    let taken = server.post("/api/v1/coupons", json!({"name": "c", "amount": 1})).await;
    taken.assert_problem(409, "coupon_exists");
    assert!(!taken.header(HEADER).is_empty(), "{taken:?}");
    assert_eq!(server.get("/api/v1/coupons/c").await.header(HEADER), "");
    let ada = server.person("ada").await;
    for path in [
        "/api/v1/coupons/c",
        "/api/coupons/c",
        "/api/v1/coupons",
        "/api/v1/coupons/c/claims",
    ] {
        for wrong in ["", "yesterday", "1", "1/2/3", "0/123456789", "-1/0"] {
            let refused = server
                .send(server.request(Method::GET, path).header(HEADER, wrong))
                .await;
            refused.assert_problem(400, "validation_failed");
            assert_eq!(refused.body["errors"][0]["field"], "X-Dlc-Read-After");
            assert!(
                text(&refused.body, "/errors/0/message").contains("16/B374D848"),
                "{refused:?}"
            );
        }
    }
    for path in ["/api/v1/users/me", "/api/v1/greetings", "/api/v1/greetings/1"] {
        let request = server.request_of(&ada, Method::GET, path).header(HEADER, "x");
        server.send(request).await.assert_problem(400, "validation_failed");
    }
}

on_both_engines! {
    async fn without_a_replica_no_answer_tells_a_position_and_there_are_no_figures_of_one(server: Server) {
        assert_eq!(offer(&server, "c", 1).await.header(HEADER), "");
        let read = server.request(Method::GET, "/api/v1/coupons/c").header(HEADER, "0/1");
        assert_eq!(server.send(read).await.status, 200, "a client need not know");
        assert!(!server.get("/metrics").await.text.contains("dlc_replica"));
    }
}

#[tokio::test]
async fn replicas_are_documented() {
    let server = <Server as crate::harness::OnEngine>::on(Engine::Sqlite).await;
    let document = server.get("/openapi.json").await.body;
    for path in [
        "/api/v1/coupons",
        "/api/v1/coupons/{name}",
        "/api/v1/coupons/{name}/claims",
        "/api/coupons/{name}",
        "/api/v1/greetings",
        "/api/v1/greetings/{id}",
        "/api/v1/users/me",
        "/api/v1/admin/users",
        "/api/v1/admin/users/{id}",
    ] {
        let get = &document["paths"][path]["get"];
        let parameters = get["parameters"].as_array().unwrap_or_else(|| panic!("{path}: {get}"));
        let header = parameters
            .iter()
            .find(|parameter| parameter["name"] == "X-Dlc-Read-After");
        assert_eq!(header.unwrap_or_else(|| panic!("{path}"))["required"], false);
    }
}
