//! What docs/auth.md says is what the program does.

use serde_json::Value;

use crate::harness::{Database, Engine, Server};

const DOCUMENT: &str = include_str!("../../docs/auth.md");

/// The lines of the block that begins after these words.
fn block_after(words: &str) -> impl Iterator<Item = &'static str> {
    let (_, rest) = DOCUMENT.split_once(words).unwrap_or_else(|| panic!("{words}"));
    rest.lines().skip(1).take_while(|line| !line.starts_with("```"))
}

#[test]
fn the_table_of_settings_has_every_setting_and_no_other() {
    let told: Vec<&str> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `auth.")?.split('`').next())
        .collect();
    let mut settings: Vec<&str> = dlc::config::settings()
        .filter_map(|setting| setting.key.strip_prefix("auth."))
        .collect();
    let mut sorted = told.clone();
    sorted.sort_unstable();
    settings.sort_unstable();
    assert_eq!(sorted, settings);
}

#[tokio::test]
async fn the_first_minutes_go_as_they_are_shown() {
    let database = Database::empty(Engine::Sqlite).await;
    let dlc = database.dlc();
    for command in ["dlc migrate up", "dlc user create grace --admin", "dlc serve"] {
        assert!(DOCUMENT.contains(&format!("    {command}")), "{command}");
    }
    assert_eq!(dlc.run(&["migrate", "up"]).await.code, 0);
    let arguments = ["user", "create", "grace", "--admin", "--password-stdin"];
    let created = dlc.run_with_input(&arguments, "moss lantern quay\n").await;
    assert_eq!(created.code, 0, "{created:?}");
    let server = Server::start(database).await;
    let mut answers = Vec::new();
    for line in block_after("```console").map(|line| line.strip_prefix("$ ").unwrap()) {
        let command = line.replace("localhost:8080", server.address());
        let output = tokio::process::Command::new("sh")
            .args(["-c", &command])
            .output()
            .await
            .unwrap();
        answers.push(serde_json::from_slice::<Value>(&output.stdout).unwrap());
    }
    let [registered, signed_in] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    assert_eq!(registered["username"], "ada");
    for member in ["access_token", "token_type", "expires_in", "refresh_token"] {
        assert!(
            DOCUMENT.contains(&format!("\"{member}\":")) && !signed_in[member].is_null(),
            "{member}: {signed_in}"
        );
    }
    assert_eq!(
        (&signed_in["token_type"], &signed_in["expires_in"]),
        (&"Bearer".into(), &900.into())
    );
}
