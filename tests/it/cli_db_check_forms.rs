//! `dlc db check`: the forms of its report, and what it tells without looking.

use serde_json::Value;

use crate::harness::{Database, Dlc, Engine, LAST, Running, SECRET, Terminal, on_both_engines, postgres, snapshot};

on_both_engines! {
    async fn nagios_gets_one_line_and_its_own_exit_codes(database: Database) {
        let arguments = |more: &'static [&'static str]| -> Vec<&'static str> {
            ["db", "check", "--format", "nagios", "--only", "MIG001,DSK002"].iter().chain(more).copied().collect()
        };
        let good = database.dlc().run(&arguments(&[])).await;
        assert_eq!((good.code, good.lines().len()), (0, 1), "{good:?}");
        assert!(good.stdout.starts_with("DLC OK - 2 checks hold|DSK002="), "{good:?}");
        let critical = database.dlc().run(&arguments(&["--threshold", "DSK002=1,2"])).await;
        assert!(critical.code == 2 && critical.stdout.starts_with("DLC CRITICAL - DSK002 size of the database: "), "{critical:?}");
        database.dlc().run(&["migrate", "down", "--yes"]).await;
        let warning = database.dlc().run(&arguments(&[])).await;
        assert!(warning.code == 1 && warning.stdout.starts_with("DLC WARNING - MIG001 pending migrations: 1 pending"), "{warning:?}");
    }

    async fn junit_and_prometheus_are_well_formed(database: Database) {
        database.dlc().run(&["migrate", "down", "--yes"]).await;
        let junit = database.dlc().run(&["db", "check", "--format", "junit", "--require-current", "--skip", "SET001"]).await;
        assert_eq!(junit.code, 1, "{junit:?}");
        assert!(junit.stdout.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"dlc db check\" tests=\""), "{junit:?}");
        assert_eq!(junit.stdout.matches("<testcase ").count(), junit.stdout.matches("</testcase>").count());
        assert!(junit.stdout.contains("name=\"MIG001 pending migrations\""), "{junit:?}");
        assert!(junit.stdout.contains(&format!("<failure message=\"1 pending: {LAST}; dlc migrate up\"/>")), "{junit:?}");
        let prometheus = database.dlc().run(&["db", "check", "--format", "prometheus"]).await;
        assert!(prometheus.stdout.contains("# TYPE dlc_check_status gauge\n"), "{prometheus:?}");
        assert!(prometheus.stdout.contains("dlc_check_status{id=\"MIG001\",layer=\"migrations\"} 1\n"), "{prometheus:?}");
        assert!(prometheus.stdout.contains("dlc_check_value{id=\"DSK002\",unit=\"bytes\"} "), "{prometheus:?}");
    }

    async fn watching_goes_on_until_somebody_ends_it(database: Database) {
        let watching: Running = database.dlc().start(&["db", "check", "--watch", "50ms", "--only", "MIG001"]);
        while watching.printed().matches("MIG001").count() < 3 {
            tokio::task::yield_now().await;
        }
        watching.signal(rustix::process::Signal::INT);
        assert_eq!(watching.finished().await.code, 130);
    }
}

