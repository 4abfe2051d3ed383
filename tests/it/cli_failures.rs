//! What a user gets wrong about the database or the machine: one clear error each, with its exit code, for every command.

use std::{net::TcpListener, os::unix::fs::PermissionsExt};

use crate::harness::{Database, Dlc, Engine, SECRET, postgres};

/// Every command that opens a database.
const COMMANDS: &[&[&str]] = &[
    &["serve", "--port", "0", "--wait", "0s"],
    &["migrate", "up"],
    &["migrate", "down", "--yes"],
    &["migrate", "status"],
];

async fn assert_all(url: &str, code: i32, words: &str) {
    for command in COMMANDS {
        Dlc::new()
            .env("DATABASE_URL", url)
            .run(command)
            .await
            .assert_error(code, words);
    }
    let check = Dlc::new().env("DATABASE_URL", url).run(&["db", "check"]).await;
    assert_eq!(check.code, code, "{check:?}");
    check.assert_no_secret();
}

#[tokio::test]
async fn a_wrong_password_is_77() {
    let port = postgres::cluster().await.port;
    let url = format!("postgres://dlc_test:c%C3%A4nary@127.0.0.1:{port}/postgres");
    assert_all(&url, 77, "password authentication failed for user \"dlc_test\"").await;
}

#[tokio::test]
async fn a_missing_database_is_69() {
    let url = postgres::cluster().await.url("missing_test");
    assert_all(&url, 69, "database \"missing_test\" does not exist").await;
}

#[tokio::test]
async fn a_refused_port_is_69() {
    assert_all(
        "postgres://u:c%C3%A4nary@127.0.0.1:9/dlc_test",
        69,
        "connection refused",
    )
    .await;
}

#[tokio::test]
async fn an_unknown_host_is_69() {
    assert_all(
        "postgres://u:c%C3%A4nary@no-such-host.invalid/dlc_test",
        69,
        "the host name does not resolve",
    )
    .await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_69() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u:c%C3%A4nary@{}/dlc_test", silent.local_addr().unwrap());
    let status = Dlc::new()
        .env("DATABASE_URL", &url)
        .env("DLC_DATABASE__CONNECT_TIMEOUT", "200ms");
    status
        .run(&["migrate", "status"])
        .await
        .assert_error(69, "no answer within 200 ms");
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_78_and_not_repeated() {
    assert_all(
        "mysql://u:cänary@127.0.0.1/dlc_test",
        78,
        "the scheme \"mysql\" is not known",
    )
    .await;
    assert_all("cänary", 78, "it has no scheme").await;
    assert_all("postgres://u:cänary#x@127.0.0.1/dlc_test", 78, "percent-encode").await;
    assert_all(
        "postgres://u:cänary@127.0.0.1/dlc_test?sslmod=require",
        78,
        "the parameter \"sslmod\" is not known",
    )
    .await;
    assert_all("sqlite::memory:", 78, "name a file").await;
    assert_all("postgres://u:12/cänary@127.0.0.1/dlc_test", 78, "is not encoded").await;
    assert_all("postgres://u:12?cänary@127.0.0.1/dlc_test", 78, "is not encoded").await;
}

#[tokio::test]
async fn a_missing_directory_of_a_sqlite_file_is_69() {
    let database = Database::empty(Engine::Sqlite).await;
    let url = database.url.replace("dlc_test.db", "no/such/dlc_test.db");
    for command in [&["serve", "--port", "0"][..], &["migrate", "up"]] {
        Dlc::new()
            .env("DATABASE_URL", &url)
            .run(command)
            .await
            .assert_error(69, "does not exist");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_69() {
    let database = Database::empty(Engine::Sqlite).await;
    std::fs::write(
        database.file(),
        "this is a letter to my aunt, and it is long enough to be looked at".repeat(99),
    )
    .unwrap();
    for command in [&["serve", "--port", "0"][..], &["migrate", "up"]] {
        database
            .dlc()
            .run(command)
            .await
            .assert_error(69, "file is not a database");
    }
}

#[tokio::test]
async fn a_port_in_use_is_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = Dlc::new().run(&["serve", "--port", &port]).await;
    refused.assert_error(1, &format!("cannot listen on 127.0.0.1:{port}: address already in use"));
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_78() {
    let unreadable = Dlc::new().run(&["--config", "missing.yaml", "config", "show"]).await;
    unreadable.assert_error(
        78,
        "the configuration file missing.yaml cannot be read: no such file or directory",
    );
    let broken = Dlc::new()
        .file("config/default.yaml", "server: [")
        .run(&["serve"])
        .await;
    broken.assert_error(78, "config/default.yaml is not valid YAML");
    let directory = Dlc::new()
        .file("config/default.yaml/x", "")
        .run(&["migrate", "status"])
        .await;
    directory.assert_error(78, "cannot be read");
    let value = Dlc::new().env("DLC_SERVER__PORT", "many").run(&["serve"]).await;
    value.assert_error(
        78,
        "server.port from DLC_SERVER__PORT: expected a number from 0 to 65535, not \"many\"",
    );
    let secret = Dlc::new()
        .env("DB_PASSWORD_FILE", "/nonexistent")
        .env("DB_HOST", "db")
        .run(&["migrate", "status"])
        .await;
    secret.assert_error(78, "the file /nonexistent, named by DB_PASSWORD_FILE, cannot be read");
}

#[tokio::test]
async fn what_names_a_database_and_does_not_say_which_is_no_reason_to_take_another_one() {
    // A variable that a script has not set.
    let empty = Dlc::new().run(&["db", "check", "--url", ""]).await;
    empty.assert_error(64, "--url is empty");

    let truncated = Dlc::new().file("secret", "\n").env("DLC_DATABASE__URL_FILE", "secret");
    let refused = truncated.run(&["migrate", "up"]).await;
    refused.assert_error(
        78,
        "the file secret, named by DLC_DATABASE__URL_FILE, cannot be read: it is empty",
    );
    assert!(!truncated.directory().join("data").exists());

    // As after a mount that has failed.
    let dangling = Dlc::new().file("config/x", "");
    let link = dangling.directory().join("config/default.yaml");
    std::os::unix::fs::symlink("/nonexistent/default.yaml", link).unwrap();
    let refused = dangling.run(&["migrate", "up"]).await;
    refused.assert_error(
        78,
        "the configuration file config/default.yaml cannot be read: no such file",
    );

    let closed = Dlc::new()
        .file("config/default.yaml", "database:\n  url: postgres://u@h/d\n")
        .without_privileges();
    let config = closed.directory().join("config");
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o000)).unwrap();
    let refused = closed.run(&["migrate", "up"]).await;
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o755)).unwrap();
    refused.assert_error(78, "config/default.yaml cannot be read: permission denied");
}

