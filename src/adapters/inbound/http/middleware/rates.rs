//! How many requests one client may make: a bucket of tokens per address, 429 when it is empty, and headers that say how full it
//! is (draft-ietf-httpapi-ratelimit-headers).
//!
//! An IPv6 client has a whole /64 for itself, so that is one address here. Probes and metrics are not counted. Not here: which
//! address is the client's (`client`), limits of signing in.

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
    http::{HeaderName, HeaderValue},
};

use crate::adapters::inbound::http::{RateLimit, client::TrustedProxies, gate};

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
    pub(super) fn new(limit: RateLimit) -> Self {
        let quota = Quota::with_period(limit.window / limit.requests.get())
            .unwrap_or_else(|| Quota::per_second(NonZeroU32::MAX))
            .allow_burst(limit.requests);
        let policy = format!("\"address\";q={};w={}", limit.requests, limit.window.as_secs().max(1));
        Self {
            limiter: RateLimiter::dashmap_with_clock(quota, DefaultClock::default())
                .with_middleware::<StateInformationMiddleware>(),
            clock: DefaultClock::default(),
            limit,
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
                    refilled_after: seconds(self.limit.window / self.limit.requests.get() * used),
                    used_up: None,
                }
            }
            Err(not_until) => {
                let after = seconds(not_until.wait_time_from(self.clock.now()));
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

/// Whole seconds, at least one, rounded up: whoever waits so long does not wait in vain.
fn seconds(duration: Duration) -> u32 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX).max(1)
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

pub(super) struct Rated<E> {
    pub(super) inner: E,
    /// None where there is no limit.
    pub(super) buckets: Option<Buckets>,
    pub(super) proxies: TrustedProxies,
}

impl<E: Endpoint<Output = Response>> Endpoint for Rated<E> {
    type Output = Response;

    fn call(&self, mut request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        let buckets = self.buckets.as_ref();
        let limited = buckets.filter(|_| gate::is_gated(request.uri().path()));
        let decided = limited
            .and_then(|buckets| Some((buckets, self.proxies.client_of(&request)?)))
            .map(|(buckets, client)| (buckets, buckets.ask(client)));
        if let Some(used_up) = decided.as_ref().and_then(|(_, decision)| decision.used_up) {
            request.extensions_mut().insert(used_up);
        }
        self.inner.call(request).map_ok(move |mut response| {
            if let Some((buckets, decision)) = decided {
                let state = format!("\"address\";r={};t={}", decision.remaining, decision.refilled_after);
                let headers = response.headers_mut();
                headers.insert(POLICY, buckets.policy.clone());
                if let Ok(state) = HeaderValue::from_str(&state) {
                    headers.insert(STATE, state);
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
        Buckets::new(RateLimit { requests, window })
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
