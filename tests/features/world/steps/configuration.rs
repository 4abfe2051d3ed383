//! What sentences about the configuration mean: how the service is told where its database is, and what it makes of that.

use std::time::Duration;

use cucumber::{given, then, when};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::{
    harness::{Database, Dlc, Engine, postgres},
    world::World,
};

#[given("nothing is configured")]
async fn nothing(world: &mut World) {
    // It is served by nobody: the service makes its own.
    world.database = Some(Database::empty(Engine::Sqlite).await);
    world.is_bare = true;
}

#[given("nothing is configured but DATABASE_URL")]
async fn one_variable(world: &mut World) {
    world.is_bare = true;
    let url = world.database().url.clone();
    world.set("DATABASE_URL", &url);
}

#[given("its address is given as DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME")]
async fn parts(world: &mut World) {
    world.is_bare = true;
    let url = Url::parse(&world.database().url).unwrap();
    let password = percent_decode_str(url.password().unwrap()).decode_utf8().unwrap();
    let parts = [
        ("DB_HOST", url.host_str().unwrap()),
        ("DB_PORT", &url.port().unwrap_or(5432).to_string()),
        ("DB_USER", url.username()),
        ("DB_PASSWORD", &password),
        ("DB_NAME", url.path().trim_start_matches('/')),
    ];
    for (name, value) in parts {
        world.set(name, value);
    }
}

#[given(expr = "its address begins with {string}")]
async fn begins_with(world: &mut World, scheme: String) {
    let (_, rest) = world.database().url.split_once("://").unwrap();
    let url = format!("{scheme}{rest}");
    world.set("DATABASE_URL", &url);
}

async fn generated() -> String {
    let generated = Dlc::new().run(&["config", "gen-password"]).await;
    assert_eq!(generated.code, 0, "{generated:?}");
    generated.stdout.trim_end().to_owned()
}

#[given("a role of PostgreSQL with a password that dlc has generated")]
async fn a_role(world: &mut World) {
    let password = generated().await;
    let role = format!("{}_role", world.database().name());
    let sql = format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{password}'");
    postgres::cluster().await.execute("postgres", &sql).await;
    let mut url = Url::parse(&world.database().url).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some(&password)).unwrap();
    // As somebody types it: with nothing percent-encoded.
    assert!(url.as_str().contains(&password), "{password} had to be encoded");
    world.set("DATABASE_URL", url.as_str());
    world.role = Some(role);
}

#[given("the profile is production, and no signing secret is configured")]
async fn production(world: &mut World) {
    world.set("DLC_PROFILE", "production");
}

#[given("somebody has set DLC_SERVER__PROT instead of DLC_SERVER__PORT")]
async fn misspelt(world: &mut World) {
    world.set("DLC_SERVER__PROT", "9090");
}

#[when("the service is started as that role")]
async fn is_started_as_that_role(world: &mut World) {
    world.start().await;
    let role = world.role.clone().expect("a role");
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'");
    // The pool may just be letting go of one and opening another.
    for _ in 0..1500 {
        if world.database().number(&sessions).await > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nobody is {role}");
}

#[when("somebody generates two passwords")]
async fn generates_two(world: &mut World) {
    world.passwords = vec![generated().await, generated().await];
}

#[then("they differ, and hold nothing that a URL or a shell could stumble over")]
async fn differ(world: &mut World) {
    let [one, two] = world.passwords.as_slice() else {
        panic!("two passwords")
    };
    assert_ne!(one, two);
    for password in [one, two] {
        let is_harmless = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(password.len() >= 32 && password.chars().all(is_harmless), "{password}");
    }
}

#[then(expr = "it has logged that the suffix {string} was dropped")]
async fn was_dropped(world: &mut World, suffix: String) {
    let words = format!("the driver suffix +{suffix} of the database URL was dropped");
    assert!(world.server().log().contains(&words), "{world:?}");
}

#[then(regex = r"^it has logged that (\w+) is not known, and that (\w+) may be meant$")]
async fn is_not_known(world: &mut World, name: String, meant: String) {
    let words = format!("the variable {name} is not known; did you mean {meant}?");
    assert!(world.server().log().contains(&words), "{world:?}");
}
