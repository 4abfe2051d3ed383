//! What sentences about the start mean: what the service finds, that it starts, and how far it is.
//!
//! Not here: how its database is told to it (`configuration.rs`), and how it ends (`stop.rs`).

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use cucumber::{given, then, when};
use rustix::process::Signal;
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    harness::{ALL, Database, Engine, Server, postgres},
    world::{Held, World},
};

/// No phase takes longer to come.
const LIMIT: Duration = Duration::from_secs(20);
/// A password that must not be told, as a URL has it.
const WRONG: &str = "c%C3%A4nary";

#[given("the service is running")]
async fn is_running(world: &mut World) {
    world.database = Some(Database::migrated(world.engine()).await);
    world.start().await;
}

#[given("a new database")]
pub(super) async fn a_new_database(world: &mut World) {
    world.database = Some(Database::empty(world.engine()).await);
}

#[given("somebody else is migrating it")]
async fn is_being_migrated(world: &mut World) {
    let database = world.database();
    let held = match database.engine {
        Engine::Sqlite => {
            let mut path = database.file().into_os_string();
            path.push("-migrating");
            let lock = std::fs::File::create(path).unwrap();
            rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
            Held::File(lock)
        }
        Engine::Postgres => {
            let mut session = PgConnection::connect(&database.url).await.unwrap();
            let lock = i64::from_be_bytes(*b"dlc_migr");
            let sql = format!("SELECT pg_advisory_lock({lock})");
            session.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
            Held::Session(session)
        }
    };
    world.holder = Some(held);
}

/// A database that is not this one, in its place.
async fn at(world: &mut World, url: &str) {
    a_new_database(world).await;
    world.set("DATABASE_URL", url);
}

#[given("the database cannot be reached")]
async fn cannot_be_reached(world: &mut World) {
    // Port 9 is discard's: nothing listens there.
    at(world, &format!("postgres://dlc:{WRONG}@127.0.0.1:9/dlc_test")).await;
}

#[given("the database does not exist")]
async fn does_not_exist(world: &mut World) {
    let url = postgres::cluster().await.url("missing_test");
    at(world, &url).await;
}

#[given("the password is wrong")]
async fn the_password_is_wrong(world: &mut World) {
    let port = postgres::cluster().await.port;
    at(world, &format!("postgres://dlc_test:{WRONG}@127.0.0.1:{port}/postgres")).await;
}

#[given("the database's folder does not exist")]
async fn has_no_folder(world: &mut World) {
    a_new_database(world).await;
    let elsewhere = world.database().url.replace("dlc_test.db", "no/such/dlc_test.db");
    world.set("DATABASE_URL", &elsewhere);
}

#[given("a letter lies where the database should be")]
async fn is_a_letter(world: &mut World) {
    a_new_database(world).await;
    let letter = "Dear aunt, it rains, and nobody dances. ".repeat(200);
    std::fs::write(world.database().file(), letter).unwrap();
}

#[given(expr = "a table called {string} of somebody else's is in it")]
async fn has_a_table(world: &mut World, name: String) {
    let database = world.database();
    if database.engine == Engine::Sqlite {
        std::fs::File::create(database.file()).unwrap();
    }
    database.execute(&format!("CREATE TABLE {name} (theirs integer)")).await;
}

#[given("another program has the service's port")]
async fn the_port_is_taken(world: &mut World) {
    world.taken = Some(TcpListener::bind("127.0.0.1:0").unwrap());
}

#[when("the service is started")]
async fn is_started(world: &mut World) {
    world.start_unready(&["--wait", "60s"]).await;
}

#[when("the service is started and stopped")]
async fn is_started_and_stopped(world: &mut World) {
    world.start().await;
    world.end_by(Signal::TERM).await;
    assert_eq!(world.finished().code, 0, "{world:?}");
}

#[when("somebody tries to start the service")]
async fn tries_to_start(world: &mut World) {
    world.try_to_start("0").await;
}

