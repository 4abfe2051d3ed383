//! A span per request, where traces are taken: it goes on with its caller's trace (`traceparent`), and the answer names it
//! (`traceresponse`). Probes and `/metrics` are nobody's work and have none.
//!
//! Names and attributes are those of OpenTelemetry's conventions for HTTP. Without traces a request passes by one look at a
//! flag, and none of its headers is read. Not here: spans of use cases and statements; who takes them (`telemetry`).

use std::borrow::Cow;

use futures_util::future::Either;
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, TraceContextExt, TraceId},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use poem::{
    Endpoint, Request, Response,
    http::{HeaderMap, HeaderValue},
};
use tracing::{Instrument, Level, Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::request_id::RequestId;
use crate::adapters::inbound::http::{health, metrics, requests, routes};

const PARENT: &str = "traceparent";
const RESPONSE: &str = "traceresponse";

/// Longest path that a span tells, in bytes; what is longer is somebody's nonsense.
const MAX_PATH: usize = 1024;

/// The trace that a request belongs to, among its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace(pub(super) TraceId);

/// The `code` of the problem that was answered, among the answer's extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProblemCode(pub(super) &'static str);

pub(super) struct Traced<E> {
    pub(super) inner: E,
}

impl<E: Endpoint<Output = Response>> Endpoint for Traced<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        if !tracing::span_enabled!(target: "dlc::trace", Level::INFO) || is_nobodys_work(request.uri().path()) {
            return Either::Left(self.inner.call(request));
        }
        // In a box, so that the way without traces carries none of it.
        Either::Right(Box::pin(self.traced(request)))
    }
}

impl<E: Endpoint<Output = Response>> Traced<E> {
    async fn traced(&self, mut request: Request) -> poem::Result<Response> {
        let span = begun(&request);
        let context = span.context().span().span_context().clone();
        request.extensions_mut().insert(Trace(context.trace_id()));
        let mut response = self.inner.call(request).instrument(span.clone()).await?;
        let status = response.status();
        span.record("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            let code = response.data::<ProblemCode>().map(|code| code.0);
            span.record("error.type", code.unwrap_or(status.as_str()));
            span.record("otel.status_code", "error");
        }
        if let Some(value) = named(&context) {
            response.headers_mut().insert(RESPONSE, value);
        }
        Ok(response)
    }
}

fn is_nobodys_work(path: &str) -> bool {
    health::is_probe(path) || path == metrics::PATH
}

fn begun(request: &Request) -> Span {
    let (path, method) = (request.uri().path(), requests::known(request.method()));
    let route = routes::find(path).map(|route| route.template.as_str());
    // The conventions' word for a method that nobody knows, in a name.
    let verb = if method == requests::OTHER { "HTTP" } else { method };
    let name = route.map_or(Cow::Borrowed(verb), |route| Cow::Owned(format!("{verb} {route}")));
    let span = tracing::info_span!(
        target: "dlc::trace",
        parent: None,
        "request",
        otel.name = &*name,
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        url.path = &path[..path.floor_char_boundary(MAX_PATH)],
        url.scheme = request.scheme().as_str(),
        dlc.request_id = request.extensions().get::<RequestId>().map(RequestId::as_str),
        http.response.status_code = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    );
    if let Some(caller) = caller(request.headers()) {
        // It has not begun, so this cannot fail.
        let _ = span.set_parent(caller);
    }
    span
}

/// The caller's span, when there is one; what is malformed is as good as none.
fn caller(headers: &HeaderMap) -> Option<Context> {
    // Of two, none is to be believed.
    let mut parents = headers.get_all(PARENT).iter();
    let _first = parents.next()?;
    if parents.next().is_some() {
        return None;
    }
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    context.span().span_context().is_valid().then_some(context)
}

/// Trace, span and whether it is recorded, as the answer tells them (W3C Trace Context, level 2).
fn named(context: &SpanContext) -> Option<HeaderValue> {
    let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags());
    let text = format!("00-{trace}-{span}-{:02x}", flags.to_u8());
    context.is_valid().then(|| HeaderValue::from_str(&text).ok())?
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(poem::http::HeaderName::as_str).collect()
    }
}
