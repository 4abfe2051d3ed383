//! Limits of a request: its client's share, its body's size and its time.
//!
//! poem's own size limit answers 411 to every request without a Content-Length, GETs included, so this one stands here.

use std::{io, time::Duration};

use futures_util::{FutureExt, future::Either};
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::body::Bytes;
use poem::{
    Body, Endpoint, Request, Response,
    http::{Method, StatusCode, header},
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::bytes::BytesMut;

use super::rates::UsedUp;
use crate::adapters::inbound::http::{admission::overloaded, problem::Problem};

/// Memory for bodies that are being read or worked on, in bytes; four of the largest ones if that is more.
const MEMORY: usize = 64 * 1024 * 1024;
/// As much of a refused body is read all the same, in bytes, and for so long at most.
const SKIPPED: usize = 64 * 1024 * 1024;
const SKIPPED_FOR: Duration = Duration::from_secs(2);

impl<E> Limited<E> {
    pub(super) fn new(inner: E, timeout: Duration, max_body_bytes: usize) -> Self {
        let memory = MEMORY.max(max_body_bytes.saturating_mul(4));
        Self {
            inner,
            timeout,
            max_body_bytes,
            memory: Semaphore::new(memory.min(Semaphore::MAX_PERMITS)),
        }
    }
}

pub(super) struct Limited<E> {
    pub(super) inner: E,
    /// Longest time for one request.
    pub(super) timeout: Duration,
    /// Largest body in bytes.
    pub(super) max_body_bytes: usize,
    /// Bytes that all bodies together may take.
    pub(super) memory: Semaphore,
}

impl<E: Endpoint<Output = Response>> Endpoint for Limited<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        // Reading needs a state of its own; whoever has nothing to read carries no more than a pointer for it.
        match self.judge(&request) {
            Judgement::Refused(problem) => Either::Right(Box::pin(self.read(request, Some(problem)))),
            Judgement::Empty => Either::Left(self.in_time(request)),
            Judgement::HasBody => Either::Right(Box::pin(self.read(request, None))),
        }
    }
}

/// What can be said of a request before its body is read.
enum Judgement {
    Refused(Problem),
    Empty,
    HasBody,
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
            return Judgement::Empty;
        }
        let length = request.headers().get(header::CONTENT_LENGTH);
        match length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok()) {
            Some(0) => Judgement::Empty,
            Some(length) if length > self.max_body_bytes => Judgement::Refused(Problem::too_large()),
            _ => Judgement::HasBody,
        }
    }

    fn in_time(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        tokio::time::timeout(self.timeout, self.inner.call(request)).map(|answer| {
            answer.unwrap_or_else(|_| {
                Err(Problem::unavailable("request_timeout", "the request took too long and was given up").into())
            })
        })
    }

    /// Reads the body before anything is done for its sender: whoever sends slowly takes no place among those who are worked on.
    async fn read(&self, mut request: Request, refused: Option<Problem>) -> poem::Result<Response> {
        // Whoever waits to be told to go on has not sent it, unless it was asked for.
        let mut is_sent = refused.is_none() || !request.headers().contains_key(header::EXPECT);
        let mut body: BoxBody<Bytes, io::Error> = request.take_body().into();
        let problem = match refused {
            Some(problem) => problem,
            None => match tokio::time::timeout(self.timeout, self.bytes(&mut body)).await {
                Ok(Ok((bytes, _held))) => {
                    request.set_body(Body::from_bytes(bytes));
                    return self.in_time(request).await;
                }
                Ok(Err(problem)) => problem,
                Err(_) => {
                    is_sent = false;
                    let detail = "the body did not come in time";
                    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
                }
            },
        };
        let is_read = is_sent && skip(&mut body).await;
        Err(Problem {
            ends_connection: !is_read,
            ..problem
        }
        .into())
    }

    /// A whole body, and its share of the memory for bodies. Only what has come takes memory, and only that is counted.
    async fn bytes(
        &self,
        body: &mut BoxBody<Bytes, io::Error>,
    ) -> Result<(Bytes, Option<SemaphorePermit<'_>>), Problem> {
        let (mut first, mut more) = (Bytes::new(), BytesMut::new());
        let mut held: Option<SemaphorePermit<'_>> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::invalid_body("it could not be read"))?;
            let Ok(data) = frame.into_data() else { continue };
            if first.len() + more.len() + data.len() > self.max_body_bytes {
                return Err(Problem::too_large());
            }
            let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let share = self.memory.try_acquire_many(length).map_err(|_| overloaded())?;
            match &mut held {
                Some(held) => held.merge(share),
                None => held = Some(share),
            }
            if first.is_empty() {
                first = data;
            } else {
                more.extend_from_slice(&data);
            }
        }
        if more.is_empty() {
            return Ok((first, held));
        }
        let mut whole = BytesMut::with_capacity(first.len() + more.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&more);
        Ok((whole.freeze(), held))
    }
}

/// Reads what is left of a body that nobody wants, and whether that was all of it: whoever still sends hears no answer, because what
/// lies unread when a connection is closed takes the answer with it (RFC 9112 §9.6).
async fn skip(body: &mut BoxBody<Bytes, io::Error>) -> bool {
    let mut left = SKIPPED;
    let skipped = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else {
                return false;
            };
            left = rest;
        }
        true
    };
    tokio::time::timeout(SKIPPED_FOR, skipped).await.unwrap_or(false)
}
