//! `docs/migrations.md` shows what the program really says: every recipe is replayed.

use rustix::process::Signal;
use sqlx::{Connection, Executor, PgConnection};

use crate::harness::{Console, Database, Document, Engine};

const DOCUMENT: Document = Document {
    path: "docs/migrations.md",
    // In the words of the document.
    usual: &[
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2027-01-01T09:00:00Z"),
        (r"\(\d+ ms\)", "(3 ms)"),
        (r"\(\d+ ms so far\)", "(0 ms so far)"),
        (r"within \d+ ms", "within 300 ms"),
        (r"(up) (\d+\.\d+\.\d+) \S+/\d+", "$1 $2 web-1/4711"),
        (r"pid \d+", "pid 4711"),
        (r"for \d+ s, at step", "for 12 s, at step"),
        (r"began \d+ s ago", "began 95 s ago"),
        (
            r"applied [0-9a-f]{12}, this binary [0-9a-f]{12}",
            "applied 3f6c0e5b9a12, this binary 8d21b7704ce9",
        ),
    ],
};

/// All in one test: in update mode each writes the same file.
#[tokio::test]
async fn every_recipe_shows_what_the_program_says() {
    plan().await;
    locked().await;
    table().await;
    unfinished().await;
    edited().await;
    out_of_order().await;
    older().await;
    drift().await;
}

async fn plan() {
    let database = Database::migrated(Engine::Postgres).await;
    for sql in [
        "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 2000, 1000)",
        "INSERT INTO claims (user_id, coupon_name) SELECT 'user ' || n, 'c' FROM generate_series(1, 1000) n",
        "ANALYZE claims",
    ] {
        database.execute(sql).await;
    }
    let mut console = Console::default();
    console
        .run(database.dlc().with_migrations("rewriting"), "dlc migrate plan")
        .await;
    DOCUMENT.assert_replayed("plan", console);
}

async fn locked() {
    let database = Database::migrated(Engine::Postgres).await;
    database.execute("CREATE TABLE gate (id integer)").await;
    let holder = database.dlc().with_migrations("slow").start(&["migrate", "up"]);
    holder.until_said("running for").await;
    let mut console = Console::default();
    let dlc = database.dlc().with_migrations("slow");
    console.run(dlc, "dlc migrate up --lock-timeout 300ms").await;
    holder.signal(Signal::KILL);
    DOCUMENT.assert_replayed("locked", console);
}

async fn table() {
    let database = Database::migrated(Engine::Postgres).await;
    let mut report = PgConnection::connect(&format!("{}?application_name=report", database.url))
        .await
        .unwrap();
    report.execute("BEGIN; SELECT * FROM coupons").await.unwrap();
    let mut console = Console::default();
    let dlc = database
        .dlc()
        .with_migrations("expanded")
        .env("DLC_MIGRATE__TABLE_LOCK_TIMEOUT", "100ms")
        .env("DLC_MIGRATE__TABLE_LOCK_TRIES", "2");
    console.run(dlc, "dlc migrate up").await;
    DOCUMENT.assert_replayed("table", console);
}

async fn unfinished() {
    let database = Database::migrated(Engine::Postgres).await;
    for sql in [
        "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 2, 0)",
        "INSERT INTO claims (user_id, coupon_name) VALUES ('a', 'c'), ('b', 'c')",
    ] {
        database.execute(sql).await;
    }
    let failing = || database.dlc().with_migrations("concurrent that fails");
    let mut console = Console::default();
    console.run(failing(), "dlc migrate up").await;
    console.run(failing(), "dlc migrate status").await;
    database.execute("DELETE FROM claims WHERE user_id = 'b'").await;
    console.run(failing(), "dlc migrate up").await;
    DOCUMENT.assert_replayed("unfinished", console);
}

async fn edited() {
    let database = Database::migrated(Engine::Postgres).await;
    let mut console = Console::default();
    console
        .run(database.dlc().with_migrations("edited"), "dlc migrate up")
        .await;
    console
        .run(database.dlc().with_migrations("reworded"), "dlc migrate repair --yes")
        .await;
    DOCUMENT.assert_replayed("edited", console);
}

async fn out_of_order() {
    let database = Database::empty(Engine::Postgres).await;
    database
        .dlc()
        .with_migrations("without claims")
        .run(&["migrate", "up"])
        .await;
    let mut console = Console::default();
    console.run(database.dlc(), "dlc migrate up").await;
    DOCUMENT.assert_replayed("order", console);
}

async fn older() {
    let database = Database::migrated(Engine::Postgres).await;
    let newest = database.dlc().with_migrations("contracted");
    newest.run(&["migrate", "up", "--allow-destructive"]).await;
    let mut console = Console::default();
    console.run(database.dlc(), "dlc migrate up").await;
    console
        .run(database.dlc(), "dlc migrate down --yes --use-stored-sql")
        .await;
    console.run(database.dlc(), "dlc migrate status --check").await;
    DOCUMENT.assert_replayed("older", console);
}

async fn drift() {
    let database = Database::migrated(Engine::Postgres).await;
    database.execute("DROP INDEX idx_claims_coupon_name").await;
    database
        .execute("ALTER TABLE users ALTER COLUMN is_admin SET DEFAULT true")
        .await;
    let mut console = Console::default();
    console.run(database.dlc(), "dlc migrate verify").await;
    DOCUMENT.assert_replayed("drift", console);
}
