//! Which passwords are good enough: long, and not among those that are tried first.
//!
//! No rule about kinds of characters: such rules make passwords worse (NIST SP 800-63B §3.1.1.2). Not here: hashing.

use std::fmt;

mod common;

/// A password as somebody typed it: 1–128 characters. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// A password that somebody has chosen, and that is good enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPassword(Password);

/// Why a password is refused; the words say what to do and repeat nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too few characters.
    #[error("must have at least {floor} characters")]
    TooShort {
        /// The least number of characters here.
        floor: usize,
    },
    /// More than anyone types; hashing has a price.
    #[error("must have at most 128 characters")]
    TooLong,
    /// Among the passwords that are tried first.
    #[error(
        "is one of the passwords that are tried first; choose another, such as four words that have nothing to do with each other"
    )]
    Common,
    /// A character or a few, over and over, or a row of the alphabet or the keyboard.
    #[error("is a simple pattern; choose another, such as four words that have nothing to do with each other")]
    Pattern,
    /// Hardly more than the user's name.
    #[error("must not be made of the username")]
    Username,
}

impl Password {
    /// Longest password, in characters.
    pub const MAX_CHARS: usize = 128;

    /// Accepts what somebody typed in order to sign in.
    ///
    /// # Errors
    /// When it is longer than any password can be.
    pub fn parse(text: impl Into<String>) -> Result<Self, PasswordError> {
        let text = text.into();
        if text.chars().count() > Self::MAX_CHARS {
            Err(PasswordError::TooLong)
        } else {
            Ok(Self(text))
        }
    }

    /// The password itself, for hashing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl NewPassword {
    /// The least number of characters that a configuration may ask for.
    pub const LOWEST_FLOOR: usize = 8;

    /// Accepts a password that somebody has chosen for the account of this name.
    ///
    /// # Errors
    /// When it is too short, too long or too easily guessed.
    pub fn choose(text: impl Into<String>, username: &str, floor: usize) -> Result<Self, PasswordError> {
        let password = Password::parse(text)?;
        let floor = floor.max(Self::LOWEST_FLOOR);
        if password.0.chars().count() < floor {
            return Err(PasswordError::TooShort { floor });
        }
        let folded = password.0.to_lowercase();
        if common::is_common(&folded) {
            Err(PasswordError::Common)
        } else if common::is_pattern(&folded) {
            Err(PasswordError::Pattern)
        } else if is_made_of(&folded, &username.to_lowercase()) {
            Err(PasswordError::Username)
        } else {
            Ok(Self(password))
        }
    }

    /// The password itself.
    #[must_use]
    pub fn password(&self) -> &Password {
        &self.0
    }
}

/// Whether a password is a name with hardly anything added: less than six characters besides it.
fn is_made_of(password: &str, name: &str) -> bool {
    name.len() >= 3 && password.contains(name) && password.replace(name, "").chars().count() < 6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(text: &str) -> Result<NewPassword, PasswordError> {
        NewPassword::choose(text, "ada.lovelace", 12)
    }

    #[test]
    fn length_is_all_that_is_asked_of_characters() {
        assert!(choose("tulip ferry onyx").is_ok());
        assert!(choose("пароль из слов").is_ok());
        assert_eq!(choose("short onyx!"), Err(PasswordError::TooShort { floor: 12 }));
        assert!(choose(&"tulip-ferry-onyx-moss-".repeat(6)[..128]).is_ok());
        assert_eq!(choose(&"x".repeat(129)), Err(PasswordError::TooLong));
        assert_eq!(
            NewPassword::choose("ab", "bob", 1),
            Err(PasswordError::TooShort { floor: 8 })
        );
    }

    #[test]
    fn what_is_tried_first_is_refused_in_whatever_case_and_with_digits_after_it() {
        for tried_first in [
            "Password1234",
            "passwordpassword",
            "P@ssw0rd1234",
            "iloveyou2024!",
            "qwerty123456",
            "letmein12345!",
        ] {
            assert_eq!(choose(tried_first), Err(PasswordError::Common), "{tried_first}");
        }
        for pattern in [
            "aaaaaaaaaaaa",
            "abcabcabcabc",
            "123456789012",
            "abcdefghijkl",
            "qwertyuiop[]",
            "zyxwvutsrqpo",
            "💃💃💃💃💃💃💃💃💃💃💃💃",
        ] {
            assert!(
                matches!(choose(pattern), Err(PasswordError::Pattern | PasswordError::Common)),
                "{pattern}: {:?}",
                choose(pattern)
            );
        }
        assert_eq!(choose("Ada.Lovelace1!"), Err(PasswordError::Username));
        assert!(choose("ada.lovelace likes tulips").is_ok());
        assert!(choose("482-test-9173652").is_ok());
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!(
            "{:?} {:?}",
            Password::parse("tulip ferry onyx"),
            choose("tulip ferry onyx")
        );
        assert!(!shown.contains("tulip"), "{shown}");
    }
}
