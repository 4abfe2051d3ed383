//! SIGHUP: an order to read again what can be read again, or a terminal that is gone. With a certificate: `ops_serve_tls`.

use rustix::process::Signal;

use crate::harness::{Database, Engine, OnEngine, Server, in_a_window_that_closes};

#[tokio::test]
async fn sighup_without_tls_is_answered_and_ends_nothing() {
    let server = Server::on(Engine::Sqlite).await;
    for _ in 0..2 {
        server.signal(Signal::HUP);
        server
            .until_logged("there is nothing to reload: no server.tls.cert is configured")
            .await;
    }
    assert_eq!(server.get("/readyz").await.status, 200);
    assert_eq!(server.stop().await.code, 0);
}

#[tokio::test]
async fn a_service_whose_window_is_closed_leaves_cleanly() {
    let database = Database::migrated(Engine::Sqlite).await;
    let arguments = ["serve", "--port", "0"];
    let ended = in_a_window_that_closes(&database.dlc(), &arguments, "ready in ").await;
    assert_eq!(ended, "ended with 0\n");
}
