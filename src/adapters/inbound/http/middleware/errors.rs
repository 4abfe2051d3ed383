//! Turns every error and panic into problem+json, logs what is ours to mend, and tells readiness of a lost database.

use std::{error::Error, panic::AssertUnwindSafe, sync::Arc};

use dlc_application::{operations::readiness::Readiness, ports::connection::ConnectFailure};
use futures_util::FutureExt;
use poem::{
    Body, Endpoint, Request, Response,
    http::{HeaderValue, Method, StatusCode, header},
};
use poem_openapi::types::ToJSON;

use super::{
    request_id::RequestId,
    traces::{ProblemCode, Trace},
};
use crate::adapters::inbound::http::{
    Requests,
    problem::Problem,
    requests::Outcome,
    routes::{self, Route},
};

pub(super) struct Answering<E> {
    pub(super) inner: E,
    pub(super) readiness: Arc<Readiness>,
    pub(super) requests: Requests,
}

impl<E: Endpoint<Output = Response>> Endpoint for Answering<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        // Both are reference-counted, so the copies cost nothing on the way that needs none.
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let id = request.extensions().get::<RequestId>().cloned();
        let trace = request.extensions().get::<Trace>().copied();
        let trace_id = trace.map(|trace| tracing::field::display(trace.0));
        let route = routes::find(uri.path());
        let handled = self.requests.enter();
        let template = route.map(|route| route.template.as_str());
        let finished = |status: StatusCode, code| {
            handled.finished(Outcome::new(template, &method, status, code));
            let (status, path, ms) = (status.as_u16(), uri.path(), handled.elapsed().as_secs_f64() * 1_000.0);
            let request_id = id.as_ref().map_or("", RequestId::as_str);
            tracing::debug!(%method, path, status, ms, request_id, trace_id, "request");
        };
        let error = match AssertUnwindSafe(self.inner.call(request)).catch_unwind().await {
            Ok(Ok(response)) => {
                finished(response.status(), "");
                return Ok(response);
            }
            Ok(Err(error)) => Problem::from_framework(error),
            Err(_) => Problem::internal(),
        };
        let id = id.as_ref().map_or("", RequestId::as_str);
        finished(error.status, error.code);
        self.note(&error, &method, uri.path(), id, trace);
        let code = error.code;
        let mut response = respond(error, &method, uri.path(), id, route);
        if trace.is_some() {
            response.set_data(ProblemCode(code));
        }
        Ok(response)
    }
}

impl<E> Answering<E> {
    fn note(&self, problem: &Problem, method: &Method, path: &str, id: &str, trace: Option<Trace>) {
        let trace_id = trace.map(|trace| tracing::field::display(trace.0));
        if problem.is_lost_database() && self.readiness.database_failed(ConnectFailure::Lost) {
            tracing::error!(
                code = ConnectFailure::Lost.code(),
                "the database is lost: requests meet broken connections"
            );
        }
        let cause = problem
            .source
            .as_ref()
            .and_then(Error::source)
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
    let mut response = Response::builder()
        .status(problem.status)
        .content_type("application/problem+json")
        .header(header::CACHE_CONTROL, "no-store");
    if let Some(seconds) = problem.retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    if problem.status == StatusCode::METHOD_NOT_ALLOWED
        && let Some(route) = route
    {
        response = response.header(header::ALLOW, &route.methods);
    }
    if problem.status == StatusCode::UNAUTHORIZED {
        response = response.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response.body(if *method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_string(problem.into_body(path, id).to_json_string())
    })
}
