//! What sentences about the end of the service mean: stopping, what is under way then, and starting again.

use cucumber::{given, then, when};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

use crate::{
    harness::Engine,
    world::{Held, World},
};

#[given("the service takes its time to stop")]
async fn takes_its_time(world: &mut World) {
    world.set("DLC_SHUTDOWN__DELAY", "60s");
}

#[given(expr = "the service has {word} to stop")]
async fn has_little_time(world: &mut World, time: String) {
    world.set("DLC_SHUTDOWN__TIMEOUT", &time);
}

#[given("the service waits for rows as long as it takes")]
async fn is_patient(world: &mut World) {
    for limit in ["DLC_DATABASE__LOCK_TIMEOUT", "DLC_DATABASE__STATEMENT_TIMEOUT"] {
        world.set(limit, "60s");
    }
    world.set("DLC_SERVER__REQUEST_TIMEOUT", "90s");
}

#[given(expr = "a claim of {word}'s for {string} is under way")]
async fn is_under_way(world: &mut World, who: String, coupon: String) {
    let holder = world.server().database.hold_coupons().await;
    let claim = world.server().request(Method::POST, "/api/coupons/claim");
    let claim = claim.json(&json!({"user_id": who, "coupon_name": coupon}));
    world.holder = Some(Held::Rows(holder));
    world.claim = Some(tokio::spawn(claim.send()));
    // And the one that asks.
    world.server().until_at_work(2).await;
}

fn signal_of(name: &str) -> Signal {
    match name {
        "SIGINT" => Signal::INT,
        "SIGTERM" => Signal::TERM,
        other => panic!("no scenario sends {other}"),
    }
}

#[when(expr = "the service gets {word}")]
async fn gets(world: &mut World, signal: String) {
    world.end_by(signal_of(&signal)).await;
}

#[when("the service is asked to stop")]
async fn is_asked_to_stop(world: &mut World) {
    world.server().signal(Signal::TERM);
    world.server().until_logged("asked to stop").await;
}

#[when("the service is asked to stop again")]
async fn is_asked_again(world: &mut World) {
    world.end_by(Signal::TERM).await;
}

#[when("the claim can go on")]
async fn can_go_on(world: &mut World) {
    match world.holder.take() {
        Some(Held::Rows(holder)) => holder.release().await,
        _ => panic!("nobody keeps a claim from going on"),
    }
}

#[when("the service is stopped and started again")]
async fn is_restarted(world: &mut World) {
    world.end_by(Signal::TERM).await;
    assert_eq!(world.finished().code, 0, "{world:?}");
    world.start().await;
}

#[when("the service is killed and started again")]
async fn is_killed_and_started(world: &mut World) {
    world.end_by(Signal::KILL).await;
    assert_eq!(world.finished().code, -1, "{world:?}");
    world.start().await;
}

#[when("the service is started again")]
async fn is_started_again(world: &mut World) {
    world.start().await;
}

#[then(expr = "it ends with exit code {int}")]
async fn ends_with(world: &mut World, code: i32) {
    if world.server.is_some() {
        world.until_ended().await;
    }
    assert_eq!(world.finished().code, code, "{world:?}");
}

#[then(regex = r"^it has logged that (SIG\w+) asked it to stop$")]
async fn has_logged_the_signal(world: &mut World, signal: String) {
    let log = &world.finished().stderr;
    let line = log.lines().find(|line| line.contains("asked to stop"));
    assert!(line.is_some_and(|line| line.contains(&signal)), "{log}");
}

#[then("it has logged that it was stopped by force")]
async fn has_logged_the_force(world: &mut World) {
    assert!(world.finished().stderr.contains("stopped by force"), "{world:?}");
}

#[then("it is not ready")]
async fn is_not_ready(world: &mut World) {
    world.server().until("/readyz", 503).await;
}

#[then("the claim is granted after all")]
async fn is_granted_after_all(world: &mut World) {
    let claim = world.claim.take().expect("a claim that is under way");
    assert_eq!(claim.await.unwrap().unwrap().status(), 201);
}

#[then("the claim is cut off")]
async fn is_cut_off(world: &mut World) {
    let claim = world.claim.take().expect("a claim that is under way");
    let answer = claim.await.unwrap();
    assert!(answer.is_err(), "{answer:?}");
    can_go_on(world).await;
}

#[then("it has let go of its database")]
async fn has_let_go(world: &mut World) {
    let database = world.database();
    match database.engine {
        Engine::Sqlite => {
            let log = database.file().with_extension("db-wal");
            assert!(!log.exists(), "the write-ahead log is left behind");
        }
        Engine::Postgres => {
            let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dlc serve%' \
                            AND datname = current_database()";
            assert_eq!(database.number(sessions).await, 0);
        }
    }
}
