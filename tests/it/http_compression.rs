//! Large answers travel compressed.

use std::io::Read;

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

#[tokio::test]
async fn an_answer_of_a_hundred_kilobytes_is_the_same_when_it_is_unpacked() {
    let server = Server::start(Database::migrated(Engine::Sqlite).await).await;
    let dances = "\u{1f483}".repeat(250);
    let coupons = format!(
        "INSERT INTO coupons (name, amount, remaining_amount) SELECT '{dances}' || value, 1, 1 \
         FROM json_each('[{}]')",
        (100..200).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
    );
    server.database.execute(&coupons).await;
    let get = async |coding: &str| {
        let request = server.request(Method::GET, "/api/v1/coupons?limit=100");
        let answer = request.header("accept-encoding", coding).send().await.unwrap();
        let told = answer.headers().get("content-encoding").cloned();
        (told, answer.bytes().await.unwrap())
    };
    let (none, plain) = get("identity").await;
    let (gzip, packed) = get("gzip").await;
    assert_eq!((none, gzip.unwrap().to_str().unwrap()), (None, "gzip"));
    assert!(
        plain.len() > 100_000 && packed.len() < plain.len() / 10,
        "{} of {}",
        packed.len(),
        plain.len()
    );
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_end(&mut unpacked)
        .unwrap();
    assert!(unpacked == plain, "it is another answer");
}
