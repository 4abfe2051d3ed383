//! `Idempotency-Key` of creating calls (§5.1): a repeated request gets the answer that the first one got, and does nothing.
//!
//! Not here: where answers are kept (`dlc-database`), how long (`ports/idempotency`).

use std::{borrow::Cow, marker::PhantomData};

use dlc_application::ports::{
    idempotency::{Keyed, KeyedRequest},
    sessions::Principal,
};
use poem::{IntoResponse, Request, RequestBody, Response};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    payload::{Json, Payload},
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use serde::Serialize;

use super::problem::{FieldError, Problem};

/// The header's name.
const NAME: &str = "Idempotency-Key";
/// Longest accepted key, in characters: the width of its column.
const MAX: usize = 255;

/// The key of a request, where it has one. An argument of this type is called `Idempotency-Key` in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdempotencyKey(Option<String>);

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
            key: self.0?,
            content: serde_json::to_string(content).unwrap_or_default(),
        };
        Some(Keyed { request, answer })
    }

    /// poem-openapi's own headers drop values that are no text, and the request would go on without its key.
    fn read(request: &Request) -> Result<Self, Problem> {
        let mut values = request.headers().get_all(NAME).iter();
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

/// The header's place in the document.
pub(super) struct KeyText;

impl Type for KeyText {
    const IS_REQUIRED: bool = false;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(1),
            max_length: Some(MAX),
            pattern: Some(r"^[\x21-\x7e]+$".to_owned()),
            ..MetaSchema::new("string")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<'a> ApiExtractor<'a> for IdempotencyKey {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = KeyText;
    type ParamRawType = KeyText;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(KeyText::schema_ref())
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<KeyText>,
    ) -> poem::Result<Self> {
        Ok(Self::read(request)?)
    }
}
