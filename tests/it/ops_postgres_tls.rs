//! The service's own way to PostgreSQL in every `sslmode`: whether its sessions are encrypted is what the server says of them.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::harness::{Database, Dlc, Engine, Server, certificates::Authority, postgres::Cluster};

const LIMIT: Duration = Duration::from_secs(30);

/// What is to come of it.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Encrypted,
    Plain,
    /// With this exit code and these words.
    Refused(i32, &'static str),
}
use Outcome::{Encrypted, Plain, Refused};

/// Whose certificate is given as `sslrootcert`.
#[derive(Clone, Copy, Debug)]
enum Root {
    None,
    Right,
    Wrong,
}

/// The server's certificate is for this name, and not for its address.
const NAME: &str = "localhost";
const ADDRESS: &str = "127.0.0.1";

struct Way {
    cluster: Cluster,
    stranger: String,
}

impl Way {
    fn dlc(&self, mode: &str, host: &str, root: Root) -> Dlc {
        let dlc = Dlc::new().file("stranger.crt", &self.stranger);
        let mut url = self
            .cluster
            .url("postgres")
            .replace(&format!("@{ADDRESS}:"), &format!("@{host}:"));
        url.push_str(&format!("?sslmode={mode}"));
        let root = match root {
            Root::None => None,
            Root::Right => self.cluster.authority.clone(),
            Root::Wrong => Some(dlc.directory().join("stranger.crt")),
        };
        if let Some(root) = root {
            url.push_str(&format!("&sslrootcert={}", root.display()));
        }
        dlc.env("DATABASE_URL", &url)
    }

    async fn query(&self, sql: &str) -> Vec<sqlx::postgres::PgRow> {
        let mut session = PgConnection::connect(&self.cluster.url("postgres")).await.unwrap();
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut session).await.unwrap();
        session.close().await.unwrap();
        rows
    }

    /// Changes the server, and waits until new sessions notice.
    async fn change(&self, sql: &str, noticed: &str) {
        self.cluster.execute("postgres", sql).await;
        self.cluster.execute("postgres", "SELECT pg_reload_conf()").await;
        let started = Instant::now();
        while !self.query(noticed).await[0].get::<bool, _>(0) {
            assert!(started.elapsed() < LIMIT, "{sql}");
        }
    }

    async fn assert(&self, mode: &str, host: &str, root: Root, expected: Outcome) {
        let case = format!("sslmode={mode} to {host} with {root:?}");
        let dlc = self.dlc(mode, host, root);
        let expected = match expected {
            Refused(code, words) => {
                let refused = dlc.run(&["serve", "--port", "0", "--wait", "0s"]).await;
                assert_eq!(refused.code, code, "{case}: {refused:?}");
                refused.assert_error(code, words);
                return;
            }
            Encrypted => true,
            Plain => false,
        };
        let unused = Database::empty(Engine::Sqlite).await;
        let server = Server::start_as(unused, dlc, &[]).await;
        // A read, so that not only the probe has a session.
        assert_eq!(server.get("/api/v1/coupons/none").await.status, 404, "{case}");
        let sessions = self
            .query(
                "SELECT ssl, coalesce(version, '') FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE application_name LIKE 'dlc serve%'",
            )
            .await;
        assert!(!sessions.is_empty(), "{case}");
        for session in sessions {
            assert_eq!(session.get::<bool, _>(0), expected, "{case}");
            assert!(!expected || session.get::<String, _>(1) == "TLSv1.3", "{case}");
        }
        assert_eq!(server.stop().await.code, 0, "{case}");
        // The next case must not see this one's sessions.
        let started = Instant::now();
        while !self
            .query("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'dlc serve%'")
            .await
            .is_empty()
        {
            assert!(started.elapsed() < LIMIT, "{case}: its sessions stay");
        }
    }
}

#[tokio::test]
async fn every_sslmode_encrypts_and_verifies_as_it_says() {
    let way = Way {
        cluster: Cluster::own("").await,
        stranger: Authority::new().pem,
    };
    // The server takes both; then encrypted sessions alone; then another one cannot encrypt.
    for (mode, host, root, expected) in [
        ("disable", ADDRESS, Root::None, Plain),
        // The driver begins without, as libpq does, and does not come back with it when that is refused; see below.
        ("allow", ADDRESS, Root::None, Plain),
        ("prefer", ADDRESS, Root::None, Encrypted),
        ("require", ADDRESS, Root::None, Encrypted),
        ("require", ADDRESS, Root::Wrong, Encrypted),
        ("verify-ca", NAME, Root::Right, Encrypted),
        ("verify-ca", ADDRESS, Root::Right, Encrypted),
        ("verify-ca", NAME, Root::Wrong, Refused(69, "UnknownIssuer")),
        ("verify-ca", NAME, Root::None, Refused(69, "UnknownIssuer")),
        ("verify-full", NAME, Root::Right, Encrypted),
        ("verify-full", ADDRESS, Root::Right, Refused(69, "not valid for name")),
        ("verify-full", NAME, Root::Wrong, Refused(69, "UnknownIssuer")),
        ("verify-full", NAME, Root::None, Refused(69, "UnknownIssuer")),
    ] {
        way.assert(mode, host, root, expected).await;
    }
    let only_encrypted = "COPY (SELECT 'hostssl all all all scram-sha-256') TO 'pg_hba.conf'";
    let noticed = "SELECT count(*) = 1 AND min(type) = 'hostssl' FROM pg_hba_file_rules";
    let path = way.query("SELECT current_setting('hba_file')").await[0].get::<String, _>(0);
    way.change(&only_encrypted.replace("pg_hba.conf", &path), noticed).await;
    for (mode, expected) in [
        ("disable", Refused(77, "no encryption")),
        ("allow", Refused(77, "no encryption")),
        ("prefer", Encrypted),
        ("require", Encrypted),
    ] {
        way.assert(mode, ADDRESS, Root::None, expected).await;
    }
    way.assert("verify-full", NAME, Root::Right, Encrypted).await;
    let way = Way {
        cluster: Cluster::own("-c ssl=off").await,
        ..way
    };
    for (mode, root, expected) in [
        ("disable", Root::None, Plain),
        ("allow", Root::None, Plain),
        ("prefer", Root::None, Plain),
        ("require", Root::None, Refused(69, "server does not support TLS")),
        ("verify-ca", Root::Right, Refused(69, "server does not support TLS")),
        ("verify-full", Root::Right, Refused(69, "server does not support TLS")),
    ] {
        way.assert(mode, NAME, root, expected).await;
    }
}
