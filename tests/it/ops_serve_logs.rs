//! What `dlc serve` says on standard error, to whom, and what it never says.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Database, Dlc, Engine, SECRET, Server, Terminal, postgres};

/// Begins every secret here.
const CANARY: &str = "c\u{e4}nary";

#[tokio::test]
async fn json_logs_are_one_object_per_line() {
    let database = Database::migrated(Engine::Sqlite).await;
    let dlc = database.dlc().env("DLC_LOG__FORMAT", "json");
    let server = Server::start_as(database, dlc, &[]).await;
    let log = server.stop().await.stderr;
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(event["message"].is_string() && event["level"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn at_debug_every_request_is_one_line_with_its_id() {
    let database = Database::migrated(Engine::Sqlite).await;
    let dlc = database.dlc().env("DLC_LOG__LEVEL", "debug");
    let server = Server::start_as(database, dlc, &[]).await;
    let request = server.request(reqwest::Method::GET, "/api/v1/coupons/none?secret=c\u{e4}nary");
    let answer = server.send(request.header("x-request-id", "mine-7")).await;
    assert_eq!((answer.status, answer.header("x-request-id")), (404, "mine-7"));
    server.until_logged("request_id=\"mine-7\"").await;
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("mine-7")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    for part in [
        "DEBUG",
        "method=GET",
        "path=\"/api/v1/coupons/none\"",
        "status=404",
        "ms=",
    ] {
        assert!(lines[0].contains(part), "{part}: {log}");
    }
    assert!(!log.contains("nary"), "a query is no one's business: {log}");
}

#[tokio::test]
async fn a_start_that_fails_is_one_event_with_its_code_for_machines() {
    let dlc = Dlc::new()
        .env("DATABASE_URL", "postgres://u@127.0.0.1:9/dlc_test")
        .env("DLC_LOG__FORMAT", "json");
    let failed = dlc.run(&["serve", "--port", "0", "--wait", "0s"]).await;
    assert_eq!(failed.code, 69, "{failed:?}");
    let last: Value = serde_json::from_str(failed.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["code"], &last["exit_code"]),
        (&json!("database_connection_refused"), &json!(69)),
        "{last}"
    );
}

#[tokio::test]
async fn lines_are_for_people_on_a_terminal_and_for_machines_elsewhere() {
    let database = Database::migrated(Engine::Sqlite).await;
    let dlc = || database.dlc().env("DLC_LOG__FORMAT", "");
    let terminal = Terminal::start(dlc(), &["serve", "--port", "0"]);
    terminal.until_shown("ready in ").await;
    assert!(terminal.shown().contains(" INFO"), "{}", terminal.shown());
    terminal.type_in("\u{3}");
    assert_eq!(terminal.finished().await, 0);
    let elsewhere = dlc().start(&["serve", "--port", "0"]);
    elsewhere.until_said("ready in ").await;
    elsewhere.signal(Signal::TERM);
    for line in elsewhere.finished().await.stderr.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[tokio::test]
async fn the_level_comes_from_whichever_name_people_know() {
    for (given, is_shown) in [
        (&[("LOG_LEVEL", "debug")][..], true),
        (&[("RUST_LOG", "debug")], true),
        (&[("RUST_LOG", "hyper=trace,dlc=debug")], true),
        (&[("RUST_LOG", "some_program")], false),
        (&[("RUST_LOG", "debug"), ("LOG_LEVEL", "info")], false),
        (&[("LOG_LEVEL", "info"), ("DLC_LOG__LEVEL", "debug")], true),
    ] {
        let dlc = given.iter().fold(Dlc::new(), |dlc, (name, value)| dlc.env(name, value));
        let server = Server::start_as(Database::migrated(Engine::Sqlite).await, dlc, &[]).await;
        assert_eq!(server.get("/api/v1/greet").await.status, 200);
        let log = server.stop().await.stderr;
        assert_eq!(log.contains("DEBUG"), is_shown, "{given:?}: {log}");
    }
}

#[tokio::test]
async fn a_start_that_fails_is_told_even_where_nothing_is_logged() {
    let dlc = Dlc::new()
        .env("DATABASE_URL", "postgres://u@127.0.0.1:9/dlc_test")
        .env("DLC_LOG__FORMAT", "json")
        .env("DLC_LOG__LEVEL", "off");
    let failed = dlc.run(&["serve", "--port", "0", "--wait", "0s"]).await;
    failed.assert_error(69, "connection refused");
}

#[tokio::test]
async fn a_slow_statement_is_warned_of_with_its_duration_and_without_its_values() {
    let server = Server::start(Database::migrated(Engine::Postgres).await).await;
    server.post("/api/v1/coupons", json!({"name": "c", "amount": 1})).await;
    let holder = server.database.hold_coupons().await;
    let claim = server.post("/api/v1/coupons/c/claims", json!({"user_id": format!("{CANARY} user")}));
    // The row is not let go of in time.
    assert_eq!(claim.await.status, 503);
    holder.release().await;
    let log = server.log();
    let slow = log
        .lines()
        .find(|line| line.contains("slow statement"))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(slow.contains("WARN") && slow.contains("elapsed="), "{slow}");
    assert!(!log.contains(CANARY), "{log}");
}

/// Everything that is secret begins with the canary, at every place where a secret can be; whatever happens, at the most talkative
/// level and in both forms, nobody is told.
#[tokio::test]
async fn no_secret_is_ever_logged() {
    let encoded = "c%C3%A4nary";
    for format in ["pretty", "json"] {
        let database = Database::migrated(Engine::Postgres).await;
        let role = format!("{}_service", database.name());
        let make = format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{CANARY} role'");
        database.execute(&make).await;
        let url = database.url.replace("dlc_test:", &format!("{role}:"));
        let url = url.replace(&postgres::encode(postgres::PASSWORD), &format!("{encoded}%20role"));
        let dlc = |url: &str| {
            Dlc::new()
                .env("DLC_LOG__FORMAT", format)
                .env("DLC_LOG__LEVEL", "trace")
                .env("DATABASE_URL", url)
                .env("DLC_AUTH__SECRET", &format!("{CANARY} {SECRET}"))
        };
        let server = Server::start_as(database, dlc(&url), &["-vv"]).await;
        let command_line = fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
        assert!(!String::from_utf8_lossy(&command_line).contains("nary"));
        let post = |path: &str| {
            server
                .request(reqwest::Method::POST, path)
                .bearer_auth(encoded)
                .header("cookie", format!("session={encoded}"))
                .header("idempotency-key", encoded)
        };
        let query = format!("?password={encoded}&token={encoded}");
        for path in [
            "/api/v1/coupons",
            "/api/v1/coupons/x/claims",
            "/api/coupons/claim",
            "/nowhere",
        ] {
            for body in [
                json!({"password": CANARY}).to_string(),
                format!("{{\"{CANARY}\""),
                CANARY.to_owned(),
            ] {
                let request = post(&format!("{path}{query}")).header("content-type", "application/json");
                let refused = server.send(request.body(body)).await;
                assert!((400..500).contains(&refused.status), "{refused:?}");
            }
        }
        for path in ["/metrics", "/api/health/db", "/api/metrics/db", "/readyz?verbose=true"] {
            let told = server.get(path).await;
            assert!(
                !told.text.contains(CANARY) && !told.text.contains(encoded),
                "{path}: {}",
                told.text
            );
        }
        // Lost, and refused from now on.
        let alter = format!("ALTER ROLE {role} PASSWORD 'another'");
        server.database.execute(&alter).await;
        let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
        server.database.execute(&cut).await;
        server.until("/readyz", 503).await;
        server.get("/api/v1/coupons/x").await;
        let refused = dlc(&url).run(&["-vv", "serve", "--port", "0", "--wait", "300ms"]).await;
        assert_eq!(refused.code, 77, "{refused:?}");
        server.signal(Signal::TERM);
        server.until_logged("stopped").await;
        let log = server.log();
        assert!(
            log.contains("the database is lost") && log.lines().count() > 30,
            "{log}"
        );
        for text in [log, refused.stderr, refused.stdout] {
            assert!(
                !text.contains(CANARY) && !text.contains(encoded) && !text.contains("nary role"),
                "{text}"
            );
        }
        server.database.execute(&format!("DROP ROLE {role}")).await;
    }
}
