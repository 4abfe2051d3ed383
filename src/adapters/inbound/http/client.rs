//! The address that a request comes from: the connection's, or behind a trusted proxy the one that the proxy names.
//!
//! `X-Forwarded-For` grows to the right, and only what a trusted proxy wrote there is true: so it is read from the right, as long
//! as those named are trusted proxies themselves. Whatever a client wrote into it stands further to the left and counts for
//! nothing.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use poem::{Addr, Request, http::HeaderMap};

/// Networks whose word on the client's address is taken.
#[derive(Clone, Debug, Default)]
pub(super) struct TrustedProxies(pub(super) Vec<IpNet>);

impl TrustedProxies {
    /// Where a request comes from; `None` for a connection that has no address.
    pub(super) fn client_of(&self, request: &Request) -> Option<IpAddr> {
        match request.remote_addr().0 {
            Addr::SocketAddr(address) => Some(self.client(address.ip().to_canonical(), request.headers())),
            _ => None,
        }
    }

    pub(super) fn client(&self, connected: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = connected;
        if self.0.is_empty() {
            return client;
        }
        let lines: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .map(|line| line.to_str().unwrap_or_default())
            .collect();
        let mut named = lines.iter().rev().flat_map(|line| line.rsplit(','));
        while self.is_trusted(client) {
            // Nonsense is nobody's address: what was known before it stands.
            let Some(next) = named.next().and_then(|name| address(name.trim())) else {
                break;
            };
            client = next;
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An address, with or without a port: both are seen.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], connected: &str, forwarded: &[&'static str]) -> String {
        let trusted = TrustedProxies(trusted.iter().map(|network| network.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        trusted.client(connected.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_what_it_wrote() {
        let proxies = ["10.0.0.0/8", "fd00::/8"];
        let cases: [(&[&str], &str, &[&'static str], &str); 10] = [
            (&[], "10.0.0.1", &["1.2.3.4"], "10.0.0.1"),
            (&proxies, "9.9.9.9", &["1.2.3.4"], "9.9.9.9"),
            (&proxies, "10.0.0.1", &[], "10.0.0.1"),
            (&proxies, "10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            // What the client itself wrote stands to the left.
            (&proxies, "10.0.0.1", &["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            (&proxies, "10.0.0.1", &["6.6.6.6", "1.2.3.4, 10.0.0.2"], "1.2.3.4"),
            (&proxies, "10.0.0.1", &["1.2.3.4, nonsense, 10.0.0.2"], "10.0.0.2"),
            (&proxies, "10.0.0.1", &["10.0.0.3"], "10.0.0.3"),
            (&proxies, "fd00::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            (&proxies, "10.0.0.1", &["::ffff:1.2.3.4"], "1.2.3.4"),
        ];
        for (trusted, connected, forwarded, expected) in cases {
            assert_eq!(
                client(trusted, connected, forwarded),
                expected,
                "{connected} {forwarded:?}"
            );
        }
    }
}
