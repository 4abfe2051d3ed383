//! What sentences about signing in, tokens, passwords and the help of an administrator mean.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use cucumber::{given, then, when};
use reqwest::Method;
use serde_json::json;

use super::accounts::has_an_account;
use crate::world::{PASSWORD, Tokens, World};

#[given(expr = "{word} has signed in")]
async fn has_signed_in(world: &mut World, who: String) {
    has_an_account(world, who.clone()).await;
    world.has_signed_in(&who).await;
}

#[given(expr = "{word} has signed in on another device")]
async fn has_signed_in_elsewhere(world: &mut World, who: String) {
    let first = world.tokens(&who).clone();
    world.has_signed_in(&who).await;
    world
        .people
        .insert(format!("{}'s first device", who.to_lowercase()), first);
}

#[given(expr = "a thief has {word}'s tokens")]
async fn are_stolen(world: &mut World, who: String) {
    world.stolen = world.tokens(&who).clone();
}

#[when(expr = "{word} signs in with the password {string}")]
async fn signs_in(world: &mut World, who: String, password: String) {
    let name = who.to_lowercase();
    let tokens = Tokens::of(world.sign_in(&name, &password).await);
    world.people.insert(name, tokens);
}

#[when(expr = "{word}'s client renews her tokens")]
async fn renews(world: &mut World, who: String) {
    let refresh = world.tokens(&who).refresh.clone();
    let tokens = Tokens::of(world.refresh(&refresh).await);
    world.people.insert(who.to_lowercase(), tokens);
}

#[when(expr = "the thief renews {word}'s tokens a minute later")]
async fn the_thief_renews(world: &mut World, _who: String) {
    // The minute passes in the database, where the time of the first use stands.
    let sql = match world.server().database.engine {
        crate::harness::Engine::Postgres => "UPDATE refresh_tokens SET used_at = used_at - interval '1 minute'",
        crate::harness::Engine::Sqlite => {
            "UPDATE refresh_tokens SET used_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', used_at, '-1 minute')"
        }
    };
    world.server().database.execute(sql).await;
    let refresh = world.stolen.refresh.clone();
    let answer = world.refresh(&refresh).await;
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[when(expr = "{word} signs out")]
async fn signs_out(world: &mut World, who: String) {
    let request = world.by(&who, Method::POST, "/api/v1/auth/logout");
    let answer = world.send(request).await;
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[when(expr = "{word} signs out everywhere")]
async fn signs_out_everywhere(world: &mut World, who: String) {
    let request = world.by(&who, Method::POST, "/api/v1/auth/logout-all");
    let answer = world.send(request).await;
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[when(expr = "{word} changes her password to {string}")]
async fn changes_the_password(world: &mut World, who: String, new: String) {
    let request = world.by(&who, Method::PUT, "/api/v1/users/me/password");
    let request = request.json(&json!({"current_password": PASSWORD, "new_password": new}));
    let answer = world.send(request).await;
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[when(expr = "{word} lets {word} set a new password")]
async fn lets_set_a_new_password(world: &mut World, admin: String, who: String) {
    let id = world.id(&who).await;
    let request = world.by(
        &admin,
        Method::POST,
        &format!("/api/v1/admin/users/{id}/password-reset"),
    );
    let answer = world.send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    world.code = world.answer().body["code"].as_str().unwrap().to_owned();
}

async fn reset(world: &mut World, who: &str, code: &str, new: &str) {
    let body = json!({"username": who.to_lowercase(), "code": code, "new_password": new});
    world.post("/api/v1/auth/password-reset", body).await;
}

#[when(expr = "{word} sets the new password {string} with {word}'s code")]
async fn sets_a_new_password(world: &mut World, who: String, new: String, _admin: String) {
    let code = world.code.clone();
    reset(world, &who, &code, &new).await;
    assert_eq!(world.answer().status, 204, "{world:?}");
}

#[when(expr = "somebody sets a new password for {word} with a code of their own")]
async fn sets_a_new_password_with_another_code(world: &mut World, who: String) {
    let other: String = world.code.chars().rev().collect();
    reset(world, &who, &other, "moss lantern quay").await;
}

#[when(expr = "somebody guesses {word}'s password {int} times")]
async fn guesses(world: &mut World, who: String, times: usize) {
    for time in 0..times {
        let answer = world
            .sign_in(&who.to_lowercase(), &format!("guess number {time}"))
            .await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    // A busy machine may take longer for the next step than the second that there is to wait.
    let until = (Utc::now() + TimeDelta::seconds(5)).to_rfc3339();
    let wait = format!("UPDATE sign_in_failures SET locked_until = '{until}' WHERE locked_until IS NOT NULL");
    world.server().database.execute(&wait).await;
}

#[when(expr = "{word} comes back when she was told to")]
async fn comes_back(world: &mut World, _who: String) {
    let seconds: u64 = world.answer().header("retry-after").parse().unwrap();
    // The one place where a person waits, and so does this.
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[then(expr = "{word} is not known any more")]
async fn is_not_known(world: &mut World, who: String) {
    assert_eq!(world.status_of(&world.tokens(&who).access).await, 401);
}

#[then(expr = "neither of {word}'s devices is signed in")]
async fn no_device_is_signed_in(world: &mut World, who: String) {
    for device in [who.to_lowercase(), format!("{}'s first device", who.to_lowercase())] {
        let tokens = world.people[&device].clone();
        assert_eq!(world.status_of(&tokens.access).await, 401, "{device}");
        let answer = world.refresh(&tokens.refresh).await;
        assert_eq!(answer.status, 401, "{device}: {answer:?}");
    }
}

#[then(expr = "{word} can sign in with the password {string}")]
async fn can_sign_in(world: &mut World, who: String, password: String) {
    let answer = world.sign_in(&who.to_lowercase(), &password).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[then(expr = "{word} cannot sign in with the password {string}")]
async fn cannot_sign_in(world: &mut World, who: String, password: String) {
    let answer = world.sign_in(&who.to_lowercase(), &password).await;
    answer.assert_problem(401, "invalid_credentials");
}

#[then(expr = "{word} cannot sign in yet, and is told when to come back")]
async fn cannot_sign_in_yet(world: &mut World, who: String) {
    let answer = world.sign_in(&who.to_lowercase(), PASSWORD).await;
    answer.assert_problem(429, "too_many_failures");
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
}

#[then(expr = "{word}'s client cannot renew her tokens")]
async fn cannot_renew(world: &mut World, who: String) {
    let refresh = world.tokens(&who).refresh.clone();
    world
        .refresh(&refresh)
        .await
        .assert_problem(401, "invalid_refresh_token");
}

#[then(expr = "{word} has to sign in again")]
async fn has_to_sign_in_again(world: &mut World, who: String) {
    is_not_known(world, who.clone()).await;
    cannot_renew(world, who).await;
}

#[then("the thief's tokens are worthless")]
async fn stolen_tokens_are_worthless(world: &mut World) {
    let stolen = world.stolen.clone();
    assert_eq!(world.status_of(&stolen.access).await, 401);
    world
        .refresh(&stolen.refresh)
        .await
        .assert_problem(401, "invalid_refresh_token");
}

#[then(expr = "{word}'s code is of no more use")]
async fn the_code_is_used_up(world: &mut World, _admin: String) {
    let code = world.code.clone();
    reset(world, "ada", &code, "another quiet harbour").await;
    world.answer().assert_problem(400, "reset_refused");
}

#[then("they are told no more than that it is no way to a new password")]
async fn no_way_to_a_new_password(world: &mut World) {
    world.answer().assert_problem(400, "reset_refused");
}
