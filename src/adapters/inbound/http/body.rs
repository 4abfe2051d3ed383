//! A request's JSON body: every field that is missing, of another type or unknown is named, and no value is ever repeated.
//!
//! poem-openapi's own payload stops at the first of them, does not say which it is, and repeats what it found there: a password,
//! for example. What a field's text or number must be like is the domain's to say (`fields`).

use std::borrow::Cow;

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    error::ContentTypeError,
    registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry},
    types::ParseFromJSON,
};
use serde_json::{Map, Value};

use super::{
    document,
    problem::{FieldError, Problem},
};

const CONTENT_TYPE: &str = "application/json";
/// Faults of one body that are named; an answer must not be longer than what it answers.
const MOST_FAULTS: usize = 20;
/// Characters of a field's name that are repeated.
const LONGEST_NAME: usize = 64;

/// A body that was read as a `T`.
pub(super) struct JsonBody<T>(pub(super) T);

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for JsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: CONTENT_TYPE,
                schema: T::schema_ref(),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        match request.content_type() {
            None => return Err(ContentTypeError::ExpectContentType.into()),
            Some(content_type) if !is_json(content_type) => {
                let content_type = content_type.to_owned();
                return Err(ContentTypeError::NotSupported { content_type }.into());
            }
            Some(_) => {}
        }
        let bytes = body.take()?.into_bytes().await?;
        Ok(Self(read(&bytes)?))
    }
}

/// Reads a body, or says what is wrong with it.
pub(super) fn read<T: ParseFromJSON>(bytes: &[u8]) -> Result<T, Problem> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| no_json(bytes, &error))?;
    // Read once more rather than kept: nearly all bodies are good ones.
    T::parse_from_json(Some(value)).map_err(|_| refused::<T>(serde_json::from_slice(bytes).unwrap_or_default()))
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case(CONTENT_TYPE)
}

fn no_json(bytes: &[u8], error: &serde_json::Error) -> Problem {
    if bytes.is_empty() {
        Problem::invalid_body("there is none; send a JSON object")
    } else {
        let words = error.to_string();
        match words.strip_prefix("number out of range") {
            Some(place) => Problem::invalid_body(&format!("a number in it is too large{place}")),
            None => Problem::invalid_body(&format!("it is no JSON: {words}")),
        }
    }
}

/// What is wrong with a body that is JSON.
fn refused<T: ParseFromJSON>(body: Value) -> Problem {
    let Value::Object(body) = body else {
        return Problem::invalid_body(&format!("it must be a JSON object, not {}", kind_of(&body)));
    };
    let errors = faults::<T>(&body);
    if errors.is_empty() {
        // Something deeper, in words that may repeat a value.
        return Problem::invalid_body("a value in it is not of the type that is expected");
    }
    Problem::invalid(errors)
}

/// Fields that are missing, of another JSON type than the document says, or not in it.
fn faults<T: ParseFromJSON>(body: &Map<String, Value>) -> Vec<FieldError> {
    let mut registry = Registry::new();
    T::register(&mut registry);
    let Some(schema) = resolved(&T::schema_ref(), &registry).cloned() else {
        return Vec::new();
    };
    let judged = schema.properties.iter().filter_map(|(name, property)| {
        let is_required = schema.required.contains(name);
        match body.get(*name) {
            None | Some(Value::Null) => is_required.then(|| fault(name, "is required")),
            Some(value) => {
                let expected = resolved(property, &registry)?;
                let wrong = expectation(expected.ty, value)?;
                Some(fault(name, wrong))
            }
        }
    });
    let is_known = |field: &String| schema.properties.iter().any(|(name, _)| name == field);
    let unknown = body
        .keys()
        .filter(|field| document::is_closed(&T::name()) && !is_known(field));
    let mut faults: Vec<_> = judged
        .chain(unknown.map(|field| fault(&shortened(field), "is not known here")))
        .take(MOST_FAULTS + 1)
        .collect();
    if let Some(more) = faults.get_mut(MOST_FAULTS) {
        *more = fault("…", "and more that is not valid");
    }
    faults
}

/// A field's name as its sender gave it, as far as they need it to find it.
fn shortened(field: &str) -> Cow<'_, str> {
    match field.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => Cow::Owned(format!("{}…", &field[..end])),
        None => Cow::Borrowed(field),
    }
}

fn resolved<'a>(schema: &'a MetaSchemaRef, registry: &'a Registry) -> Option<&'a MetaSchema> {
    match schema {
        MetaSchemaRef::Inline(schema) => Some(schema.as_ref()),
        MetaSchemaRef::Reference(name) => registry.schemas.get(name),
    }
}

/// What a value would have to be, if it is not.
fn expectation(ty: &str, value: &Value) -> Option<&'static str> {
    match (ty, value) {
        ("string", Value::String(_))
        | ("number", Value::Number(_))
        | ("boolean", Value::Bool(_))
        | ("array", Value::Array(_))
        | ("object", Value::Object(_)) => None,
        ("integer", Value::Number(number)) if number.is_i64() => None,
        ("string", _) => Some("must be a text"),
        ("integer", _) => Some("must be a whole number of at most 64 bits"),
        ("number", _) => Some("must be a number"),
        ("boolean", _) => Some("must be true or false"),
        ("array", _) => Some("must be a list"),
        ("object", _) => Some("must be an object"),
        _ => None,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn fault(field: &str, message: &str) -> FieldError {
    FieldError {
        field: field.to_owned(),
        message: message.to_owned(),
    }
}
