//! A password that is typed on a terminal: it is not shown, and the terminal is left as it was found.

use argon2::{Argon2, PasswordVerifier};
use rustix::process::Signal;

use crate::harness::{Database, Engine, Terminal, send};

const PASSWORD: &str = "cänary tulip ferry onyx";

fn start(database: &Database) -> Terminal {
    Terminal::start_in_a_shell(database.dlc(), &["user", "create", "ada", "--admin"])
}

/// Types at a question, once it is asked, and sees that what is typed is not shown.
async fn answer(terminal: &Terminal, question: &str, text: &str) {
    terminal.until_shown(question).await;
    assert!(!terminal.echoes());
    terminal.type_in(text);
}

/// Asserts how it ended, that the terminal is as it was, and that nobody has seen the password.
async fn ended(terminal: Terminal, code: i32) -> String {
    terminal.until_shown(&format!("ended with {code}\r\n")).await;
    terminal.until_shown(".\r\n").await;
    assert!(terminal.echoes());
    let shown = terminal.shown();
    let settings = |word: &str| {
        let rest = shown.split_once(word).unwrap().1;
        rest.split(['.', '\r']).next().unwrap().to_owned()
    };
    assert_eq!(settings("before: "), settings("after: "), "{shown}");
    assert!(!shown.contains("nary"), "{shown}");
    terminal.type_in("\n");
    terminal.finished().await;
    shown
}

async fn accounts(database: &Database) -> i64 {
    database.number("SELECT count(*) FROM users").await
}

fn processes_that_show_the_password() -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path().join("cmdline");
        std::fs::read(path).ok()
    });
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(PASSWORD))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_typed_twice_and_never_shown() {
    let database = Database::migrated(Engine::Sqlite).await;
    let terminal = start(&database);
    // With a correction, as the terminal itself makes it.
    answer(&terminal, "Password: ", &format!("{PASSWORD}zz\u{7f}\u{7f}\n")).await;
    answer(&terminal, "The same again: ", PASSWORD).await;
    assert_eq!(processes_that_show_the_password(), 0);
    terminal.type_in("\n");
    let shown = ended(terminal, 0).await;
    assert!(
        shown.contains("Password: \r\nThe same again: \r\ncreated ada (id 1), an administrator\r\n"),
        "{shown}"
    );
    let hash = database.rows("SELECT password_hash FROM users").await[0][0].clone();
    assert!(
        Argon2::default()
            .verify_password(PASSWORD.as_bytes(), hash.as_str())
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_passwords_that_differ_make_no_account() {
    let database = Database::migrated(Engine::Sqlite).await;
    let terminal = start(&database);
    answer(&terminal, "Password: ", &format!("{PASSWORD}\n")).await;
    answer(&terminal, "The same again: ", &format!("{PASSWORD}!\n")).await;
    let shown = ended(terminal, 1).await;
    assert!(shown.contains("the two passwords differ; nothing was done"), "{shown}");
    let terminal = start(&database);
    answer(&terminal, "Password: ", "\u{4}").await;
    let shown = ended(terminal, 1).await;
    assert!(shown.contains("no password was typed; nothing was done"), "{shown}");
    assert_eq!(accounts(&database).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_ends_the_question_leaves_the_terminal_as_it_was() {
    let database = Database::migrated(Engine::Sqlite).await;
    let terminal = start(&database);
    answer(&terminal, "Password: ", "cänary \u{3}").await;
    ended(terminal, 130).await;
    let terminal = start(&database);
    answer(&terminal, "Password: ", &format!("{PASSWORD}\n")).await;
    answer(&terminal, "The same again: ", "cänary \u{3}").await;
    ended(terminal, 130).await;
    let terminal = start(&database);
    answer(&terminal, "Password: ", &format!("{PASSWORD}\n")).await;
    terminal.until_shown("The same again: ").await;
    send(running(&database), Signal::TERM);
    ended(terminal, 130).await;
    // Ctrl-\, a terminal that is closed; and Ctrl-Z, which does nothing, or the shell would be left with one that shows nothing.
    for signal in [Signal::QUIT, Signal::HUP] {
        let terminal = start(&database);
        terminal.until_shown("Password: ").await;
        send(running(&database), Signal::TSTP);
        send(running(&database), signal);
        ended(terminal, 130).await;
    }
    assert_eq!(accounts(&database).await, 0);
}

/// The one process that works on a database of this name.
fn running(database: &Database) -> u32 {
    let url = format!("DATABASE_URL={}", database.url);
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let (line, environment) = (
            std::fs::read(path.join("cmdline")).ok()?,
            std::fs::read(path.join("environ")).ok()?,
        );
        let is_it = line.starts_with(env!("CARGO_BIN_EXE_dlc").as_bytes())
            && environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == url.as_bytes());
        is_it.then(|| path.file_name()?.to_str()?.parse().ok())?
    });
    let processes: Vec<u32> = processes.collect();
    assert_eq!(processes.len(), 1);
    processes[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_input_that_is_a_terminal_is_no_place_for_a_line_with_a_password() {
    let database = Database::migrated(Engine::Sqlite).await;
    let terminal = Terminal::start(database.dlc(), &["user", "create", "ada", "--password-stdin"]);
    terminal
        .until_shown("leave it away: then the password is asked for")
        .await;
    assert_eq!(terminal.finished().await, 64);
    let terminal = Terminal::start(database.dlc(), &["-q", "user", "create", "ada"]);
    assert_eq!(terminal.finished().await, 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_asks_on_a_terminal() {
    let database = Database::migrated(Engine::Sqlite).await;
    for name in ["ada", "bob"] {
        assert_eq!(
            database.dlc().run(&["user", "create", name, "--generate"]).await.code,
            0
        );
    }
    assert_eq!(database.dlc().run(&["user", "disable", "bob"]).await.code, 0);
    for (answer, code, left) in [("no", 1, 2), ("yes", 0, 1)] {
        let terminal = Terminal::start(database.dlc(), &["user", "purge", "--deleted-before", "0s"]);
        terminal.until_shown("Type yes to go on:").await;
        terminal.type_in(&format!("{answer}\n"));
        assert_eq!(terminal.finished().await, code);
        assert_eq!(accounts(&database).await, left);
    }
}
