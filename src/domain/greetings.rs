//! What dlc says to whom.

use crate::text::{self, TextError};

/// Someone to greet: 1–255 characters, not blank, no NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeted(String);

impl Greeted {
    /// Longest name that is greeted, in characters.
    pub const MAX_CHARS: usize = 255;

    /// Accepts a name as a caller gave it.
    ///
    /// # Errors
    /// When the name breaks the rule above.
    pub fn parse(name: impl Into<String>) -> Result<Self, TextError> {
        let name = name.into();
        text::check(&name, Self::MAX_CHARS).map(|()| Self(name))
    }
}

/// Whoever did not say their name.
impl Default for Greeted {
    fn default() -> Self {
        Self("world".to_owned())
    }
}

/// The greeting: the same words for the same name, always.
#[must_use]
pub fn greet(whom: &Greeted) -> String {
    format!("Hello {}!", whom.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_greeted_and_nobody_is_the_world() {
        assert_eq!(greet(&Greeted::parse("Ada").unwrap()), "Hello Ada!");
        assert_eq!(greet(&Greeted::default()), "Hello world!");
    }
}
