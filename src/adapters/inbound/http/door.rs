//! Who asks, and from where: what the business routes know of a request besides what it asks for.
//!
//! Not here: how a token is presented (`bearer`), what it must be like (`AuthService`).

use std::sync::Arc;

use dlc_application::{
    auth::AuthService,
    operations::readiness::Readiness,
    ports::{
        audit::{Actor, Caller, Origin},
        freshness::WriteLog,
        sessions::Principal,
    },
};
use futures_util::{TryFutureExt, future::Either};
use poem::{
    Endpoint, Request, Response,
    http::{HeaderValue, header},
};

use super::{client::TrustedProxies, freshness, middleware::request_id::RequestId, problem::Problem};

/// Answers below these are about somebody, and nobody but they keep them.
const PRIVATE: [&str; 4] = ["/api/v1/auth/", "/api/v1/users/", "/api/v1/admin/", "/api/v1/greetings"];

/// The door of the business routes.
pub(super) struct Door {
    auth: Arc<AuthService>,
    readiness: Arc<Readiness>,
    proxies: TrustedProxies,
}

impl Door {
    pub(super) fn new(auth: Arc<AuthService>, readiness: Arc<Readiness>, proxies: TrustedProxies) -> Self {
        Self {
            auth,
            readiness,
            proxies,
        }
    }

    /// While the database is lost everybody is told so at once, instead of queueing for a connection that does not come.
    pub(super) fn database_at_hand(&self) -> Result<(), Problem> {
        if self.readiness.database_is_lost() {
            Err(Problem::lost_database())
        } else {
            Ok(())
        }
    }

    /// Who has this access token.
    pub(super) async fn authenticate(&self, token: &str) -> Result<Principal, Problem> {
        self.database_at_hand()?;
        self.auth.authenticate(token).await?.ok_or_else(Problem::invalid_token)
    }

    /// Who acts by this request, and from where.
    pub(super) fn caller(&self, request: &Request, principal: Option<&Principal>) -> Caller {
        let id = request.extensions().get::<RequestId>();
        Caller {
            actor: principal.map_or(Actor::Anonymous, |principal| Actor::User(principal.id)),
            origin: Origin {
                address: self.proxies.client_of(request),
                request_id: id.map(RequestId::as_str).unwrap_or_default().to_owned(),
            },
        }
    }
}

/// The business routes behind their door. Whoever presents nothing costs no more than a look at the headers.
pub(super) struct Entrance<E> {
    pub(super) inner: E,
    pub(super) door: Arc<Door>,
    /// Who has written when; none where every read sees everything anyway.
    pub(super) writes: Option<Arc<dyn WriteLog>>,
}

impl<E: Endpoint<Output = Response>> Endpoint for Entrance<E> {
    type Output = Response;

    fn call(&self, mut request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        if request.headers().contains_key(header::AUTHORIZATION) {
            request.extensions_mut().insert(Arc::clone(&self.door));
        }
        let path = request.uri().path();
        let is_private = PRIVATE.iter().any(|prefix| path.starts_with(prefix));
        let answer = match &self.writes {
            // In a box: it is for writes beside a replica, and nobody else carries it.
            Some(writes) if !freshness::only_reads(request.method()) => {
                Either::Left(Box::pin(freshness::noted(Arc::clone(writes), &self.inner, request)))
            }
            _ => Either::Right(self.inner.call(request)),
        };
        answer.map_ok(move |mut response| {
            if is_private {
                let headers = response.headers_mut();
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
            response
        })
    }
}
