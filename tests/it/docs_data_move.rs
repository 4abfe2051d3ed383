//! `docs/data.md` shows what `dlc db move` really says: every command is replayed.

use regex::Regex;

use crate::harness::{Database, Dlc, Engine};

const PATH: &str = "docs/data.md";

const FROM: &str = "sqlite://dlc.db";
const TO: &str = "postgres://dlc@db:5432/dlc";

/// What differs from run to run, in the words of the document.
fn usual(text: &str) -> String {
    [
        (r"sqlite://\S+", FROM),
        (r"postgres://[^\s,]+", TO),
        (r" +\d+\.\d\d  equal", "     0.01  equal"),
        (r"in \d+\.\d s \([\d,]+ rows/s\)", "in 0.1 s (90 rows/s)"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (pattern, usual)| {
        Regex::new(pattern).unwrap().replace_all(&text, *usual).into_owned()
    })
}

fn assert_replayed(name: &str, said: &str) {
    let path = format!("{}/{PATH}", env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(&path).unwrap();
    let marker = format!("<!-- replayed: {name} -->\n```console\n");
    let (before, rest) = document
        .split_once(&marker)
        .unwrap_or_else(|| panic!("no block is called {name}"));
    let (kept, after) = rest.split_once("```\n").unwrap();
    let made = usual(said);
    if std::env::var_os("DLC_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, format!("{before}{marker}{made}```\n{after}")).unwrap();
        return;
    }
    assert_eq!(kept, made, "{PATH}, {name}: `just snapshots` writes it anew");
}

async fn replay(name: &str, ends: [&Database; 2], more: &str) {
    let [from, to] = ends.map(|database| database.url.as_str());
    let mut arguments = vec!["db", "move"];
    arguments.extend(more.split_whitespace());
    arguments.extend(["--from", from, "--to", to]);
    let finished = Dlc::new().run(&arguments).await;
    let said = format!("$ dlc {}\n{}{}", arguments.join(" "), finished.stdout, finished.stderr);
    assert_replayed(name, &said);
}

/// All in one test: in update mode each writes the same file.
#[tokio::test]
async fn every_command_shows_what_the_program_says() {
    let source = Database::migrated(Engine::Sqlite).await;
    for sql in [
        "INSERT INTO users (username, password_hash) VALUES ('ann', 'x'), ('bob', 'x')",
        "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('launch', 100, 95)",
        "INSERT INTO claims (user_id, coupon_name) SELECT 'user ' || value, 'launch' FROM json_each('[1,2,3,4,5]')",
    ] {
        source.execute(sql).await;
    }
    let target = Database::empty(Engine::Postgres).await;
    replay("move check", [&source, &target], "--check").await;
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
