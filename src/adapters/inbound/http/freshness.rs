//! `X-Dlc-Read-After`: reads that may be as old as a replica is, and still never miss what their caller has written.
//!
//! A write is answered with a position, a read that presents it is no older, at whichever instance. Whoever presents none is known by
//! its token, or is one of everybody who has none. Not here: which read goes where (`dlc-database`).

use std::{
    borrow::Cow,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
};

use dlc_application::ports::freshness::{Freshness, NoPosition, Own, Position, Session, WriteLog};
use poem::{
    Endpoint, Request, RequestBody, Response,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
    types::Type,
};

use super::problem::{FieldError, Problem};

/// The header's name, as people write it and as it is on the way.
const SHOWN: &str = "X-Dlc-Read-After";
static NAME: HeaderName = HeaderName::from_static("x-dlc-read-after");

/// Sessions are told apart by a digest that is good in this process only; two that collide are held for one, which costs them nothing
/// but a look at the primary.
static DIGEST: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// How fresh a read has to be. An argument of this type is called `X-Dlc-Read-After` in the document.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadAfter(pub(super) Freshness);

/// Who asks, for all that is known without looking at the token: whether it is good is not asked here.
fn session(headers: &HeaderMap) -> Option<Session> {
    let token = headers.get(header::AUTHORIZATION)?;
    Some(Session(DIGEST.hash_one(token.as_bytes())))
}

fn after(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let mut values = headers.get_all(&NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let position = value.to_str().ok().and_then(|text| text.parse().ok());
    match (position, values.next()) {
        (Some(position), None) => Ok(Some(position)),
        _ => Err(Problem::invalid(vec![FieldError {
            field: SHOWN.to_owned(),
            message: NoPosition.to_string(),
        }])),
    }
}

impl ReadAfter {
    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self(Freshness::MayLag(Own {
            session: session(headers),
            after: after(headers)?,
        })))
    }
}

/// Whether a request changes nothing.
pub(super) fn only_reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A request that may write, until it is over: however that is. Whoever hears that a name is taken looks at what has it, and whoever
/// hears nothing in time looks for what became of it.
struct Writing {
    writes: Arc<dyn WriteLog>,
    session: Option<Session>,
    /// Whether it is known what became of it.
    is_certain: bool,
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.is_certain {
            self.writes.wrote(self.session);
        } else {
            self.writes.may_write_yet(self.session);
        }
    }
}

/// Answers a request that may write, and sees to it that its caller does not miss what it wrote.
pub(super) async fn noted(
    writes: Arc<dyn WriteLog>,
    inner: &impl Endpoint<Output = Response>,
    request: Request,
) -> poem::Result<Response> {
    // Whoever gets a token by it reads with that one, whatever it was asked with.
    let gives_tokens = request.original_uri().path().starts_with("/api/v1/auth/");
    let mut writing = Writing {
        writes: Arc::clone(&writes),
        session: session(request.headers()).filter(|_| !gives_tokens),
        is_certain: false,
    };
    let answer = inner.call(request).await;
    let status = match &answer {
        Ok(response) => response.status(),
        Err(error) => error.status(),
    };
    writing.is_certain = !status.is_server_error();
    drop(writing);
    let mut response = answer?;
    if response.status().is_success()
        && let Some(position) = writes.position().await
        && let Ok(value) = HeaderValue::from_str(&position.to_string())
    {
        response.headers_mut().insert(NAME.clone(), value);
    }
    Ok(response)
}

/// The header's place in the document.
pub(super) struct PositionText;

impl Type for PositionText {
    const IS_REQUIRED: bool = false;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            pattern: Some("^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$".to_owned()),
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

impl<'a> ApiExtractor<'a> for ReadAfter {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = PositionText;
    type ParamRawType = PositionText;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(PositionText::schema_ref())
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<PositionText>,
    ) -> poem::Result<Self> {
        Ok(Self::read(request.headers())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_its_token_and_a_position_is_said_once_or_refused() {
        let mut headers = HeaderMap::new();
        let own = |headers: &HeaderMap| match ReadAfter::read(headers).map(|read| read.0) {
            Ok(Freshness::MayLag(own)) => own,
            _ => panic!("{headers:?}"),
        };
        assert_eq!(own(&headers), Own::default());
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        let ada = own(&headers).session;
        assert!(ada.is_some());
        assert_eq!(own(&headers).session, ada);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert_ne!(own(&headers).session, ada);
        headers.insert(&NAME, HeaderValue::from_static("0/1F"));
        assert_eq!(own(&headers).after, Some(Position(31)));
        headers.append(&NAME, HeaderValue::from_static("0/20"));
        assert!(ReadAfter::read(&headers).is_err(), "one of two");
        headers.insert(&NAME, HeaderValue::from_static("31"));
        assert!(ReadAfter::read(&headers).is_err());
    }
}
