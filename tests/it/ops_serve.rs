//! The life of `dlc serve`: start, several at once, loss of the database, stop.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{ALL, Database, Dlc, Empty, Engine, OnEngine, Proxy, Server, on_both_engines, postgres, send};

on_both_engines! {
    async fn an_empty_database_is_migrated_with_a_line_per_migration_and_then_served(database: Empty) {
        let server = Server::start(database.0).await;
        assert_eq!(server.get("/api/v1/coupons/none").await.status, 404);
        let log = server.log();
        let applied: Vec<_> = log.lines().filter(|line| line.contains("applied m2026")).collect();
        assert_eq!(applied.len(), ALL, "{log}");
        for word in ["API ", "explorer ", "database ", "ready in "] {
            assert_eq!(log.lines().filter(|line| line.contains(word)).count(), 1, "{word}: {log}");
        }
        assert!(log.lines().count() - applied.len() <= 6, "at most six lines beside the migrations: {log}");
        let stopped = server.stop().await;
        assert_eq!(stopped.code, 0, "{stopped:?}");
        stopped.assert_no_secret();
    }

    async fn two_starts_leave_exactly_one_row_of_bootstrap_metadata(database: Empty) {
        let server = Server::start(database.0).await;
        let dlc = server.database.dlc();
        assert_eq!(dlc.run(&["migrate", "up"]).await.code, 0);
        assert_eq!(server.database.number("SELECT count(*) FROM bootstrap_metadata").await, 1);
        assert_eq!(server.database.number("SELECT bootstrap_version FROM bootstrap_metadata").await, 1);
    }

    async fn pending_migrations_are_not_served_when_only_checking(database: Empty) {
        let database = database.0;
        if database.engine == Engine::Sqlite {
            std::fs::File::create(database.file()).unwrap();
        }
        let refused = database.dlc().run(&["serve", "--port", "0", "--migrate", "check"]).await;
        refused.assert_error(1, &format!("{ALL} migrations are pending"));
    }

}

#[tokio::test]
async fn two_serve_started_at_the_same_moment_on_an_empty_postgresql_both_come_up() {
    let database = Database::empty(Engine::Postgres).await;
    let (first, second) = (database.dlc(), database.dlc());
    let other = Database::empty(Engine::Sqlite).await;
    let (first, second) = tokio::join!(
        Server::start_unready(database, first, &[]),
        Server::start_unready(other, second, &[])
    );
    tokio::join!(first.until_ready(), second.until_ready());
    let applied = |server: &Server| {
        server
            .log()
            .lines()
            .filter(|line| line.contains("applied m2026"))
            .count()
    };
    assert_eq!(applied(&first) + applied(&second), ALL);
    assert_eq!(second.get("/api/health/db").await.body["backend"], "postgres");
    assert_eq!(first.stop().await.code + second.stop().await.code, 0);
}

#[tokio::test]
async fn a_lost_database_is_told_and_its_return_needs_no_restart() {
    let server = Server::on(Engine::Postgres).await;
    let cluster = postgres::cluster().await;
    let name = server.database.name().to_owned();
    // The database's own doorkeeper: nobody gets in, and whoever is in is thrown out.
    cluster
        .execute("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        .await;
    let throw_out = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    cluster.execute("postgres", &throw_out).await;
    let lost = server.until("/api/ready", 503).await;
    assert_eq!(lost.body["reason"], "database_unhealthy", "{lost:?}");
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/api/v1/greet").await.status, 200);
    let refused = server.get("/api/v1/coupons/c").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, "1"),
        "{refused:?}"
    );
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    let health = Dlc::new().run(&["health", "--port", &port]).await;
    health.assert_error(
        1,
        &format!(
            "is not ready: database not accepting connections; SRV001 accepting connections: database \"{name}\" is not"
        ),
    );
    cluster
        .execute("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        .await;
    server.until("/readyz", 200).await;
    assert_eq!(server.get("/api/v1/coupons/c").await.status, 404);
    assert!(server.log().contains("the database is back"), "{}", server.log());
}

#[tokio::test]
async fn a_deleted_sqlite_file_is_noticed() {
    let server = Server::on(Engine::Sqlite).await;
    std::fs::remove_file(server.database.file()).unwrap();
    let lost = server.until("/readyz", 503).await;
    assert_eq!(lost.body["database"], "database file missing", "{lost:?}");
}

