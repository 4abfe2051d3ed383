//! Scalars of request bodies: the document states their limits, and their JSON type is taken at its word.
//!
//! poem-openapi's own `String` takes numbers and truth values too, which its document does not say; its validators stop at
//! the first field. Here a value of the right JSON type passes, and the domain's types judge it (`fields`).

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type},
};
use serde_json::Value;

/// A text of 1–255 characters, not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShortText(pub(super) String);

/// "Not blank, no NUL" as a pattern. Unicode's white space (`char::is_whitespace`) is written out, because `\s` is not the same in
/// any two languages.
const NOT_BLANK: &str =
    "^[^\\x00]*[^\\x00\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000][^\\x00]*$";

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
    MetaSchema { min_length: Some(1), max_length: Some(255), pattern: Some(NOT_BLANK.to_owned()), ..MetaSchema::new("string") }
);

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
