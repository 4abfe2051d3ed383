//! `server.*`

use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    time::Duration,
};

use ipnet::IpNet;

use super::setting::{SettingValue, section, words};

words! {
    /// Who is told details about the database by the health routes.
    Details: "public, loopback or admin" {
        /// Everyone.
        Public = "public",
        /// Callers on this machine, unless a proxy forwarded them.
        Loopback = "loopback",
        /// Administrators.
        Admin = "admin",
    }
}

/// Origins of pages: scheme, host and port as a browser sends them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(pub Vec<String>);

impl SettingValue for Origins {
    const EXPECTED: &'static str = "origins such as https://app.example, separated by commas";
    const TEXT: bool = true;

    fn parse(text: &str) -> Option<Self> {
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        let is_origin = |origin: &str| {
            let host = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"));
            host.is_some_and(|host| {
                let good = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
                !host.is_empty() && host.chars().all(good)
            })
        };
        origins
            .map(|origin| is_origin(origin).then(|| origin.to_ascii_lowercase()))
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    fn show(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(", "))
    }
}

/// Requests in a time, of one client; none for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate(pub Option<(NonZeroU32, Duration)>);

impl SettingValue for Rate {
    const EXPECTED: &'static str = "requests per time from a second to an hour, such as 20/1s or 600/1m, or off";
    const TEXT: bool = true;

    fn parse(text: &str) -> Option<Self> {
        if text.trim() == "off" {
            return Some(Self(None));
        }
        let (requests, window) = text.split_once('/')?;
        let window = humantime::parse_duration(window.trim()).ok()?;
        let requests: NonZeroU32 = requests.trim().parse().ok()?;
        // Less than a nanosecond per request is no limit; whoever came within the time is remembered for as long.
        let is_sound = !(window / requests.get()).is_zero() && (1..=3600).contains(&window.as_secs());
        is_sound.then_some(Self(Some((requests, window))))
    }

    fn show(&self) -> Option<String> {
        Some(self.0.map_or_else(
            || "off".to_owned(),
            |(requests, window)| format!("{requests}/{}", humantime::format_duration(window)),
        ))
    }
}

/// Networks, each an address or a range of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<IpNet>);

impl SettingValue for Networks {
    const EXPECTED: &'static str = "networks such as 10.0.0.0/8, separated by commas";
    const TEXT: bool = true;

    fn parse(text: &str) -> Option<Self> {
        let network = |text: &str| {
            text.parse::<IpNet>()
                .ok()
                .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        };
        let networks = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        networks.map(network).collect::<Option<Vec<_>>>().map(Self)
    }

    fn show(&self) -> Option<String> {
        let networks: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        (!networks.is_empty()).then(|| networks.join(", "))
    }
}

section! {
    /// The HTTP server.
    ServerConfig = "server" {
        /// Address to listen on. In staging and production: all addresses.
        host: IpAddr = "host", |profile| if profile.is_strict() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST }.into();
        /// Port to listen on; 0 takes any free one.
        port: u16 = "port" ["PORT", "SERVER_PORT"], |_| 8080;
        /// Longest time for one request; then 503.
        request_timeout: Duration = "request_timeout", |_| Duration::from_secs(10);
        /// Longest wait for a request's headers, on an idle connection too; then it is closed.
        header_timeout: Duration = "header_timeout", |_| Duration::from_secs(30);
        /// Largest request body in bytes; above it 413.
        max_body_bytes: u32 = "max_body_bytes", |_| 1024 * 1024;
        /// Most connections at a time; more wait to be accepted.
        max_connections: u32 = "max_connections", |_| 10_000;
        /// Most requests that are worked on at a time; more wait their turn.
        max_in_flight: u32 = "max_in_flight", |_| 256;
        /// Most requests that wait their turn; above it 503.
        max_queue: u32 = "max_queue", |_| 4096;
        /// Requests of one address per time, such as 600/1m; above it 429. Each begins with a full bucket of so many, which fills
        /// again at that rate. Probes and metrics are not counted.
        rate_limit: Rate = "rate_limit", |_| Rate::default();
        /// Networks of proxies whose X-Forwarded-For is believed, separated by commas. Unset: none.
        trusted_proxies: Networks = "trusted_proxies", |_| Networks::default();
        /// Origins of pages that may call the API from a browser, separated by commas. Unset: none but its own.
        cors_origins: Origins = "cors_origins", |_| Origins::default();
        /// Who is told details by /api/health/db, /api/metrics/db and /readyz?verbose: public, loopback or admin.
        details: Details = "details", |profile| if profile.is_strict() { Details::Admin } else { Details::Loopback };
    }
}
