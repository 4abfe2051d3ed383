//! What every request passes on its way in and out, from the outside: id, trace, other origins, security headers, compression,
//! the client's share, errors and panics, what HTTP demands, limits.
//!
//! Statically nested endpoints, one file each, so that the hot path pays no boxed future per layer. Their `call` is no `async fn`
//! but returns the inner future with what follows it: an `async fn` keeps its request twice, and ten of them made each request's
//! future 14 KB, which a crowd of connections paid for in cache misses.

mod compression;
mod cors;
mod errors;
mod limits;
mod protocol;
mod rates;
pub(super) mod request_id;
mod security;
mod traces;

use std::sync::Arc;

use poem::{Endpoint, Response, http::HeaderValue};
use tokio::sync::Notify;

use super::{Limits, Requests, client::TrustedProxies};

/// Wraps the routes.
pub(super) fn wrap(
    routes: impl Endpoint<Output = Response> + 'static,
    limits: Limits,
    doubted: Arc<Notify>,
    requests: Requests,
    origins: &[String],
) -> impl Endpoint<Output = Response> + 'static {
    let limited = limits::Limited::new(routes, limits.request_timeout, limits.max_body_bytes);
    let answering = errors::Answering {
        inner: protocol::Conforming { inner: limited },
        doubted,
        requests,
    };
    let rated = rates::Rated {
        inner: answering,
        all: limits.rate.map(|limit| rates::Buckets::new("address", limit)),
        tries: limits
            .credentials_rate
            .map(|limit| rates::Buckets::new("credentials", limit)),
        proxies: TrustedProxies(limits.trusted_proxies),
    };
    let compressed = compression::Compressed { inner: rated };
    let secured = security::Secured { inner: compressed };
    // An origin that no header can hold was refused by the configuration.
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let crossed = cors::Cors {
        inner: secured,
        origins: origins.collect(),
    };
    let traced = traces::Traced { inner: crossed };
    request_id::Identified { inner: traced }
}
