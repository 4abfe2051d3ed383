//! docs/deployment.md, the units and the manifests of deployments/ against what the program and the tools really say. What needs
//! a container engine: scripts/smoke and scripts/drill-containers.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use regex::Regex;

use crate::harness::{Dlc, Engine, OnEngine, Server, Service, postgres};

fn path(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// All of what a pattern's first group finds in a text.
fn found(pattern: &str, text: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).unwrap();
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[tokio::test]
async fn the_table_of_variables_is_the_programs_own() {
    let document = read("docs/deployment.md");
    let (before, rest) = document.split_once("<!-- variables -->\n").unwrap();
    let (kept, after) = rest.split_once("<!-- /variables -->").unwrap();
    let made = Dlc::new()
        .env("DLC_PROFILE", "")
        .run(&["config", "template", "--format", "markdown"])
        .await
        .stdout;
    if std::env::var_os("DLC_UPDATE_SNAPSHOTS").is_some() {
        let text = format!("{before}<!-- variables -->\n{made}<!-- /variables -->{after}");
        std::fs::write(path("docs/deployment.md"), text).unwrap();
        return;
    }
    assert_eq!(kept, made, "`just snapshots` writes it anew");
}

#[test]
fn every_file_that_the_document_names_is_there() {
    let document = read("docs/deployment.md");
    let mut links = found(r"\]\(([^)#:]+)\)", &document);
    let rows = document
        .lines()
        .filter(|line| line.starts_with("| `") && !line.contains("DLC_"));
    for row in rows.take_while(|row| !row.contains("POSTGRES_PASSWORD")) {
        links.extend(
            found("`([a-z./-]+(?:yml|/))`", row)
                .iter()
                .map(|name| format!("../deployments/{name}")),
        );
    }
    links.extend(
        found(r"`?(scripts/[a-z-]+)", &document)
            .iter()
            .map(|name| format!("../{name}")),
    );
    assert!(links.len() > 15, "{links:?}");
    for link in links {
        assert!(Path::new(&path("docs")).join(&link).exists(), "{link}");
    }
}

#[tokio::test]
async fn no_compose_file_unit_or_manifest_names_a_setting_that_is_none() {
    let mut files = Vec::new();
    for directory in ["deployments", "deployments/systemd", "deployments/kubernetes"] {
        let entries = std::fs::read_dir(path(directory)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    }
    let mut names = Vec::new();
    for file in files {
        // What dlc reads there: a key of an environment, an assignment of a unit, a name of a manifest.
        let text = std::fs::read_to_string(&file).unwrap();
        names.extend(found(r"(?m)^\s+(DLC_[A-Z0-9_]+):", &text));
        names.extend(found(r"(?m)[= ](DLC_[A-Z0-9_]+)=", &text.replace("# ", "#")));
        names.extend(found(r"(?m)- name: (DLC_[A-Z0-9_]+)$", &text));
    }
    // Arguments of the build, and what HAProxy reads.
    names.retain(|name| !["DLC_VERSION", "DLC_REVISION", "DLC_HTTP_PORT", "DLC_PROXY_TRUSTS"].contains(&name.as_str()));
    names.sort();
    names.dedup();
    assert!(names.len() > 10, "{names:?}");
    let mut dlc = Dlc::new();
    for name in &names {
        // An empty variable is unset, but its name is looked at.
        dlc = dlc.env(name, "");
    }
    let checked = dlc.run(&["config", "check", "--strict"]).await;
    for name in &names {
        assert!(
            !checked.stderr.contains(name.as_str()) && !checked.stdout.contains(name.as_str()),
            "{checked:?}"
        );
    }
}

#[tokio::test]
async fn the_units_run_commands_that_exist_and_are_not_restarted_when_waiting_cannot_mend_it() {
    for (unit, kind) in [("dlc.service", "exec"), ("dlc-backup.service", "oneshot")] {
        let text = read(&format!("deployments/systemd/{unit}"));
        assert!(text.contains(&format!("Type={kind}\n")), "{unit}");
        let command = found(r"(?m)^ExecStart=/usr/local/bin/dlc (.*)$", &text).remove(0);
        // What is asked for help is read whole, and refused when there is no such thing.
        let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let finished = Dlc::new().run(&arguments).await;
        assert_eq!(finished.code, 0, "{finished:?}");
    }
    let service = read("deployments/systemd/dlc.service");
    let kept_down = found("(?m)^RestartPreventExitStatus=(.*)$", &service).remove(0);
    let refused = Dlc::new().env("DLC_PROFILE", "production").run(&["serve"]).await;
    assert!(kept_down.contains(&refused.code.to_string()), "{refused:?}");

    // systemd's own opinion, where it is at hand; the program is put where this machine has it.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dlc.service");
    std::fs::write(&file, service.replace("/usr/local/bin/dlc", env!("CARGO_BIN_EXE_dlc"))).unwrap();
    match Command::new("systemd-analyze").arg("verify").arg(&file).output() {
        Ok(said) => assert_eq!(String::from_utf8_lossy(&said.stderr), ""),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}

#[tokio::test]
async fn the_probes_of_the_manifest_answer() {
    let manifest = read("deployments/kubernetes/dlc.yaml");
    let server = Server::on(Engine::Sqlite).await;
    let document = read("docs/deployment.md");
    let mut probes = 0;
    for probe in ["startup", "liveness", "readiness"] {
        let pattern = format!(r"{probe}Probe:\n\s+(httpGet: \{{ path: [a-z/]+, port: http \}})");
        let shown = found(&pattern, &manifest).remove(0);
        assert!(found(&pattern, &document).contains(&shown), "{probe}");
        let path = found("path: ([a-z/]+)", &shown).remove(0);
        assert_eq!(server.get(&path).await.status, 200, "{path}");
        probes += 1;
    }
    assert_eq!(probes, 3);
}

#[test]
fn the_doctor_names_the_process_that_has_a_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = Command::new(path("scripts/doctor"))
        .env("POSTGRES_PORT", &port)
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1));
    let said = String::from_utf8(said.stdout).unwrap();
    let line = said
        .lines()
        .find(|line| line.contains("PostgreSQL, ") || line.contains("PostgreSQL wants"))
        .unwrap();
    let mine = std::fs::read_to_string("/proc/self/comm").unwrap();
    let shown = line
        .replace(
            &format!("{}, process {}", mine.trim(), std::process::id()),
            "postgres, process 4711",
        )
        .replace(&port, "5432");
    assert!(
        read("docs/deployment.md").contains(&format!("```text\n{shown}\n```")),
        "{said}"
    );
}

