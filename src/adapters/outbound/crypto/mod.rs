//! Everything that takes cryptography: passwords and the threads that hash them, access tokens, secrets that nobody guesses,
//! seals.
//!
//! Not here: TLS, which is rustls' (`inbound/http/tls`, `dlc-database`); what any of it is good for (`application`).

pub mod cursors;
#[cfg(test)]
mod dice;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod hashing;
pub mod mint;
pub mod passwords;
pub mod tokens;

use aws_lc_rs::digest::{SHA256, digest};

/// The SHA-256 of some bytes.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut made = [0; 32];
    made.copy_from_slice(digest(&SHA256, bytes).as_ref());
    made
}
