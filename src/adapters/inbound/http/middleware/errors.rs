//! Turns every error and panic into problem+json, logs what is ours to mend, and tells of a database that was not there.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::lazy};
use poem::{
    Body, Endpoint, Request, Response,
    http::{HeaderValue, Method, StatusCode, Uri, Version, header},
};
use poem_openapi::types::ToJSON;
use tokio::sync::Notify;

use super::{
    request_id::RequestId,
    traces::{ProblemCode, Trace},
};
use crate::adapters::inbound::http::{
    Requests, freshness,
    problem::Problem,
    requests::{Handled, Outcome},
    routes::{self, Route},
};

pub(super) struct Answering<E> {
    pub(super) inner: E,
    pub(super) doubted: Arc<Notify>,
    pub(super) requests: Requests,
}

impl<E: Endpoint<Output = Response>> Endpoint for Answering<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        // Method and target are reference-counted, so the copies cost nothing on the way that needs none.
        let asked = Asked {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            id: request.extensions().get::<RequestId>().cloned(),
            trace: request.extensions().get::<Trace>().copied(),
            route: routes::find(request.uri().path()),
            handled: self.requests.enter(),
        };
        // Lazily, so that what the inner endpoints do before their first wait is caught as well.
        let answer = lazy(|_| self.inner.call(request)).flatten();
        let answered = AssertUnwindSafe(answer).catch_unwind();
        answered.map(move |answered| {
            let problem = match answered {
                Ok(Ok(response)) => {
                    asked.finished(response.status(), "");
                    return Ok(response);
                }
                Ok(Err(error)) => Problem::from_framework(error),
                Err(_) => Problem::internal(),
            };
            asked.finished(problem.status, problem.code);
            self.note(&problem, &asked);
            Ok(asked.respond(problem))
        })
    }
}

/// What is known of a request while it is handled.
struct Asked<'a> {
    method: Method,
    uri: Uri,
    version: Version,
    id: Option<RequestId>,
    trace: Option<Trace>,
    route: Option<&'static Route>,
    handled: Handled<'a>,
}

impl Asked<'_> {
    fn id(&self) -> &str {
        self.id.as_ref().map_or("", RequestId::as_str)
    }

    fn finished(&self, status: StatusCode, code: &'static str) {
        let template = self.route.map(|route| route.template.as_str());
        self.handled
            .finished(Outcome::new(template, &self.method, status, code));
        let (method, path, request_id) = (&self.method, self.uri.path(), self.id());
        let (status, ms) = (status.as_u16(), self.handled.elapsed().as_secs_f64() * 1_000.0);
        let trace_id = self.trace.map(|trace| tracing::field::display(trace.0));
        tracing::debug!(%method, path, status, ms, request_id, trace_id, "request");
    }

    fn respond(&self, problem: Problem) -> Response {
        let code = problem.code;
        // HTTP/2 ends one stream, and says so by itself.
        let is_the_last = problem.ends_connection && self.version < Version::HTTP_2;
        let mut response = respond(problem, &self.method, self.uri.path(), self.id(), self.route);
        if is_the_last {
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.trace.is_some() {
            response.set_data(ProblemCode(code));
        }
        response
    }
}

impl<E> Answering<E> {
    fn note(&self, problem: &Problem, asked: &Asked<'_>) {
        let trace_id = asked.trace.map(|trace| tracing::field::display(trace.0));
        let (method, path, id) = (&asked.method, asked.uri.path(), asked.id());
        if problem.is_lost_database() {
            // It says something of one connection, and many requests may say it at once: what a ping finds counts.
            self.doubted.notify_one();
        }
        let cause = problem
            .source
            .as_deref()
            .and_then(|error| error.source())
            .map(ToString::to_string)
            .unwrap_or_default();
        let (status, code) = (problem.status.as_u16(), problem.code);
        if problem.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(status, code, %method, path, request_id = id, trace_id, cause, "request failed");
        } else if problem.source.is_some() {
            tracing::warn!(status, code, %method, path, request_id = id, trace_id, cause, "request not served");
        }
    }
}

fn respond(problem: Problem, method: &Method, path: &str, id: &str, route: Option<&Route>) -> Response {
    let challenge = problem.challenge();
    let mut response = Response::builder()
        .status(problem.status)
        .content_type("application/problem+json")
        .header(header::CACHE_CONTROL, "no-store");
    if let Some(seconds) = problem.retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    if let Some(position) = problem.read_after {
        response = response.header(&freshness::NAME, position.to_string());
    }
    if problem.status == StatusCode::METHOD_NOT_ALLOWED
        && let Some(route) = route
    {
        response = response.header(header::ALLOW, &route.methods);
    }
    if let Some(challenge) = challenge {
        response = response.header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response.body(if *method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_string(problem.into_body(path, id).to_json_string())
    })
}
