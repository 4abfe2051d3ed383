//! What the sentences of the features mean.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use cucumber::{given, then, when};
use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, Tokens, World};

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
async fn has_an_account(world: &mut World, who: String) {
    let answer = world.register(&who.to_lowercase(), PASSWORD).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

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

#[given(expr = "{word} looks at her profile in two windows")]
async fn two_windows(world: &mut World, who: String) {
    let tag = world.profile_tag(&who).await;
    world.windows = vec![tag.clone(), tag];
}

#[given(expr = "{word} has been greeted {int} times")]
async fn has_been_greeted(world: &mut World, who: String, times: usize) {
    for time in 1..=times {
        world.record_greeting(&who, json!({"context": {"time": time}})).await;
    }
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

#[when(expr = "{word} signs in with the password {string}")]
async fn signs_in(world: &mut World, who: String, password: String) {
    let name = who.to_lowercase();
    let tokens = Tokens::of(world.sign_in(&name, &password).await);
    world.people.insert(name, tokens);
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
