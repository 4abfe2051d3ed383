//! What people see on their terminals: wide and narrow ones, in colour and without, and where there is none. Kept in
//! `snapshots/screens/`, a `␛` for each escape. Not here: what the reports say (`cli_db_check`, `cli_migrate` and others).

use regex::Regex;
use sqlx::{Connection, Executor, PgConnection};

use crate::harness::{Database, Dlc, Engine, Terminal, on_a_terminal, snapshot};

/// How a command is looked at: in words, columns, and what is in its environment.
type Way = (&'static str, Option<u16>, &'static [(&'static str, &'static str)]);
const WAYS: [Way; 5] = [
    ("80 columns, in colour", Some(80), &[]),
    ("40 columns, in colour", Some(40), &[]),
    ("80 columns, NO_COLOR=1", Some(80), &[("NO_COLOR", "1")]),
    ("40 columns, TERM=dumb", Some(40), &[("TERM", "dumb")]),
    ("no terminal", None, &[]),
];

/// Leaves out what is another in every run, and nothing else.
fn masked(text: &str) -> String {
    let masks = [
        ("\u{1b}", "␛"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<------ time ----->"),
        (r"\d{8}T\d{6}Z-[0-9a-f]{8}", "<---- time and id ---->"),
        (r"\(\d+ ms\)", "(<n> ms)"),
        (r"\d+(\.\d+)? %: \d+ [KMGT]iB free", "<n> %: <n> GiB free"),
        (r"SQLite \d+\.\d+\.\d+", "SQLite <version>"),
        (r"//\S*/dlc-test-cwd-[A-Za-z0-9]+", "//<directory>"),
    ];
    masks.iter().fold(text.to_owned(), |text, (mask, word)| {
        Regex::new(mask).unwrap().replace_all(&text, *word).into_owned()
    })
}

/// Runs a command in all those ways; before each one `prepare` is run, and is not looked at.
async fn assert_screens(name: &str, dlc: impl Fn() -> Dlc, prepare: &[&[&str]], command: &[&str]) {
    let mut all = String::new();
    for (way, columns, environment) in WAYS {
        let mut dlc = dlc();
        for (name, value) in environment {
            dlc = dlc.env(name, value);
        }
        for arguments in prepare {
            let prepared = dlc.run(arguments).await;
            assert_eq!(prepared.code, 0, "{prepared:?}");
        }
        let (shown, code) = match columns {
            Some(columns) => on_a_terminal(&dlc, command, columns).await,
            None => {
                let finished = dlc.run(command).await;
                (format!("{}{}", finished.stdout, finished.stderr), finished.code)
            }
        };
        if environment.iter().any(|(name, _)| *name == "NO_COLOR") || columns.is_none() {
            assert!(!shown.contains('\u{1b}'), "{way}: {shown:?}");
        }
        let shown = masked(&shown);
        all.push_str(&format!(
            "== {way}: dlc {}\n{shown}== exit code {code}\n\n",
            command.join(" ")
        ));
    }
    snapshot::assert_file(&format!("tests/it/snapshots/screens/{name}.txt"), &all);
}

fn shop() -> Dlc {
    Dlc::new().env("DATABASE_URL", "sqlite://shop.db")
}

const MIGRATED: &[&[&str]] = &[&["migrate", "up"]];

#[tokio::test]
async fn db_check_that_passes_is_shown_as_kept() {
    assert_screens("db-check", shop, MIGRATED, &["db", "check"]).await;
}

#[tokio::test]
async fn db_check_that_warns_is_shown_as_kept() {
    let prepare: &[&[&str]] = &[&["migrate", "up"], &["migrate", "down", "--yes"]];
    let arguments = ["db", "check", "--threshold", "DSK002=1"];
    assert_screens("db-check-warning", shop, prepare, &arguments).await;
}

#[tokio::test]
async fn db_check_that_fails_is_shown_as_kept() {
    // Nobody listens on the first port.
    let nobody = || Dlc::new().env("DATABASE_URL", "postgres://ann@127.0.0.1:1/shop");
    assert_screens("db-check-failure", nobody, &[], &["db", "check"]).await;
}

#[tokio::test]
async fn migrate_status_is_shown_as_kept() {
    assert_screens("migrate-status-pending", shop, &[], &["migrate", "status"]).await;
    assert_screens("migrate-status", shop, MIGRATED, &["migrate", "status"]).await;
}

#[tokio::test]
async fn migrate_up_is_shown_as_kept() {
    assert_screens("migrate-up", shop, &[], &["migrate", "up"]).await;
    assert_screens("migrate-up-again", shop, MIGRATED, &["migrate", "up"]).await;
}

#[tokio::test]
async fn migrate_plan_is_shown_as_kept() {
    assert_screens("migrate-plan", shop, &[], &["migrate", "plan", "--steps", "2"]).await;
    // A table that is there already, and has something to say about it.
    let up_to_the_last: &[&[&str]] = &[&["migrate", "up", "--to", "m20261121_000012_create_audit_events"]];
    assert_screens("migrate-plan-live", shop, up_to_the_last, &["migrate", "plan"]).await;
}

#[tokio::test]
async fn db_backup_is_shown_as_kept() {
    assert_screens("db-backup", shop, MIGRATED, &["db", "backup"]).await;
}

#[tokio::test]
async fn an_error_is_shown_as_kept() {
    let nobody = || Dlc::new().env("DATABASE_URL", "postgres://ann@127.0.0.1:1/shop");
    assert_screens("error", nobody, &[], &["migrate", "up"]).await;
}

/// What a spinner draws in its second second, until Ctrl-C is typed in the next one; without what moves.
async fn drawn(dlc: Dlc, arguments: &[&str], columns: u16) -> String {
    let terminal = Terminal::start_narrow(dlc, arguments, columns);
    terminal.until_shown(" 2 s: ").await;
    let shown = terminal.shown();
    terminal.type_in("\u{3}");
    assert_eq!(terminal.finished().await, 130);
    let line = Regex::new("(\\S 1 s: [^\u{1b}\r\n]*)[\u{1b}\r\n]").unwrap();
    let line = line.captures(&shown).unwrap_or_else(|| panic!("{shown:?}"));
    let line = line[1].trim_end();
    assert!(line.chars().count() <= usize::from(columns), "{line}");
    let line = Regex::new(r"^\S 1 s: ")
        .unwrap()
        .replace(line, "<spinner> 1 s: ")
        .into_owned();
    let line = Regex::new(": [0-9]+$").unwrap().replace(&line, ": <n>").into_owned();
    format!("== {columns} columns: dlc {}\n{line}\n\n", arguments.join(" "))
}

#[tokio::test]
async fn progress_is_one_line_that_is_cut_where_the_terminal_ends() {
    let mut all = String::new();
    for columns in [80, 40] {
        let database = Database::migrated(Engine::Sqlite).await;
        database.execute("CREATE TABLE gate (id integer)").await;
        all.push_str(&drawn(database.dlc().with_migrations("slow"), &["migrate", "up"], columns).await);

        let database = Database::migrated(Engine::Postgres).await;
        let mut holder = PgConnection::connect(&database.url).await.unwrap();
        holder.execute("BEGIN; LOCK TABLE greet_history").await.unwrap();
        all.push_str(&drawn(database.dlc(), &["db", "backup"], columns).await);
    }
    snapshot::assert_file("tests/it/snapshots/screens/progress.txt", &all);
}
