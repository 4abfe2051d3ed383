//! Large answers travel compressed to whoever takes gzip (RFC 9110 §12.5.3).
//!
//! Answers that must not be stored are left as they are: they hold secrets, and the length of a compressed secret beside a text
//! of the caller's choice tells of the secret (BREACH). Pages that never change are kept compressed (`document`).

use std::{num::NonZeroUsize, sync::LazyLock};

use futures_util::{
    TryFutureExt,
    future::{Either, ready},
};
use http_body_util::combinators::BoxBody;
use hyper::body::{Body as _, Bytes};
use poem::{
    Body, Endpoint, Request, Response,
    http::{HeaderMap, HeaderValue, header},
};
use tokio::sync::Semaphore;

use crate::adapters::inbound::http::gzip;

/// Smallest body in bytes that is worth it: below, it fits into one packet either way.
const WORTHWHILE: u64 = 1_024;
/// Largest body in bytes that is compressed between other requests; above, a thread of its own does it.
const QUICK: usize = 64 * 1_024;
/// Between speed and size: higher levels cost several times the time for a few percent.
const LEVEL: u32 = 4;

/// Large bodies that are compressed at a time: one per processor.
static AT_ONCE: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get)));

pub(super) struct Compressed<E> {
    pub(super) inner: E,
}

impl<E: Endpoint<Output = Response>> Endpoint for Compressed<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        let is_wanted = gzip::is_accepted(request.headers());
        self.inner.call(request).and_then(move |mut response| {
            if is_worthwhile(&mut response) && is_wanted {
                // Few answers are, so the others carry no more than a pointer for it.
                Either::Left(Box::pin(packed(response)))
            } else {
                Either::Right(ready(Ok(response)))
            }
        })
    }
}

/// Whether an answer is large and may be compressed; then it says that others may get it in another form.
fn is_worthwhile(response: &mut Response) -> bool {
    if !is_compressible(response.headers()) {
        return false;
    }
    let body: BoxBody<Bytes, std::io::Error> = response.take_body().into();
    let is_large = body.size_hint().exact().is_some_and(|length| length >= WORTHWHILE);
    response.set_body(Body::from(body));
    if is_large {
        let vary = HeaderValue::from_static("accept-encoding");
        response.headers_mut().append(header::VARY, vary);
    }
    is_large
}

async fn packed(mut response: Response) -> poem::Result<Response> {
    let plain = response.take_body().into_bytes().await?;
    let packed = if plain.len() <= QUICK {
        gzip::packed(&plain, LEVEL)
    } else if let Ok(_turn) = AT_ONCE.try_acquire() {
        let kept = plain.clone();
        tokio::task::spawn_blocking(move || gzip::packed(&kept, LEVEL))
            .await
            .ok()
            .flatten()
    } else {
        // The processors have enough to do: it goes as it is.
        None
    };
    match packed {
        Some(packed) => {
            mark(response.headers_mut());
            response.set_body(Body::from_bytes(packed.into()));
        }
        None => response.set_body(Body::from_bytes(plain)),
    }
    Ok(response)
}

fn mark(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.remove(header::CONTENT_LENGTH);
    // A strong tag stands for these very bytes (RFC 9110 §8.8.1), which differ now.
    let tag = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
    if let Some(weak) = tag
        .filter(|tag| !tag.starts_with("W/"))
        .and_then(|tag| HeaderValue::from_str(&format!("W/{tag}")).ok())
    {
        headers.insert(header::ETAG, weak);
    }
}

fn is_compressible(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let is_text = kind.starts_with("text/") || kind.contains("json") || kind.contains("yaml");
    let is_secret = text(header::CACHE_CONTROL).is_some_and(|control| control.contains("no-store"));
    is_text && !is_secret && !headers.contains_key(header::CONTENT_ENCODING)
}