#[tokio::test]
async fn every_check_explains_itself_and_the_document_has_them_all() {
    let list = Dlc::new()
        .run(&["db", "check", "--list", "--format", "json"])
        .await
        .json();
    let mut document = String::from(
        "# Checks\n\nWhat `dlc db check` looks at, layer by layer. A failure makes the checks of the layers that stand on it\n\
         *skipped*; health stands on a session alone. Made from the program by `just snapshots`; never edited.\n",
    );
    for check in list["checks"].as_array().unwrap() {
        let id = check["id"].as_str().unwrap();
        let explained = Dlc::new()
            .run(&["db", "check", "--explain", id, "--format", "json"])
            .await
            .json();
        let text = |member: &str| explained[member].as_str().unwrap_or_default().to_owned();
        assert!(text("cause").len() > 20 && text("fix").len() > 10, "{explained}");
        let engine = explained["engine"].as_str().map_or("both engines", |engine| {
            if engine == "sqlite" { "SQLite" } else { "PostgreSQL" }
        });
        let deep = if explained["deep"] == true {
            ", with `--deep` only"
        } else {
            ""
        };
        document.push_str(&format!(
            "\n## {id}\n\n**{}** ({}, {engine}{deep}). {}\n\n",
            text("title"),
            text("layer"),
            text("cause")
        ));
        document.push_str(&format!("To mend it: {}\n", text("fix")));
        if let Some(limits) = explained["thresholds"].as_str() {
            document.push_str(&format!("\nLimits (warn / fail): {limits}.\n"));
        }
    }
    snapshot::assert_file("docs/checks.md", &document);
    let people = Dlc::new().run(&["db", "check", "--explain", "lck002"]).await;
    assert!(
        people.stdout.starts_with("LCK002  long transactions  (health)\n"),
        "{people:?}"
    );
    assert!(people.stdout.contains("Asked of PostgreSQL:\n  SELECT "), "{people:?}");
}

#[tokio::test]
async fn wrong_limits_and_unknown_checks_are_64() {
    for (arguments, words) in [
        (&["--explain", "XYZ001"][..], "there is no check XYZ001"),
        (&["--threshold", "LCK002"], "write it as ID=WARN or ID=WARN,FAIL"),
        (&["--threshold", "LCK002=a,b"], "write it as ID=WARN or ID=WARN,FAIL"),
        (
            &["--threshold", "MIG001=1"],
            "MIG001 measures nothing that could have a limit",
        ),
    ] {
        let arguments: Vec<&str> = ["db", "check"].iter().chain(arguments).copied().collect();
        Dlc::new().run(&arguments).await.assert_error(64, words);
    }
}

#[tokio::test]
async fn somebody_else_s_database_is_judged_without_dlc_s_own_checks() {
    let database = Database::empty(Engine::Postgres).await;
    database.execute("CREATE TABLE theirs (id serial PRIMARY KEY)").await;
    let checked = Dlc::new()
        .run(&["db", "check", "--url", &database.url, "--format", "json"])
        .await;
    assert_eq!(checked.code, 0, "{checked:?}");
    for check in checked.json()["checks"].as_array().unwrap() {
        let id = check["id"].as_str().unwrap();
        if ["PRV002", "DRF002", "BIZ001"].contains(&id) {
            assert_eq!(check["measured"], "the database was never migrated by dlc", "{check}");
        }
    }
}

/// What a value breaks of a schema, as far as the schema of the report uses JSON Schema.
fn violation(schema: &Value, value: &Value, at: &str) -> Option<String> {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("no rule for {other}"),
    };
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().map(|name| name.as_str().unwrap()).collect(),
        other => panic!("{at}: {other}"),
    };
    if !types.into_iter().any(is) {
        return Some(format!("{at} is of another type: {value}"));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        return Some(format!("{at} is none of {allowed:?}: {value}"));
    }
    if let Some(members) = value.as_object() {
        let missing = schema["required"]
            .as_array()
            .unwrap()
            .iter()
            .find(|name| !members.contains_key(name.as_str().unwrap()));
        let known = schema["properties"].as_object().unwrap();
        let unknown = members.keys().find(|name| !known.contains_key(*name));
        if missing.is_some() || unknown.is_some() {
            return Some(format!("{at}: missing {missing:?}, unknown {unknown:?}"));
        }
        return members
            .iter()
            .find_map(|(name, value)| violation(&known[name], value, &format!("{at}.{name}")));
    }
    value
        .as_array()?
        .iter()
        .enumerate()
        .find_map(|(index, item)| violation(&schema["items"], item, &format!("{at}[{index}]")))
}

