//! Profiles: which defaults, and how strict (C5).

use std::{fmt, str::FromStr};

/// The kind of installation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// One developer's machine: everything works with nothing configured.
    #[default]
    Development,
    /// Automated tests; as forgiving as development.
    Test,
    /// Strict, like production.
    Staging,
    /// Strict: nothing is assumed that an operator should have said.
    Production,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 4] = [Self::Development, Self::Test, Self::Staging, Self::Production];

    /// Its name, as in `DLC_PROFILE` and `config/<name>.yaml`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Test => "test",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// Whether database and secret must be configured.
    #[must_use]
    pub fn is_strict(self) -> bool {
        matches!(self, Self::Staging | Self::Production)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name() == text.to_ascii_lowercase())
            .ok_or_else(|| "expected development, test, staging or production".to_owned())
    }
}
