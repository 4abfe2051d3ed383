//! People who have an account: how they are called, what they tell of themselves, who administrates.
//!
//! Not here: how they prove who they are (`passwords`), how long that lasts (`sessions`).

use std::fmt;

use chrono::{DateTime, Utc};

use crate::text::TextError;

/// A user's number, which is never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub i32);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a user is called: 3–50 of `A-Z a-z 0-9 _ . -` (§5.4). So narrow an alphabet has no look-alikes and one lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Username(String);

/// Why a name cannot be a user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// Shorter or longer than allowed.
    #[error("must have 3 to 50 characters")]
    Length,
    /// Something that is not in the alphabet.
    #[error("may only have the letters A to Z, digits, and _ . -")]
    Alphabet,
}

impl Username {
    /// Shortest name, in characters.
    pub const MIN_CHARS: usize = 3;
    /// Longest name, in characters: the width of its column.
    pub const MAX_CHARS: usize = 50;

    /// Accepts a name as a caller gave it.
    ///
    /// # Errors
    /// When it breaks the rule above.
    pub fn parse(text: impl Into<String>) -> Result<Self, UsernameError> {
        let text = text.into();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if !text.bytes().all(fits) {
            Err(UsernameError::Alphabet)
        } else if !(Self::MIN_CHARS..=Self::MAX_CHARS).contains(&text.len()) {
            Err(UsernameError::Length)
        } else {
            Ok(Self(text))
        }
    }

    /// The name as it was chosen.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it is compared: in lower case.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a user tells of themself: up to 2,000 characters, not blank, no NUL. The columns have no limit; a page has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileText(String);

impl ProfileText {
    /// Longest text, in characters.
    pub const MAX_CHARS: usize = 2_000;

    /// Accepts a text as a caller gave it.
    ///
    /// # Errors
    /// When it breaks the rule above.
    pub fn parse(text: impl Into<String>) -> Result<Self, TextError> {
        let text = text.into();
        crate::text::check(&text, Self::MAX_CHARS).map(|()| Self(text))
    }

    /// A text that is stored already. Whatever it is, its owner may read it.
    #[must_use]
    pub fn restore(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A user as they stood at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their number.
    pub id: UserId,
    /// Their name.
    pub username: Username,
    /// What they tell of themselves.
    pub description: Option<ProfileText>,
    /// What they work towards.
    pub current_goal: Option<ProfileText>,
    /// Whether they administrate.
    pub is_admin: bool,
    /// Whether an administrator lets them set a new password, with the code that goes with it.
    pub allow_password_reset: bool,
    /// Since when they have an account.
    pub created_at: DateTime<Utc>,
    /// When the account was changed last; it also names this state of it. Signing in is no change.
    pub updated_at: DateTime<Utc>,
    /// Since when the account is deleted: nobody can use it, its name stays taken, and it can be restored until it is purged.
    pub deleted_at: Option<DateTime<Utc>>,
    /// When they signed in last.
    pub last_login: Option<DateTime<Utc>>,
}

/// What is to be changed of an account; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// What they tell of themselves; `Some(None)` takes it away.
    pub description: Option<Option<ProfileText>>,
    /// What they work towards; `Some(None)` takes it away.
    pub current_goal: Option<Option<ProfileText>>,
    /// Whether they administrate.
    pub is_admin: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_has_a_length_and_an_alphabet() {
        for good in ["ada", "A-d.a_99", &"a".repeat(50)] {
            assert!(Username::parse(good).is_ok(), "{good}");
        }
        for short_or_long in ["", "ad", &"a".repeat(51)] {
            assert_eq!(Username::parse(short_or_long), Err(UsernameError::Length));
        }
        // A Cyrillic а, a Kelvin sign, full-width letters, a right-to-left mark, white space: none looks like what it is.
        for look_alike in ["аda", "\u{212a}ate", "ａｄａ", "ada\u{200f}", "ada ", "a\0da", "ádá"] {
            assert_eq!(
                Username::parse(look_alike),
                Err(UsernameError::Alphabet),
                "{look_alike:?}"
            );
        }
    }

    #[test]
    fn names_are_compared_without_case() {
        assert_eq!(Username::parse("Ada.L").unwrap().folded(), "ada.l");
    }
}
