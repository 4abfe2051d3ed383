//! What sentences about greetings and their history mean.

use cucumber::{given, then, when};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

#[given(expr = "{word} has been greeted {int} times")]
async fn has_been_greeted(world: &mut World, who: String, times: usize) {
    for time in 1..=times {
        world.record_greeting(&who, json!({"context": {"time": time}})).await;
    }
}

async fn page_through(world: &mut World, who: &str, limit: usize, greeted_again: bool) {
    let mut path = format!("/api/v1/greetings?limit={limit}");
    loop {
        let request = world.by(who, Method::GET, &path);
        let page = world.send(request).await;
        assert_eq!(page.status, 200, "{page:?}");
        let items = page.body["items"].as_array().unwrap().clone();
        let next = page.body["next_cursor"].as_str().map(str::to_owned);
        world.pages.push(items);
        let Some(cursor) = next else { return };
        path = format!("/api/v1/greetings?limit={limit}&cursor={cursor}");
        if greeted_again {
            world.record_greeting(who, json!({})).await;
        }
    }
}

#[when(expr = "{word} pages through her history, {int} at a time")]
async fn pages_through(world: &mut World, who: String, limit: usize) {
    page_through(world, &who, limit, false).await;
}

#[when(expr = "{word} pages through her history, {int} at a time, and is greeted again after each page")]
async fn pages_through_while_greeted(world: &mut World, who: String, limit: usize) {
    page_through(world, &who, limit, true).await;
}

#[when(regex = r"^(\w+) is greeted in the context (\{.*\})$")]
async fn is_greeted_in_a_context(world: &mut World, who: String, context: String) {
    let context: Value = serde_json::from_str(&context).unwrap();
    world.record_greeting(&who, json!({"context": context})).await;
}

#[then(expr = "{word} is greeted with {string}")]
async fn is_greeted(world: &mut World, who: String, words: String) {
    let request = world.by(&who, Method::GET, "/api/v1/greet");
    assert_eq!(world.greeting(request).await, words);
}

#[then(expr = "whoever has not signed in is greeted with {string}")]
async fn a_stranger_is_greeted(world: &mut World, words: String) {
    let request = world.server().request(Method::GET, "/api/v1/greet");
    assert_eq!(world.greeting(request).await, words);
}

#[then(expr = "{word} has seen {int} greetings on {int} pages, the youngest first")]
async fn has_seen(world: &mut World, _who: String, greetings: usize, pages: usize) {
    assert_eq!(world.pages.len(), pages, "{:?}", world.pages);
    let seen: Vec<i64> = world
        .pages
        .iter()
        .flatten()
        .map(|greeting| greeting["context"]["time"].as_i64().unwrap())
        .collect();
    let expected: Vec<i64> = (1..=i64::try_from(greetings).unwrap()).rev().collect();
    assert_eq!(seen, expected);
}

#[then(regex = r"^(\w+)'s youngest greeting has the context (\{.*\})$")]
async fn the_youngest_has(world: &mut World, who: String, context: String) {
    let request = world.by(&who, Method::GET, "/api/v1/greetings?limit=1");
    let page = world.send(request).await;
    let expected: Value = serde_json::from_str(&context).unwrap();
    assert_eq!(page.body["items"][0]["context"], expected, "{page:?}");
}

#[then(expr = "{word}'s history is empty")]
async fn the_history_is_empty(world: &mut World, who: String) {
    let request = world.by(&who, Method::GET, "/api/v1/greetings");
    let page = world.send(request).await;
    assert_eq!(page.body, json!({"items": [], "next_cursor": null}), "{page:?}");
}

#[then(expr = "{word} cannot find {word}'s greeting")]
async fn cannot_find_others(world: &mut World, who: String, _other: String) {
    let id = world.server().database.number("SELECT id FROM greet_history").await;
    let request = world.by(&who, Method::GET, &format!("/api/v1/greetings/{id}"));
    world.send(request).await.assert_problem(404, "greeting_not_found");
}

#[then(expr = "whoever greets {string} says {string}")]
async fn is_greeted_by_name(world: &mut World, name: String, words: String) {
    let request = world.server().request(Method::GET, &format!("/api/v1/greet/{name}"));
    assert_eq!(world.greeting(request).await, words);
}
