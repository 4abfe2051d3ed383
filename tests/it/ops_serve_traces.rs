//! Traces: what a collector is sent of requests, use cases and statements, and that nobody notices when there is none.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::harness::{Collector, Database, Dlc, Empty, Engine, OnEngine, Seen, Server, on_both_engines};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
/// A person whose name must not be in any trace.
const CANARY: &str = "canary-person-7f3a";

/// A server that sends its traces to a collector, soon.
struct TracedServer {
    server: Server,
    collector: Collector,
}

impl OnEngine for TracedServer {
    async fn on(engine: Engine) -> Self {
        Self::with(engine, &[]).await
    }
}

fn traced(dlc: Dlc, endpoint: &str, variables: &[(&str, &str)]) -> Dlc {
    let dlc = dlc
        .env("DLC_TRACES__ENDPOINT", endpoint)
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .env("DLC_LOG__LEVEL", "debug");
    variables.iter().fold(dlc, |dlc, (name, value)| dlc.env(name, value))
}

impl TracedServer {
    async fn with(engine: Engine, variables: &[(&str, &str)]) -> Self {
        let (collector, database) = (Collector::start().await, Database::migrated(engine).await);
        let dlc = traced(database.dlc(), collector.endpoint(), variables);
        let server = Server::start_as(database, dlc, &[]).await;
        Self { server, collector }
    }

    /// Stops it, after which nothing more can come, and returns all that came.
    async fn all(self) -> Vec<Seen> {
        let stopped = self.server.stop().await;
        assert_eq!(stopped.code, 0, "{stopped:?}");
        self.collector.spans()
    }

    async fn sell(&self, name: &str, amount: u32) {
        let created = self
            .server
            .post("/api/v1/coupons", json!({"name": name, "amount": amount}))
            .await;
        assert_eq!(created.status, 201, "{created:?}");
    }
}

/// The one span of that name.
fn one<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    let found: Vec<_> = spans.iter().filter(|seen| seen.name() == name).collect();
    let names: Vec<_> = spans.iter().map(Seen::name).collect();
    assert_eq!(found.len(), 1, "{name:?} among {names:?}");
    found[0]
}

/// The names of a span's children, in the order of their beginning.
fn children<'a>(spans: &'a [Seen], parent: &Seen) -> Vec<&'a str> {
    let mut found: Vec<_> = spans.iter().filter(|seen| seen.parent() == parent.id()).collect();
    found.sort_by_key(|seen| seen.span.start_time_unix_nano);
    found.into_iter().map(Seen::name).collect()
}

fn assert_attributes(seen: &Seen, expected: &[(&str, &str)]) {
    let attributes: BTreeSet<_> = seen.attributes().into_iter().collect();
    let expected: BTreeSet<_> = expected
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(attributes, expected, "of {}", seen.name());
}

fn system(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "postgresql",
        Engine::Sqlite => "sqlite",
    }
}

