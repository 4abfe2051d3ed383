//! Templates: every setting with its documentation and default, as YAML or as variables. The files in `config/` and
//! `deployments/.env.example` are made by this code, and a test compares them.

use super::{Profile, SECTIONS, setting::Setting};

/// Variables that the Compose files read: name, default there, and what it is for.
pub const COMPOSE_VARIABLES: &[(&str, &str, &str)] = &[
    (
        "POSTGRES_PASSWORD",
        "dlc-development-only",
        "Password of the database. Required by docker-compose.prod.yml. Make one: dlc config gen-password",
    ),
    ("POSTGRES_USER", "dlc", "Role that owns the database."),
    ("POSTGRES_DB", "dlc", "Name of the database."),
    (
        "POSTGRES_PORT",
        "5432",
        "Port on 127.0.0.1 at which the development file publishes PostgreSQL.",
    ),
    (
        "POSTGRES_IMAGE",
        "postgres:17-alpine",
        "Image of PostgreSQL, 15 to 18. A new major refuses the volume of an old one.",
    ),
    (
        "DLC_HTTP_PORT",
        "8080",
        "Port at which the API is published; 0 takes a free one for each of several.",
    ),
    (
        "DLC_HTTP_BIND",
        "127.0.0.1",
        "Address at which the API is published; with the profile proxy leave it, and set DLC_PROXY_BIND.",
    ),
    (
        "DLC_IMAGE",
        "dlc",
        "Image of dlc: one of a registry, or the one to go back to; -backup and -pgbouncer are added for the others.",
    ),
    (
        "DATABASE_URL",
        "",
        "A database of your own, instead of the one in Compose.",
    ),
    (
        "DLC_AUTH__SECRET",
        "",
        "Signs access tokens. Required by docker-compose.prod.yml. Make one: dlc auth gen-secret",
    ),
    (
        "DLC_AUTH__PREVIOUS_SECRET",
        "",
        "The secret before it, for a quarter of an hour after it was changed.",
    ),
    (
        "DLC_AUTH__REGISTRATION",
        "",
        "Who may make accounts: open, admin or off.",
    ),
    (
        "DLC_AUTH__COUPONS",
        "",
        "Who may create and claim coupons: open or required.",
    ),
    (
        "DLC_SERVER__TRUSTED_PROXIES",
        "",
        "Networks of proxies whose X-Forwarded-For is believed; with the profile proxy: 172.16.0.0/12,192.168.0.0/16",
    ),
    (
        "DLC_DATABASE__INSTANCES",
        "1",
        "How many of the service there are; several need DLC_HTTP_PORT=0 and the profile proxy.",
    ),
    (
        "DLC_SHUTDOWN__DELAY",
        "",
        "How long to go on accepting after SIGTERM, so that a proxy looks elsewhere first: 5s is plenty.",
    ),
    (
        "DLC_TRACES__ENDPOINT",
        "",
        "Where traces go; with the profile observability: http://collector:4317",
    ),
    ("DLC_LOG__FORMAT", "", "auto, pretty or json."),
    ("LOG_LEVEL", "info", "off, error, warn, info, debug or trace."),
    ("RUST_IMAGE", "rust:1.95-alpine", "Image that builds dlc."),
    ("RUNTIME_IMAGE", "alpine:3.22", "Image that dlc runs in."),
    ("DLC_VERSION", "unknown", "Version that the image's label names."),
    ("DLC_REVISION", "unknown", "Revision that the image's label names."),
    (
        "DLC_BACKUPS",
        "backups",
        "Where backups go: a volume, or a directory such as /srv/backups that the user 10001 may write to.",
    ),
    (
        "DLC_SECRETS",
        "./secrets",
        "Directory with the secrets of docker-compose.secrets.yml: postgres_password and auth_secret.",
    ),
    (
        "DLC_PGBOUNCER_HTTP_PORT",
        "8081",
        "Profile pgbouncer: port at which the API that goes through PgBouncer is published.",
    ),
    (
        "DLC_PROXY_PORT",
        "8000",
        "Profile proxy: port in front of all instances of the service.",
    ),
    (
        "DLC_PROXY_BIND",
        "127.0.0.1",
        "Profile proxy: address at which that port is published.",
    ),
    (
        "DLC_PROXY_TRUSTS",
        "127.0.0.1",
        "Profile proxy: network of a proxy in front of it, whose X-Forwarded-For is kept; on the same machine: 172.16.0.0/12",
    ),
    ("PROXY_IMAGE", "haproxy:3.2-alpine", "Profile proxy: image of HAProxy."),
    (
        "PROMETHEUS_PORT",
        "9090",
        "Profile observability: port of Prometheus on 127.0.0.1.",
    ),
    (
        "PROMETHEUS_IMAGE",
        "prom/prometheus:v3.5.0",
        "Profile observability: image of Prometheus.",
    ),
    (
        "GRAFANA_PORT",
        "3000",
        "Profile observability: port of Grafana on 127.0.0.1.",
    ),
    (
        "GRAFANA_IMAGE",
        "grafana/grafana:12.1.0",
        "Profile observability: image of Grafana.",
    ),
    (
        "COLLECTOR_IMAGE",
        "otel/opentelemetry-collector:0.130.0",
        "Profile observability: image of the OpenTelemetry collector.",
    ),
];

