//! What sentences about the two engines mean: which one is used, what it is given, and moving from one to the other.

use cucumber::{then, when};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    harness::{Database, Dlc, Engine},
    world::World,
};

fn engine(name: &str) -> Engine {
    match name {
        "PostgreSQL" => Engine::Postgres,
        "SQLite" => Engine::Sqlite,
        other => panic!("there is no engine {other}"),
    }
}

impl World {
    /// Stops the service, and moves everything to another database, which is the scenario's from then on.
    async fn move_to(&mut self, target: Database) {
        self.end_by(Signal::TERM).await;
        let source = self.database.take().expect("a database");
        let arguments = [
            "db",
            "move",
            "--from",
            &source.url,
            "--to",
            &target.url,
            "--format",
            "json",
        ];
        let finished = Dlc::new().run(&arguments).await;
        finished.assert_no_secret();
        self.finished = Some(finished);
        self.database = Some(target);
        source.remove().await;
    }

    fn check(&self, id: &str) -> Value {
        let report = self.finished().json();
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["id"] == id);
        found.unwrap_or_else(|| panic!("{id} is not in {report}")).clone()
    }
}

#[when(expr = "the database is examined for {string}")]
async fn is_examined(world: &mut World, ids: String) {
    let check = ["db", "check", "--only", &ids, "--format", "json"];
    world.finished = Some(world.dlc().run(&check).await);
}

#[when(expr = "the service is stopped, and everything is moved to a new {word}")]
async fn is_moved(world: &mut World, name: String) {
    let target = Database::empty(engine(&name)).await;
    world.move_to(target).await;
}

#[when("the service is stopped, and somebody tries to move everything to a PostgreSQL that has coupons")]
async fn is_moved_onto_another(world: &mut World) {
    let target = Database::migrated(Engine::Postgres).await;
    let tango = "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('TANGO', 1, 1)";
    target.execute(tango).await;
    world.move_to(target).await;
}

#[when(expr = "the service is started on {word}")]
async fn is_started_on(world: &mut World, name: String) {
    assert_eq!(world.database().engine, engine(&name));
    world.start().await;
}

#[then(expr = "the embedded database is made at {string}, and said")]
async fn is_made(world: &mut World, path: String) {
    assert!(world.directory.join(&path).is_file(), "there is no {path}");
    let words = format!("sqlite://{path} (the embedded default)");
    assert!(world.server().log().contains(&words), "{world:?}");
}

#[then("no embedded database is made")]
async fn is_not_made(world: &mut World) {
    assert!(world.directory.is_dir(), "nobody knows where the service runs");
    assert!(!world.directory.join("data/dlc.db").exists());
}

#[then(regex = r"^the database has the tables (.+)$")]
async fn has_the_tables(world: &mut World, names: String) {
    for table in names.replace(" and ", ", ").split(", ") {
        let rows = world.database().number(&format!("SELECT count(*) FROM {table}")).await;
        assert_eq!(rows, 0, "{table}");
    }
}

#[then("the schema is what the migrations make of it")]
async fn is_verified(world: &mut World) {
    let verified = world.dlc().run(&["migrate", "verify"]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[then(regex = r#"^"(.+)" (?:is|are) skipped, because (?:it is|they are) about (sqlite|postgres) only$"#)]
async fn are_skipped(world: &mut World, ids: String, engine: String) {
    for id in ids.split(',') {
        let check = world.check(id);
        assert_eq!(check["status"], "skipped", "{check}");
        assert_eq!(check["measured"], format!("it is about {engine} only"), "{check}");
    }
}

#[then(regex = r#"^"(.+)" holds?$"#)]
async fn holds(world: &mut World, ids: String) {
    for id in ids.split(',') {
        let check = world.check(id);
        assert_eq!(check["status"], "ok", "{check}");
    }
}

#[then("every table is the same on both sides")]
async fn are_the_same(world: &mut World) {
    let finished = world.finished();
    assert_eq!(finished.code, 0, "{finished:?}");
    let report = finished.json();
    assert_eq!(report["moved"], true, "{report}");
    let tables = report["tables"].as_array().unwrap();
    assert!(tables.iter().all(|table| table["equal"] == true), "{report}");
    for name in ["users", "greet_history", "coupons", "claims"] {
        assert!(
            tables.iter().any(|table| table["table"] == name),
            "{name} is not in {report}"
        );
    }
}

#[then("that is refused, because the target is not empty")]
async fn is_not_empty(world: &mut World) {
    world.finished().assert_error(1, "the target is not empty: coupons");
}

#[then("nothing wrong is found")]
async fn nothing_wrong(world: &mut World) {
    let report = world.finished().json();
    assert_eq!(
        (world.finished().code, &report["status"]),
        (0, &"ok".into()),
        "{report}"
    );
}

#[then(expr = "the other database has no coupon {string}")]
async fn has_no_coupon(world: &mut World, name: String) {
    let rows = world.database().rows("SELECT name FROM coupons").await;
    assert!(!rows.is_empty() && rows.iter().all(|row| row[0] != name), "{rows:?}");
}
