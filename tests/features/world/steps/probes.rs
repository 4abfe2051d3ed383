//! What sentences about probes, health and figures mean.

use std::time::{Duration, Instant};

use cucumber::{gherkin::Step, then, when};
use reqwest::Method;

use crate::{
    harness::{ALL, Engine, LAST},
    world::World,
};

/// No probe takes longer to notice.
const LIMIT: Duration = Duration::from_secs(30);

#[then(expr = "{string} answers {int} and says")]
async fn answers(world: &mut World, path: String, status: u16, step: &Step) {
    let expected = step.docstring().expect("what it says").trim();
    let started = Instant::now();
    loop {
        let answer = world.server().get(&path).await;
        if (answer.status, answer.text.as_str()) == (status, expected) {
            return;
        }
        assert!(started.elapsed() < LIMIT, "{path} answers {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[then(expr = "{string} refuses whoever wants to do more than ask")]
async fn refuses_other_methods(world: &mut World, path: String) {
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = world.server().send(world.server().request(method, &path)).await;
        answer.assert_problem(405, "method_not_allowed");
        assert!(answer.header("allow").contains("GET"), "{answer:?}");
    }
    let head = world.server().send(world.server().request(Method::HEAD, &path)).await;
    assert_eq!(head.status, 200, "{head:?}");
}

#[then(expr = "the documentation is at {string} and describes {string}")]
async fn is_documented(world: &mut World, path: String, described: String) {
    let lead = world.server().get(&path).await;
    assert_eq!(lead.status, 307, "{lead:?}");
    let page = world.server().get(lead.header("location")).await;
    assert!(
        page.status == 200 && page.text.starts_with("<!doctype html>"),
        "{}",
        page.status
    );
    let document = world.server().get("/openapi.json").await;
    assert!(
        document.body["paths"][&described]["get"].is_object(),
        "{described} is not described"
    );
}

async fn details(world: &World) -> serde_json::Value {
    let answer = world.server().get("/api/health/db").await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &"healthy".into()),
        "{answer:?}"
    );
    answer.body
}

#[then("the details tell the engine, its version and how long it takes to answer")]
async fn tell_the_version(world: &mut World) {
    let engine = match world.engine() {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgres",
    };
    let started = Instant::now();
    loop {
        let details = details(world).await;
        assert_eq!(details["backend"], engine, "{details}");
        let version = details["server_version"].as_str().unwrap();
        assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
        // 0 until it has been measured, right after the start.
        if details["latency_ms"].as_f64().unwrap() > 0.0 {
            return;
        }
        assert!(started.elapsed() < LIMIT, "no answer is measured: {details}");
    }
}

#[then(expr = "the details tell that the engine is {string}")]
async fn tell_the_engine(world: &mut World, engine: String) {
    let details = details(world).await;
    assert_eq!(details["backend"], engine.as_str(), "{details}");
}

#[then("the details tell that every migration is applied")]
async fn tell_the_migrations(world: &mut World) {
    let migrations = &details(world).await["migrations"];
    assert_eq!(migrations["applied"], ALL, "{migrations}");
    assert_eq!(migrations["pending"], 0, "{migrations}");
    assert_eq!(migrations["current"], LAST, "{migrations}");
}

#[then("the details tell how the connections are used")]
async fn tell_the_pool(world: &mut World) {
    let pool = &details(world).await["pool"];
    let number = |name: &str| pool[name].as_u64().unwrap_or_else(|| panic!("{name} of {pool}"));
    assert!(number("max") >= 1, "{pool}");
    assert!(number("idle") + number("in_use") <= number("max"), "{pool}");
    assert!(number("open") <= number("max"), "{pool}");
    assert_eq!(number("waiting"), 0, "{pool}");
}

#[when(expr = "{int} coupons are looked at")]
async fn are_looked_at(world: &mut World, times: usize) {
    for _ in 0..times {
        let answer = world.server().get("/api/v1/coupons/SALSA").await;
        answer.assert_problem(404, "coupon_not_found");
    }
}

async fn figures(world: &World) -> serde_json::Value {
    let answer = world.server().get("/api/metrics/db").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[then(expr = "the figures count {int} operations of the database")]
async fn count_operations(world: &mut World, operations: u64) {
    let figures = figures(world).await;
    assert_eq!(figures["operations"], operations, "{figures}");
}

#[then("the figures tell how long they took, and that none has failed")]
async fn tell_durations(world: &mut World) {
    let figures = figures(world).await;
    for percentile in ["p50", "p95", "p99"] {
        let took = figures["latency_ms"][percentile].as_f64();
        assert!(took.is_some_and(|took| took > 0.0), "{percentile} of {figures}");
    }
    assert_eq!(figures["objectives"]["availability"], 1.0, "{figures}");
}
