//! Limits of a request: its client's share, its body's size and its time.
//!
//! poem's own size limit answers 411 to every request without a Content-Length, GETs included, so this one stands here.

use std::time::Duration;

use futures_util::{
    FutureExt,
    future::{Either, ready},
};
use poem::{
    Body, Endpoint, Request, Response,
    http::{Method, header},
};

use super::rates::UsedUp;
use crate::adapters::inbound::http::problem::Problem;

pub(super) struct Limited<E> {
    pub(super) inner: E,
    /// Longest time for one request.
    pub(super) timeout: Duration,
    /// Largest body in bytes.
    pub(super) max_body_bytes: usize,
}

impl<E: Endpoint<Output = Response>> Endpoint for Limited<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        let answer = match self.judge(&request) {
            Judgement::Refused(problem) => Either::Left(ready(Err(problem.into()))),
            Judgement::Fits => Either::Right(Either::Left(self.inner.call(request))),
            // Few clients do this; the others carry no more than a pointer for it.
            Judgement::Unmeasured => Either::Right(Either::Right(Box::pin(self.measured(request)))),
        };
        tokio::time::timeout(self.timeout, answer).map(|answer| {
            answer.unwrap_or_else(|_| {
                Err(Problem::unavailable("request_timeout", "the request took too long and was given up").into())
            })
        })
    }
}

/// What can be said of a request before its body is read.
enum Judgement {
    Refused(Problem),
    Fits,
    /// It has a body of a length that it does not tell.
    Unmeasured,
}

impl<E: Endpoint<Output = Response>> Limited<E> {
    fn judge(&self, request: &Request) -> Judgement {
        if let Some(UsedUp(after)) = request.extensions().get::<UsedUp>() {
            return Judgement::Refused(Problem::rate_limited(*after));
        }
        if matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS
        ) {
            return Judgement::Fits;
        }
        let length = request.headers().get(header::CONTENT_LENGTH);
        match length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok()) {
            Some(length) if length > self.max_body_bytes => Judgement::Refused(Problem::too_large()),
            Some(_) => Judgement::Fits,
            None => Judgement::Unmeasured,
        }
    }

    /// Reads the body first, and no further than the limit.
    async fn measured(&self, mut request: Request) -> poem::Result<Response> {
        let bytes = request.take_body().into_bytes_limit(self.max_body_bytes).await?;
        request.set_body(Body::from_bytes(bytes));
        self.inner.call(request).await
    }
}
