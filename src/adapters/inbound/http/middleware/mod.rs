//! What every request passes on its way in and out, from the outside: id, trace, other origins, security headers, errors and
//! panics, limits.
//!
//! Statically nested endpoints, one file each, so that the hot path pays no boxed future per layer.

mod cors;
mod errors;
mod limits;
mod request_id;
mod security;
mod traces;

use std::sync::Arc;

use dlc_application::operations::readiness::Readiness;
use poem::{Endpoint, Response, http::HeaderValue};

use super::{Limits, Requests};

/// Wraps the routes.
pub(super) fn wrap(
    routes: impl Endpoint<Output = Response> + 'static,
    limits: Limits,
    readiness: Arc<Readiness>,
    requests: Requests,
    origins: &[String],
) -> impl Endpoint<Output = Response> + 'static {
    let limited = limits::Limited { inner: routes, limits };
    let answering = errors::Answering {
        inner: limited,
        readiness,
        requests,
    };
    let secured = security::Secured { inner: answering };
    // An origin that no header can hold was refused by the configuration.
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let crossed = cors::Cors {
        inner: secured,
        origins: origins.collect(),
    };
    let traced = traces::Traced { inner: crossed };
    request_id::Identified { inner: traced }
}
