//! `Idempotency-Key` of creating calls (§5.1): a repeated request gets the answer that the first one got, and does nothing.
//!
//! Not here: where answers are kept (`dlc-database`), how long (`ports/idempotency`).

use std::marker::PhantomData;

use dlc_application::ports::{
    idempotency::{Keyed, KeyedRequest},
    sessions::Principal,
};
use poem::{IntoResponse, Response, http::HeaderMap};
use poem_openapi::{
    payload::{Json, Payload},
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use serde::Serialize;

use super::{
    headers::{Carried, Said},
    problem::{FieldError, Problem},
};

/// The header's name.
const NAME: &str = "Idempotency-Key";
/// Longest accepted key, in characters: the width of its column.
const MAX: usize = 255;

/// The key of a request, where it has one. An argument of this type is called `Idempotency-Key` in the document.
pub(super) type IdempotencyKey = Carried<Key>;

/// The key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(pub(super) Option<String>);

impl IdempotencyKey {
    /// The request under its key; `content` is what it asks for, parameters of the path included. Whoever has not signed in is
    /// everybody: their keys must be as hard to guess as their answers are private.
    pub(super) fn of<T>(
        self,
        principal: Option<&Principal>,
        route: &'static str,
        content: &impl Serialize,
        answer: fn(&T) -> String,
    ) -> Option<Keyed<T>> {
        let request = KeyedRequest {
            principal: principal.map(|principal| principal.id.to_string()).unwrap_or_default(),
            route,
            key: self.0.0?,
            content: serde_json::to_string(content).unwrap_or_default(),
        };
        Some(Keyed { request, answer })
    }
}

impl Said for Key {
    fn schema() -> MetaSchema {
        MetaSchema {
            min_length: Some(1),
            max_length: Some(MAX),
            pattern: Some(r"^[\x21-\x7e]+$".to_owned()),
            ..MetaSchema::new("string")
        }
    }

    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(NAME).iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        let fit = |key: &&str| (1..=MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        match (value.to_str().ok().filter(fit), values.next()) {
            (Some(key), None) => Ok(Self(Some(key.to_owned()))),
            _ => Err(Problem::invalid(vec![FieldError {
                field: NAME.to_owned(),
                message: format!("must be one text of 1 to {MAX} printable ASCII characters without blanks"),
            }])),
        }
    }
}

/// An answer's body: made now, or kept and sent as it was.
pub(super) struct Answered<T> {
    text: String,
    of: PhantomData<T>,
}

impl<T: ToJSON> Answered<T> {
    pub(super) fn now(answer: &T) -> Self {
        Self::before(kept(answer))
    }

    pub(super) fn before(kept: String) -> Self {
        Self {
            text: kept,
            of: PhantomData,
        }
    }
}

/// Writes an answer down.
pub(super) fn kept<T: ToJSON>(answer: &T) -> String {
    answer.to_json_string()
}

impl<T: Type> Payload for Answered<T> {
    const CONTENT_TYPE: &'static str = <Json<T> as Payload>::CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> IntoResponse for Answered<T> {
    fn into_response(self) -> Response {
        let content_type = <Self as Payload>::CONTENT_TYPE;
        Response::builder().content_type(content_type).body(self.text)
    }
}
