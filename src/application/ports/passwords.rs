//! Hashing passwords: slow on purpose, and bounded.

use std::fmt;

use async_trait::async_trait;
use dlc_domain::passwords::Password;

/// A hashed password, as a PHC string. It is not shown, either.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// How a password compares to a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It is another one.
    Wrong,
    /// It is the one.
    Right,
    /// It is the one, and the hash was made with less effort than is made today: it wants to be made anew.
    Outdated,
}

/// A password was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// As much is being hashed, and waits for it, as memory and patience allow.
    #[error("too many passwords are being checked; ask again in a moment")]
    Busy,
    /// The hashing itself failed.
    #[error("a password could not be hashed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Hashes passwords and compares them to hashes.
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// Hashes a password with a salt of its own. MUST refuse rather than use more memory than it is allowed.
    async fn hash(&self, password: &Password) -> Result<PasswordHash, HashError>;

    /// Compares a password to a hash, or to nobody's where there is none. MUST take as long for nobody's as for a hash of today,
    /// and answer [`Verification::Wrong`]; MUST refuse rather than use more memory than it is allowed.
    async fn verify(&self, password: &Password, hash: Option<&PasswordHash>) -> Result<Verification, HashError>;
}
