//! `auth.*`

use std::{collections::HashSet, num::NonZeroU32, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use super::{
    server::Rate,
    setting::{SettingValue, section, words},
};

/// Shortest signing secret, in bytes: the output size of SHA-256 (RFC 7518 §3.2).
const SHORTEST_SECRET: usize = 32;

/// Fewest different bytes of one. 32 random bytes, in whatever form, have twice as many; "changeme" over and over has not.
const FEWEST_DIFFERENT: usize = 8;

/// A signing secret that is not too easily guessed.
#[derive(Clone, Debug)]
pub struct SigningSecret(pub SecretString);

impl SettingValue for Option<SigningSecret> {
    const EXPECTED: &'static str =
        "a secret of 32 bytes or more, at least 8 of them different; make one: dlc auth gen-secret";
    const SECRET: bool = true;
    const TEXT: bool = true;

    fn parse(text: &str) -> Option<Self> {
        let different: HashSet<u8> = text.bytes().collect();
        let is_good = text.len() >= SHORTEST_SECRET && different.len() >= FEWEST_DIFFERENT;
        is_good.then(|| Some(SigningSecret(SecretString::from(text))))
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|_| "[redacted]".to_owned())
    }
}

/// The least number of characters of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordLength(pub u8);

impl SettingValue for PasswordLength {
    const EXPECTED: &'static str = "a number from 8 to 64";

    fn parse(text: &str) -> Option<Self> {
        let number = text.trim().parse().ok()?;
        (8..=64).contains(&number).then_some(Self(number))
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
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

words! {
    /// Who may make accounts.
    RegistrationAccess: "open, admin or off" {
        /// Everyone.
        Open = "open",
        /// Administrators.
        Admin = "admin",
        /// Nobody, over HTTP.
        Off = "off",
    }
}

section! {
    /// Who may do what.
    AuthConfig = "auth" {
        /// Signs access tokens; 32 bytes or more (dlc auth gen-secret makes one), the same for all instances. Staging and production
        /// refuse to serve without it; elsewhere each start makes one, and access tokens end with it.
        secret: Option<SigningSecret> = "secret", |_| None;
        /// The secret before this one: what was signed with it stays good, and nothing is signed with it. Leave it away 15 minutes
        /// after the last instance has the new one.
        previous_secret: Option<SigningSecret> = "previous_secret", |_| None;
        /// Who may make accounts: open (everyone), admin (administrators) or off (dlc user create alone).
        registration: RegistrationAccess = "registration", |_| RegistrationAccess::Open;
        /// Least number of characters of a new password, from 8 to 64.
        password_min_length: PasswordLength = "password_min_length", |_| PasswordLength(12);
        /// Requests of one address per time to the calls that take a password or a code, such as 60/1m, or off; above it 429. It counts
        /// beside server.rate_limit.
        rate_limit: Rate = "rate_limit", |_| Rate(NonZeroU32::new(60).map(|requests| (requests, Duration::from_secs(60))));
        /// Who may create and claim coupons: open (everyone) or required (signed in). In staging and production: required.
        coupons: CouponAccess = "coupons", |profile| if profile.is_strict() { CouponAccess::Required } else { CouponAccess::Open };
    }
}

impl AuthConfig {
    /// Why the two secrets do not go together.
    pub(super) fn contradiction(&self) -> Option<String> {
        let previous = self.previous_secret.as_ref()?;
        match &self.secret {
            None => Some("auth.previous_secret is set, but auth.secret is not: it signs nothing".to_owned()),
            Some(secret) if secret.0.expose_secret() == previous.0.expose_secret() => Some(
                "auth.previous_secret is the same as auth.secret: make a new one (dlc auth gen-secret) for auth.secret"
                    .to_owned(),
            ),
            Some(_) => None,
        }
    }
}
