//! Cursors are sealed with HMAC-SHA256.
//!
//! The place can be read by whoever has the cursor; that it was given out by this service, for this list, cannot be forged.

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use dlc_application::ports::cursors::CursorSeal;
use secrecy::{ExposeSecret, SecretString};

/// Half of the HMAC: 128 bits, which nobody guesses and which keep a cursor short.
const TAG_BYTES: usize = 16;

/// No cursor is longer: what is, is not even looked at. The longest place is a coupon's name, 255 characters of 4 bytes.
const LONGEST: usize = 2048;

/// Seals with a key that is derived from the present signing secret, and opens what was sealed with that or with the one before.
pub struct SealingKey {
    present: hmac::Key,
    previous: Option<hmac::Key>,
}

impl SealingKey {
    /// Derives the keys, so that a seal says nothing about a token's signature.
    #[must_use]
    pub fn new(present: &SecretString, previous: Option<&SecretString>) -> Self {
        Self {
            present: derived(present),
            previous: previous.map(derived),
        }
    }
}

impl CursorSeal for SealingKey {
    fn seal(&self, context: &str, place: &str) -> String {
        let mut sealed = place.as_bytes().to_vec();
        sealed.extend(tag(&self.present, context, place.as_bytes()));
        BASE64.encode(sealed)
    }

    fn open(&self, context: &str, sealed: &str) -> Option<String> {
        if sealed.len() > LONGEST {
            return None;
        }
        let sealed = BASE64.decode(sealed).ok()?;
        let (place, given) = sealed.split_at_checked(sealed.len().checked_sub(TAG_BYTES)?)?;
        let fits = |key: &hmac::Key| verify_slices_are_equal(&tag(key, context, place), given).is_ok();
        let is_ours = fits(&self.present) || self.previous.as_ref().is_some_and(fits);
        is_ours.then(|| String::from_utf8(place.to_vec()).ok())?
    }
}

fn derived(secret: &SecretString) -> hmac::Key {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    hmac::Key::new(
        hmac::HMAC_SHA256,
        hmac::sign(&secret, b"dlc cursors, first form").as_ref(),
    )
}

fn tag(key: &hmac::Key, context: &str, place: &[u8]) -> [u8; TAG_BYTES] {
    let mut made = hmac::Context::with_key(key);
    // The length first: otherwise what is taken from the context could be put to the place.
    made.update(&(context.len() as u64).to_be_bytes());
    made.update(context.as_bytes());
    made.update(place);
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&made.sign().as_ref()[..TAG_BYTES]);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::outbound::crypto::dice::Dice;

    fn key(present: &str, previous: Option<&str>) -> SealingKey {
        let previous = previous.map(SecretString::from);
        SealingKey::new(&SecretString::from(present), previous.as_ref())
    }

    const CONTEXT: &str = "GET /api/v1/greetings user=7";
    const PLACE: &str = "2026-11-21T10:00:00.123456Z,42";

    #[test]
    fn a_cursor_is_opened_for_its_list_and_for_no_other() {
        let key = key("present", None);
        let sealed = key.seal(CONTEXT, PLACE);
        assert!(
            sealed.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c)),
            "{sealed}"
        );
        assert_eq!(key.open(CONTEXT, &sealed).as_deref(), Some(PLACE));
        for other in ["GET /api/v1/greetings user=8", "GET /api/v1/greetings user=72", ""] {
            assert_eq!(key.open(other, &sealed), None, "{other}");
        }
        let nothing = key.seal("", "");
        assert_eq!(key.open("", &nothing).as_deref(), Some(""));
    }

    #[test]
    fn context_and_place_do_not_run_into_each_other() {
        let key = key("present", None);
        let sealed = BASE64.decode(key.seal("user=7", "2,rest")).unwrap();
        let (_, tag) = sealed.split_at(6);
        let shifted = BASE64.encode([b",rest".as_slice(), tag].concat());
        assert_eq!(key.open("user=72", &shifted), None);
    }

    #[test]
    fn the_key_before_opens_and_does_not_seal() {
        let (old, both) = (key("previous", None), key("present", Some("previous")));
        assert_eq!(both.open(CONTEXT, &old.seal(CONTEXT, PLACE)).as_deref(), Some(PLACE));
        assert_eq!(old.open(CONTEXT, &both.seal(CONTEXT, PLACE)), None);
        assert_eq!(key("present", None).open(CONTEXT, &old.seal(CONTEXT, PLACE)), None);
    }

    #[test]
    fn no_mutation_of_a_cursor_is_opened() {
        let key = key("present", Some("previous"));
        let sealed = key.seal(CONTEXT, PLACE);
        let mut dice = Dice::new(3);
        for _ in 0..20_000 {
            let mutated = dice.mutate(&sealed);
            assert_eq!(key.open(CONTEXT, &mutated), None, "{mutated}");
        }
        for no_cursor in ["", "AAAA", "%%%%", &"A".repeat(5_000_000)] {
            assert_eq!(key.open(CONTEXT, no_cursor), None);
        }
        let long = key.seal(CONTEXT, &"x".repeat(LONGEST));
        assert_eq!(key.open(CONTEXT, &long), None);
    }
}
