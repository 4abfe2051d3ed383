//! `X-Dlc-Read-After`: reads that may be as old as a replica is, and still never miss what their caller has written.
//!
//! A write is answered with a position, and so is whoever is refused because of what is there; a read that presents it is no older, at
//! whichever instance. Not here: which read goes where (`dlc-database`).

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
};

use dlc_application::ports::freshness::{Freshness, NoPosition, Own, Position, Session, WriteLog};
use poem::{
    Endpoint, Request, Response,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
};
use poem_openapi::registry::MetaSchema;

use super::{
    headers::{Carried, Said},
    problem::{FieldError, Problem},
};

/// The header's name, as people write it and as it is on the way.
const SHOWN: &str = "X-Dlc-Read-After";
pub(super) static NAME: HeaderName = HeaderName::from_static("x-dlc-read-after");

/// Sessions are told apart by a digest that is good in this process only; two that collide are held for one, which costs them nothing
/// but a look at the primary.
static DIGEST: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// How fresh a read has to be. An argument of this type is called `X-Dlc-Read-After` in the document.
pub(super) type ReadAfter = Carried<Freshness>;

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

impl Said for Freshness {
    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some("^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$".to_owned()),
            ..MetaSchema::new("string")
        }
    }

    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self::MayLag(Own {
            session: session(headers),
            after: after(headers)?,
        }))
    }
}

/// Whether a request changes nothing.
pub(super) fn only_reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A request that may write, until it is over: unless it is known by then what became of it, it may write yet.
struct Writing {
    writes: Arc<dyn WriteLog>,
    session: Option<Session>,
    is_known: bool,
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.is_known {
            self.writes.may_write_yet(self.session);
        }
    }
}

/// What became of a request that might write.
enum Ended {
    Wrote,
    /// It has changed nothing, because of what is there: its caller knows of that now, and looks at it next.
    Told,
    /// It has changed nothing.
    Refused,
    /// Nobody knows.
    Unknown,
}

impl Ended {
    fn of(answer: &poem::Result<Response>) -> Self {
        let (status, is_before_the_database) = match answer {
            Ok(response) => (response.status(), false),
            Err(error) => (error.status(), Problem::is_of_the_door(error)),
        };
        match status {
            StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Self::Told,
            _ if status.is_client_error() || is_before_the_database => Self::Refused,
            _ if status.is_server_error() => Self::Unknown,
            _ => Self::Wrote,
        }
    }
}

/// Answers a request that may write, and sees to it that its caller does not miss what it wrote, or was told of.
pub(super) async fn noted(
    writes: Arc<dyn WriteLog>,
    inner: &impl Endpoint<Output = Response>,
    request: Request,
) -> poem::Result<Response> {
    let mut writing = Writing {
        writes: Arc::clone(&writes),
        session: session(request.headers()),
        is_known: false,
    };
    let answer = inner.call(request).await;
    let position = match Ended::of(&answer) {
        Ended::Unknown => return answer,
        Ended::Refused => {
            writing.is_known = true;
            return answer;
        }
        Ended::Wrote => {
            writing.is_known = true;
            writes.wrote(writing.session);
            writes.position().await
        }
        Ended::Told => {
            // Whoever hangs up meanwhile has not heard of it.
            writing.is_known = true;
            let position = writes.position().await;
            match position {
                Some(position) => writes.told(position),
                None => writes.wrote(writing.session),
            }
            position
        }
    };
    match answer {
        Ok(mut response) => {
            if let Some(value) = position.and_then(|position| HeaderValue::from_str(&position.to_string()).ok()) {
                response.headers_mut().insert(NAME.clone(), value);
            }
            Ok(response)
        }
        Err(error) => Err(Problem {
            read_after: position,
            ..Problem::from_framework(error)
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_its_token_and_a_position_is_said_once_or_refused() {
        let mut headers = HeaderMap::new();
        let own = |headers: &HeaderMap| match Freshness::read(headers) {
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
        assert!(Freshness::read(&headers).is_err(), "one of two");
        headers.insert(&NAME, HeaderValue::from_static("31"));
        assert!(Freshness::read(&headers).is_err());
    }
}
