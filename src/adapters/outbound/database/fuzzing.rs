//! What holds for whatever bytes the parsers of this package are given: URLs of databases, manifests of backups, and what `db move`
//! reads (`moving/fuzzing`).
//!
//! Fuzzing calls it with what it makes up, the suite with the inputs that are kept in `fuzz/seeds`. It is in no build but those.

// A property says that it does not hold by panicking.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;

use crate::{backups::manifest, moving::fuzzing as moving, url::DatabaseUrl};

/// A property of a parser: it panics when it does not hold.
pub type Property = fn(&[u8]);

/// Each parser's name and its property.
pub const PROPERTIES: &[(&str, Property)] = &[
    ("database_url", database_url),
    ("manifest", manifest),
    ("moved_json", moving::json),
    ("moved_time", moving::time),
    ("moved_row", moving::row),
    ("moved_stream", moving::stream),
];

/// Stands at both ends of a password, so that a part of it is recognised wherever it is shown.
const CANARY: &str = "canary";

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Nothing that is shown of a URL has a part of its password, whatever is wrong with it, and what was encoded is what is used.
fn database_url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = text.parse::<DatabaseUrl>();
    let mut parts = text.splitn(4, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (kind, user, secret, rest) = (part(), part(), part(), part());
    if [kind, user, rest].iter().any(|part| part.contains(CANARY)) {
        return;
    }
    let secret = format!("{CANARY}{secret}{CANARY}");
    let scheme = ["postgres", "postgresql", "postgres+driver"][kind.len() % 3];
    // Whoever has a whole parameter in a password has one more parameter.
    let by_parameter = if secret.split('&').skip(1).any(|part| part.contains('=')) {
        ""
    } else {
        &secret
    };
    let mark = if rest.contains('?') { '&' } else { '?' };
    for typed in [
        format!("{scheme}://{user}:{secret}@{rest}"),
        format!("{scheme}:{user}:{secret}@{rest}"),
        format!("{scheme}:/{user}:{secret}@{rest}"),
        format!("{scheme}:///{user}:{secret}@{rest}"),
        format!("{scheme}://{user}@{rest}{mark}password={by_parameter}"),
        format!("{kind}://{user}:{secret}@{rest}"),
    ] {
        if kind.trim().to_ascii_lowercase().starts_with("sqlite") && typed.starts_with(kind) {
            continue;
        }
        let shown = match typed.parse::<DatabaseUrl>() {
            Ok(url) => format!("{url:?} {} {:?}", url.redacted(), url.host()),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains(CANARY), "{typed:?} is shown as {shown}");
    }
    what_was_encoded_is_used(user, &secret, rest);
    file_that_was_encoded(user);
}

fn what_was_encoded_is_used(user: &str, secret: &str, name: &str) {
    if user.is_empty() {
        return;
    }
    let text = format!(
        "postgres://{}:{}@localhost/{}",
        encoded(user),
        encoded(secret),
        encoded(name)
    );
    let url: DatabaseUrl = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let name = if name.is_empty() { user } else { name };
    let is_as_given = |url: &DatabaseUrl, name: &str| {
        let options = url.postgres_options().expect("it was parsed");
        assert_eq!(options.get_username(), user, "{text:?}");
        assert_eq!(options.get_database(), Some(name), "{text:?}");
        assert_eq!(options.get_host(), "localhost", "{text:?}");
        let password = url.password().map(|password| password.expose_secret().to_owned());
        assert_eq!(password.as_deref(), Some(secret), "{text:?}");
    };
    is_as_given(&url, name);
    is_as_given(&url.with_database("other db&host=x"), "other db&host=x");
    let alone = format!("postgres://{}@localhost/{}", encoded(user), encoded(name));
    let second: DatabaseUrl = alone.parse().unwrap_or_else(|error| panic!("{alone:?}: {error}"));
    is_as_given(&second.with_password_of(&url), name);
}

fn file_that_was_encoded(path: &str) {
    let parsed = format!("sqlite://{}?mode=rw", encoded(path)).parse::<DatabaseUrl>();
    if path.is_empty() || path == ":memory:" {
        assert!(parsed.is_err(), "{path:?}");
    } else {
        let url = parsed.unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!(url.file(), Some(&PathBuf::from(path)));
        assert!(!url.may_create());
    }
}

/// What is read of a manifest is what is written of it.
fn manifest(data: &[u8]) {
    let Ok(value) = serde_json::from_slice(data) else {
        return;
    };
    let Some(mut read) = manifest::from_json(&value) else {
        return;
    };
    let written = manifest::as_json(Path::new("backup"), &read);
    // Times are written to the microsecond, and a duration to the millisecond.
    let again = manifest::from_json(&written).expect("what was written is read");
    for at in [&mut read.started_at, &mut read.snapshot_at] {
        *at = manifest::time(*at).parse().expect("a time that was written");
    }
    read.verified_at = read
        .verified_at
        .map(|at| manifest::time(at).parse().expect("a time that was written"));
    assert_eq!(again, read);
}

#[cfg(test)]
#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fuzzing_was_given_holds() {
        replay::replay(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../fuzz/seeds"),
            PROPERTIES,
        );
    }
}
