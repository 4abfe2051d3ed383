//! Drill: a password with every character that a URL, a shell, YAML or a password file could stumble over, first, in the middle and
//! last, in every way to give it; and the role's name with the same. It is understood in each of them, and neither a right nor a wrong
//! nor a misspelt one is ever told: not on stdout or stderr at the most talkative level, not over HTTP, not in any process list.

use std::{
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::json;

use crate::harness::{
    Database, Dlc, Engine, Finished, Server,
    drill::{Figures, drill_at_most, in_all_sizes},
    postgres::{self, encode},
};

const SPECIAL: &str = ":/?#[]@!$&'()*+,;=%\"\\ <>{}|^~`";

/// Whatever is told of a password has one of them in it, and nothing else on the machine has.
fn canaries() -> [String; 2] {
    ["kanaria", "vogelin"].map(|canary| format!("{canary}{}", std::process::id()))
}

/// A role, its password, and where they are good for something.
#[derive(Clone)]
struct Credentials {
    role: String,
    password: String,
    port: u16,
    database: String,
}

/// Special characters around words of which nothing may be seen.
fn password(special: &str) -> String {
    let [one, other] = canaries();
    format!("{special}{one}{special}{other}{special}")
}

impl Credentials {
    fn url(&self, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{}", self.port, self.database)
    }

    /// With the password where it belongs.
    fn whole(&self) -> String {
        self.url(&format!("{}:{}", encode(&self.role), encode(&self.password)))
    }

    /// Without the password.
    fn bare(&self) -> String {
        self.url(&encode(&self.role))
    }

    fn with(&self, password: &str) -> Self {
        Self {
            password: password.to_owned(),
            ..self.clone()
        }
    }

    /// In a line of `~/.pgpass`.
    fn line(&self) -> String {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
        format!("127.0.0.1:*:*:{}:{}\n", escaped(&self.role), escaped(&self.password))
    }

    /// Every way to give it that shows nobody a command line.
    fn ways(&self) -> Vec<(&'static str, Dlc)> {
        let port = self.port.to_string();
        let parts = || {
            Dlc::new()
                .env("DB_HOST", "127.0.0.1")
                .env("DB_PORT", &port)
                .env("DB_USER", &self.role)
                .env("DB_NAME", &self.database)
        };
        let bare = || Dlc::new().env("DATABASE_URL", &self.bare());
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let in_a_file = |dlc: Dlc, variable: &str, text: &str| {
            let dlc = dlc.file("given", &format!("{text}\n"));
            let path = dlc.directory().join("given");
            dlc.env(variable, path.to_str().unwrap())
        };
        let passwords = |name: &str| {
            let dlc = bare().file(name, &self.line());
            let path = dlc.directory().join(name);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            (dlc, path)
        };
        let yaml = format!(
            "database:\n  host: 127.0.0.1\n  port: {port}\n  user: {}\n  name: {}\n  password: {}\n",
            quoted(&self.role),
            self.database,
            quoted(&self.password)
        );
        let (named, path) = passwords("passwords");
        let named = named.env("PGPASSFILE", path.to_str().unwrap());
        let (at_home, path) = passwords(".pgpass");
        let at_home = at_home.env("HOME", path.parent().unwrap().to_str().unwrap());
        let whole = self.whole();
        let parameter = format!("{}?password={}", self.bare(), encode(&self.password));
        let both = |variable: &str| Dlc::new().env("DATABASE_URL", &whole).env(variable, &whole);
        vec![
            ("DATABASE_URL", Dlc::new().env("DATABASE_URL", &whole)),
            ("?password= of DATABASE_URL", Dlc::new().env("DATABASE_URL", &parameter)),
            ("DATABASE_URL_FILE", in_a_file(Dlc::new(), "DATABASE_URL_FILE", &whole)),
            ("DLC_DATABASE__URL", Dlc::new().env("DLC_DATABASE__URL", &whole)),
            (
                "DLC_DATABASE__URL_FILE",
                in_a_file(Dlc::new(), "DLC_DATABASE__URL_FILE", &whole),
            ),
            ("DB_PASSWORD", parts().env("DB_PASSWORD", &self.password)),
            (
                "DB_PASSWORD_FILE",
                in_a_file(parts(), "DB_PASSWORD_FILE", &self.password),
            ),
            (
                "DLC_DATABASE__PASSWORD",
                parts().env("DLC_DATABASE__PASSWORD", &self.password),
            ),
            (
                "DLC_DATABASE__PASSWORD_FILE",
                in_a_file(parts(), "DLC_DATABASE__PASSWORD_FILE", &self.password),
            ),
            (
                "database.password in YAML",
                Dlc::new().file("config/default.yaml", &yaml),
            ),
            (
                "database.url in YAML",
                Dlc::new().file(
                    "config/default.yaml",
                    &format!("database:\n  url: {}\n", quoted(&whole)),
                ),
            ),
            ("PGPASSWORD", bare().env("PGPASSWORD", &self.password)),
            ("PGPASSFILE", named),
            ("~/.pgpass", at_home),
            ("DLC_DATABASE__MIGRATION_URL", both("DLC_DATABASE__MIGRATION_URL")),
            ("DLC_DATABASE__REPLICA_URL", both("DLC_DATABASE__REPLICA_URL")),
        ]
    }

    /// The same, misspelt: not encoded where it has to be.
    fn misspelt(&self) -> Vec<(&'static str, Dlc)> {
        let raw = self.url(&format!("{}:{}", self.role, self.password));
        let parameter = format!("{}?password={}", self.bare(), self.password);
        let yaml = format!("database:\n  host: h\n  password: {}\n", self.password);
        let both = |variable: &str| Dlc::new().env("DATABASE_URL", &self.whole()).env(variable, &raw);
        vec![
            ("DATABASE_URL, raw", Dlc::new().env("DATABASE_URL", &raw)),
            ("?password=, raw", Dlc::new().env("DATABASE_URL", &parameter)),
            (
                "DLC_DATABASE__URL, the password alone",
                Dlc::new().env("DLC_DATABASE__URL", &self.password),
            ),
            (
                "database.password in YAML, raw",
                Dlc::new().file("config/default.yaml", &yaml),
            ),
            ("DLC_DATABASE__MIGRATION_URL, raw", both("DLC_DATABASE__MIGRATION_URL")),
            ("DLC_DATABASE__REPLICA_URL, raw", both("DLC_DATABASE__REPLICA_URL")),
        ]
    }
}

/// What was looked at.
#[derive(Default)]
struct Looks {
    texts: AtomicUsize,
    lists: AtomicUsize,
    is_over: AtomicBool,
}

impl Looks {
    fn assert_told_nothing(&self, what: &str, text: &str) {
        self.texts.fetch_add(1, Ordering::Relaxed);
        let text = text.to_lowercase();
        for canary in canaries() {
            assert!(!text.contains(&canary), "{what} tells a password: {text}");
        }
        assert!(!text.contains("panicked"), "{what}: {text}");
    }

    async fn run(&self, way: &str, dlc: &Dlc, arguments: &[&str], input: &str) -> Finished {
        let finished = dlc.run_with_input(arguments, input).await;
        for text in [&finished.stdout, &finished.stderr] {
            self.assert_told_nothing(&format!("{way}: dlc {arguments:?}"), text);
        }
        finished
    }

    /// Looks at the arguments of every process of the machine, again and again.
    fn at_processes(&self) {
        let canaries = canaries();
        while !self.is_over.load(Ordering::Relaxed) {
            for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
                // Whoever has ended meanwhile has none.
                let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let arguments = String::from_utf8_lossy(&arguments).to_lowercase();
                // Nobody is told whose they are: they may be somebody else's.
                assert!(
                    !canaries.iter().any(|canary| arguments.contains(canary)),
                    "a process shows a password"
                );
            }
            self.lists.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// Whatever has to be tried with one set of special characters, more of it with all of them. The number is that of the ways.
async fn try_with(special: &str, looks: &Looks) -> usize {
    let is_all = special == SPECIAL;
    let database = Database::migrated(Engine::Postgres).await;
    // The driver cannot sign in a role with a comma or an equals sign in its name: it does not encode them for SCRAM.
    let in_the_role = special.replace([',', '='], "");
    let good = Credentials {
        role: format!("{}{in_the_role}", database.name()),
        password: password(special),
        port: postgres::cluster().await.port,
        database: database.name().to_owned(),
    };
    let role = good.role.replace('"', "\"\"");
    let make = good.password.replace('\'', "''");
    database
        .execute(&format!("CREATE ROLE \"{role}\" LOGIN SUPERUSER PASSWORD '{make}'"))
        .await;
    let wrong = good.with(&format!("{}{special}", good.password));
    let mut ways = 0;
    for (way, dlc) in good.ways() {
        ways += 1;
        let status = looks.run(way, &dlc, &["-vv", "migrate", "status", "--check"], "").await;
        assert_eq!(status.code, 0, "{way}, {special:?}: {status:?}");
        if !is_all {
            continue;
        }
        for arguments in [
            &["config", "show"][..],
            &["config", "show", "--format", "json"],
            &["db", "check", "--format", "json"],
        ] {
            looks.run(way, &dlc, arguments, "").await;
        }
    }
    for (way, dlc) in wrong.ways() {
        let refused = looks.run(way, &dlc, &["-vv", "migrate", "status"], "").await;
        // Where the other address is the wrong one it is not asked by everybody.
        assert_eq!(refused.code, 77, "{way}, {special:?}: {refused:?}");
    }
    for (way, dlc) in good.misspelt() {
        ways += 1;
        for arguments in [&["-vv", "migrate", "status"][..], &["config", "show"], &["db", "check"]] {
            looks.run(way, &dlc, arguments, "").await;
        }
    }
    if is_all {
        serve(&good, looks).await;
        print_everything(&good, looks).await;
    }
    database
        .execute(&format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\""))
        .await;
    database.remove().await;
    ways
}

/// What a service says, logs and lists; an account with such a password, and somebody who tries a wrong one.
async fn serve(good: &Credentials, looks: &Looks) {
    let dlc = Dlc::new()
        .env("DATABASE_URL", &good.whole())
        .env("DLC_LOG__LEVEL", "trace")
        .env("DLC_AUTH__RATE_LIMIT", "off");
    let account = &["-vv", "user", "create", "ada", "--password-stdin"];
    let created = looks.run("an account", &dlc, account, &good.password).await;
    assert_eq!(created.code, 0, "{created:?}");
    let url = good.whole();
    let server = Server::start_as(Database::at(Engine::Postgres, &url), dlc, &["-vv"]).await;
    for (password, status) in [(good.password.clone(), 200), (format!("{}x", good.password), 401)] {
        let body = json!({"username": "ada", "password": password});
        let answer = server.post("/api/v1/auth/login", body).await;
        assert_eq!(answer.status, status, "{}", answer.status);
        looks.assert_told_nothing("signing in", &answer.text);
    }
    let registered = server
        .post(
            "/api/v1/auth/register",
            json!({"username": "bob", "password": good.password}),
        )
        .await;
    assert_eq!(registered.status, 201);
    looks.assert_told_nothing("registering", &registered.text);
    for body in [format!("{{\"{}", good.password), good.password.clone()] {
        let request = server.request(reqwest::Method::POST, "/api/v1/auth/login");
        let refused = server
            .send(request.header("content-type", "application/json").body(body))
            .await;
        assert_eq!(refused.status, 400);
        looks.assert_told_nothing("a body that is none", &refused.text);
    }
    for path in [
        "/metrics",
        "/api/health/db",
        "/api/metrics/db",
        "/readyz?verbose",
        "/openapi.json",
        "/docs",
    ] {
        looks.assert_told_nothing(path, &server.get(path).await.text);
    }
    let log = server.stop().await.stderr;
    assert!(log.lines().count() > 30, "{log}");
    looks.assert_told_nothing("the log", &log);
}

/// Whatever prints variables or defaults would print these.
async fn print_everything(good: &Credentials, looks: &Looks) {
    let whole = good.whole();
    let variables = [
        "DATABASE_URL",
        "DLC_DATABASE__URL",
        "DLC_DATABASE__MIGRATION_URL",
        "DLC_DATABASE__REPLICA_URL",
    ];
    let dlc = variables.iter().fold(Dlc::new(), |dlc, name| dlc.env(name, &whole));
    let dlc = [
        "DB_PASSWORD",
        "PGPASSWORD",
        "DLC_DATABASE__PASSWORD",
        "DLC_AUTH__SECRET",
    ]
    .iter()
    .fold(dlc, |dlc, name| dlc.env(name, &good.password.repeat(2)));
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["db", "move", "--help"],
        &["db", "restore", "--help"],
        &["config", "show"],
        &["config", "show", "--format", "json"],
        &["config", "check"],
        &["config", "template"],
        &["config", "template", "--format", "env"],
        &["completions", "bash"],
        &["man"],
        &["openapi"],
    ] {
        let printed = looks.run("everything at once", &dlc, arguments, "").await;
        assert_eq!(printed.code, 0, "{printed:?}");
    }
}

/// Passwords that are typed: others can see them on the machine, and nobody anywhere else.
async fn type_them(nobody: &Credentials, looks: &Looks) {
    let raw = nobody.url(&format!("{}:{}", nobody.role, nobody.password));
    for url in [&nobody.whole(), &raw, &nobody.password] {
        let dlc = Dlc::new();
        for arguments in [
            &["-vv", "db", "check", "--url", url][..],
            &[
                "-vv",
                "db",
                "move",
                "--check",
                "--from",
                url,
                "--to",
                "sqlite://moved_test.db",
            ],
            &[
                "-vv",
                "db",
                "move",
                "--check",
                "--from",
                "sqlite://none_test.db",
                "--to",
                url,
            ],
            &["-vv", "db", "restore", "none.backup", "--into", url],
        ] {
            let refused = looks.run("typed", &dlc, arguments, "").await;
            assert_ne!(refused.code, 0, "{arguments:?}: {refused:?}");
        }
        // Where no argument belongs at all; a word that is no address is repeated, as every program does.
        if url.contains("://") {
            looks.run("typed", &dlc, &["-vv", "migrate", "status", url], "").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_of_special_characters_is_understood_in_every_way_and_told_in_none() {
    drill_at_most(1, "canary passwords (Postgres)", async |_| {
        let looks = Arc::new(Looks::default());
        let watching = {
            let looks = Arc::clone(&looks);
            std::thread::spawn(move || looks.at_processes())
        };
        // Each by itself, where time is no object: what trips over one may not get as far as the next.
        let each = SPECIAL.chars().map(String::from);
        let sets: Vec<String> = [SPECIAL.to_owned()]
            .into_iter()
            .chain(each.filter(|_| in_all_sizes()))
            .collect();
        let mut ways = 0;
        for special in &sets {
            ways += try_with(special, &looks).await;
        }
        looks.is_over.store(true, Ordering::Relaxed);
        watching.join().expect("no process shows a password");
        let nobody = Credentials {
            role: "nobody".to_owned(),
            password: password(SPECIAL),
            port: postgres::cluster().await.port,
            database: "postgres".to_owned(),
        };
        type_them(&nobody, &looks).await;
        let [texts, lists] = [&looks.texts, &looks.lists].map(|count| count.load(Ordering::Relaxed));
        assert!(lists > 0);
        Figures::default()
            .count("passwords", sets.len())
            .count("times a way to give one", ways)
            .count("texts read", texts)
            .count("looks at all processes", lists)
    })
    .await;
}
