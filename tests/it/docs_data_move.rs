//! The part of `docs/data.md` about `dlc db move`: every command is replayed. Called by the one test of that document.

use crate::harness::{Console, Database, Dlc, Document, Engine};

const DOCUMENT: Document = Document {
    path: "docs/data.md",
    usual: &[
        // Told when it takes longer than it should.
        (r"(checking|copying|comparing) .* rows.*\n", ""),
        (r"sqlite://\S+", "sqlite://dlc.db"),
        (r"postgres://\S+/\w+", "postgres://dlc@db/dlc"),
        (r" +\d+\.\d\d  equal", "     0.01  equal"),
        (r"in \d+\.\d s \([\d,]+ rows/s\)", "in 0.1 s (90 rows/s)"),
    ],
};

async fn replay(name: &str, ends: [&Database; 2], more: &str) {
    let [from, to] = ends.map(|database| database.url.as_str());
    let mut console = Console::default();
    console
        .run(Dlc::new(), &format!("dlc db move{more} --from {from} --to {to}"))
        .await;
    DOCUMENT.assert_replayed(name, console);
}

pub async fn everything_is_moved_to_the_other_engine() {
    let source = Database::migrated(Engine::Sqlite).await;
    for sql in [
        "INSERT INTO users (username, password_hash) VALUES ('ann', 'x'), ('bob', 'x')",
        "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('launch', 100, 95)",
        "INSERT INTO claims (user_id, coupon_name) SELECT 'user ' || value, 'launch' FROM json_each('[1,2,3,4,5]')",
    ] {
        source.execute(sql).await;
    }
    let target = Database::empty(Engine::Postgres).await;
    replay("move check", [&source, &target], " --check").await;
    replay("move", [&source, &target], "").await;
    let careless = "PRAGMA ignore_check_constraints = ON; UPDATE users SET ";
    for sql in [
        "username = username || char(0) WHERE id = 1",
        "created_at = 'yesterday' WHERE id = 2",
    ] {
        source.execute(&format!("{careless}{sql}")).await;
    }
    let target = Database::empty(Engine::Postgres).await;
    replay("move refused", [&source, &target], "").await;
}