/// Every setting as YAML, commented out, with the defaults of `profile`.
#[must_use]
pub fn yaml(profile: Profile) -> String {
    let mut text = format!(
        "# Settings of dlc, with the defaults of the profile {profile}. Made by: dlc config template --format yaml --profile {profile}\n\
         # Take the leading # off a line and off that of its section, and it takes effect. `dlc config show` tells what is in force.\n"
    );
    for section in SECTIONS {
        // A section inside of another stands below it, one step further in.
        let (inside, name) = section.name.rsplit_once('.').unwrap_or(("", section.name));
        let depth = if inside.is_empty() {
            0
        } else {
            inside.split('.').count()
        };
        let step = "  ".repeat(depth);
        let doc: Vec<_> = section.doc.iter().map(|line| format!("#{line}")).collect();
        let before = if depth == 0 { String::new() } else { format!("# {step}") };
        text.push_str(&format!(
            "\n{before}{}\n# {step}{name}:\n",
            doc.join(&format!("\n{before}"))
        ));
        for setting in section.settings {
            let name = setting.key.split('.').next_back().unwrap_or(setting.key);
            for line in setting.doc {
                text.push_str(&format!("#   {step}#{line}\n"));
            }
            text.push_str(&format!("#   {step}# {}\n", variables(setting)));
            text.push_str(
                &format!("#   {step}{name}: {}\n", (setting.default)(profile).unwrap_or_default())
                    .replace(": \n", ":\n"),
            );
        }
    }
    text
}

/// The variables of Compose, then every setting as a variable, with the defaults of `profile`.
#[must_use]
pub fn env(profile: Profile) -> String {
    let mut text = "# Variables of the Compose files. Copy to deployments/.env (`just env` does it, with a password of its own).\n\
         # Never commit that file: it holds secrets.\n"
        .to_owned();
    for (name, default, doc) in COMPOSE_VARIABLES {
        text.push_str(&format!("\n# {doc}\n# {name}={default}\n"));
    }
    text.push_str(
        "\n# --- Read by dlc itself -------------------------------------------------------------------------------------\n\
         # Outside of Compose, or when listed under `environment:` of the service. Each has a form with _FILE at its end\n\
         # that names a file to read the value from.\n",
    );
    for section in SECTIONS {
        text.push_str(&format!("\n#{}\n", section.doc.join("\n#")));
        for setting in section.settings {
            let default = (setting.default)(profile).unwrap_or_default();
            text.push_str(&format!(
                "#{}\n# {}={default}\n",
                setting.doc.join("\n#"),
                setting.variable()
            ));
        }
    }
    text
}

/// The same variables as tables, for a document.
#[must_use]
pub fn markdown(profile: Profile) -> String {
    let row = |name: &str, default: &str, doc: &str| {
        let default = if default.is_empty() {
            String::new()
        } else {
            format!("`{default}`")
        };
        // Markdown takes a bar for the next cell.
        format!("| `{name}` | {default} | {} |\n", doc.trim().replace('|', "\\|"))
    };
    let head = "| variable | default | what it is |\n|---|---|---|\n";
    let mut text = format!("Of the Compose files:\n\n{head}");
    for (name, default, doc) in COMPOSE_VARIABLES {
        text.push_str(&row(name, default, doc));
    }
    text.push_str(&format!("\nOf dlc itself, with the defaults of {profile}:\n\n{head}"));
    for setting in SECTIONS.iter().flat_map(|section| section.settings) {
        let default = (setting.default)(profile).unwrap_or_default();
        let doc: Vec<_> = setting.doc.iter().map(|line| line.trim()).collect();
        text.push_str(&row(&setting.variable(), &default, &doc.join(" ")));
    }
    text
}

fn variables(setting: &Setting) -> String {
    let mut names = vec![setting.variable()];
    names.extend(setting.aliases.iter().map(|alias| (*alias).to_owned()));
    names.join(", ")
}
