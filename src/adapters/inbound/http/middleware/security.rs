//! Headers that keep browsers from guessing, framing and leaking, and from coming back without encryption. The explorer's page
//! sets a policy of its own.

use futures_util::TryFutureExt;
use poem::{
    Endpoint, Request, Response,
    http::{HeaderName, HeaderValue, header, uri::Scheme},
};

const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// For a year: browsers come back encrypted only. Nothing is said of other hosts below this one: they are not ours.
const ENCRYPTED_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Whether the client's request came encrypted: the one place that decides it. Over plain HTTP the header must not be sent
/// (RFC 6797, 7.2).
fn came_encrypted(request: &Request) -> bool {
    request.scheme() == &Scheme::HTTPS
}

pub(super) struct Secured<E> {
    pub(super) inner: E,
}

impl<E: Endpoint<Output = Response>> Endpoint for Secured<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        let is_encrypted = came_encrypted(&request);
        self.inner.call(request).map_ok(move |mut response| {
            let headers = response.headers_mut();
            for (name, value) in HEADERS {
                headers.entry(name).or_insert(value);
            }
            if is_encrypted {
                headers.insert(header::STRICT_TRANSPORT_SECURITY, ENCRYPTED_ONLY);
            }
            response
        })
    }
}
