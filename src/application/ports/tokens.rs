//! Tokens: access tokens that say who somebody is, and secrets that nobody guesses.

use std::fmt;

use chrono::{DateTime, Utc};
use dlc_domain::{sessions::SessionId, users::UserId};
use secrecy::SecretString;

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    /// Whose it is.
    pub subject: UserId,
    /// The session that it came of.
    pub session: SessionId,
    /// The version of the user's tokens: it is good as long as this is the present one.
    pub version: i32,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// Makes and reads access tokens.
pub trait AccessTokens: Send + Sync {
    /// Signs a token, with the present key.
    ///
    /// # Errors
    /// When the signing fails, which no caller can help.
    fn issue(&self, claims: &AccessClaims) -> Result<SecretString, SigningError>;

    /// Reads a token. MUST answer `None` for whatever was not signed by [`issue`](Self::issue) with one of the keys that are good
    /// today, is not for this service, or has expired. MUST NOT let the token choose how it is verified.
    fn read(&self, token: &str, now: DateTime<Utc>) -> Option<AccessClaims>;
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("an access token could not be signed")]
pub struct SigningError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A secret as it is kept: its SHA-256. Secrets of 128 bits and more need no slower hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}

/// A secret that was just made: it is told once, and kept as a digest.
#[derive(Clone, Debug)]
pub struct Minted {
    /// What its owner is told.
    pub secret: SecretString,
    /// What is kept.
    pub digest: Digest,
}

/// Makes secrets that nobody guesses.
pub trait Mint: Send + Sync {
    /// A refresh token of 256 bits.
    fn refresh_token(&self) -> Minted;

    /// A code of 128 bits or more that a person can read out and type: what they add of spaces, dashes and lower case MUST NOT
    /// matter to [`digest_of_code`](Self::digest_of_code).
    fn reset_code(&self) -> Minted;

    /// A password of 128 bits or more.
    fn password(&self) -> SecretString;

    /// A session's id, of no meaning.
    fn session_id(&self) -> SessionId;

    /// The digest of a refresh token that somebody presents.
    fn digest_of_token(&self, presented: &str) -> Digest;

    /// The digest of a code that somebody presents.
    fn digest_of_code(&self, presented: &str) -> Digest;
}
