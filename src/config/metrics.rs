//! `metrics.*`

use std::net::SocketAddr;

use super::setting::{SettingValue, section};

impl SettingValue for Option<SocketAddr> {
    const EXPECTED: &'static str = "address and port, such as 127.0.0.1:9464";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Some)
    }

    fn show(&self) -> Option<String> {
        self.map(|address| address.to_string())
    }
}

section! {
    /// Figures for Prometheus.
    MetricsConfig = "metrics" {
        /// A listener of its own for /metrics, which the service's then does not answer. Unset: the service's.
        listen: Option<SocketAddr> = "listen", |_| None;
    }
}
