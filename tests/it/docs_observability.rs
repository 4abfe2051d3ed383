//! docs/observability.md and the alert rules against what a running service really tells.

use std::{collections::BTreeSet, process::Command};

use serde_json::json;

use crate::harness::{Database, Engine, OnEngine, Port, Server};

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The families that a service tells of once it has been used.
async fn told() -> BTreeSet<String> {
    let server = Server::on(Engine::Sqlite).await;
    server.post("/api/coupons", json!({"name": "c", "amount": 1})).await;
    let started = std::time::Instant::now();
    loop {
        let text = server.get("/metrics").await.text;
        let families: BTreeSet<String> = text
            .lines()
            .filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned()))
            .collect();
        if families.contains("dlc_check_status") {
            return families;
        }
        assert!(started.elapsed().as_secs() < 30, "{text}");
    }
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_one_is_told() {
    let document = read("docs/observability.md");
    let documented: BTreeSet<String> = document
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned()))
        .collect();
    assert_eq!(documented, told().await);
}

#[tokio::test]
async fn the_alert_rules_are_accepted_by_promtool_and_use_metrics_that_exist() {
    let promtool = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/promtool"))
        .output()
        .unwrap();
    assert!(
        promtool.status.success(),
        "{}",
        String::from_utf8_lossy(&promtool.stderr)
    );
    let promtool = String::from_utf8(promtool.stdout).unwrap();
    let rules = "deployments/observability/alerts.yaml";
    let checked = Command::new(promtool.trim())
        .args(["check", "rules", rules])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert_told(&read(rules), &told().await);
}

#[test]
fn the_configuration_of_prometheus_is_accepted_by_promtool() {
    let promtool = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/promtool"))
        .output()
        .unwrap();
    let promtool = String::from_utf8(promtool.stdout).unwrap();
    // Its syntax alone: the rules are where the container has them.
    let checked = Command::new(promtool.trim())
        .args([
            "check",
            "config",
            "--syntax-only",
            "deployments/observability/prometheus.yaml",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert!(read("deployments/docker-compose.yml").contains("alerts.yaml:/etc/prometheus/alerts.yaml:ro"));
}

/// Asserts that every metric which a text names is one that is told.
fn assert_told(text: &str, told: &BTreeSet<String>) {
    let used: BTreeSet<&str> = text
        .split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| {
            let prefixes = ["dlc_", "db_client_", "http_server_", "process_"];
            prefixes.iter().any(|prefix| word.starts_with(prefix))
        })
        .collect();
    assert!(used.len() >= 8, "{used:?}");
    for metric in used {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| metric.strip_suffix(suffix).filter(|family| told.contains(*family)))
            .unwrap_or(metric);
        assert!(told.contains(family), "{metric} is told by nobody: {told:?}");
    }
}

#[tokio::test]
async fn the_dashboard_is_whole_and_uses_metrics_that_exist() {
    let text = read("deployments/observability/dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        assert!(panel["description"].as_str().unwrap().len() > 5, "{panel}");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
    }
    assert_told(&text, &told().await);
}

#[tokio::test]
async fn metrics_can_have_a_listener_of_their_own() {
    let reserved = Port::reserve();
    let port = reserved.number;
    let database = Database::migrated(Engine::Sqlite).await;
    let dlc = database.dlc().env("DLC_METRICS__LISTEN", &format!("127.0.0.1:{port}"));
    let server = Server::start_as(database, dlc, &[]).await;
    server.get("/metrics").await.assert_problem(404, "route_not_found");
    assert_eq!(server.get("/healthz").await.status, 200);
    let at = |path: &str| server.client.get(format!("http://127.0.0.1:{port}{path}")).send();
    let metrics = at("/metrics").await.unwrap();
    assert_eq!(metrics.status(), 200);
    let text = metrics.text().await.unwrap();
    assert!(
        text.contains("dlc_ready 1\n") && text.contains("http_route=\"/healthz\""),
        "{text}"
    );
    assert_eq!(at("/healthz").await.unwrap().status(), 404);
    assert_eq!(server.stop().await.code, 0);
}
