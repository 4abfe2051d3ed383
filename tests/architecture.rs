//! The walls that the manifests cannot hold, and the manifests' own allow-list.

// A test says that it fails by panicking.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(directory: &str) -> Vec<(String, String)> {
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(directory), &mut found);
    assert!(!found.is_empty(), "{directory} has no sources");
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// Lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn assert_absent(directory: &str, except: &[&str], forbidden: &[&str]) {
    for (name, text) in sources(directory) {
        if except.iter().any(|except| name.starts_with(except)) {
            continue;
        }
        for line in code(&text) {
            for word in forbidden {
                assert!(!line.contains(word), "{name} must not name {word}: {line}");
            }
        }
    }
}

fn dependencies(manifest: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(manifest)).unwrap();
    let section = text
        .split("\n[dependencies]\n")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    let name = |line: &str| line.split([' ', '.', '=']).next().unwrap().to_owned();
    section
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(name)
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn each_ring_depends_on_nothing_but_what_is_listed_here() {
    assert_eq!(dependencies("src/domain/Cargo.toml"), set(&["chrono", "thiserror"]));
    assert_eq!(
        dependencies("src/application/Cargo.toml"),
        set(&["async-trait", "chrono", "dlc-domain", "secrecy", "thiserror", "tracing"])
    );
    assert_eq!(
        dependencies("migration/Cargo.toml"),
        set(&["async-trait", "sea-orm-migration"])
    );
}

#[test]
fn the_driver_is_confined_to_the_database_adapter() {
    let adapter = &["src/adapters/outbound/database"];
    assert_absent("src", adapter, &["sqlx::", "sea_orm::", "sea_query::", "use migration"]);
}

#[test]
fn the_database_adapter_shows_no_type_of_the_driver() {
    let (_, text) = sources("src/adapters/outbound/database")
        .into_iter()
        .find(|(name, _)| name.ends_with("database/lib.rs"))
        .unwrap();
    for line in code(&text).filter(|line| line.contains("pub ")) {
        assert!(!line.contains("sea_orm") && !line.contains("sqlx"), "{line}");
        assert!(!line.contains("entity"), "{line}");
    }
}

#[test]
fn frameworks_stay_in_their_rooms() {
    assert_absent(
        "src",
        &["src/adapters/inbound/http", "src/bootstrap"],
        &["poem::", "poem_openapi"],
    );
    assert_absent("src", &["src/adapters/inbound/cli", "src/bootstrap"], &["clap::"]);
    assert_absent("src", &["src/config"], &["figment::"]);
}

#[test]
fn arrows_point_inward() {
    assert_absent(
        "src/domain",
        &[],
        &["dlc_application", "dlc_database::", "crate::adapters"],
    );
    assert_absent("src/application", &[], &["dlc_database::"]);
    assert_absent(
        "src/adapters/inbound",
        &[],
        &["dlc_database::", "crate::bootstrap", "adapters::outbound"],
    );
    assert_absent(
        "src/config",
        &[],
        &["crate::adapters", "crate::bootstrap", "crate::telemetry"],
    );
    assert_absent("src/telemetry", &[], &["crate::"]);
}

#[test]
fn the_environment_the_clock_and_the_exit_belong_to_the_outside() {
    assert_absent("src", &["src/main.rs"], &["std::env::", "env::var", "process::exit"]);
    assert_absent("src/domain", &[], &["Utc::now", "Instant::now", "SystemTime"]);
    assert_absent("src/application", &[], &["Utc::now", "SystemTime"]);
}

#[test]
fn only_the_printer_writes_to_the_terminal() {
    assert_absent(
        "src",
        &["src/adapters/inbound/cli/printer.rs"],
        &["println!", "eprintln!", "io::stdout().lock", "io::stderr().lock"],
    );
}

#[test]
fn every_file_says_what_it_is_and_stays_small() {
    for (name, text) in sources("src").into_iter().chain(sources("migration/src")) {
        assert!(text.starts_with("//! "), "{name} does not say what it is");
        assert!(text.lines().count() <= 800, "{name} has {} lines", text.lines().count());
    }
}
