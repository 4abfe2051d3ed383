//! Limits of a request: its client's share, its body's size and its time.
//!
//! poem's own size limit answers 411 to every request without a Content-Length, GETs included, so this one stands here.

use std::time::Duration;

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

impl<E> Limited<E> {
    /// Refuses a body that is too large: by its announced length, or by reading it when none is announced.
    async fn check_body(&self, request: &mut Request) -> poem::Result<()> {
        if matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS
        ) {
            return Ok(());
        }
        let max = self.max_body_bytes;
        match request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
        {
            Some(length) if length > max => Err(Problem::too_large().into()),
            Some(_) => Ok(()),
            None => {
                let bytes = request.take_body().into_bytes_limit(max).await?;
                request.set_body(Body::from_bytes(bytes));
                Ok(())
            }
        }
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Limited<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if let Some(UsedUp(after)) = request.extensions().get::<UsedUp>() {
            return Err(Problem::rate_limited(*after).into());
        }
        let answer = async {
            self.check_body(&mut request).await?;
            self.inner.call(request).await
        };
        tokio::time::timeout(self.timeout, answer).await.unwrap_or_else(|_| {
            Err(Problem::unavailable("request_timeout", "the request took too long and was given up").into())
        })
    }
}