#[tokio::test]
async fn with_nothing_configured_the_embedded_database_is_made_and_said() {
    let dlc = Dlc::new();
    let file = dlc.directory().join("data/dlc.db");
    let server = Server::start_as(Database::empty(Engine::Sqlite).await, dlc, &[]).await;
    assert!(file.exists());
    assert!(
        server.log().contains("sqlite://data/dlc.db (the embedded default)"),
        "{}",
        server.log()
    );
    assert!(server.address().starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn health_asks_the_running_service() {
    let server = Server::on(Engine::Sqlite).await;
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    // Neither database nor secret: what it does not need must not keep it from answering.
    let asked = Dlc::new()
        .env("DLC_AUTH__SECRET_FILE", "/nonexistent")
        .run(&["health", "--port", &port])
        .await;
    assert_eq!((asked.code, asked.stdout.as_str()), (0, "ready\n"), "{asked:?}");
    assert_eq!(server.stop().await.code, 0);
    Dlc::new()
        .run(&["health", "--port", &port])
        .await
        .assert_error(1, "is not ready: connection refused");
}

#[tokio::test]
async fn a_claim_that_waits_too_long_for_the_row_is_503_and_the_server_gave_it_up() {
    let database = Database::migrated(Engine::Postgres).await;
    let dlc = database.dlc().env("DLC_DATABASE__LOCK_TIMEOUT", "100ms");
    let server = Server::start_as(database, dlc, &[]).await;
    server.post("/api/coupons", json!({"name": "c", "amount": 1})).await;
    let holder = server.database.hold_coupons().await;
    let claim = || server.post("/api/coupons/claim", json!({"user_id": "u", "coupon_name": "c"}));
    let late = claim().await;
    late.assert_problem(503, "database_timeout");
    assert_eq!(late.header("retry-after"), "1");
    holder.release().await;
    assert_eq!(claim().await.status, 201, "asking again tells the truth");
}

#[tokio::test]
async fn migrations_take_the_direct_address_when_there_is_one() {
    let database = Database::empty(Engine::Postgres).await;
    let dlc = Dlc::new()
        .env("DATABASE_URL", "postgres://u@127.0.0.1:9/pooled_test")
        .env("DLC_DATABASE__MIGRATION_URL", &database.url);
    assert_eq!(dlc.run(&["migrate", "up"]).await.code, 0);
    assert_eq!(
        database.number("SELECT count(*) FROM seaql_migrations").await,
        ALL as i64
    );
}

#[tokio::test]
async fn a_command_is_ended_by_ctrl_c_with_130() {
    use sqlx::{AssertSqlSafe, Connection, Executor};
    let database = Database::empty(Engine::Postgres).await;
    let mut holder = sqlx::PgConnection::connect(&database.url).await.unwrap();
    let lock = i64::from_be_bytes(*b"dlc_migr");
    holder
        .execute(AssertSqlSafe(format!("SELECT pg_advisory_lock({lock})")))
        .await
        .unwrap();
    let dlc = database.dlc();
    let mut child = dlc.command(&["migrate", "up"]).spawn().unwrap();
    // It says that it waits, so its handlers stand and it does nothing else.
    let mut said = tokio::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut said, &mut line)
        .await
        .unwrap();
    assert!(line.starts_with("waiting for the migration lock"), "{line}");
    send(child.id().unwrap(), Signal::INT);
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
}

/// A server whose way to PostgreSQL leads through a proxy.
async fn behind_a_proxy(variables: &[(&str, &str)]) -> (Server, Proxy) {
    let database = Database::migrated(Engine::Postgres).await;
    let port = postgres::cluster().await.port;
    let proxy = Proxy::to(port).await;
    let url = database.url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port));
    let mut dlc = Dlc::new().env("DATABASE_URL", &url);
    for (name, value) in variables {
        dlc = dlc.env(name, value);
    }
    (Server::start_as(database, dlc, &[]).await, proxy)
}

#[tokio::test]
async fn reads_recover_by_themselves_from_connections_that_have_gone_silent() {
    let (server, proxy) = behind_a_proxy(&[("DLC_DATABASE__STATEMENT_TIMEOUT", "100ms")]).await;
    server.post("/api/coupons", json!({"name": "c", "amount": 1})).await;
    // Both lanes have a connection of their own now, or will ask for one.
    assert_eq!(server.get("/api/v1/coupons/c").await.status, 200);
    proxy.silence();
    let answer = server.until("/api/v1/coupons/c", 200).await;
    assert_eq!(answer.body["remaining_amount"], 1);
    server.until("/readyz", 200).await;
}

