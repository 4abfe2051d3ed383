//! `dlc serve` with TLS: what is spoken, which certificate is shown when, and what it refuses to start with.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use hyper::{Method, Version};
use rustix::process::Signal;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    Database, Dlc, Engine, Https, HttpsConnection, OnEngine, Port, Server,
    certificates::{Authority, Made, params},
    der,
};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(30);
const HSTS: &str = "strict-transport-security";

/// A server with TLS, and where its certificate is.
struct Served {
    server: Server,
    authority: Authority,
    first: Made,
    secrets: Secrets,
}

/// A directory as Kubernetes makes it of a secret: the files are links through a link, and that one is swapped.
struct Secrets {
    directory: tempfile::TempDir,
    written: SystemTime,
}

impl Secrets {
    fn holding(made: &Made) -> Self {
        let directory = tempfile::Builder::new().prefix("dlc-test-tls-").tempdir().unwrap();
        for name in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), directory.path().join(name)).unwrap();
        }
        let written = SystemTime::now() - Duration::from_secs(3600);
        let secrets = Self { directory, written };
        secrets.swap(made);
        secrets
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts both files into the place of the last ones at once. They look no newer than those.
    fn swap(&self, made: &Made) {
        let version = tempfile::tempdir_in(self.directory.path()).unwrap().keep();
        for (name, text) in [("tls.crt", &made.certificate), ("tls.key", &made.key)] {
            fs::write(version.join(name), text).unwrap();
            File::options()
                .append(true)
                .open(version.join(name))
                .unwrap()
                .set_modified(self.written)
                .unwrap();
        }
        symlink(&version, self.path("..next")).unwrap();
        fs::rename(self.path("..next"), self.path("..data")).unwrap();
    }
}

fn with_tls(dlc: Dlc, cert: &Path, key: &Path) -> Dlc {
    dlc.env("DLC_SERVER__TLS__CERT", &cert.display().to_string())
        .env("DLC_SERVER__TLS__KEY", &key.display().to_string())
}

impl Served {
    async fn with(variables: &[(&str, &str)]) -> Self {
        Self::on(Engine::Sqlite, variables).await
    }

    async fn on(engine: Engine, variables: &[(&str, &str)]) -> Self {
        let authority = Authority::new();
        let first = authority.for_localhost();
        let secrets = Secrets::holding(&first);
        let database = Database::migrated(engine).await;
        let dlc = with_tls(database.dlc(), &secrets.path("tls.crt"), &secrets.path("tls.key"));
        let dlc = variables.iter().fold(dlc, |dlc, (name, value)| dlc.env(name, value));
        let server = Server::start_unready(database, dlc, &[]).await;
        server.until_logged("ready in ").await;
        Self {
            server,
            authority,
            first,
            secrets,
        }
    }

    fn client(&self) -> Https {
        Https::trusting(&self.authority.pem)
    }

    async fn connect(&self) -> HttpsConnection {
        self.client().connect(self.server.address()).await.unwrap()
    }

    /// Asserts that whoever comes now is shown this certificate.
    async fn assert_shows(&self, made: &Made) {
        let mut new = self.connect().await;
        assert!(
            new.certificate == der(&made.certificate),
            "another certificate: {}",
            self.server.log()
        );
        assert_eq!(new.get("/healthz").await.status, 200);
    }

    fn logged(&self, words: &str) -> usize {
        self.server.log().lines().filter(|line| line.contains(words)).count()
    }

