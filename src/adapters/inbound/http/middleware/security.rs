//! Headers that keep browsers from guessing, framing and leaking. The explorer's page sets a policy of its own.

use poem::{
    Endpoint, Request, Response,
    http::{HeaderName, HeaderValue, header},
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

pub(super) struct Secured<E> {
    pub(super) inner: E,
}

impl<E: Endpoint<Output = Response>> Endpoint for Secured<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let mut response = self.inner.call(request).await?;
        let headers = response.headers_mut();
        for (name, value) in HEADERS {
            headers.entry(name).or_insert(value);
        }
        Ok(response)
    }
}