#[tokio::test]
async fn while_the_database_is_lost_nobody_queues_for_it() {
    let (server, proxy) = behind_a_proxy(&[("DLC_DATABASE__ACQUIRE_TIMEOUT", "20s")]).await;
    let ada = server.person("ada").await;
    proxy.vanish().await;
    server.until("/readyz", 503).await;
    // Had any of them asked for a connection, it would be a time-out, and after twenty seconds.
    for path in ["/api/v1/coupons/c", "/api/coupons/c"] {
        let refused = server.get(path).await;
        refused.assert_problem(503, "database_unavailable");
        assert_eq!(refused.header("retry-after"), "1");
    }
    let claim = server
        .post("/api/coupons/claim", json!({"user_id": "u", "coupon_name": "c"}))
        .await;
    claim.assert_problem(503, "database_unavailable");
    // Whether a token is good cannot be told; that there is none can.
    for path in ["/api/v1/users/me", "/api/v1/greetings", "/api/v1/greet"] {
        let refused = server.get_as(&ada, path).await;
        refused.assert_problem(503, "database_unavailable");
    }
    let nobody = server.get("/api/v1/users/me").await;
    nobody.assert_problem(401, "authentication_required");
    for refused in [
        server.login("ada", "x").await,
        server.register("eve").await,
        server.refresh("x").await,
    ] {
        refused.assert_problem(503, "database_unavailable");
    }
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/api/v1/greet").await.status, 200);
    let expected = r#"{"ready":false,"reason":"database_unhealthy","connections":{"database":{"status":"unhealthy","error":"connection refused"}}}"#;
    assert_eq!(server.get("/api/ready").await.text, expected);
}

/// A server on a PostgreSQL of its own, which can be taken away.
async fn on_a_cluster_of_its_own() -> (Server, postgres::Cluster) {
    let cluster = postgres::Cluster::own("").await;
    let database = Database::empty(Engine::Postgres).await;
    let dlc = Dlc::new().env("DATABASE_URL", &cluster.url("postgres"));
    let server = Server::start_as(database, dlc, &[]).await;
    server.post("/api/coupons", json!({"name": "c", "amount": 1000})).await;
    (server, cluster)
}

/// Statuses of as many reads at a time as the pool has connections, so that each of them is used.
async fn crowd_of_reads(server: &Server) -> Vec<u16> {
    let reads: Vec<_> = (0..10)
        .map(|_| {
            let read = server.request(reqwest::Method::GET, "/api/v1/coupons");
            tokio::spawn(read.send())
        })
        .collect();
    let mut statuses = Vec::new();
    for read in reads {
        statuses.push(read.await.unwrap().unwrap().status().as_u16());
    }
    statuses
}

/// Everything that has to hold while the database is lost, whatever has become of it.
async fn assert_lost(server: &Server) {
    let lost = server.until("/api/ready", 503).await;
    assert_eq!(lost.body["ready"], false, "{lost:?}");
    assert_eq!(lost.body["reason"], "database_unhealthy", "{lost:?}");
    assert_eq!(lost.body["connections"]["database"]["status"], "unhealthy", "{lost:?}");
    // Many at once: had any of them waited for a connection, it would be a time-out, and after three seconds.
    let crowd: Vec<_> = (0..50)
        .map(|user| {
            let claim = server.request(reqwest::Method::POST, "/api/coupons/claim");
            let body = json!({"user_id": user.to_string(), "coupon_name": "c"});
            tokio::spawn(claim.json(&body).timeout(Duration::from_millis(2_500)).send())
        })
        .collect();
    for refused in crowd {
        let refused = refused.await.unwrap().unwrap();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (503, &"1".parse().unwrap())
        );
    }
    server
        .get("/api/v1/coupons/c")
        .await
        .assert_problem(503, "database_unavailable");
    for path in ["/livez", "/healthz", "/api/v1/greet", "/metrics"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn whatever_becomes_of_the_database_the_service_stays_says_so_and_goes_on_when_it_is_back() {
    use postgres::Order;
    let (server, cluster) = on_a_cluster_of_its_own().await;
    for (away, back) in [
        (Order::Stop, Order::Start),
        (Order::Kill, Order::Start),
        (Order::Freeze, Order::Thaw),
    ] {
        crowd_of_reads(&server).await;
        cluster.order(away).await;
        assert_lost(&server).await;
        cluster.order(back).await;
        server.until("/readyz", 200).await;
        // Whoever is told that it is ready asks once: no connection of before is handed out.
        for read in crowd_of_reads(&server).await {
            assert_eq!(read, 200, "{away:?}: {}", server.log());
        }
        let read = server.get("/api/v1/coupons/c").await;
        assert_eq!(read.body["amount"], 1000, "{away:?}: {read:?}");
        let claim = json!({"user_id": format!("{away:?}"), "coupon_name": "c"});
        assert_eq!(server.post("/api/coupons/claim", claim).await.status, 201, "{away:?}");
    }
    // Sessions thrown out one by one are met and replaced: nobody has to ask twice.
    for round in 0..5 {
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
                      AND backend_type = 'client backend'";
        cluster.execute("postgres", others).await;
        server.until("/api/v1/coupons/c", 200).await;
        let claim = json!({"user_id": format!("thrown out {round}"), "coupon_name": "c"});
        let claimed = server.post("/api/coupons/claim", claim).await;
        assert!([201, 503].contains(&claimed.status), "{claimed:?}");
    }
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.stop().await.code, 0);
}

