//! What every request passes on its way in and out, from the outside: id, errors and panics, security headers, limits.
//!
//! Statically nested endpoints, one file each, so that the hot path pays no boxed future per layer.

mod errors;
mod limits;
mod request_id;
mod security;

use std::sync::Arc;

use dlc_application::operations::readiness::Readiness;
use poem::{Endpoint, Response};

use super::{Limits, Requests};

/// Wraps the routes.
pub(super) fn wrap(
    routes: impl Endpoint<Output = Response> + 'static,
    limits: Limits,
    readiness: Arc<Readiness>,
    requests: Requests,
) -> impl Endpoint<Output = Response> + 'static {
    let limited = limits::Limited { inner: routes, limits };
    let answering = errors::Answering {
        inner: limited,
        readiness,
        requests,
    };
    let secured = security::Secured { inner: answering };
    request_id::Identified { inner: secured }
}
