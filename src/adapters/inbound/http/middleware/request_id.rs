//! `X-Request-Id`: a caller's own when it is fit to be logged, else a new one; returned with the answer.

use futures_util::TryFutureExt;
use poem::{Endpoint, Request, Response, http::HeaderValue};
use uuid::Uuid;

const NAME: &str = "x-request-id";
/// Longest accepted id, in characters (§5.1).
const MAX: usize = 128;

/// The id of a request, among its extensions.
#[derive(Clone, Debug)]
pub(in crate::adapters::inbound::http) struct RequestId(HeaderValue);

impl RequestId {
    pub(in crate::adapters::inbound::http) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

pub(super) struct Identified<E> {
    pub(super) inner: E,
}

fn accepted(value: &HeaderValue) -> Option<HeaderValue> {
    let text = value.to_str().ok()?;
    let fit = (1..=MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fit.then(|| value.clone())
}

fn made() -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let text = Uuid::now_v7().simple().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

impl<E: Endpoint<Output = Response>> Endpoint for Identified<E> {
    type Output = Response;

    fn call(&self, mut request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        let id = request.headers().get(NAME).and_then(accepted).unwrap_or_else(made);
        request.extensions_mut().insert(RequestId(id.clone()));
        self.inner.call(request).map_ok(move |mut response| {
            response.headers_mut().insert(NAME, id);
            response
        })
    }
}