#[tokio::test]
async fn output_that_nobody_gets_is_no_success() {
    for command in [
        &["openapi"][..],
        &["config", "show"],
        &["config", "template"],
        &["completions", "bash"],
        &["migrate", "status", "--format", "json"],
        &["db", "check", "--only", "CFG001"],
        &["--help"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let dlc = Dlc::new();
        let child = dlc.command(command).stdout(full).spawn().unwrap();
        let output = child.wait_with_output().await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
        let words = "error: the output could not be written: no space left on device";
        assert!(stderr.contains(words), "{command:?}: {stderr}");
    }
}

#[tokio::test]
async fn scripts_that_read_json_are_told_in_it_what_failed() {
    let refused = Dlc::new().env("DATABASE_URL", "postgres://u:c%C3%A4nary@127.0.0.1:9/dlc_test");
    for (command, verb) in [
        ("migrate", "status"),
        ("migrate", "plan"),
        ("migrate", "verify"),
        ("migrate", "repair"),
        ("migrate", "up"),
        ("user", "list"),
        ("coupon", "list"),
        ("db", "backup"),
    ] {
        let failed = refused.run(&[command, verb, "--format", "json"]).await;
        failed.assert_error(69, "connection refused");
        let report = failed.json();
        assert_eq!(report["exit_code"], 69, "{report}");
        assert_eq!(report["command"], format!("{command} {verb}"), "{report}");
        assert_eq!(report["error"]["code"], "database_connection_refused", "{report}");
    }
    let wrong = Dlc::new().env("DLC_SERVER__PORT", "many");
    for command in [["user", "list"], ["migrate", "status"], ["config", "show"]] {
        let failed = wrong.run(&[&command[..], &["--format", "json"]].concat()).await;
        assert_eq!(failed.code, 78, "{failed:?}");
        assert_eq!(failed.json()["exit_code"], 78, "{failed:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_configuration_is_not_repeated() {
    for text in [
        "DATABASE_URL=postgres://u:cänary@h/d",
        "- cänary",
        "a: [cänary",
        "database:\n  password: cänary: x",
    ] {
        let refused = Dlc::new()
            .file("x.yaml", text)
            .run(&["--config", "x.yaml", "config", "show"])
            .await;
        refused.assert_error(78, "the configuration file x.yaml is not");
    }
    let argument = Dlc::new().run(&["migrate", "up", "postgres://u:cänary@h/d"]).await;
    argument.assert_error(64, "unexpected argument");
}

#[tokio::test]
async fn a_variable_that_is_no_text_is_78_and_not_taken_for_unset() {
    use std::os::unix::ffi::OsStringExt;
    let dlc = Dlc::new();
    let mut command = dlc.command(&["migrate", "status"]);
    command.env(
        "DATABASE_URL",
        std::ffi::OsString::from_vec(b"postgres://u:\xff@h/d".to_vec()),
    );
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("the variable DATABASE_URL is not valid UTF-8")
    );
}

#[tokio::test]
async fn values_that_cannot_work_are_78() {
    for (name, value, words) in [
        (
            "DLC_DATABASE__MAX_OPEN_CONNS",
            "0",
            "database.max_open_conns must be at least 1",
        ),
        (
            "DLC_SERVER__MAX_CONNECTIONS",
            "0",
            "server.max_connections must be at least 1",
        ),
        (
            "DLC_SERVER__REQUEST_TIMEOUT",
            "0s",
            "server.request_timeout must be longer than 0s",
        ),
        (
            "DLC_DATABASE__STATEMENT_TIMEOUT",
            "500us",
            "database.statement_timeout must be 0s (never), or from 1ms",
        ),
        (
            "DLC_DATABASE__ACQUIRE_TIMEOUT",
            "18446744073709551615s",
            "database.acquire_timeout must be from 1ms to 24days",
        ),
        (
            "DLC_MIGRATE__TABLE_LOCK_TIMEOUT",
            "500us",
            "migrate.table_lock_timeout must be from 1ms to 24days",
        ),
        (
            "DLC_DATABASE__LOCK_TIMEOUT",
            "60days",
            "database.lock_timeout must be 0s (never), or from 1ms to 24days",
        ),
        (
            "DLC_DATABASE__MAX_IDLE_CONNS",
            "11",
            "max_idle_conns (11) is above database.max_open_conns (10)",
        ),
    ] {
        let dlc = || Dlc::new().env(name, value);
        dlc().run(&["config", "check"]).await.assert_error(78, words);
        dlc().run(&["serve", "--port", "0"]).await.assert_error(78, words);
    }
    // One connection is few, but the default of two idle ones is not the user's word against it.
    assert_eq!(
        Dlc::new()
            .env("DLC_DATABASE__MAX_OPEN_CONNS", "1")
            .run(&["config", "check"])
            .await
            .code,
        0
    );
}

#[tokio::test]
async fn a_role_without_rights_is_77() {
    let database = Database::empty(Engine::Postgres).await;
    let role = format!("{}_guest", database.name());
    database
        .execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'cänary'"))
        .await;
    let url = database.url.replace("dlc_test:", &format!("{role}:"));
    let url = url.replace(&postgres::encode(postgres::PASSWORD), "c%C3%A4nary");
    let refused = Dlc::new().env("DATABASE_URL", &url).run(&["migrate", "up"]).await;
    refused.assert_error(77, "before migrating, PRV001 database and schema: ");
    // Looking needs no rights beyond reading.
    assert_eq!(
        Dlc::new()
            .env("DATABASE_URL", &url)
            .run(&["migrate", "status"])
            .await
            .code,
        0
    );
    database.execute(&format!("DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_strict_profile_without_database_or_secret_refuses_to_serve() {
    let strict = || Dlc::new().env("DLC_PROFILE", "production");
    let serve = &["serve", "--port", "0"];
    strict()
        .run(serve)
        .await
        .assert_error(78, "no signing secret is configured");
    let secret = strict().env("DLC_AUTH__SECRET", SECRET);
    secret.run(serve).await.assert_error(78, "no database is configured");
    let short = Dlc::new().env("DLC_AUTH__SECRET", "cänary").run(serve).await;
    short.assert_error(78, "expected a secret of 32 bytes or more");
}

#[tokio::test]
async fn quiet_prints_nothing_and_leaves_the_exit_code() {
    let quiet = Dlc::new()
        .env("DATABASE_URL", "postgres://u@127.0.0.1:9/dlc_test")
        .run(&["-q", "migrate", "up"])
        .await;
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (69, "", ""));
}
