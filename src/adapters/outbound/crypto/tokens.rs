//! Access tokens are JWTs, signed with HS256.
//!
//! The same service makes and reads them, so there is nothing to negotiate: one algorithm, one issuer, one audience. Two keys are
//! good at a time, so that the secret can be changed without signing everybody out. Not here: whether the session still stands
//! (`ports::sessions`).

use chrono::{DateTime, Utc};
use dlc_application::ports::tokens::{AccessClaims, AccessTokens, SigningError};
use dlc_domain::{sessions::SessionId, users::UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sha256;

/// Who issues the tokens, and for whom.
const ISSUER: &str = "dlc";
const AUDIENCE: &str = "dlc";

/// The one algorithm; what a token says of itself does not matter.
const ALGORITHM: Algorithm = Algorithm::HS256;

/// No token is longer: what is, is not even looked at.
const LONGEST: usize = 2048;

/// [`AccessTokens`] as JWTs.
pub struct JwtAccessTokens {
    present: Key,
    previous: Option<Key>,
    validation: Validation,
}

struct Key {
    id: String,
    signs: EncodingKey,
    verifies: DecodingKey,
}

/// What stands in a token. What else stands in one is ignored: only our own are read.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: i64,
    exp: i64,
    jti: String,
    sid: String,
    ver: i32,
}

impl Key {
    fn new(secret: &SecretString) -> Self {
        let secret = secret.expose_secret().as_bytes();
        // Names the key without telling anything of it that a signature does not tell as well.
        let id = sha256(&[b"dlc access token key\0", secret].concat());
        Self {
            id: id[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
            signs: EncodingKey::from_secret(secret),
            verifies: DecodingKey::from_secret(secret),
        }
    }
}

impl JwtAccessTokens {
    /// Signs with one secret, and reads what was signed with it or with the one before.
    #[must_use]
    pub fn new(present: &SecretString, previous: Option<&SecretString>) -> Self {
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would ask the machine's clock and forgive a minute; what time it is, is an argument here.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self {
            present: Key::new(present),
            previous: previous.map(Key::new),
            validation,
        }
    }

    fn key(&self, id: &str) -> Option<&Key> {
        [Some(&self.present), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.id == id)
    }
}

