//! `dlc config …`: layers, aliases, provenance, masking, templates.

use serde_json::Value;

use crate::harness::{Dlc, SECRET, snapshot};

async fn show(dlc: Dlc) -> Value {
    let shown = dlc.run(&["config", "show", "--format", "json"]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    shown.assert_no_secret();
    shown.json()
}

fn setting(report: &Value, key: &str) -> (String, String) {
    let found = report["settings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["key"] == key)
        .unwrap();
    (
        found["value"].as_str().unwrap_or("-").to_owned(),
        found["source"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn the_stronger_source_wins_and_is_named() {
    let dlc = || {
        Dlc::new()
            .file(
                "config/default.yaml",
                "server:\n  port: 1001\ndatabase:\n  max_open_conns: 7\n",
            )
            .file("config/development.yaml", "server:\n  port: 1002\n")
    };
    assert_eq!(
        setting(&show(dlc()).await, "server.port"),
        ("1002".into(), "config/development.yaml".into())
    );
    let test = dlc().env("DLC_PROFILE", "test");
    assert_eq!(
        setting(&show(test).await, "server.port"),
        ("1001".into(), "config/default.yaml".into())
    );
    let layered = dlc().env("SERVER_PORT", "1003");
    assert_eq!(
        setting(&show(layered).await, "server.port"),
        ("1003".into(), "SERVER_PORT".into())
    );
    let layered = dlc().env("SERVER_PORT", "1003").env("PORT", "1004");
    assert_eq!(
        setting(&show(layered).await, "server.port"),
        ("1004".into(), "PORT".into())
    );
    let layered = dlc().env("PORT", "1004").env("DLC_SERVER__PORT", "1005");
    let report = show(layered).await;
    assert_eq!(
        setting(&report, "server.port"),
        ("1005".into(), "DLC_SERVER__PORT".into())
    );
    assert_eq!(
        setting(&report, "database.max_open_conns"),
        ("7".into(), "config/default.yaml".into())
    );
    assert_eq!(
        setting(&report, "database.max_idle_conns"),
        ("2".into(), "default (development)".into())
    );
}

#[tokio::test]
async fn an_empty_variable_is_unset() {
    let report = show(Dlc::new().env("DATABASE_URL", "").env("DLC_SERVER__PORT", "")).await;
    assert_eq!(report["database"]["url"], "sqlite://data/dlc.db");
    assert_eq!(setting(&report, "server.port").0, "8080");
}

#[tokio::test]
async fn the_database_is_named_by_the_strongest_of_url_and_parts() {
    let url = |report: &Value| report["database"]["url"].as_str().unwrap().to_owned();
    let source = |report: &Value| report["database"]["source"].as_str().unwrap().to_owned();
    let parts = || {
        Dlc::new()
            .env("DB_HOST", "parts")
            .env("DB_USER", "ann")
            .env("DB_PASSWORD", "cänary/+@:#")
            .env("DB_NAME", "shop")
    };
    let report = show(parts()).await;
    assert_eq!(
        (url(&report), source(&report)),
        ("postgres://ann@parts:5432/shop".into(), "DB_HOST".into())
    );
    let report = show(parts().env("DATABASE_URL", "postgres://bob:cänary@whole/shop")).await;
    assert_eq!(
        (url(&report), source(&report)),
        ("postgres://bob@whole:5432/shop".into(), "DATABASE_URL".into())
    );
    assert_eq!(
        report["warnings"][0],
        "DB_HOST and DATABASE_URL both name a database; DATABASE_URL is used"
    );
    let both = parts()
        .env("DATABASE_URL", "postgres://bob@whole/shop")
        .env("DLC_DATABASE__HOST", "strong");
    assert_eq!(url(&show(both).await), "postgres://ann@strong:5432/shop");
    let both = Dlc::new()
        .env("DATABASE_URL", "postgres://u@whole/x")
        .env("DLC_DATABASE__URL", "postgres://eve@own/y");
    let report = show(both).await;
    assert_eq!(url(&report), "postgres://eve@own:5432/y");
    assert_eq!(
        report["warnings"][0],
        "DATABASE_URL and DLC_DATABASE__URL both name a database; DLC_DATABASE__URL is used"
    );
    let unused = Dlc::new()
        .env("DATABASE_URL", "postgres://u@whole/x")
        .env("DLC_DATABASE__PASSWORD", "cänary");
    let report = show(unused).await;
    assert_eq!(
        report["warnings"][0],
        "DLC_DATABASE__PASSWORD is not used: DATABASE_URL names the database"
    );
    let no_host = Dlc::new().env("DB_USER", "ann").env("DB_NAME", "shop");
    assert_eq!(
        url(&show(no_host).await),
        "postgres://ann@localhost:5432/shop",
        "never silently another database"
    );
}

#[tokio::test]
async fn a_value_stays_the_text_it_is() {
    // figment's own provider would make these a number and a truth value, and repeat a password that does not fit.
    let report = show(
        Dlc::new()
            .env("DB_HOST", "h")
            .env("DB_USER", "true")
            .env("DB_PASSWORD", "0123"),
    )
    .await;
    assert_eq!(report["database"]["url"], "postgres://true@h:5432/dlc");
    let unquoted = Dlc::new().file("config/default.yaml", "database:\n  host: h\n  user: 1.10\n");
    unquoted.run(&["config", "show"]).await.assert_error(
        78,
        "database.user in config/default.yaml is not a text: put it in quotes",
    );
    let quoted = Dlc::new().file("config/default.yaml", "database:\n  host: h\n  user: \"1.10\"\n");
    assert_eq!(
        show(quoted).await["database"]["url"],
        "postgres://1%2E10@h:5432/dlc".replace("%2E", ".")
    );
}

#[tokio::test]
async fn encryption_settings_reach_the_url_whatever_its_spelling() {
    for url in [
        "postgres://u@h/d",
        "Postgres://u@h/d",
        "postgresql+asyncpg://u:sslmode=x@h/d",
    ] {
        let bogus = Dlc::new()
            .env("DATABASE_URL", url)
            .env("DB_SSL_MODE", "bogus")
            .run(&["config", "check"])
            .await;
        bogus.assert_error(78, "the value of the parameter \"sslmode\" is not known");
    }
    let own = Dlc::new()
        .env("DATABASE_URL", "postgres://u@h/d?ssl-mode=require")
        .env("DB_SSL_MODE", "bogus");
    assert_eq!(
        own.run(&["config", "check"]).await.code,
        0,
        "what the URL says itself counts"
    );
}

#[tokio::test]
async fn every_key_can_be_read_from_a_file() {
    let dlc = Dlc::new()
        .file("secret", "cänary/+@:#-of-thirty-two-bytes-and-more\n")
        .env("DB_HOST", "h")
        .env("DB_USER", "u");
    let path = dlc.directory().join("secret").display().to_string();
    let dlc = dlc.env("DB_PASSWORD_FILE", &path).env("DLC_AUTH__SECRET_FILE", &path);
    let report = show(dlc).await;
    assert_eq!(
        setting(&report, "database.password"),
        ("[redacted]".into(), "DB_PASSWORD_FILE".into())
    );
    assert_eq!(
        setting(&report, "auth.secret"),
        ("[redacted]".into(), "DLC_AUTH__SECRET_FILE".into())
    );
}

#[tokio::test]
async fn unknown_names_are_warned_about_with_the_nearest_known_one() {
    let dlc = || {
        Dlc::new()
            .file("config/default.yaml", "server:\n  prot: 1\n")
            .env("DLC_SERVER_PORT", "1")
    };
    let shown = dlc().run(&["config", "show"]).await;
    assert_eq!(shown.code, 0);
    assert!(
        shown
            .stderr
            .contains("the key server.prot is not known; did you mean server.port?"),
        "{shown:?}"
    );
    assert!(
        shown
            .stderr
            .contains("the variable DLC_SERVER_PORT is not known; did you mean DLC_SERVER__PORT?"),
        "{shown:?}"
    );
    assert_eq!(dlc().run(&["config", "check"]).await.code, 0);
    dlc()
        .run(&["config", "check", "--strict"])
        .await
        .assert_error(78, "server.prot is not known");
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let dlc = Dlc::new()
        .env("PORT", "x")
        .env("DLC_DATABASE__WAIT", "soon")
        .env("LOG_LEVEL", "loud");
    let refused = dlc.run(&["config", "check"]).await;
    for key in ["server.port", "database.wait", "log.level"] {
        refused.assert_error(78, key);
    }
}

#[tokio::test]
async fn a_strict_profile_wants_a_database_and_a_secret() {
    let bare = Dlc::new().env("DLC_PROFILE", "production");
    bare.run(&["config", "check"])
        .await
        .assert_error(78, "no database is configured");
    bare.run(&["config", "check"])
        .await
        .assert_error(78, "no signing secret is configured");
    let hostless = Dlc::new()
        .env("DLC_PROFILE", "production")
        .env("DB_PASSWORD", "cänary")
        .env("DB_NAME", "shop");
    hostless
        .run(&["config", "check"])
        .await
        .assert_error(78, "names no host");
    let complete = Dlc::new()
        .env("DLC_PROFILE", "production")
        .env("DATABASE_URL", "postgres://u@h/d")
        .env("DLC_AUTH__SECRET", SECRET);
    let checked = complete.run(&["config", "check"]).await;
    assert_eq!(
        (checked.code, checked.stdout.as_str()),
        (0, "the configuration holds (profile production)\n")
    );
    let report = show(complete).await;
    assert_eq!(setting(&report, "server.host").0, "0.0.0.0");
    assert_eq!(setting(&report, "auth.coupons").0, "required");
}

#[tokio::test]
async fn the_templates_in_the_repository_are_what_the_program_prints() {
    let template = |arguments: &'static [&'static str]| async move { Dlc::new().run(arguments).await.stdout };
    let yaml = template(&["config", "template"]).await;
    snapshot::assert_file("config/default.yaml", &yaml);
    snapshot::assert_file(
        "config/production.yaml",
        &template(&["config", "template", "--profile", "production"]).await,
    );
    snapshot::assert_file(
        "deployments/.env.example",
        &template(&["config", "template", "--format", "env"]).await,
    );
}

#[tokio::test]
async fn a_template_with_every_line_in_force_is_the_configuration_it_describes() {
    let template = Dlc::new().run(&["config", "template"]).await.stdout;
    let in_force: String = template
        .lines()
        .filter(|line| !line.starts_with("#   #"))
        .filter(|line| line.starts_with("#   ") || (line.starts_with("# ") && line.ends_with(':')))
        .map(|line| format!("{}\n", &line[2..]))
        .collect();
    let dlc = Dlc::new().file("config/default.yaml", &in_force);
    let checked = dlc.run(&["config", "check", "--strict"]).await;
    assert_eq!(checked.code, 0, "{checked:?}\n{in_force}");
}

#[tokio::test]
async fn a_generated_password_is_new_each_time_and_fits_into_a_url() {
    let one = Dlc::new().run(&["config", "gen-password"]).await.stdout;
    let two = Dlc::new().run(&["config", "gen-password"]).await.stdout;
    assert_ne!(one, two);
    assert_eq!(one.trim().len(), 32);
    assert!(
        one.trim()
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'),
        "{one}"
    );
}

#[tokio::test]
async fn what_is_meant_for_other_programs_stops_nobody() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://u:cänary@collector:4318"),
        ("RUST_LOG", "some_program"),
    ] {
        let dlc = Dlc::new().env(name, value);
        let checked = dlc.run(&["config", "check"]).await;
        assert_eq!(checked.code, 0, "{checked:?}");
        let told = format!("the variable {name} is not used here: ");
        let strict = dlc.run(&["config", "check", "--strict"]).await;
        assert!(strict.code == 78 && strict.stderr.contains(&told), "{strict:?}");
        strict.assert_no_secret();
    }
    for (name, value) in [
        ("server.header_timeout", "0s"),
        ("server.max_in_flight", "0"),
        ("server.max_body_bytes", "0"),
    ] {
        let variable = format!("DLC_{}", name.replace('.', "__").to_uppercase());
        let refused = Dlc::new().env(&variable, value).run(&["config", "check"]).await;
        refused.assert_error(78, &format!("{name} must be "));
    }
}
