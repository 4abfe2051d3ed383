//! How many requests one client may make: a bucket of tokens per address, 429 when it is empty, and headers that say how full it
//! is (draft-ietf-httpapi-ratelimit-headers).
//!
//! Tries at passwords, codes and new accounts come out of a second, smaller bucket as well: each of them makes this service work, and
//! is how somebody guesses. An IPv6 client has a whole /64 for itself, so that is one address here. Probes and metrics are not counted.
//! Not here: which address is the client's (`client`), how often a name may be tried (`domain/sessions`).

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::TryFutureExt;
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
};
use poem::{
    Endpoint, Request, Response,
    http::{HeaderName, HeaderValue, Method},
};

use crate::adapters::inbound::http::{RateLimit, client::TrustedProxies, gate, problem::whole_seconds};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// How often buckets that are full again are dropped, at least.
const SWEPT_EVERY: Duration = Duration::from_secs(60);

/// Among a request's extensions: its client has used up what it may, and may ask again after so many seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct UsedUp(pub(super) u32);

/// The buckets.
pub(super) struct Buckets {
    limiter: DefaultKeyedRateLimiter<IpAddr, StateInformationMiddleware>,
    clock: DefaultClock,
    limit: RateLimit,
    name: &'static str,
    policy: HeaderValue,
    swept: Mutex<Instant>,
}

/// What a bucket said.
struct Decision {
    remaining: u32,
    /// Seconds until it is full again; where it was empty, until it has something again.
    refilled_after: u32,
    used_up: Option<UsedUp>,
}

impl Buckets {
    /// Buckets of that name in the headers.
    pub(super) fn new(name: &'static str, limit: RateLimit) -> Self {
        let quota = Quota::with_period(limit.window / limit.requests.get())
            .unwrap_or_else(|| Quota::per_second(NonZeroU32::MAX))
            .allow_burst(limit.requests);
        let policy = format!("\"{name}\";q={};w={}", limit.requests, limit.window.as_secs().max(1));
        Self {
            limiter: RateLimiter::dashmap_with_clock(quota, DefaultClock::default())
                .with_middleware::<StateInformationMiddleware>(),
            clock: DefaultClock::default(),
            limit,
            name,
            policy: HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("")),
            swept: Mutex::new(Instant::now()),
        }
    }

    fn ask(&self, address: IpAddr) -> Decision {
        self.sweep();
        match self.limiter.check_key(&bucket_of(address)) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let used = self.limit.requests.get().saturating_sub(remaining);
                Decision {
                    remaining,
                    refilled_after: whole_seconds(self.limit.window / self.limit.requests.get() * used),
                    used_up: None,
                }
            }
            Err(not_until) => {
                let after = whole_seconds(not_until.wait_time_from(self.clock.now()));
                Decision {
                    remaining: 0,
                    refilled_after: after,
                    used_up: Some(UsedUp(after)),
                }
            }
        }
    }

    /// Drops buckets that are full again, so that memory is bounded by the clients of one window and a minute.
    fn sweep(&self) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.elapsed() < self.limit.window.min(SWEPT_EVERY) {
            return;
        }
        *swept = Instant::now();
        drop(swept);
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

fn bucket_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Where passwords and codes are tried, and accounts made: what the smaller bucket is for.
const TRIES: [(Method, &str); 4] = [
    (Method::POST, "/api/v1/auth/login"),
    (Method::POST, "/api/v1/auth/password-reset"),
    (Method::POST, "/api/v1/auth/register"),
    (Method::PUT, "/api/v1/users/me/password"),
];

fn is_try(request: &Request) -> bool {
    let path = request.uri().path();
    TRIES
        .iter()
        .any(|(method, tried)| *tried == path && method == request.method())
}

pub(super) struct Rated<E> {
    pub(super) inner: E,
    /// For all requests; none where there is no limit.
    pub(super) all: Option<Buckets>,
    /// For tries at passwords and the like; none where there is no limit.
    pub(super) tries: Option<Buckets>,
    pub(super) proxies: TrustedProxies,
}

impl<E> Rated<E> {
    /// What the buckets say to a request. Whom the first one refuses costs the second nothing.
    fn decide(&self, request: &Request) -> [Option<(&Buckets, Decision)>; 2] {
        let all = self.all.as_ref().filter(|_| gate::is_gated(request.uri().path()));
        let tries = self.tries.as_ref().filter(|_| is_try(request));
        if all.is_none() && tries.is_none() {
            return [None, None];
        }
        let client = self.proxies.client_of(request);
        let all = all.zip(client).map(|(buckets, client)| (buckets, buckets.ask(client)));
        if all.as_ref().is_some_and(|(_, decision)| decision.used_up.is_some()) {
            return [all, None];
        }
        let tries = tries
            .zip(client)
            .map(|(buckets, client)| (buckets, buckets.ask(client)));
        [all, tries]
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Rated<E> {
    type Output = Response;

    fn call(&self, mut request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        let decided = self.decide(&request);
        let used_up = decided.iter().flatten().find_map(|(_, decision)| decision.used_up);
        if let Some(used_up) = used_up {
            request.extensions_mut().insert(used_up);
        }
        self.inner.call(request).map_ok(move |mut response| {
            let headers = response.headers_mut();
            // Two lines of such a header are one list (RFC 9110 §5.3).
            for (buckets, decision) in decided.into_iter().flatten() {
                let (name, remaining, after) = (buckets.name, decision.remaining, decision.refilled_after);
                headers.append(POLICY, buckets.policy.clone());
                if let Ok(state) = HeaderValue::from_str(&format!("\"{name}\";r={remaining};t={after}")) {
                    headers.append(STATE, state);
                }
            }
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(requests: u32, window: Duration) -> Buckets {
        let requests = NonZeroU32::new(requests).unwrap();
        Buckets::new("address", RateLimit { requests, window })
    }

    #[test]
    fn a_client_has_so_many_requests_and_others_have_theirs() {
        let buckets = buckets(2, Duration::from_secs(3600));
        let ask = |address: &str| {
            let decision = buckets.ask(address.parse().unwrap());
            (decision.remaining, decision.used_up.is_some())
        };
        assert_eq!(ask("1.2.3.4"), (1, false));
        assert_eq!(ask("1.2.3.4"), (0, false));
        assert_eq!(ask("1.2.3.4"), (0, true));
        assert_eq!(ask("1.2.3.5"), (1, false));
        // One household.
        assert_eq!(ask("2001:db8::1"), (1, false));
        assert_eq!(ask("2001:db8::2"), (0, false));
        assert_eq!(ask("2001:db8:0:1::2"), (1, false));
    }

    #[test]
    fn whoever_is_refused_is_told_when_to_come_back() {
        let buckets = buckets(2, Duration::from_secs(120));
        let ask = || buckets.ask("1.2.3.4".parse().unwrap());
        assert_eq!((ask().refilled_after, ask().refilled_after), (60, 120));
        let wait = ask().used_up.unwrap().0;
        assert!((59..=60).contains(&wait), "{wait}");
    }

    #[test]
    fn buckets_that_are_full_again_take_no_memory() {
        let buckets = buckets(1_000, Duration::from_millis(1));
        for last in 0..100 {
            buckets.ask(IpAddr::from([10, 0, 0, last]));
        }
        std::thread::sleep(Duration::from_millis(3));
        buckets.ask(IpAddr::from([10, 1, 0, 0]));
        assert!(buckets.limiter.len() <= 2, "{}", buckets.limiter.len());
    }
}