    async fn until_logged_times(&self, words: &str, times: usize) {
        let started = Instant::now();
        while self.logged(words) < times {
            assert!(started.elapsed() < LIMIT, "{words:?}: {}", self.server.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn https_is_answered_in_the_protocol_and_version_that_the_client_offers() {
    let served = Served::with(&[]).await;
    let (old, new) = (Version::HTTP_11, Version::HTTP_2);
    let cases: [(&[&str], Version); 4] = [
        (&["h2", "http/1.1"], new),
        (&["http/1.1", "h2"], new),
        (&["http/1.1"], old),
        (&[], old),
    ];
    for (offers, expected) in cases {
        for client in [served.client(), served.client().of_yesterday()] {
            let mut connection = client.offering(offers).connect(served.server.address()).await.unwrap();
            for (path, status) in [("/healthz", 200), ("/api/v1/greet/Ada", 200), ("/none", 404)] {
                let answer = connection.get(path).await;
                assert_eq!((answer.status, answer.version), (status, expected), "{offers:?} {path}");
                assert_eq!(answer.headers[HSTS], "max-age=31536000", "{offers:?} {path}");
                assert_eq!(answer.headers["x-content-type-options"], "nosniff");
            }
        }
    }
    // Somebody who can speak neither learns it in the handshake.
    let other = served
        .client()
        .offering(&["http/0.9"])
        .open(served.server.address())
        .await;
    assert!(other.is_err());
    let log = served.server.log();
    let address = served.server.address();
    for line in [
        &format!("API       https://{address}/api/v1"),
        &format!("explorer  https://{address}/docs"),
        "TLS with a certificate that is valid until 20",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    assert_eq!(served.server.stop().await.code, 0);
}

#[tokio::test]
async fn over_plain_http_nobody_is_told_to_come_back_encrypted() {
    let server = Server::on(Engine::Sqlite).await;
    for path in ["/healthz", "/none"] {
        assert!(!server.get(path).await.headers.contains_key(HSTS), "{path}");
    }
}

#[tokio::test]
async fn plain_http_and_nonsense_on_the_port_of_tls_are_turned_away_at_once() {
    let served = Served::with(&[("DLC_LOG__LEVEL", "debug")]).await;
    for words in [
        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\0\0\0\0\0\0",
    ] {
        let mut stream = TcpStream::connect(served.server.address()).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The default time limit for a head is as long as this one: it is not what ends the connection.
        let closed = tokio::time::timeout(LIMIT / 2, stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{words:?} is waited for");
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{words:?}");
    }
    served.until_logged_times("the TLS handshake failed", 3).await;
    let log = served.server.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("handshake failed")).collect();
    assert!(lines.iter().all(|line| line.contains("DEBUG")), "{log}");
    served.assert_shows(&served.first).await;
}

#[tokio::test]
async fn whoever_says_nothing_or_too_little_is_let_go_in_time() {
    let served = Served::with(&[("DLC_SERVER__HEADER_TIMEOUT", "300ms")]).await;
    // Nothing; a record that has begun; the head of a record that never comes.
    for words in [&b""[..], b"\x16\x03", b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(served.server.address()).await.unwrap();
        stream.write_all(words).await.unwrap();
        let closed = tokio::time::timeout(LIMIT, stream.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "{words:?} is waited for");
    }
    let whole = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for (offers, words) in [
        (&["http/1.1"][..], ""),
        (&["http/1.1"], "GET / HT"),
        (&["http/1.1"], whole),
        (&["h2"], ""),
    ] {
        let client = served.client().offering(offers);
        let mut stream = client.open(served.server.address()).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{offers:?} {words:?} is waited for");
        let is_answered = answer.starts_with(b"HTTP/1.1 200 OK");
        assert_eq!(is_answered, words == whole, "{offers:?} {words:?}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_for_new_connections_and_old_ones_go_on() {
    let served = Served::with(&[]).await;
    let mut old = served.connect().await;
    let mut old_2 = served
        .client()
        .offering(&["h2"])
        .connect(served.server.address())
        .await
        .unwrap();
    assert_eq!(old.get("/healthz").await.status, 200);
    // Nobody says anything: the files are looked at.
    let second = served.authority.for_localhost();
    served.secrets.swap(&second);
    served
        .until_logged_times("TLS reloaded, with a certificate that is valid until 20", 1)
        .await;
    served.assert_shows(&second).await;
    // Somebody says it, and is answered even though nothing is new.
    served.server.signal(Signal::HUP);
    served.until_logged_times("TLS reloaded", 2).await;
    served.assert_shows(&second).await;
    let third = served.authority.for_localhost();
    served.secrets.swap(&third);
    served.server.signal(Signal::HUP);
    served.until_logged_times("TLS reloaded", 3).await;
    served.assert_shows(&third).await;
    for connection in [&mut old, &mut old_2] {
        assert!(connection.certificate == der(&served.first.certificate));
        assert_eq!(connection.get("/healthz").await.status, 200, "an old connection");
    }
    assert_eq!(served.logged("WARN"), 0, "{}", served.server.log());
    assert_eq!(served.server.stop().await.code, 0);
}

#[tokio::test]
async fn a_new_pair_that_cannot_be_used_is_warned_of_once_and_the_old_one_stays() {
    let served = Served::with(&[]).await;
    let good = served.authority.for_localhost();
    let half = Made {
        certificate: good.certificate[..good.certificate.len() / 2].to_owned(),
        ..good.clone()
    };
    let strange = Made {
        key: served.first.key.clone(),
        ..good.clone()
    };
    let empty = Made {
        key: String::new(),
        ..good.clone()
    };
    let (cert, key) = (served.secrets.path("tls.crt"), served.secrets.path("tls.key"));
    let (cert, key) = (cert.display(), key.display());
    let failures = [
        (
            half,
            format!("the file {cert} of server.tls.cert is no whole PEM file: it ends in the middle"),
        ),
        (
            strange,
            format!("the private key in {key} does not belong to the certificate in {cert}"),
        ),
        (empty, format!("the file {key} of server.tls.key holds no private key")),
    ];
    for (made, words) in &failures {
        served.secrets.swap(made);
        served.until_logged_times(words, 1).await;
        served.assert_shows(&served.first).await;
    }
    fs::remove_file(served.secrets.path("..data")).unwrap();
    let missing = format!("the file {cert} of server.tls.cert cannot be read: no such file or directory");
    served.until_logged_times(&missing, 1).await;
    // Long enough for two more looks, in which it is the same as before.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        served.assert_shows(&served.first).await;
    }
    for words in failures.iter().map(|(_, words)| words).chain([&missing]) {
        assert_eq!(served.logged(words), 1, "{words}: {}", served.server.log());
    }
    assert_eq!(served.logged("tls_reload_failed"), 4);
    // Somebody who asks is answered.
    served.server.signal(Signal::HUP);
    served.until_logged_times(&missing, 2).await;
    served.secrets.swap(&good);
    served.until_logged_times("TLS reloaded", 1).await;
    served.assert_shows(&good).await;
    let log = served.server.log();
    assert!(
        !log.contains("BEGIN") && !log.contains(good.key.lines().nth(1).unwrap()),
        "{log}"
    );
}

#[tokio::test]
async fn a_certificate_that_ran_out_is_served_with_a_warning() {
    let authority = Authority::new();
    let secrets = Secrets::holding(&authority.sign(&params("old", &["localhost"], -9, -3)));
    let database = Database::migrated(Engine::Sqlite).await;
    let dlc = with_tls(database.dlc(), &secrets.path("tls.crt"), &secrets.path("tls.key"));
    let server = Server::start_unready(database, dlc, &[]).await;
    server.until_logged("TLS with a certificate that ran out at 20").await;
    server.until_logged("tls_certificate_expired").await;
    let refused = Https::trusting(&authority.pem).open(server.address()).await;
    assert!(refused.unwrap_err().to_string().contains("expired"));
}

#[tokio::test]
async fn what_cannot_be_served_with_ends_the_start_before_the_database_is_touched() {
    let authority = Authority::new();
    let (made, other) = (authority.for_localhost(), authority.for_localhost());
    let dlc = || {
        Dlc::new()
            .env("DATABASE_URL", "sqlite://never.db")
            .file("tls.crt", &made.certificate)
            .file("tls.key", &made.key)
            .file("other.key", &other.key)
            .file("cut.crt", &made.certificate[..200])
            .file("cut.key", &made.key[..100])
            .file("nothing.pem", "# nothing\n")
            .file(
                "encrypted.key",
                &made.key.replace(" PRIVATE KEY", " ENCRYPTED PRIVATE KEY"),
            )
            .file(
                "nonsense.crt",
                "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n",
            )
    };
    let cases = [
        (
            "tls.crt",
            "",
            "server.tls.cert is set and server.tls.key is not: TLS needs both",
        ),
        (
            "",
            "tls.key",
            "server.tls.key is set and server.tls.cert is not: TLS needs both",
        ),
        (
            "none.crt",
            "tls.key",
            "the file none.crt of server.tls.cert cannot be read: no such file or directory",
        ),
        (
            "tls.crt",
            "none.key",
            "the file none.key of server.tls.key cannot be read: no such file or directory",
        ),
        (
            ".",
            "tls.key",
            "the file . of server.tls.cert cannot be read: is a directory",
        ),
        (
            "nothing.pem",
            "tls.key",
            "the file nothing.pem of server.tls.cert holds no certificate",
        ),
        (
            "tls.crt",
            "nothing.pem",
            "the file nothing.pem of server.tls.key holds no private key",
        ),
        (
            "tls.key",
            "tls.crt",
            "the file tls.key of server.tls.cert holds no certificate",
        ),
        (
            "cut.crt",
            "tls.key",
            "the file cut.crt of server.tls.cert is no whole PEM file",
        ),
        (
            "tls.crt",
            "cut.key",
            "the file cut.key of server.tls.key is no whole PEM file",
        ),
        ("tls.crt", "encrypted.key", "an encrypted one cannot be used"),
        (
            "tls.crt",
            "other.key",
            "the private key in other.key does not belong to the certificate in tls.crt",
        ),
        (
            "nonsense.crt",
            "tls.key",
            "the certificate in nonsense.crt with the private key in tls.key cannot be used",
        ),
    ];
    for (cert, key, words) in cases {
        let dlc = with_tls(dlc(), Path::new(cert), Path::new(key));
        let refused = dlc.run(&["serve", "--port", "0"]).await;
        refused.assert_error(78, words);
        assert!(
            refused.stderr.lines().any(|line| line.starts_with("hint: ")),
            "{refused:?}"
        );
        assert!(
            !dlc.directory().join("never.db").exists(),
            "{words}: the database was made"
        );
        let checked = dlc.run(&["config", "check"]).await;
        if cert.is_empty() || key.is_empty() {
            checked.assert_error(78, words);
        }
    }
    let dlc = with_tls(dlc(), Path::new("tls.crt"), Path::new("other.key")).env("DLC_LOG__FORMAT", "json");
    let refused = dlc.run(&["serve", "--port", "0"]).await;
    let event: serde_json::Value = serde_json::from_str(refused.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&event["code"], &event["exit_code"]),
        (&json!("configuration_invalid"), &json!(78)),
        "{event}"
    );
}

#[tokio::test]
async fn a_key_in_the_place_of_its_path_is_refused_and_not_repeated() {
    let made = Authority::new().for_localhost();
    let dlc = Dlc::new()
        .file("tls.key", &made.key)
        .env("DLC_SERVER__TLS__CERT", "tls.crt");
    let secret = made.key.lines().nth(1).unwrap();
    for dlc in [
        dlc.env("DLC_SERVER__TLS__KEY_FILE", "tls.key"),
        Dlc::new().env("DLC_SERVER__TLS__KEY", &made.key),
    ] {
        for command in [&["serve"][..], &["config", "check"], &["config", "show"]] {
            let refused = dlc.run(command).await;
            refused.assert_error(78, "expected the path of a PEM file, not its contents");
            assert!(!format!("{refused:?}").contains(secret), "{command:?}");
        }
    }
}

#[tokio::test]
async fn yaml_names_the_files_in_a_section_of_its_own() {
    let yaml = "server:\n  header_timeout: 9s\n  tls:\n    cert: a.crt\n    key: a.key\n";
    let dlc = || Dlc::new().file("config/default.yaml", yaml);
    let report = dlc().run(&["config", "show", "--format", "json"]).await.json();
    let settings = report["settings"].as_array().unwrap();
    for (key, value) in [("header_timeout", "9s"), ("tls.cert", "a.crt"), ("tls.key", "a.key")] {
        let shown = settings
            .iter()
            .find(|setting| setting["key"] == format!("server.{key}"))
            .unwrap();
        assert_eq!(
            (&shown["value"], &shown["source"]),
            (&json!(value), &json!("config/default.yaml"))
        );
    }
    assert_eq!(report["warnings"], json!([]));
    let misspelt = Dlc::new().file("config/default.yaml", "server:\n  tls:\n    certt: a.crt\n");
    misspelt.run(&["config", "check", "--strict"]).await.assert_error(
        78,
        "the key server.tls.certt is not known; did you mean server.tls.cert?",
    );
    let half = Dlc::new().file("config/default.yaml", "server:\n  tls:\n    cert: a.crt\n");
    half.run(&["config", "check"]).await.assert_error(78, "TLS needs both");
}

#[tokio::test]
async fn health_asks_a_service_with_tls_in_the_way_that_it_speaks() {
    let served = Served::with(&[]).await;
    let port = served.server.address().rsplit_once(':').unwrap().1.to_owned();
    let health = |dlc: Dlc| {
        let port = port.clone();
        async move { dlc.run(&["health", "--port", &port]).await }
    };
    // The certificate is for another name, by an authority that nobody knows, and the key is not ours to read.
    let (cert, key) = (served.secrets.path("tls.crt"), served.secrets.path("none"));
    let asked = health(with_tls(Dlc::new(), &cert, &key)).await;
    assert_eq!((asked.code, asked.stdout.as_str()), (0, "ready\n"), "{asked:?}");
    health(Dlc::new()).await.assert_error(1, "is not ready");
    let plain = Server::on(Engine::Sqlite).await;
    let port = plain.address().rsplit_once(':').unwrap().1.to_owned();
    let asked = with_tls(Dlc::new(), &cert, &key)
        .run(&["health", "--port", &port])
        .await;
    asked.assert_error(1, "is not ready");
}

#[tokio::test]
async fn figures_with_a_listener_of_their_own_stay_plain() {
    let reserved = Port::reserve();
    let port = reserved.number;
    let address = format!("127.0.0.1:{port}");
    let served = Served::with(&[("DLC_METRICS__LISTEN", &address)]).await;
    let figures = served
        .server
        .client
        .get(format!("http://{address}/metrics"))
        .send()
        .await
        .unwrap();
    assert_eq!(figures.status(), 200);
    assert!(!figures.headers().contains_key(HSTS));
    assert_eq!(served.connect().await.get("/metrics").await.status, 404);
}

#[tokio::test]
async fn sigterm_lets_requests_in_flight_over_tls_be_answered() {
    let served = Served::on(Engine::Postgres, &[]).await;
    let body = json!({"name": "c", "amount": 500}).to_string();
    let made = served
        .connect()
        .await
        .send(Method::POST, "/api/coupons", body)
        .await
        .unwrap();
    assert_eq!(made.status, 201);
    let holder = served.server.database.hold_coupons().await;
    let mut claims = Vec::new();
    for user in 0..6 {
        let client = served
            .client()
            .offering(if user % 2 == 0 { &["h2"] } else { &["http/1.1"] });
        let mut connection = client.connect(served.server.address()).await.unwrap();
        let body = json!({"user_id": user.to_string(), "coupon_name": "c"}).to_string();
        claims.push(tokio::spawn(async move {
            connection.send(Method::POST, "/api/coupons/claim", body).await
        }));
    }
    let started = Instant::now();
    let mut watching = served.connect().await;
    // And whoever asks.
    while !watching
        .get("/metrics")
        .await
        .text
        .contains("\nhttp_server_active_requests 7\n")
    {
        assert!(started.elapsed() < LIMIT, "never all of them at a time");
    }
    served.server.signal(Signal::TERM);
    served.server.until_logged("asked to stop").await;
    holder.release().await;
    for claim in claims {
        assert_eq!(claim.await.unwrap().unwrap().status, 201);
    }
    let stopped = served.server.finished().await;
    assert_eq!(stopped.code, 0, "{stopped:?}");
}

/// Asks on one connection after another until nobody listens any more. Counts what is answered, and returns what else
/// happened to a request that was sent.
async fn ask_until_closed(client: Https, address: String, answered: Arc<AtomicUsize>) -> Vec<String> {
    let mut lost = Vec::new();
    loop {
        let mut connection = match client.connect(&address).await {
            Ok(connection) => connection,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return lost,
            // It stood at the door; no request was sent.
            Err(_) => continue,
        };
        while connection.is_open().await {
            match connection
                .send(Method::GET, "/api/v1/coupons/none", String::new())
                .await
            {
                Ok(answer) if answer.status == 404 => {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(other) => lost.push(format!("{other:?}")),
                Err(error) => lost.push(error.to_string()),
            }
        }
    }
}

#[tokio::test]
async fn sigterm_under_load_over_tls_loses_no_request() {
    let served = Served::with(&[]).await;
    let address = served.server.address().to_owned();
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(ask_until_closed(
                served.client(),
                address.clone(),
                Arc::clone(&answered),
            ))
        })
        .collect();
    let began = Instant::now();
    while answered.load(Ordering::Relaxed) < 200 {
        assert_eq!(served.connect().await.get("/readyz").await.status, 200);
        assert!(began.elapsed() < LIMIT, "{answered:?}");
    }
    served.server.signal(Signal::TERM);
    let stopped = served.server.finished().await;
    assert_eq!(stopped.code, 0, "{stopped:?}");
    for client in clients {
        let lost = client.await.unwrap();
        assert!(lost.is_empty(), "after {answered:?} answers: {lost:?}");
    }
}