on_both_engines! {
    async fn a_claim_is_a_tree_of_spans_and_none_holds_a_value_or_sql(traced: TracedServer) {
        traced.sell("c", 5).await;
        let engine = traced.server.database.engine;
        let system = system(engine);
        let claim = json!({"user_id": CANARY, "coupon_name": "c"});
        let request = traced.server.request(Method::POST, "/api/coupons/claim").json(&claim);
        let answer = traced.server.send(request.header("x-request-id", "id-1").header("x-secret", CANARY)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let spans = traced.all().await;

        let request = one(&spans, "POST /api/coupons/claim");
        assert_eq!((request.kind(), request.parent().as_str(), request.failed()), (SpanKind::Server, "", false));
        assert_attributes(request, &[
            ("http.request.method", "POST"),
            ("http.route", "/api/coupons/claim"),
            ("url.path", "/api/coupons/claim"),
            ("url.scheme", "http"),
            ("http.response.status_code", "201"),
            ("dlc.request_id", "id-1"),
        ]);
        assert_eq!(answer.header("traceresponse"), format!("00-{}-{}-01", request.trace(), request.id()));
        let resource: Vec<&str> = request.resource.iter().map(|(key, _)| key.as_str()).collect();
        assert!(request.resource.contains(&("service.name".into(), "dlc".into())), "{resource:?}");
        for key in ["service.version", "service.instance.id"] {
            assert!(resource.contains(&key), "{resource:?}");
        }

        assert_eq!(children(&spans, request), ["coupons.claim"]);
        let case = one(&spans, "coupons.claim");
        assert_eq!(case.kind(), SpanKind::Internal);
        let statements: &[&str] = match engine {
            // One statement is a transaction.
            Engine::Postgres => &["INSERT claims"],
            Engine::Sqlite => &["BEGIN", "SELECT coupons claims", "INSERT claims", "UPDATE coupons", "COMMIT"],
        };
        assert_eq!(children(&spans, case), statements);
        let insert = one(&spans, "INSERT claims");
        assert_eq!((insert.kind(), insert.trace()), (SpanKind::Client, request.trace()));
        assert_attributes(insert, &[
            ("db.system.name", system),
            ("db.operation.name", "INSERT"),
            ("db.collection.name", "claims"),
            ("db.query.summary", "INSERT claims"),
        ]);
        if engine == Engine::Sqlite {
            assert_attributes(one(&spans, "COMMIT"), &[
                ("db.system.name", system),
                ("db.operation.name", "COMMIT"),
                ("db.query.summary", "COMMIT"),
            ]);
        }
        for seen in &spans {
            let words = format!("{:?}", seen.span);
            for forbidden in [CANARY, "VALUES", "FROM", "WHERE", "$1", ".rs"] {
                assert!(!words.contains(forbidden), "{forbidden} is in {words}");
            }
            assert!(seen.span.events.is_empty(), "{words}");
        }
    }

    async fn reads_are_spans_of_whoever_asked(traced: TracedServer) {
        traced.sell("c", 5).await;
        for path in ["/api/v1/coupons/c", "/api/coupons/c", "/api/v1/greet"] {
            assert_eq!(traced.server.get(path).await.status, 200, "{path}");
        }
        assert_eq!(traced.server.get("/nowhere/at/all").await.status, 404);
        let spans = traced.all().await;
        let request = one(&spans, "GET /api/v1/coupons/{name}");
        assert_eq!(request.attribute("url.path").as_deref(), Some("/api/v1/coupons/c"));
        assert_eq!(children(&spans, request), ["coupons.find"]);
        let case = one(&spans, "coupons.find");
        assert_eq!(children(&spans, case), ["SELECT coupons"]);
        let request = one(&spans, "GET /api/coupons/{name}");
        assert_eq!(children(&spans, request), ["coupons.find_with_claimants"]);
        assert_eq!(children(&spans, one(&spans, "coupons.find_with_claimants")), ["SELECT coupons claims"]);
        assert_eq!(children(&spans, one(&spans, "GET /api/v1/greet")), [""; 0]);
        // A 404 is an answer as good as any, and belongs to no route.
        let nowhere = one(&spans, "GET");
        assert!(!nowhere.failed() && nowhere.attribute("http.route").is_none(), "{nowhere:?}");
        assert_eq!(nowhere.attribute("error.type"), None);
    }

    async fn the_callers_trace_goes_on_and_its_decision_counts(traced: TracedServer) {
        let ask = |parent: &str| {
            let request = traced.server.request(Method::GET, "/api/v1/coupons/none");
            traced.server.send(request.header("traceparent", parent).header("tracestate", "a=1"))
        };
        let recorded = ask(&format!("00-{TRACE}-{CALLER}-01")).await;
        let (start, end) = (format!("00-{TRACE}-"), "-01");
        let response = recorded.header("traceresponse");
        assert!(response.starts_with(&start) && response.ends_with(end), "{response}");
        let other = "1".repeat(32);
        let unrecorded = ask(&format!("00-{other}-{CALLER}-00")).await;
        let response = unrecorded.header("traceresponse");
        assert!(response.starts_with(&format!("00-{other}-")) && response.ends_with("-00"), "{response}");
        let malformed = [
            "", "00", &format!("00-{}-{CALLER}-01", "0".repeat(32)), &format!("ff-{TRACE}-{CALLER}-01"),
            &format!("00-{TRACE}-{CALLER}-01-x"), &format!("00-{}-{CALLER}-01", TRACE.to_uppercase()),
        ];
        for malformed in &malformed {
            let answer = ask(malformed).await;
            assert!(!answer.header("traceresponse").contains(TRACE), "{malformed:?}: {answer:?}");
        }
        let log = traced.server.log();
        let line = log.lines().find(|line| line.contains(TRACE)).unwrap_or_else(|| panic!("{log}"));
        assert!(line.contains("request") && line.contains("trace_id="), "{line}");
        assert!(!log.contains("otel.") && !log.contains("coupons.find"), "spans are no log: {log}");
        let spans = traced.all().await;
        let requests: Vec<_> = spans.iter().filter(|seen| seen.kind() == SpanKind::Server).collect();
        assert_eq!(requests.len(), 1 + malformed.len());
        let mine = requests.iter().find(|seen| seen.trace() == TRACE).unwrap();
        assert_eq!((mine.parent().as_str(), mine.span.trace_state.as_str()), (CALLER, "a=1"));
        assert!(spans.iter().all(|seen| seen.trace() != other), "it was not to be recorded");
        // Nor did what was done for it become a trace of its own.
        let is_of_a_request = |seen: &&Seen| requests.iter().any(|request| request.trace() == seen.trace());
        assert_eq!(spans.iter().filter(is_of_a_request).count(), spans.len());
        for request in requests.iter().filter(|seen| seen.trace() != TRACE) {
            assert_eq!(request.parent(), "");
        }
    }

    async fn a_failed_statement_fails_its_span_and_its_request(traced: TracedServer) {
        let engine = traced.server.database.engine;
        traced.server.database.execute("DROP TABLE claims").await;
        traced.sell("c", 1).await;
        let claim = json!({"user_id": CANARY, "coupon_name": "c"});
        assert_eq!(traced.server.post("/api/coupons/claim", claim).await.status, 500);
        let log = traced.server.log();
        let spans = traced.all().await;
        let request = one(&spans, "POST /api/coupons/claim");
        assert!(request.failed());
        assert_eq!(request.attribute("error.type").as_deref(), Some("internal_error"));
        let statement = one(&spans, match engine {
            Engine::Postgres => "INSERT claims",
            Engine::Sqlite => "SELECT coupons claims",
        });
        assert!(statement.failed());
        assert_eq!(statement.attribute("error.type").as_deref(), Some("other"));
        assert_eq!(statement.span.status.as_ref().unwrap().message, "");
        let line = log.lines().find(|line| line.contains("request failed")).unwrap();
        assert!(line.contains(&request.trace()), "{line}");
    }

    async fn whoever_waits_for_a_connection_has_a_span_for_it(empty: Empty) {
        let variables = [
            ("DLC_DATABASE__MAX_OPEN_CONNS", "1"),
            ("DLC_DATABASE__MAX_IDLE_CONNS", "1"),
            ("DLC_COUPONS__ENGINE", "single"),
        ];
        let traced = TracedServer::with(empty.0.engine, &variables).await;
        traced.sell("c", 5).await;
        let holder = traced.server.database.hold_coupons().await;
        let claims = ["a", "b", "c"].map(|user| {
            let request = traced.server.request(Method::POST, "/api/coupons/claim");
            tokio::spawn(request.json(&json!({"user_id": user, "coupon_name": "c"})).send())
        });
        traced.server.until_busy_with(3).await;
        holder.release().await;
        for claim in claims {
            assert_eq!(claim.await.unwrap().unwrap().status(), 201);
        }
        let spans = traced.all().await;
        let waits: Vec<_> = spans.iter().filter(|seen| seen.name() == "pool wait").collect();
        assert_eq!(waits.len(), 2);
        for wait in waits {
            let case = spans.iter().find(|seen| seen.id() == wait.parent()).unwrap();
            assert_eq!((case.name(), children(&spans, case)[0]), ("coupons.claim", "pool wait"));
        }
    }

    async fn what_happened_right_before_the_end_is_sent_too(empty: Empty) {
        // A batch goes after an hour, or at the end.
        let engine = empty.0.engine;
        drop(empty);
        let traced = TracedServer::with(engine, &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]).await;
        traced.sell("c", 5).await;
        traced.server.signal(Signal::TERM);
        let TracedServer { server, collector } = traced;
        let stopped = server.finished().await;
        assert_eq!(stopped.code, 0, "{stopped:?}");
        one(&collector.spans(), "INSERT coupons");
    }
}

