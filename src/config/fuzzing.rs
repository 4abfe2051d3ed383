//! What holds for whatever the environment says (see `crate::fuzzing`).

// A property says that it does not hold by panicking.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{net::Ipv6Addr, path::PathBuf};

use secrecy::ExposeSecret;

use super::{Config, ConfigError, Sources, load};

/// Stands at both ends of a secret, so that a part of it is recognised wherever it is shown.
const CANARY: &str = "canary";

fn loaded<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, ConfigError> {
    let variables = variables.into_iter();
    load(&Sources {
        environment: variables.map(|(name, value)| (name.to_owned(), value.into())).collect(),
        // None of its files is there.
        directory: PathBuf::from("/nonexistent"),
        ..Sources::default()
    })
}

/// All that is ever shown of a configuration.
fn shown(loaded: &Result<Config, ConfigError>) -> String {
    match loaded {
        Ok(config) => {
            let why = config.selected.as_ref().err();
            let url = config
                .selected
                .as_ref()
                .map(|selected| selected.url.redacted().to_owned());
            let contradictions = config.contradictions();
            format!(
                "{config:?} {why:?} {url:?} {contradictions:?} {:?}",
                config.missing_to_serve()
            )
        }
        Err(error) => format!("{error} {error:?}"),
    }
}

/// A database that is given in parts is the one that those parts name, and no part runs into another one.
pub(crate) fn database_parts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split('\n');
    let mut part = || parts.next().unwrap_or_default();
    let (host, user, name, secret) = (part(), part(), part(), part());
    if [host, user, name]
        .iter()
        .any(|part| part.is_empty() || part.contains(CANARY))
    {
        return;
    }
    let secret = format!("{CANARY}{secret}{CANARY}");
    let parts = [
        ("DB_HOST", host),
        ("DB_USER", user),
        ("DB_NAME", name),
        ("DB_PASSWORD", &secret),
        ("DB_PORT", "6543"),
    ];
    let loaded = loaded(parts);
    assert!(!shown(&loaded).contains(CANARY), "{}", shown(&loaded));
    // What stands around a host is none of it.
    let host = host.trim();
    let url = match loaded.expect("every text is a part").selected {
        Ok(selected) => selected.url,
        Err(why) => {
            let is_name = !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
            let is_host = is_name || host.parse::<Ipv6Addr>().is_ok() || host.starts_with('/');
            assert!(!is_host || [".", ".."].contains(&name), "{host}: {why}");
            return;
        }
    };
    let password = url.password().map(|password| password.expose_secret().to_owned());
    assert_eq!(password, Some(secret), "{}", url.redacted());
    assert!(
        url.redacted().starts_with(&format!("postgres://{user}@")),
        "{}",
        url.redacted()
    );
    assert!(url.redacted().ends_with(&format!("/{name}")), "{}", url.redacted());
    let used = url.host().expect("PostgreSQL has one");
    if host.starts_with('/') {
        assert_eq!(used, host);
    } else {
        assert!(url.redacted().ends_with(&format!(":6543/{name}")), "{}", url.redacted());
        // What no host is called is not found; it is nothing else.
        let is_encoded = percent_encoding::percent_decode_str(&used).eq(host.bytes());
        let bare = |text: &str| text.trim_matches(['[', ']']).parse::<Ipv6Addr>().ok();
        assert!(
            is_encoded || (bare(&used).is_some() && bare(&used) == bare(host)),
            "{host} is {used}"
        );
    }
}

/// A setting is shown as what it is: the words for its value are a value, and the same one. No secret is shown, whatever else is wrong.
pub(crate) fn settings(data: &[u8]) {
    let mut given: Vec<(String, String)> = Vec::new();
    let mut is_about_files = false;
    for line in data.split(|byte| *byte == b'\n').take(4) {
        let ([index, text @ ..], all) = (line, super::settings()) else {
            continue;
        };
        let Ok(text) = std::str::from_utf8(text) else { continue };
        let count = all.count();
        let Some(setting) = super::settings().nth(usize::from(*index) % count) else {
            continue;
        };
        is_about_files |= text.contains(CANARY);
        // A URL is shown without its password, and the rest of it is no secret.
        let is_whole = setting.secret && !setting.key.ends_with("url");
        let text = if is_whole {
            format!("{CANARY}{text}{CANARY}")
        } else {
            text.to_owned()
        };
        given.push((setting.variable(), text));
    }
    if is_about_files {
        return;
    }
    let pairs = || given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let first = loaded(pairs());
    assert!(!shown(&first).contains(CANARY), "{}", shown(&first));
    let Ok(first) = first else { return };
    for setting in first
        .provenance
        .iter()
        .filter(|setting| given.iter().any(|(name, _)| *name == setting.source))
    {
        let known = super::settings()
            .find(|known| known.key == setting.key)
            .expect("a setting");
        let (Some(value), false) = (&setting.value, known.secret) else {
            continue;
        };
        let again = loaded([(known.variable().as_str(), value.as_str())]);
        let again = again.unwrap_or_else(|error| panic!("{} is shown as {value:?}: {error}", setting.key));
        let again = again
            .provenance
            .into_iter()
            .find(|other| other.key == setting.key)
            .expect("it is there");
        assert_eq!(again.value.as_ref(), Some(value), "{}", setting.key);
    }
}