#[tokio::test]
async fn however_many_requests_lose_their_connections_a_database_that_is_there_is_not_lost() {
    let database = Database::migrated(Engine::Postgres).await;
    let dlc = database
        .dlc()
        .env("DLC_DATABASE__LOCK_TIMEOUT", "60s")
        .env("DLC_DATABASE__STATEMENT_TIMEOUT", "60s");
    let server = Server::start_as(database, dlc, &[]).await;
    server.post("/api/coupons", json!({"name": "c", "amount": 500})).await;
    for round in 0..3 {
        let holder = server.database.hold_coupons().await;
        let claims: Vec<_> = (0..10)
            .map(|user| {
                let claim = server.request(reqwest::Method::POST, "/api/coupons/claim");
                let body = json!({"user_id": format!("{round} {user}"), "coupon_name": "c"});
                tokio::spawn(claim.json(&body).send())
            })
            .collect();
        server.until_at_work(11).await;
        let waiting = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND datname = current_database()";
        // Some wait behind others.
        while claims.iter().any(|claim| !claim.is_finished()) {
            server.database.execute(waiting).await;
        }
        let mut failed = 0;
        for claim in claims {
            failed += usize::from(claim.await.unwrap().unwrap().status() == 503);
        }
        assert!(failed >= 3, "{failed}");
        assert_eq!(server.get("/readyz").await.status, 200, "{}", server.log());
        holder.release().await;
        assert_eq!(server.get("/api/v1/coupons/c").await.status, 200);
    }
    assert!(!server.log().contains("the database is lost"), "{}", server.log());
}

#[tokio::test]
async fn a_server_that_hangs_is_waited_for_no_longer_than_the_limits_say() {
    // A statement and the wait for a connection end by themselves before the request does.
    let limits = [
        ("DLC_DATABASE__STATEMENT_TIMEOUT", "300ms"),
        ("DLC_DATABASE__ACQUIRE_TIMEOUT", "300ms"),
        ("DLC_SERVER__REQUEST_TIMEOUT", "2s"),
    ];
    let (server, proxy) = behind_a_proxy(&limits).await;
    // The limits are short, and the machine may be busy.
    while server.get("/api/v1/coupons/c").await.status != 200 {
        server.post("/api/coupons", json!({"name": "c", "amount": 100})).await;
    }
    proxy.silence();
    let claims: Vec<_> = (0..20)
        .map(|user| {
            let claim = server.request(reqwest::Method::POST, "/api/coupons/claim");
            let body = json!({"user_id": user.to_string(), "coupon_name": "c"});
            tokio::spawn(claim.json(&body).timeout(Duration::from_secs(20)).send())
        })
        .collect();
    for claim in claims {
        // Silent connections are found out by the request's limit; new ones work.
        let status = claim.await.unwrap().unwrap().status().as_u16();
        assert!([201, 503].contains(&status), "{status}");
    }
    server.until("/readyz", 200).await;
    let claim = json!({"user_id": "after", "coupon_name": "c"});
    server.until("/api/v1/coupons/c", 200).await;
    let started = std::time::Instant::now();
    while server.post("/api/coupons/claim", claim.clone()).await.status != 201 {
        assert!(started.elapsed() < Duration::from_secs(30), "no claim works any more");
    }
}