impl AccessTokens for JwtAccessTokens {
    fn issue(&self, claims: &AccessClaims) -> Result<SecretString, SigningError> {
        let header = Header {
            kid: Some(self.present.id.clone()),
            ..Header::new(ALGORITHM)
        };
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: claims.subject.to_string(),
            iat: claims.issued_at.timestamp(),
            exp: claims.expires_at.timestamp(),
            jti: Uuid::now_v7().to_string(),
            sid: claims.session.0.clone(),
            ver: claims.version,
        };
        encode(&header, &claims, &self.present.signs)
            .map(SecretString::from)
            .map_err(|error| SigningError(Box::new(error)))
    }

    fn read(&self, token: &str, now: DateTime<Utc>) -> Option<AccessClaims> {
        if token.len() > LONGEST {
            return None;
        }
        let key = self.key(&decode_header(token).ok()?.kid?)?;
        let claims: Claims = decode(token, &key.verifies, &self.validation).ok()?.claims;
        let read = AccessClaims {
            subject: UserId(claims.sub.parse().ok()?),
            session: SessionId(claims.sid),
            version: claims.ver,
            issued_at: DateTime::from_timestamp_secs(claims.iat)?,
            expires_at: DateTime::from_timestamp_secs(claims.exp)?,
        };
        (now < read.expires_at).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
    use chrono::TimeDelta;
    use serde_json::{Value, json};

    use super::*;
    use crate::adapters::outbound::crypto::dice::Dice;

    const PRESENT: &str = "tulip-ferry-onyx-moss-copper-lantern";
    const PREVIOUS: &str = "gravel-saffron-beacon-willow-thimble";

    fn tokens(present: &str, previous: Option<&str>) -> JwtAccessTokens {
        let previous = previous.map(SecretString::from);
        JwtAccessTokens::new(&SecretString::from(present), previous.as_ref())
    }

    fn claims() -> AccessClaims {
        let issued_at = DateTime::from_timestamp_secs(1_800_000_000).unwrap();
        AccessClaims {
            subject: UserId(42),
            session: SessionId("0123456789abcdef0123456789abcdef".to_owned()),
            version: 7,
            issued_at,
            expires_at: issued_at + TimeDelta::minutes(15),
        }
    }

    fn now() -> DateTime<Utc> {
        claims().issued_at
    }

    fn issued(tokens: &JwtAccessTokens) -> String {
        tokens.issue(&claims()).unwrap().expose_secret().to_owned()
    }

    fn part(token: &str, index: usize) -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
    }

    /// A token with header and claims as a forger likes them, signed as the algorithm in the header says.
    fn forged(header: &Value, claims: &Value, secret: &str) -> String {
        use aws_lc_rs::hmac;
        let algorithm = match header["alg"].as_str() {
            Some("HS384") => Some(hmac::HMAC_SHA384),
            Some("HS512") => Some(hmac::HMAC_SHA512),
            Some("none") => None,
            _ => Some(hmac::HMAC_SHA256),
        };
        let message = format!(
            "{}.{}",
            BASE64.encode(header.to_string()),
            BASE64.encode(claims.to_string())
        );
        let signature = algorithm.map_or_else(String::new, |algorithm| {
            BASE64.encode(hmac::sign(
                &hmac::Key::new(algorithm, secret.as_bytes()),
                message.as_bytes(),
            ))
        });
        format!("{message}.{signature}")
    }

    #[test]
    fn what_was_issued_is_read_again() {
        let tokens = tokens(PRESENT, None);
        let token = issued(&tokens);
        assert_eq!(tokens.read(&token, now()), Some(claims()));
        assert_eq!(part(&token, 0)["alg"], "HS256");
        let said = part(&token, 1);
        for (name, value) in [
            ("iss", json!("dlc")),
            ("aud", json!("dlc")),
            ("sub", json!("42")),
            ("iat", json!(1_800_000_000)),
            ("exp", json!(1_800_000_900)),
        ] {
            assert_eq!(said[name], value, "{name}");
        }
        assert_ne!(said["jti"], part(&issued(&tokens), 1)["jti"]);
    }

    #[test]
    fn a_token_ends_to_the_second() {
        let tokens = tokens(PRESENT, None);
        let token = issued(&tokens);
        let after = |ms| tokens.read(&token, claims().expires_at + TimeDelta::milliseconds(ms));
        assert!(after(-1).is_some());
        assert!(after(0).is_none());
    }

    #[test]
    fn the_key_before_reads_and_does_not_sign() {
        let old = tokens(PREVIOUS, None);
        let both = tokens(PRESENT, Some(PREVIOUS));
        assert_eq!(both.read(&issued(&old), now()), Some(claims()));
        assert_eq!(old.read(&issued(&both), now()), None);
        assert_eq!(tokens(PRESENT, None).read(&issued(&old), now()), None);
        assert_eq!(part(&issued(&old), 0)["kid"].as_str().unwrap().len(), 16);
        assert_ne!(part(&issued(&old), 0)["kid"], part(&issued(&both), 0)["kid"]);
    }

    #[test]
    fn a_token_does_not_choose_how_it_is_verified() {
        let tokens = tokens(PRESENT, Some(PREVIOUS));
        let token = issued(&tokens);
        let (header, said) = (part(&token, 0), part(&token, 1));
        let with = |name: &str, value: Value| {
            let mut header = header.clone();
            header[name] = value;
            forged(&header, &said, PRESENT)
        };
        assert!(
            tokens.read(&forged(&header, &said, PRESENT), now()).is_some(),
            "the forger knows how"
        );
        for algorithm in ["none", "None", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", ""] {
            assert_eq!(tokens.read(&with("alg", json!(algorithm)), now()), None, "{algorithm}");
        }
        for id in [json!("0123456789abcdef"), json!(""), json!(7), Value::Null] {
            assert_eq!(tokens.read(&with("kid", id.clone()), now()), None, "{id}");
        }
        let mut nameless = header.clone();
        nameless.as_object_mut().unwrap().remove("kid");
        assert_eq!(tokens.read(&forged(&nameless, &said, PRESENT), now()), None);
        // The name of one key and the signature of the other.
        assert_eq!(tokens.read(&forged(&header, &said, PREVIOUS), now()), None);
    }

    #[test]
    fn a_token_for_somebody_else_or_without_a_claim_is_refused() {
        let tokens = tokens(PRESENT, None);
        let token = issued(&tokens);
        let (header, said) = (part(&token, 0), part(&token, 1));
        for (name, value) in [
            ("iss", json!("other")),
            ("aud", json!("other")),
            ("aud", json!(["dlc", "other"])),
            ("sub", json!("ada")),
            ("sub", json!("4294967296")),
            ("exp", json!("1800000900")),
            ("exp", json!(1e300)),
            ("exp", json!(i64::MAX)),
            ("ver", json!(i64::MAX)),
        ] {
            let mut said = said.clone();
            said[name] = value.clone();
            assert_eq!(
                tokens.read(&forged(&header, &said, PRESENT), now()),
                None,
                "{name}: {value}"
            );
        }
        for name in ["iss", "aud", "sub", "iat", "exp", "sid", "ver"] {
            let mut said = said.clone();
            said.as_object_mut().unwrap().remove(name);
            assert_eq!(tokens.read(&forged(&header, &said, PRESENT), now()), None, "{name}");
        }
    }

    #[test]
    fn no_mutation_of_a_token_is_read() {
        let tokens = tokens(PRESENT, Some(PREVIOUS));
        let token = issued(&tokens);
        let mut dice = Dice::new(7);
        for _ in 0..20_000 {
            let mutated = dice.mutate(&token);
            assert_eq!(tokens.read(&mutated, now()), None, "{mutated}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_whatever_its_length() {
        let tokens = tokens(PRESENT, None);
        for no_token in [
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            "🦀.🦀.🦀",
            &"a".repeat(5_000_000),
            &".".repeat(5_000),
        ] {
            assert_eq!(tokens.read(no_token, now()), None);
        }
        let (header, mut said) = (part(&issued(&tokens), 0), part(&issued(&tokens), 1));
        said["more"] = json!("x".repeat(LONGEST));
        assert_eq!(tokens.read(&forged(&header, &said, PRESENT), now()), None);
    }
}