#[tokio::test]
async fn what_goes_wrong_is_said_as_the_document_shows_it() {
    let document = read("docs/deployment.md");
    let place = format!("127.0.0.1:{}", postgres::cluster().await.port);
    let wrong = Dlc::new().env("DATABASE_URL", &format!("postgres://dlc:wrong@{place}/dlc"));
    let refused = wrong.run(&["serve", "--port", "0"]).await;
    assert_eq!(refused.code, 77, "{refused:?}");
    let block = document
        .split("its log says why:\n\n```text\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    for line in block.lines() {
        assert!(refused.stderr.contains(line), "{line}: {refused:?}");
    }

    // A data directory of 15, and the program of 18.
    let programs = |major: &str| {
        let said = Command::new(path("scripts/postgres")).arg(major).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        PathBuf::from(String::from_utf8(said.stdout).unwrap().trim())
    };
    let mut old = Service::new(&programs("15"));
    let said = old.run(&format!(
        "{}/postgres -D \"$PGDATA\" 2>&1 || true",
        programs("18").display()
    ));
    let newer = Regex::new(r"this version 18\S*\.").unwrap();
    let said = newer
        .replace(&said, "this version 18.")
        .replace("version 15,", "version 17,");
    let shown = document
        .split("again and again:\n\n```text\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    assert_eq!(shown.lines().count(), 2);
    for line in shown.lines() {
        assert!(said.contains(line), "{line}: {said}");
    }
}
