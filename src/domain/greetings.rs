//! What dlc says to whom, and what is remembered of it.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::{
    text::{self, TextError},
    users::{ProfileText, UserId, Username},
};

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

/// The greeting of somebody who is known: the same words as long as their goal is the same.
#[must_use]
pub fn greet_personally(username: &Username, current_goal: Option<&ProfileText>) -> String {
    match current_goal {
        None => format!("Hello {username}!"),
        Some(goal) => format!("Hello {username}! Your goal: {}", goal.as_str()),
    }
}

/// A recorded greeting's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GreetingId(pub i32);

impl fmt::Display for GreetingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a caller wants remembered with a greeting: a JSON object of at most 8 KiB, nested at most 5 deep (§5.4), without NUL.
///
/// Its numbers count as they are written without an exponent: PostgreSQL keeps them so, and six characters would become 309.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GreetingContext(String);

/// Why a context is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// A list, a text, a number.
    #[error("must be a JSON object")]
    NoObject,
    /// Too large, written without white space and exponents.
    #[error("must have at most 8192 bytes, its numbers written without exponents")]
    TooLarge,
    /// Objects and lists inside of each other too often.
    #[error("must be nested at most 5 deep")]
    TooDeep,
    /// PostgreSQL cannot store U+0000.
    #[error("must not contain a NUL character")]
    Nul,
}

impl GreetingContext {
    /// Largest context, in bytes of JSON without white space.
    pub const MAX_BYTES: usize = 8 * 1024;
    /// How often objects and lists may be inside of each other; the object itself is the first.
    pub const MAX_DEPTH: usize = 5;

    /// Accepts JSON that is known to be well-formed and without white space between its parts.
    ///
    /// # Errors
    /// When it breaks the rule above.
    pub fn parse(json: impl Into<String>) -> Result<Self, ContextError> {
        let json = json.into();
        if !json.starts_with('{') {
            return Err(ContextError::NoObject);
        }
        let found = survey(&json);
        if json.len().saturating_add(found.hidden) > Self::MAX_BYTES {
            Err(ContextError::TooLarge)
        } else if found.has_nul {
            Err(ContextError::Nul)
        } else if found.depth > Self::MAX_DEPTH {
            Err(ContextError::TooDeep)
        } else {
            Ok(Self(json))
        }
    }

    /// A context that is stored already.
    #[must_use]
    pub fn restore(json: String) -> Self {
        Self(json)
    }

    /// The JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is found in well-formed JSON.
#[derive(Default)]
struct Survey {
    /// How often objects and lists are inside of each other.
    depth: usize,
    /// Whether a text in it has a NUL.
    has_nul: bool,
    /// Digits that its numbers have only when they are written without exponents.
    hidden: usize,
}

fn survey(json: &str) -> Survey {
    let mut found = Survey::default();
    let (mut depth, mut in_text, mut bytes) = (0_usize, false, json.as_bytes());
    while let [byte, rest @ ..] = bytes {
        bytes = rest;
        match byte {
            b'"' => in_text = !in_text,
            b'\\' => {
                found.has_nul |= rest.starts_with(b"u0000");
                bytes = rest.get(1..).unwrap_or_default();
            }
            b'{' | b'[' if !in_text => {
                depth += 1;
                found.depth = found.depth.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            // Outside of texts they stand in numbers alone, but for the words true and false.
            b'e' | b'E' if !in_text => found.hidden = found.hidden.saturating_add(exponent(rest)),
            _ => {}
        }
    }
    found
}

/// The size of an exponent, whose `e` was read; 0 where none follows.
fn exponent(bytes: &[u8]) -> usize {
    let digits = bytes.iter().skip_while(|byte| matches!(byte, b'+' | b'-'));
    digits
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |size: usize, digit| {
            size.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
        })
}

/// A greeting that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Its number.
    pub id: GreetingId,
    /// Who was greeted; nobody for whoever had not signed in.
    pub user: Option<UserId>,
    /// What was said.
    pub message: String,
    /// What the caller wanted remembered with it.
    pub context: Option<GreetingContext>,
    /// When.
    pub created_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_greeted_and_nobody_is_the_world() {
        assert_eq!(greet(&Greeted::parse("Ada").unwrap()), "Hello Ada!");
        assert_eq!(greet(&Greeted::default()), "Hello world!");
    }

    #[test]
    fn whoever_is_known_is_reminded_of_their_goal() {
        let ada = Username::parse("ada").unwrap();
        let goal = ProfileText::parse("a clean cross-body lead").unwrap();
        assert_eq!(greet_personally(&ada, None), "Hello ada!");
        assert_eq!(
            greet_personally(&ada, Some(&goal)),
            "Hello ada! Your goal: a clean cross-body lead"
        );
    }

    #[test]
    fn a_context_is_an_object_of_bounded_size_and_depth() {
        assert!(GreetingContext::parse(r#"{"a":[{"b":[{"c":"{[[[[[\"\\"}]}]}"#).is_ok());
        assert_eq!(
            GreetingContext::parse(r#"{"a":[{"b":[{"c":[]}]}]}"#),
            Err(ContextError::TooDeep)
        );
        assert_eq!(GreetingContext::parse("[1]"), Err(ContextError::NoObject));
        assert_eq!(GreetingContext::parse(r#"{"a":"x\u0000"}"#), Err(ContextError::Nul));
        // A backslash before it, and it is only text.
        assert!(GreetingContext::parse(r#"{"a":"\\u0000"}"#).is_ok());
        let of_length = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
        assert!(GreetingContext::parse(of_length(8_192)).is_ok());
        assert_eq!(GreetingContext::parse(of_length(8_193)), Err(ContextError::TooLarge));
    }

    #[test]
    fn numbers_count_as_they_are_written_without_exponents() {
        assert!(GreetingContext::parse(r#"{"a":[1e308,-5E-324,true,false,null,"1e9999"]}"#).is_ok());
        let times = |number: &str, times: usize| format!(r#"{{"a":[{}]}}"#, vec![number; times].join(","));
        assert!(GreetingContext::parse(times("1e308", 26)).is_ok());
        assert_eq!(GreetingContext::parse(times("1e308", 27)), Err(ContextError::TooLarge));
        assert!(GreetingContext::parse(times("100000", 1_000)).is_ok());
        assert_eq!(
            GreetingContext::parse(times("1e99999999999999999999", 1)),
            Err(ContextError::TooLarge)
        );
    }
}
