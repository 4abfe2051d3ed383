//! Large answers travel compressed.

use reqwest::Method;

use crate::harness::{Answer, Database, Engine, Server};

#[tokio::test]
async fn large_answers_travel_compressed_to_whoever_takes_it() {
    let server = Server::start(Database::migrated(Engine::Sqlite).await).await;
    let get = |path: &'static str, coding: &'static str| {
        server.send(server.request(Method::GET, path).header("accept-encoding", coding))
    };
    let plain = get("/metrics", "identity").await;
    assert_eq!(
        (plain.header("content-encoding"), plain.header("vary")),
        ("", "accept-encoding")
    );
    let packed = get("/metrics", "br, gzip;q=0.9").await;
    assert_eq!(
        (packed.header("content-encoding"), packed.header("vary")),
        ("gzip", "accept-encoding")
    );
    let length = |answer: &Answer| answer.header("content-length").parse::<usize>().unwrap();
    assert!(
        length(&packed) * 2 < length(&plain),
        "{} {}",
        length(&packed),
        length(&plain)
    );
    // What fits into a packet goes as it is.
    let small = get("/healthz", "gzip").await;
    assert_eq!(
        (small.header("content-encoding"), small.header("vary"), small.status),
        ("", "", 200)
    );
    // A tag for other bytes is a weak one, and good for asking again.
    let name = "n".repeat(255).replace('n', "\u{1f483}");
    server
        .post("/api/v1/coupons", serde_json::json!({"name": name, "amount": 1}))
        .await;
    let path = format!("/api/v1/coupons/{}", "%F0%9F%92%83".repeat(255));
    let request = |coding: &str| server.request(Method::GET, &path).header("accept-encoding", coding);
    let (plain, packed) = (
        server.send(request("identity")).await,
        server.send(request("gzip")).await,
    );
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(packed.header("etag"), format!("W/{}", plain.header("etag")));
    for tag in [plain.header("etag"), packed.header("etag")] {
        assert_eq!(
            server.send(request("gzip").header("if-none-match", tag)).await.status,
            304
        );
    }
}
