//! Cross-origin requests (the Fetch standard's CORS protocol) for the origins that the configuration names; none by default.
//!
//! poem's own middleware answers 401 to an origin that is not allowed, and so breaks clients that are no browsers. Here such an
//! origin gets the answer without the permission, and its browser keeps it from the page.

use futures_util::{
    TryFutureExt,
    future::{Either, ready},
};
use poem::{
    Endpoint, Request, Response,
    http::{HeaderValue, Method, StatusCode, header},
};

use crate::adapters::inbound::http::routes;

/// Headers that a page may send.
const SENT: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-match, if-none-match, traceparent, tracestate, x-dlc-read-after, x-request-id",
);
/// Headers of an answer that a page may read.
const READ: HeaderValue = HeaderValue::from_static(
    "etag, idempotency-replayed, link, location, ratelimit, ratelimit-policy, retry-after, traceresponse, x-dlc-read-after, x-request-id",
);
/// How long a browser remembers the answer to its question, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

pub(super) struct Cors<E> {
    pub(super) inner: E,
    pub(super) origins: Vec<HeaderValue>,
}

impl<E> Cors<E> {
    fn allowed(&self, request: &Request) -> Option<HeaderValue> {
        let origin = request.headers().get(header::ORIGIN)?;
        self.origins.iter().find(|allowed| *allowed == origin).cloned()
    }

    /// The answer to a browser that asks before it sends a request.
    fn preflight(request: &Request) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let route = asks.then(|| routes::find(request.uri().path()))??;
        let mut response = Response::from(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        let methods = HeaderValue::from_str(&route.methods).ok()?;
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, SENT);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
        Some(response)
    }
}

fn permit(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, READ);
}

impl<E: Endpoint<Output = Response>> Endpoint for Cors<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        let is_asked = !self.origins.is_empty();
        let origin = is_asked.then(|| self.allowed(&request)).flatten();
        let answer = match origin.as_ref().and_then(|_| Self::preflight(&request)) {
            Some(answer) => Either::Left(ready(Ok(answer))),
            None => Either::Right(self.inner.call(request)),
        };
        answer.map_ok(move |mut response| {
            if let Some(origin) = origin {
                permit(&mut response, origin);
            }
            if is_asked {
                // A cache must not give one origin what was meant for another.
                let headers = response.headers_mut();
                headers.append(header::VARY, HeaderValue::from_static("origin"));
            }
            response
        })
    }
}
