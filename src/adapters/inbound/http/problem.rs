//! The one shape of every error: RFC 9457 problem+json, and the one place that makes it.
//!
//! A use case's error becomes a [`Problem`] here, so does a framework's; the middleware turns it into the response, with
//! the request's id. Not here: the use cases' own errors (`verdicts`), which statuses an operation documents (its own file, by
//! [`problems!`]).

mod verdicts;

use std::{borrow::Cow, error::Error, time::Duration};

use dlc_application::ports::{StorageError, StorageErrorKind, freshness::Position};
use poem::{
    error::{MethodNotAllowedError, NotFoundError, ReadBodyError},
    http::StatusCode,
};
use poem_openapi::{
    Object,
    error::{ContentTypeError, ParseParamError, ParsePathError},
    registry::{MetaHeader, MetaSchemaRef},
    types::Type,
};

/// Seconds after which a client may ask again, when the database or the service is what is missing.
const RETRY_AFTER: u32 = 1;

/// The code of a token that is not good; its challenge says the same.
const INVALID_TOKEN: &str = "invalid_token";

/// Whole seconds, at least one, rounded up: whoever waits so long does not wait in vain.
pub(super) fn whole_seconds(duration: Duration) -> u32 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX).max(1)
}

/// One field that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
pub(crate) struct FieldError {
    /// The field's name.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) message: String,
}

/// An error, as RFC 9457 describes it.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Problem", skip_serializing_if_is_none)]
pub(crate) struct ProblemBody {
    /// Always `about:blank`: `code` tells problems apart.
    #[oai(rename = "type")]
    pub(crate) kind: String,
    /// The status in words.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What went wrong, for people.
    pub(crate) detail: String,
    /// The request's path.
    pub(crate) instance: String,
    /// What went wrong, for programs; never changes its meaning.
    pub(crate) code: String,
    /// The same as `detail`.
    pub(crate) error: String,
    /// The fields that were refused.
    pub(crate) errors: Option<Vec<FieldError>>,
    /// The request's id, as in the log.
    pub(crate) request_id: String,
}

/// An error on its way out.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) detail: Cow<'static, str>,
    pub(crate) errors: Vec<FieldError>,
    pub(crate) retry_after: Option<u32>,
    /// The position in the database's log up to which its receiver knows what is there.
    pub(crate) read_after: Option<Position>,
    /// Whether the request was not read to its end, so that no other one can follow it on its connection.
    pub(crate) ends_connection: bool,
    /// What is logged and never shown.
    pub(crate) source: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            read_after: None,
            ends_connection: false,
            source: None,
        }
    }

    pub(crate) fn unavailable(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            retry_after: Some(RETRY_AFTER),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
        }
    }

    /// A request whose fields break rules; all of them are named.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{} {}", one.field, one.message),
            _ => format!("{} fields are not valid", errors.len()),
        };
        Self {
            errors,
            ..Self::new(StatusCode::BAD_REQUEST, "validation_failed", detail)
        }
    }

    /// A body that cannot be read; `why` repeats nothing of it.
    pub(crate) fn invalid_body(why: &str) -> Self {
        let detail = format!("the body is not valid: {why}");
        Self::new(StatusCode::BAD_REQUEST, "invalid_body", detail)
    }

    /// One field that breaks a rule.
    pub(crate) fn invalid_field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError {
            field: field.to_owned(),
            message: message.into(),
        }])
    }

    pub(crate) fn rate_limited(after: u32) -> Self {
        Self {
            retry_after: Some(after),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                format!("too many requests from this address; ask again in {after} s"),
            )
        }
    }

    pub(crate) fn lost_database() -> Self {
        Self::unavailable(
            "database_unavailable",
            "the database cannot be reached; ask again in a moment",
        )
    }

    pub(crate) fn sign_in_required() -> Self {
        let detail = "sign in first, and send the access token as `Authorization: Bearer …`";
        Self::new(StatusCode::UNAUTHORIZED, "authentication_required", detail)
    }

    pub(crate) fn invalid_token() -> Self {
        let detail = "the access token is not good, or not any more; refresh it, or sign in again";
        Self::new(StatusCode::UNAUTHORIZED, INVALID_TOKEN, detail)
    }

    /// Somebody is known, and may not do this.
    pub(crate) fn not_allowed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "not_allowed", detail)
    }

    /// Somebody changes what they have not seen as it is.
    pub(crate) fn stale() -> Self {
        let detail = "it was changed since; look at it again, and send its new ETag as If-Match";
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
    }

    /// How to sign in, where that is what is missing (RFC 6750 §3).
    pub(crate) fn challenge(&self) -> Option<&'static str> {
        match (self.status, self.code) {
            (StatusCode::UNAUTHORIZED, INVALID_TOKEN) => Some("Bearer realm=\"dlc\", error=\"invalid_token\""),
            (StatusCode::UNAUTHORIZED, _) => Some("Bearer realm=\"dlc\""),
            _ => None,
        }
    }

    pub(crate) fn internal() -> Self {
        let detail = "something went wrong on our side; the request's id finds it in the log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// What its receiver reads: the request's path and id make it whole.
    pub(crate) fn into_body(self, path: &str, request_id: &str) -> ProblemBody {
        ProblemBody {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            error: self.detail.clone().into_owned(),
            detail: self.detail.into_owned(),
            instance: path.to_owned(),
            code: self.code.to_owned(),
            errors: (!self.errors.is_empty()).then_some(self.errors),
            request_id: request_id.to_owned(),
        }
    }

    /// Whether the database was not there.
    pub(crate) fn is_lost_database(&self) -> bool {
        self.source
            .as_ref()
            .and_then(|error| error.downcast_ref::<StorageError>())
            .is_some_and(|error| error.kind() == StorageErrorKind::Unavailable)
    }

    /// Whether an error means that nothing was begun: the service is too busy, or without its database, and a repository was not asked.
    pub(crate) fn is_of_the_door(error: &poem::Error) -> bool {
        error
            .downcast_ref::<CarriedProblem>()
            .is_some_and(|CarriedProblem(problem)| {
                problem.status == StatusCode::SERVICE_UNAVAILABLE && problem.source.is_none()
            })
    }

    /// What the framework says, in the same words as the rest.
    pub(crate) fn from_framework(error: poem::Error) -> Self {
        let error = match error.downcast::<CarriedProblem>() {
            Ok(CarriedProblem(problem)) => return problem,
            Err(error) => error,
        };
        if error.is::<NotFoundError>() {
            return Self::new(
                StatusCode::NOT_FOUND,
                "route_not_found",
                "there is no such route; /docs lists them all",
            );
        }
        if error.is::<MethodNotAllowedError>() {
            let detail = "this route does not answer that method";
            return Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        }
        if let Some(error) = error
            .downcast_ref::<ParseParamError>()
            .filter(|error| !error.name.starts_with("param"))
        {
            return Self::invalid(vec![FieldError {
                field: error.name.to_owned(),
                message: one_line(&error.reason),
            }]);
        }
        if error.is::<ParsePathError>() || error.is::<ParseParamError>() {
            // poem-openapi knows neither the parameter's own name nor why its text does not decode.
            let message = "must be percent-encoded UTF-8".to_owned();
            return Self::invalid(vec![FieldError {
                field: "path".to_owned(),
                message,
            }]);
        }
        if let Some(error) = error.downcast_ref::<ContentTypeError>() {
            let detail = match error {
                ContentTypeError::NotSupported { .. } => {
                    "the body's content type is not known here; send application/json"
                }
                ContentTypeError::ExpectContentType => "the body has no content type; send application/json",
            };
            return Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail);
        }
        if let Some(error) = error.downcast_ref::<ReadBodyError>() {
            return match error {
                ReadBodyError::PayloadTooLarge => Self::too_large(),
                _ => Self::invalid_body("it could not be read"),
            };
        }
        match error.status() {
            StatusCode::INTERNAL_SERVER_ERROR => Self::internal(),
            status if status.is_client_error() => Self::new(
                status,
                "bad_request",
                status.canonical_reason().unwrap_or("the request is not valid"),
            ),
            _ => Self::internal(),
        }
    }

    pub(crate) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the body is larger than this service accepts",
        )
    }
}

