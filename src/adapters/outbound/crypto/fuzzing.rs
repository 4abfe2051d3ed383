//! What holds for whatever cursors and access tokens are presented (see `crate::fuzzing`).

// A property says that it does not hold by panicking.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::sync::LazyLock;

use chrono::DateTime;
use dlc_application::ports::{
    cursors::CursorSeal,
    tokens::{AccessClaims, AccessTokens},
};
use dlc_domain::{sessions::SessionId, users::UserId};
use secrecy::{ExposeSecret, SecretString};

use super::{cursors::SealingKey, tokens::JwtAccessTokens};

const PRESENT: &str = "tulip-ferry-onyx-moss-copper-lantern";
const PREVIOUS: &str = "gravel-saffron-beacon-willow-thimble";

static SEAL: LazyLock<SealingKey> = LazyLock::new(|| SealingKey::new(&PRESENT.into(), Some(&PREVIOUS.into())));
static BEFORE: LazyLock<SealingKey> = LazyLock::new(|| SealingKey::new(&PREVIOUS.into(), None));
static TOKENS: LazyLock<JwtAccessTokens> =
    LazyLock::new(|| JwtAccessTokens::new(&PRESENT.into(), Some(&PREVIOUS.into())));
static ISSUED: LazyLock<SecretString> = LazyLock::new(|| TOKENS.issue(&claims()).expect("it signs"));

/// Puts bytes somewhere into a text, in place of what stands there.
fn changed(text: &str, change: &[u8]) -> Option<String> {
    let [at, removed, bytes @ ..] = change else { return None };
    let at = usize::from(*at) * text.len() / 256;
    let end = (at + usize::from(*removed % 8)).min(text.len());
    let bytes = [&text.as_bytes()[..at], bytes, &text.as_bytes()[end..]].concat();
    String::from_utf8(bytes).ok().filter(|changed| changed != text)
}

/// What was sealed is opened for its list; anything else, and for any other list, is not.
pub(crate) fn cursor(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(3, '\n');
    let (context, place, other) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next(),
    );
    if let Some(opened) = SEAL.open(context, &text) {
        let made = [SEAL.seal(context, &opened), BEFORE.seal(context, &opened)];
        assert!(made.contains(&text.into_owned()), "a cursor was forged");
        return;
    }
    for key in [&*SEAL, &*BEFORE] {
        let sealed = key.seal(context, place);
        let opened = SEAL.open(context, &sealed);
        // Whatever is longer is no cursor, and no place is.
        assert!(opened.as_deref() == Some(place) || sealed.len() > 2000, "{place:?}");
        let elsewhere = format!("{context}{}", other.unwrap_or("x"));
        assert!(
            elsewhere == context || SEAL.open(&elsewhere, &sealed).is_none(),
            "{elsewhere:?}"
        );
        if let Some(changed) = changed(&sealed, other.unwrap_or_default().as_bytes()) {
            assert_eq!(SEAL.open(context, &changed), None, "{sealed} was changed to {changed}");
        }
    }
    assert_eq!(BEFORE.open(context, &SEAL.seal(context, place)), None);
}

fn claims() -> AccessClaims {
    let issued_at = DateTime::from_timestamp_secs(1_800_000_000).unwrap();
    AccessClaims {
        subject: UserId(42),
        session: SessionId("0123456789abcdef0123456789abcdef".to_owned()),
        version: 7,
        issued_at,
        expires_at: issued_at + chrono::TimeDelta::minutes(15),
    }
}

/// Nothing is read that was not signed: neither what somebody makes up, nor a token that was changed, in any place.
pub(crate) fn token(data: &[u8]) {
    let now = claims().issued_at;
    let issued = ISSUED.expose_secret();
    assert_eq!(TOKENS.read(issued, now), Some(claims()));
    let text = String::from_utf8_lossy(data);
    assert!(text == *issued || TOKENS.read(&text, now).is_none(), "{text} was read");
    if let Some(changed) = changed(issued, data) {
        assert_eq!(TOKENS.read(&changed, now), None, "{changed} was read");
    }
    // Each part replaced as a whole, the others as they were signed.
    let parts: Vec<&str> = issued.split('.').collect();
    for place in 0..parts.len() {
        let mut parts = parts.clone();
        parts[place] = &text;
        let changed = parts.join(".");
        assert!(
            changed == *issued || TOKENS.read(&changed, now).is_none(),
            "{changed} was read"
        );
    }
}
