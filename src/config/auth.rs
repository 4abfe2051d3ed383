//! `auth.*`

use secrecy::{ExposeSecret, SecretString};

use super::setting::{SettingValue, section, words};

/// Shortest signing secret, in bytes: the output size of SHA-256 (RFC 7518 §3.2).
const SHORTEST_SECRET: usize = 32;

/// A signing secret that is long enough.
#[derive(Clone, Debug)]
pub struct SigningSecret(pub SecretString);

impl SettingValue for Option<SigningSecret> {
    const EXPECTED: &'static str = "a secret of 32 bytes or more";
    const SECRET: bool = true;
    const TEXT: bool = true;

    fn parse(text: &str) -> Option<Self> {
        let secret = SecretString::from(text);
        (secret.expose_secret().len() >= SHORTEST_SECRET).then_some(Some(SigningSecret(secret)))
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|_| "[redacted]".to_owned())
    }
}

words! {
    /// Who may create and claim coupons.
    CouponAccess: "open or required" {
        /// Everyone.
        Open = "open",
        /// Administrators create, signed-in users claim for themselves.
        Required = "required",
    }
}

section! {
    /// Who may do what.
    AuthConfig = "auth" {
        /// Signs access tokens; 32 bytes or more. Staging and production refuse to serve without it.
        secret: Option<SigningSecret> = "secret", |_| None;
        /// Who may create and claim coupons: open (everyone) or required (signed in). Outside of development: required.
        coupons: CouponAccess = "coupons", |profile| if profile.is_strict() { CouponAccess::Required } else { CouponAccess::Open };
    }
}