#[tokio::test]
async fn claims_that_travel_together_are_one_statement_that_all_of_them_are_linked_to() {
    let traced = TracedServer::on(Engine::Postgres).await;
    traced.sell("c", 50).await;
    let holder = traced.server.database.hold_coupons().await;
    let claims: Vec<_> = (0..40)
        .map(|user| {
            let request = traced.server.request(Method::POST, "/api/coupons/claim");
            tokio::spawn(
                request
                    .json(&json!({"user_id": user.to_string(), "coupon_name": "c"}))
                    .send(),
            )
        })
        .collect();
    traced.server.until_at_work(41).await;
    holder.release().await;
    for claim in claims {
        assert_eq!(claim.await.unwrap().unwrap().status(), 201);
    }
    let spans = traced.all().await;
    let statements: Vec<_> = spans.iter().filter(|seen| seen.name() == "INSERT claims").collect();
    let carried: usize = statements.iter().map(|seen| 1 + seen.span.links.len()).sum();
    assert!(statements.len() < 10, "{}", statements.len());
    assert!(carried >= 40, "{carried} in {}", statements.len());
}

#[tokio::test]
async fn reads_that_travel_together_are_one_statement_that_all_of_them_are_linked_to() {
    let traced = TracedServer::on(Engine::Postgres).await;
    traced.sell("c", 5).await;
    let mut holder = PgConnection::connect(&traced.server.database.url).await.unwrap();
    holder
        .execute("BEGIN; LOCK TABLE coupons IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let reads: Vec<_> = (0..40)
        .map(|_| tokio::spawn(traced.server.request(Method::GET, "/api/v1/coupons/c").send()))
        .collect();
    traced.server.until_at_work(41).await;
    holder.execute("ROLLBACK").await.unwrap();
    for read in reads {
        assert_eq!(read.await.unwrap().unwrap().status(), 200);
    }
    let spans = traced.all().await;
    let cases: BTreeSet<String> = spans
        .iter()
        .filter(|seen| seen.name() == "coupons.find")
        .map(Seen::id)
        .collect();
    let statements: Vec<_> = spans.iter().filter(|seen| seen.name() == "SELECT coupons").collect();
    assert_eq!(cases.len(), 40);
    assert!((2..20).contains(&statements.len()), "{} statements", statements.len());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let reached: Vec<String> = statements
        .iter()
        .flat_map(|seen| {
            let links = seen.span.links.iter().map(|link| hex(&link.span_id));
            links.chain([seen.parent()]).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(reached.len(), 40, "nobody is reached twice");
    assert_eq!(reached.into_iter().collect::<BTreeSet<_>>(), cases);
}

#[tokio::test]
async fn probes_and_metrics_are_in_no_trace_and_without_an_endpoint_nobody_is_called() {
    let traced = TracedServer::on(Engine::Sqlite).await;
    for path in [
        "/healthz",
        "/livez",
        "/readyz",
        "/health",
        "/metrics",
        "/api/metrics/db",
        "/api/health/db",
    ] {
        let answer = traced.server.get(path).await;
        assert_eq!(answer.header("traceresponse"), "", "{path}");
    }
    let named = traced.server.get("/api/v1/greet").await;
    assert_ne!(named.header("traceresponse"), "");
    let names: Vec<String> = traced.all().await.iter().map(|seen| seen.name().to_owned()).collect();
    assert_eq!(names, ["GET /api/v1/greet"]);

    let (collector, database) = (Collector::start().await, Database::migrated(Engine::Sqlite).await);
    let dlc = database.dlc().env("DLC_TRACES__SERVICE_NAME", "nobody");
    let server = Server::start_as(database, dlc.env("DLC_LOG__LEVEL", "debug"), &[]).await;
    let request = server.request(Method::GET, "/api/v1/greet");
    let answer = server
        .send(request.header("traceparent", format!("00-{TRACE}-{CALLER}-01")))
        .await;
    assert_eq!((answer.status, answer.header("traceresponse")), (200, ""));
    let stopped = server.stop().await;
    assert!(stopped.code == 0 && !stopped.stderr.contains("trace"), "{stopped:?}");
    assert_eq!(collector.connections(), 0);
}

#[tokio::test]
async fn a_share_of_nothing_records_only_what_its_caller_records() {
    let variables = [("DLC_TRACES__RATIO", "0"), ("OTEL_SERVICE_NAME", "shop")];
    let traced = TracedServer::with(Engine::Sqlite, &variables).await;
    let unrecorded = traced.server.get("/api/v1/greet").await;
    assert!(unrecorded.header("traceresponse").ends_with("-00"), "{unrecorded:?}");
    let request = traced.server.request(Method::GET, "/api/v1/coupons/c");
    let parent = format!("00-{TRACE}-{CALLER}-01");
    traced.server.send(request.header("traceparent", parent)).await;
    let spans = traced.all().await;
    assert_eq!(spans.len(), 3, "{spans:?}");
    assert!(spans.iter().all(|seen| seen.trace() == TRACE));
    assert!(spans[0].resource.contains(&("service.name".into(), "shop".into())));
}

#[tokio::test]
async fn without_its_collector_a_service_answers_and_stops_as_ever_and_says_so_once() {
    // Nobody listens there; and somebody who takes connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    for endpoint in ["http://127.0.0.1:9", silent_url.as_str()] {
        let database = Database::migrated(Engine::Sqlite).await;
        let dlc = traced(database.dlc(), endpoint, &[]);
        let server = Server::start_as(database, dlc, &[]).await;
        let is_down = endpoint.ends_with(":9");
        for _ in 0..3 {
            assert_eq!(server.get("/api/v1/greet").await.status, 200);
            if is_down {
                server.until_logged("traces cannot be sent to").await;
            }
        }
        let asked = Instant::now();
        let stopped = server.stop().await;
        assert_eq!(stopped.code, 0, "{stopped:?}");
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        let warnings = stopped.stderr.matches("traces cannot be sent to").count();
        // Whoever is silent is given up after a while only, which may be after the end.
        assert!(if is_down { warnings == 1 } else { warnings <= 1 }, "{stopped:?}");
    }
}

#[tokio::test]
async fn traces_that_cannot_be_configured_are_a_configuration_error() {
    let dlc = || Dlc::new().env("DATABASE_URL", "sqlite::memory:");
    for (variable, value, words) in [
        ("DLC_TRACES__ENDPOINT", "collector:4317", "traces.endpoint"),
        (
            "DLC_TRACES__ENDPOINT",
            "http://u:cänary@collector:4317",
            "traces.endpoint",
        ),
        ("DLC_TRACES__ENDPOINT", "http://bücher:4317", "traces cannot be taken"),
        ("DLC_TRACES__RATIO", "2", "traces.ratio"),
    ] {
        let refused = dlc().env(variable, value).run(&["serve", "--port", "0"]).await;
        refused.assert_error(78, words);
    }
}