/// Parsers' words as one line without names of this program's types.
fn one_line(reason: &str) -> String {
    // The framework knows what would do, and does not say it.
    if reason.contains("Expect a valid enumeration value") {
        return "must be one of the values that /docs lists".to_owned();
    }
    let reason = reason.split_once("\": ").map_or(reason, |(_, rest)| rest);
    let reason = reason
        .split_once(" (occurred while parsing")
        .map_or(reason, |(before, _)| before);
    reason
        .replace(['\n', '\r'], " ")
        .trim()
        .trim_end_matches('.')
        .to_owned()
}

/// A problem inside of the framework's error type.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail)]
pub(crate) struct CarriedProblem(pub(crate) Problem);

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        let status = problem.status;
        Self::new(CarriedProblem(problem), status)
    }
}

/// Declares what can go wrong with an operation: the statuses that its document lists, each with its codes.
macro_rules! problems {
    ($name:ident { $($status:literal => $description:literal),+ $(,)? }) => {
        #[derive(Debug)]
        pub(crate) struct $name($crate::adapters::inbound::http::problem::Problem);

        impl<T: Into<$crate::adapters::inbound::http::problem::Problem>> From<T> for $name {
            fn from(error: T) -> Self {
                Self(error.into())
            }
        }

        impl From<$name> for poem::Error {
            fn from(error: $name) -> Self {
                error.0.into()
            }
        }

        impl poem_openapi::ApiResponse for $name {
            fn meta() -> poem_openapi::registry::MetaResponses {
                use $crate::adapters::inbound::http::problem::document_problem;
                poem_openapi::registry::MetaResponses { responses: vec![$(document_problem($status, $description)),+] }
            }

            fn register(registry: &mut poem_openapi::registry::Registry) {
                <$crate::adapters::inbound::http::problem::ProblemBody as poem_openapi::types::Type>::register(registry);
            }
        }
    };
}

pub(crate) use problems;

/// One problem's place in the OpenAPI document.
pub(crate) fn document_problem(status: u16, description: &'static str) -> poem_openapi::registry::MetaResponse {
    poem_openapi::registry::MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: vec![poem_openapi::registry::MetaMediaType {
            content_type: "application/problem+json",
            schema: ProblemBody::schema_ref(),
        }],
        headers: match status {
            401 => vec![header(
                "WWW-Authenticate",
                "How to sign in: `Bearer`, and what is wrong with the token that was sent",
                String::schema_ref(),
            )],
            429 | 503 => vec![header(
                "Retry-After",
                "Seconds until it is worth asking again",
                u32::schema_ref(),
            )],
            _ => Vec::new(),
        },
    }
}

fn header(name: &str, description: &str, schema: MetaSchemaRef) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema,
    }
}
