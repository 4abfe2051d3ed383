//! Scalars of request bodies: the document states their limits, and their JSON type is taken at its word.
//!
//! poem-openapi's own `String` takes numbers and truth values too, which its document does not say; its validators stop at
//! the first field. Here a value of the right JSON type passes, and the domain's types judge it (`fields`).

use std::{borrow::Cow, fmt};

use chrono::{DateTime, Utc};
use dlc_domain::{
    passwords::{NewPassword, Password},
    users::{ProfileText, Username},
};

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type},
};
use serde_json::{Map, Value};

/// The time in examples: 2026-11-21T18:00:00Z.
pub(super) const EXAMPLE_TIME: DateTime<Utc> = DateTime::from_timestamp_nanos(1_795_284_000_000_000_000);

/// A text of 1–255 characters, not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShortText(pub(super) String);

/// "Not blank, no NUL" as a pattern. Unicode's white space (`char::is_whitespace`) is written out, because `\s` is not the same in
/// any two languages.
const NOT_BLANK: &str =
    "^[^\\x00]*[^\\x00\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000][^\\x00]*$";

/// "No NUL" as a pattern.
const NO_NUL: &str = "^[^\\x00]*$";

/// A text of 1–2000 characters, not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LongText(pub(super) String);

/// A name that somebody chooses for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChosenName(pub(super) String);

/// A password that somebody chooses. Like all that is typed in secret, it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ChosenPassword(pub(super) String);

/// A password that somebody has.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TypedPassword(pub(super) String);

/// A text that somebody presents, whatever it is: a token, a code, a name (which may be a password in the wrong field).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TypedText(pub(super) String);

/// A JSON object of the caller's making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonObject(pub(super) Map<String, Value>);

/// The number of something in a path. Whatever is no number is nothing's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(pub(super) Option<i32>);

/// A number of pieces: 1 to 2147483647.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amount(pub(super) i64);

macro_rules! scalar {
    ($type:ident named $name:literal, $json:ident($value:ident) => $parsed:expr, $schema:expr) => {
        impl Type for $type {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $name.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl ParseFromJSON for $type {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                match value.unwrap_or_default() {
                    Value::$json($value) => $parsed,
                    other => Err(ParseError::expected_type(other)),
                }
            }
        }

        impl ToJSON for $type {
            fn to_json(&self) -> Option<Value> {
                Some(self.0.clone().into())
            }
        }
    };
}

scalar!(
    ShortText named "string",
    String(text) => Ok(Self(text)),
    text_of(255)
);

/// The bounds of a text that is not blank.
fn text_of(max: usize) -> MetaSchema {
    MetaSchema {
        min_length: Some(1),
        max_length: Some(max),
        pattern: Some(NOT_BLANK.to_owned()),
        ..MetaSchema::new("string")
    }
}

scalar!(
    LongText named "string",
    String(text) => Ok(Self(text)),
    text_of(ProfileText::MAX_CHARS)
);

scalar!(
    ChosenName named "string",
    String(text) => Ok(Self(text)),
    MetaSchema {
        min_length: Some(Username::MIN_CHARS),
        max_length: Some(Username::MAX_CHARS),
        pattern: Some("^[A-Za-z0-9_.-]+$".to_owned()),
        ..MetaSchema::new("string")
    }
);

scalar!(
    ChosenPassword named "string",
    String(text) => Ok(Self(text)),
    MetaSchema {
        min_length: Some(NewPassword::LOWEST_FLOOR),
        max_length: Some(Password::MAX_CHARS),
        pattern: Some(NO_NUL.to_owned()),
        ..MetaSchema::new_with_format("string", "password")
    }
);

scalar!(
    TypedPassword named "string",
    String(text) => Ok(Self(text)),
    MetaSchema {
        max_length: Some(Password::MAX_CHARS),
        pattern: Some(NO_NUL.to_owned()),
        ..MetaSchema::new_with_format("string", "password")
    }
);

scalar!(
    TypedText named "string",
    String(text) => Ok(Self(text)),
    MetaSchema { pattern: Some(NO_NUL.to_owned()), ..MetaSchema::new("string") }
);

scalar!(
    JsonObject named "object",
    Object(object) => Ok(Self(object)),
    MetaSchema {
        additional_properties: Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY)))),
        ..MetaSchema::new("object")
    }
);

scalar!(
    Id named "integer",
    Number(number) => Ok(Self(number.as_i64().and_then(|number| i32::try_from(number).ok()))),
    MetaSchema { minimum: Some(1.0), ..MetaSchema::new_with_format("integer", "int32") }
);

macro_rules! not_shown {
    ($($type:ident),+) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[redacted]")
            }
        }
    )+};
}

not_shown!(ChosenPassword, TypedPassword, TypedText);

scalar!(
    Amount named "integer",
    Number(number) => number.as_i64().map(Self).ok_or_else(|| ParseError::custom("a whole number of at most 64 bits")),
    MetaSchema { minimum: Some(1.0), maximum: Some(2_147_483_647.0), ..MetaSchema::new_with_format("integer", "int32") }
);

impl ParseFromParameter for ShortText {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self(value.to_owned()))
    }
}

impl ParseFromParameter for Id {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self(value.parse().ok()))
    }
}
