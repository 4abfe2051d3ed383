//! What the documents say is what the program does.

use std::{collections::BTreeSet, net::TcpListener};

use dlc::config::template::COMPOSE_VARIABLES;

use crate::harness::{Database, Dlc, Engine, Finished, Server, postgres};

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Asserts that the README shows exactly this error.
fn assert_shown(finished: &Finished, replace: &[(&str, &str)]) {
    let start = finished
        .stderr
        .find("error: ")
        .unwrap_or_else(|| panic!("{finished:?}"));
    let mut text = finished.stderr[start..].to_owned();
    for (real, shown) in replace {
        text = text.replace(real, shown);
    }
    assert!(
        read("README.md").contains(&format!("```text\n{text}```")),
        "the README does not show:\n{text}"
    );
}

#[tokio::test]
async fn the_five_cases_of_the_troubleshooting_show_the_real_messages() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert_shown(&Dlc::new().run(&["serve", "--port", &port]).await, &[(&port, "8080")]);

    let dlc = Dlc::new().env("DATABASE_URL", "postgres://u@127.0.0.1:9/dlc_test");
    let server = Server::start_unready(Database::empty(Engine::Sqlite).await, dlc, &["--wait", "30s"]).await;
    server.until_logged("connection refused").await;
    let shown = "WARN waiting for the database, 30s left: connection refused";
    let real = server.log().replace(" 29s left", " 30s left");
    assert!(real.contains(shown) && read("README.md").contains(shown), "{real}");

    let never = Database::empty(Engine::Postgres)
        .await
        .dlc()
        .run(&["migrate", "status"])
        .await;
    assert!(
        read("README.md").contains(&format!("```text\n{}\n```", never.lines().last().unwrap())),
        "{never:?}"
    );

    let place = format!("127.0.0.1:{}", postgres::cluster().await.port);
    let dlc = Dlc::new().env("DATABASE_URL", &format!("postgres://dlc:wrong@{place}/dlc"));
    assert_shown(&dlc.run(&["serve", "--port", "0"]).await, &[(&place, "localhost:5432")]);

    // Production logs for machines: one event, whose time is left out in the README.
    let refused = Dlc::new()
        .env("DLC_PROFILE", "production")
        .env("DLC_LOG__FORMAT", "")
        .run(&["serve"])
        .await
        .stderr;
    let (_, event) = refused.split_once("Z\",").unwrap();
    assert!(
        read("README.md").contains(&format!("```text\n{{\"timestamp\":\"…\",{event}```")),
        "{event}"
    );
}

#[tokio::test]
async fn the_readme_names_every_command_and_the_gate_runs_its_test_command() {
    let readme = read("README.md");
    for group in [
        &["--help"][..],
        &["migrate", "--help"],
        &["db", "--help"],
        &["bench", "--help"],
        &["config", "--help"],
    ] {
        let help = Dlc::new().run(group).await.stdout;
        let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        for line in commands.lines() {
            let name = line.split_whitespace().next().unwrap();
            let prefix = if group.len() == 2 {
                format!("{} ", group[0])
            } else {
                String::new()
            };
            assert!(
                name == "help" || readme.contains(&format!("`dlc {prefix}{name}")),
                "dlc {prefix}{name}"
            );
        }
    }
    for command in ["    cargo run -- serve\n", "    scripts/test\n"] {
        assert!(readme.contains(command), "{command}");
    }
    assert!(read(".ci/run").contains("exec scripts/test\n"));
}

#[tokio::test]
async fn the_calls_of_the_readme_answer_as_shown() {
    let readme = read("README.md");
    let server = Server::start(Database::migrated(Engine::Sqlite).await).await;
    let console = readme
        .split("```console\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let mut shown = console.lines().peekable();
    let mut calls = 0;
    while let Some(line) = shown.next() {
        let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("{line}"));
        let command = command.replace("localhost:8080", server.address());
        let output = tokio::process::Command::new("sh")
            .args(["-c", &command])
            .output()
            .await
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        if let Some(expected) = shown.next_if(|line| !line.starts_with("$ ")) {
            assert_eq!(output, expected, "{command}");
        } else {
            assert!(output.contains("SALSA"), "{command}: {output}");
        }
        calls += 1;
    }
    assert_eq!(calls, 4);
}

#[test]
fn every_variable_of_the_compose_files_is_documented() {
    let mut used = BTreeSet::new();
    for file in [
        "docker-compose.yml",
        "docker-compose.prod.yml",
        "docker-compose.secrets.yml",
        "docker-compose.sqlite.yml",
    ] {
        let text = read(&format!("deployments/{file}"));
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            // `$${X}` is for the container's shell, `${X}` for Compose.
            for rest in line.replace("$$", "").split("${").skip(1) {
                let name = rest
                    .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .next()
                    .unwrap();
                used.insert(name.to_owned());
            }
        }
    }
    let documented = COMPOSE_VARIABLES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(used, documented);
}

#[test]
fn the_recipes_that_people_reach_for_are_there_and_described() {
    let justfile = read("justfile");
    for recipe in [
        "up",
        "env",
        "up-sqlite",
        "down",
        "nuke",
        "test",
        "lint",
        "fmt",
        "psql",
        "logs",
        "smoke",
    ] {
        let lines: Vec<&str> = justfile.lines().collect();
        let at = lines
            .iter()
            .position(|line| line.split([':', ' ']).next() == Some(recipe) && line.contains(':'));
        let at = at.unwrap_or_else(|| panic!("no recipe {recipe}"));
        // What has to be confirmed says so between the two.
        let above = lines[..at].iter().rfind(|line| !line.starts_with('['));
        assert!(
            above.is_some_and(|line| line.starts_with("# ")),
            "{recipe} has no description"
        );
    }
}