on_both_engines! {
    async fn the_report_is_of_the_published_shape(database: Database) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/check-report.schema.json");
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let report = database.dlc().run(&["db", "check", "--deep", "--format", "json"]).await.json();
        assert_eq!(violation(&schema, &report, "report"), None);
        let mut wrong = report.clone();
        wrong["checks"][0]["status"] = "fine".into();
        assert!(violation(&schema, &wrong, "report").unwrap().starts_with("report.checks[0].status is none of"));
        wrong = report;
        wrong["checks"][0].as_object_mut().unwrap().remove("hint");
        assert!(violation(&schema, &wrong, "report").unwrap().contains("missing Some(String(\"hint\"))"));
    }
}

/// Every way in which a look can end, with a canary wherever a secret can stand.
async fn secretive() -> Vec<(&'static str, Dlc)> {
    let cluster = postgres::cluster().await;
    let (port, silent) = (cluster.port, std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let at = |address: &str| format!("postgres://dlc_test:c%C3%A4nary@{address}/x");
    let silent_at = at(&silent.local_addr().unwrap().to_string());
    // It listens for as long as this process lives.
    std::mem::forget(silent);
    let urls = [
        ("good", cluster.url("postgres")),
        ("wrong password", at(&format!("127.0.0.1:{port}"))),
        ("missing database", cluster.url("missing_test")),
        ("refused", at("127.0.0.1:9")),
        ("unknown host", at("no-such-host.invalid")),
        ("silent", silent_at),
        (
            "bad certificate",
            format!("{}?sslmode=verify-full", cluster.url("postgres")),
        ),
        (
            "missing certificate",
            format!("{}?sslmode=verify-ca&sslrootcert=/none", cluster.url("postgres")),
        ),
        ("unknown scheme", "mysql://u:cänary@db/x".to_owned()),
        ("no scheme", "cänary".to_owned()),
        ("not encoded", "postgres://u:cänary#@db/x".to_owned()),
        ("sqlite", "sqlite:///none/x.db".to_owned()),
    ];
    urls.into_iter()
        .map(|(name, url)| {
            let dlc = Dlc::new()
                .env("DATABASE_URL", &url)
                .env("PGPASSWORD", "cänary")
                .env("DLC_AUTH__SECRET", &format!("cänary {SECRET}"))
                .env("DLC_DATABASE__MIGRATION_URL", &at("127.0.0.1:9"))
                .env("RUST_LOG", "trace");
            (name, dlc)
        })
        .collect()
}

#[tokio::test]
async fn no_form_of_any_report_holds_a_secret() {
    for (name, dlc) in secretive().await {
        for format in ["text", "json", "junit", "nagios", "prometheus"] {
            let arguments = [
                "-vv",
                "db",
                "check",
                "--deep",
                "--timeout",
                "300ms",
                "--wait=1ms",
                "--format",
                format,
            ];
            let told = dlc.run(&arguments).await;
            told.assert_no_secret();
            assert!(!told.stdout.is_empty(), "{name}, {format}: {told:?}");
            assert!(told.code != 0 || name == "good", "{name}, {format}: {told:?}");
        }
    }
}

#[tokio::test]
async fn people_see_the_worst_first_in_lines_that_fit_their_terminal() {
    let database = Database::migrated(Engine::Sqlite).await;
    database.dlc().run(&["migrate", "down", "--yes"]).await;
    database.execute("PRAGMA application_id = 7").await;
    let terminal = Terminal::start(database.dlc().env("NO_COLOR", "1"), &["db", "check"]);
    terminal.until_shown("; exit code 1\r\n").await;
    let shown = terminal.shown();
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    assert_eq!(lines[0], "✗ fail     SQL008  application id", "{shown}");
    assert_eq!(lines[1], "           0x00000007 is another program's");
    assert_eq!(
        lines[2],
        "           next:  this file is not dlc's; correct the path in DATABASE_URL"
    );
    let order: Vec<usize> = lines
        .iter()
        .filter_map(|line| ["✗", "!", "-", "✓"].iter().position(|mark| line.starts_with(mark)))
        .collect();
    assert!(order.is_sorted() && order.len() > 10, "{shown}");
    assert!(lines.iter().all(|line| line.chars().count() <= 100), "{shown}");
    assert!(lines.last().unwrap().starts_with("1 fail, "), "{shown}");
}
