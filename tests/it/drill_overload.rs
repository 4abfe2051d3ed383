//! Drill: far more keep-alive clients than connections of the pool, claiming without a pause. Each answer is a grant, a refusal or
//! 503; memory stays bounded; when they are gone the service is as it was. How many more or less grants there are than with few clients
//! is told, and judged by no test: benches/http.md has the figures of what is shipped.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{
    Database, Dlc, Engine, Server,
    drill::{Figures, drill_at_most, in_all_sizes},
    on_both_engines,
};

/// What it may take at most, clients and claims included: several times what it does.
const MOST_MEMORY_KIB: u64 = 300 * 1024;

/// Sells to so many clients at once, and returns the report. Whatever is no answer, or one that should not be, ends the drill.
async fn sell(server: &Server, clients: usize, long: &str) -> Value {
    let url = format!("http://{}", server.address());
    let clients = clients.to_string();
    let limit = if in_all_sizes() { "--duration" } else { "--total" };
    let arguments = [
        "bench",
        "claims",
        "--url",
        &url,
        "--stock",
        "2147483647",
        "--format",
        "json",
    ];
    let arguments = [&arguments[..], &["--concurrency", &clients, limit, long]].concat();
    let sale = Dlc::new().run(&arguments).await;
    assert_eq!(sale.code, 0, "{sale:?}");
    let report = sale.json();
    let known = [
        "granted",
        "already_claimed",
        "out_of_stock",
        // 503, each of them; the others are what a busy machine makes of a crowd.
        "overloaded",
        "request_timeout",
        "database_timeout",
        "database_unavailable",
    ];
    let known: BTreeSet<&str> = known.into_iter().collect();
    let outcomes = report["outcomes"].as_object().unwrap();
    assert!(
        outcomes.keys().all(|outcome| known.contains(outcome.as_str())),
        "{report}"
    );
    assert_eq!(report["connections"]["broken"], 0, "{report}");
    assert_eq!(report["check"]["holds"], true, "{report}");
    assert!(report["granted"].as_u64().unwrap() > 0, "{report}");
    report
}

/// Resident memory, at most so far, in KiB.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// With a pool as it is by default; it is said because a crowd is measured against it.
async fn server(engine: Engine, variables: &[(&str, &str)]) -> Server {
    let database = Database::migrated(engine).await;
    let dlc = database.dlc().env("DLC_DATABASE__MAX_OPEN_CONNS", "10");
    let dlc = variables.iter().fold(dlc, |dlc, (name, value)| dlc.env(name, value));
    Server::start_as(database, dlc, &[]).await
}

async fn assert_in_order(server: Server) {
    assert!(!server.log().contains("panicked"), "{}", server.log());
    let audit = server.database.dlc().run(&["coupon", "audit"]).await;
    assert_eq!(audit.code, 0, "{audit:?}");
    assert_eq!(server.stop().await.code, 0);
}

/// More than is worked on and may wait at once: whoever is too many is sent away at once, and the others are served.
async fn too_many(engine: Engine) -> Figures {
    let few = [("DLC_SERVER__MAX_IN_FLIGHT", "8"), ("DLC_SERVER__MAX_QUEUE", "8")];
    let server = server(engine, &few).await;
    let long = if in_all_sizes() { "4s" } else { "600" };
    let report = sell(&server, 100, long).await;
    let refused = report["outcomes"]["overloaded"].as_u64().unwrap_or_default();
    assert!(refused > 0, "{report}");
    assert_eq!(server.get("/readyz").await.status, 200, "{}", server.log());
    assert_in_order(server).await;
    Figures::default()
        .count("granted", usize::try_from(report["granted"].as_u64().unwrap()).unwrap())
        .count("sent away by 503", usize::try_from(refused).unwrap())
}

async fn crowd(engine: Engine) -> Figures {
    let server = server(engine, &[]).await;
    let (few, many) = if in_all_sizes() {
        ((64, "8s"), (2_000, "8s"))
    } else {
        ((64, "400"), (500, "1500"))
    };
    let calm = sell(&server, few.0, few.1).await;
    let crowded = sell(&server, many.0, many.1).await;
    assert_eq!(server.get("/readyz").await.status, 200, "{}", server.log());
    let after = sell(&server, few.0, if in_all_sizes() { "2s" } else { "100" }).await;
    assert_eq!(after["unknown"], 0, "{after}");
    let memory = peak(&server);
    assert_in_order(server).await;
    assert!(memory < MOST_MEMORY_KIB, "{memory} KiB");
    let number = |report: &Value, name: &str| usize::try_from(report[name].as_u64().unwrap()).unwrap();
    let rate = |report: &Value| report["granted_per_second"].as_f64().unwrap();
    let figures = Figures::default()
        .most("crowd of", u64::try_from(many.0).unwrap(), "clients")
        .count("claims", number(&crowded, "requests"))
        .count("granted", number(&crowded, "granted"))
        .count("answered by 503", number(&crowded, "unknown"))
        .most(
            "p99 of the granted",
            crowded["latency_us"]["granted"]["p99"].as_u64().unwrap() / 1_000,
            "ms",
        )
        .most("memory", memory / 1024, "MiB");
    if in_all_sizes() {
        return figures.ratio(
            "grants per second beside those of 64 clients",
            rate(&crowded) / rate(&calm),
        );
    }
    figures
}

on_both_engines! {
    async fn far_more_clients_than_connections_hear_nothing_but_verdicts_and_503(engine: Engine) {
        drill_at_most(3, format!("overload ({engine:?})"), async |_| crowd(engine).await).await;
    }

    async fn beyond_what_may_wait_it_is_503_for_a_crowd_and_grants_for_the_others(engine: Engine) {
        drill_at_most(3, format!("more than may wait ({engine:?})"), async |_| too_many(engine).await).await;
    }
}
