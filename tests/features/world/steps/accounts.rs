//! What sentences about accounts mean: having one, and what stands in it.
//!
//! Not here: signing in and out, and passwords (`sessions.rs`).

use chrono::{DateTime, Utc};
use cucumber::{given, then, when};
use reqwest::Method;
use serde_json::json;

use crate::world::{PASSWORD, World};

#[given(expr = "an administrator {word}")]
async fn an_administrator(world: &mut World, who: String) {
    let name = who.to_lowercase();
    let dlc = world.server().database.dlc();
    let arguments = ["user", "create", &name, "--admin", "--password-stdin"];
    let created = dlc.run_with_input(&arguments, PASSWORD).await;
    assert_eq!(created.code, 0, "{created:?}");
    world.has_signed_in(&who).await;
}

#[given(expr = "{word} has an account")]
pub(super) async fn has_an_account(world: &mut World, who: String) {
    let answer = world.register(&who.to_lowercase(), PASSWORD).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[given(expr = "{word} looks at her profile in two windows")]
async fn two_windows(world: &mut World, who: String) {
    let tag = world.profile_tag(&who).await;
    world.windows = vec![tag.clone(), tag];
}

#[when(expr = "{word} registers with the password {string}")]
async fn registers(world: &mut World, who: String, password: String) {
    let answer = world.register(&who.to_lowercase(), &password).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[when(expr = "somebody registers as {string} with the password {string}")]
async fn tries_to_register(world: &mut World, name: String, password: String) {
    world.register(&name, &password).await;
}

#[when(expr = "{word} sets herself the goal {string}")]
async fn sets_a_goal(world: &mut World, who: String, goal: String) {
    let tag = world.profile_tag(&who).await;
    let answer = world.set_goal(&who, &tag, Some(&goal)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[when(expr = "{word} sets herself the goal {string} in {word} window")]
async fn sets_a_goal_in_a_window(world: &mut World, who: String, goal: String, _which: String) {
    let tag = world.windows.pop().expect("a window");
    world.set_goal(&who, &tag, Some(&goal)).await;
}

#[when(expr = "{word} sets herself the goal {string} in the other window")]
async fn sets_a_goal_in_the_other_window(world: &mut World, who: String, goal: String) {
    sets_a_goal_in_a_window(world, who, goal, "the other".to_owned()).await;
}

#[when(expr = "{word} gives up her goal")]
async fn gives_up_the_goal(world: &mut World, who: String) {
    let tag = world.profile_tag(&who).await;
    let answer = world.set_goal(&who, &tag, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[when(expr = "{word} deletes her account")]
async fn leaves(world: &mut World, who: String) {
    let request = world.by(&who, Method::DELETE, "/api/v1/users/me");
    let answer = world.send(request).await;
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[when(expr = "{word} restores {word}'s account")]
async fn is_restored(world: &mut World, admin: String, who: String) {
    let id = world.id(&who).await;
    let request = world.by(&admin, Method::POST, &format!("/api/v1/admin/users/{id}/restore"));
    let answer = world.send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[then("the other window says that the profile was changed meanwhile")]
async fn was_changed_meanwhile(world: &mut World) {
    world.answer().assert_problem(412, "precondition_failed");
}

#[then("they are told that the name is taken")]
async fn the_name_is_taken(world: &mut World) {
    world.answer().assert_problem(409, "username_taken");
}

#[then("they are told to choose another password")]
async fn choose_another_password(world: &mut World) {
    world.answer().assert_problem(400, "validation_failed");
    assert_eq!(world.answer().body["errors"][0]["field"], "password");
}

#[when(expr = "{word} describes herself as {string}")]
async fn describes_herself(world: &mut World, who: String, words: String) {
    let tag = world.profile_tag(&who).await;
    let request = world
        .by(&who, Method::PATCH, "/api/v1/users/me")
        .header("if-match", tag);
    let answer = world.send(request.json(&json!({"description": words}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[when(expr = "{word} tries to delete her account")]
async fn tries_to_leave(world: &mut World, who: String) {
    let request = world.by(&who, Method::DELETE, "/api/v1/users/me");
    world.send(request).await;
}

#[then(expr = "{word}'s profile says {string}")]
async fn says(world: &mut World, who: String, words: String) {
    let request = world.by(&who, Method::GET, "/api/v1/users/me");
    assert_eq!(world.send(request).await.body["description"], words.as_str());
}

#[then(expr = "{word}'s profile tells when she signed in last")]
async fn tells_the_last_time(world: &mut World, who: String) {
    let request = world.by(&who, Method::GET, "/api/v1/users/me");
    let profile = &world.send(request).await.body;
    let time = |name: &str| profile[name].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    assert!(time("last_login") >= time("created_at"), "{profile}");
}

#[then(expr = "{word} sees the accounts of {word} and {word}")]
async fn sees_the_accounts(world: &mut World, admin: String, one: String, two: String) {
    let request = world.by(&admin, Method::GET, "/api/v1/admin/users");
    let answer = world.send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let users = answer.body["items"].as_array().unwrap().iter();
    let mut names: Vec<_> = users.map(|user| user["username"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, [one, two]);
}

#[then(expr = "{word} may not see who has an account")]
async fn may_not_see_accounts(world: &mut World, who: String) {
    let request = world.by(&who, Method::GET, "/api/v1/admin/users");
    world.send(request).await.assert_problem(403, "not_allowed");
}

#[then("she is told that she is the last administrator")]
async fn is_the_last_one(world: &mut World) {
    world.answer().assert_problem(409, "last_administrator");
}