#[when("somebody tries to start the service at that port")]
async fn tries_to_start_at(world: &mut World) {
    let taken = world.taken.as_ref().expect("a port that is taken");
    let port = taken.local_addr().unwrap().port().to_string();
    world.try_to_start(&port).await;
}

#[when("two instances are started at once")]
async fn two_are_started(world: &mut World) {
    let database = world.database.take().expect("a database");
    let same = Database::at(database.engine, &database.url);
    let (one, two) = (database.dlc(), same.dlc());
    let (one, two) = tokio::join!(
        Server::start_unready(database, one, &[]),
        Server::start_unready(same, two, &[])
    );
    (world.server, world.other) = (Some(one), Some(two));
}

#[when("the other one is done")]
async fn is_done(world: &mut World) {
    assert!(world.holder.take().is_some(), "nobody is migrating");
}

#[then("it lives")]
async fn lives(world: &mut World) {
    let answer = world.server().get("/livez").await;
    assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"status":"ok"}"#));
}

#[then("it serves nothing yet")]
async fn serves_nothing(world: &mut World) {
    for path in ["/api/v1/greet", "/api/v1/coupons", "/api/coupons/SALSA", "/docs"] {
        world.server().get(path).await.assert_problem(503, "starting");
    }
    assert_eq!(world.server().get("/readyz").await.status, 503);
}

#[then(regex = r"^it tells that it is (connecting|checking)(?: the schema)?$")]
async fn tells_its_phase(world: &mut World, phase: String) {
    let started = Instant::now();
    loop {
        let told = world.server().until("/startupz", 503).await;
        if told.body["phase"] == phase.as_str() {
            return;
        }
        assert!(started.elapsed() < LIMIT, "it tells {told:?}");
    }
}

#[then("the service becomes ready")]
async fn becomes_ready(world: &mut World) {
    world.server().until_ready().await;
    // The probe is quicker than the log, which the next sentence may be about.
    world.server().until_logged("ready in ").await;
}

#[then("both become ready")]
async fn both_become_ready(world: &mut World) {
    for server in [world.server.as_ref(), world.other.as_ref()] {
        let server = server.expect("an instance");
        server.until_ready().await;
        server.until_logged("ready in ").await;
    }
}

#[then("it serves coupons")]
async fn serves_coupons(world: &mut World) {
    let answer = world.server().get("/api/v1/coupons").await;
    assert_eq!(
        (answer.status, answer.body["items"].is_array()),
        (200, true),
        "{answer:?}"
    );
}

#[then("each migration was applied once")]
async fn was_applied_once(world: &mut World) {
    let logs = [world.server.as_ref(), world.other.as_ref()].map(|server| server.expect("an instance").log());
    let applied: Vec<_> = logs.iter().map(|log| log.matches("applied m2").count()).collect();
    assert_eq!(applied.iter().sum::<usize>(), ALL, "{applied:?}");
}

#[then(expr = "the database says once that its bootstrap version is {int}")]
async fn says_its_version_once(world: &mut World, version: i64) {
    let sql = "SELECT CAST(bootstrap_version AS text) FROM bootstrap_metadata";
    assert_eq!(world.database().rows(sql).await, [[version.to_string()]]);
}

#[then("migrations are pending still")]
async fn are_pending(world: &mut World) {
    let status = world.dlc().run(&["migrate", "status", "--check"]).await;
    assert_eq!(status.code, 2, "{status:?}");
}

#[then(expr = "it says {string} with the code {string}")]
async fn says(world: &mut World, message: String, code: String) {
    let error = world.last_words();
    assert_eq!(error["code"], code.as_str(), "{error}");
    assert!(error["message"].as_str().unwrap().contains(&message), "{error}");
}

#[then(expr = "it advises {string}")]
async fn advises(world: &mut World, hint: String) {
    let error = world.last_words();
    assert_eq!(error["hint"], hint.as_str(), "{error}");
}

#[then("it does not tell the password")]
async fn tells_no_password(world: &mut World) {
    world.finished().assert_no_secret();
}
