//! `server.*`

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::setting::{section, words};

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

section! {
    /// The HTTP server.
    ServerConfig = "server" {
        /// Address to listen on. Outside of development: all addresses.
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
        /// Who is told details by /api/health/db, /api/metrics/db and /readyz?verbose: public, loopback or admin.
        details: Details = "details", |profile| if profile.is_strict() { Details::Admin } else { Details::Loopback };
    }
}
