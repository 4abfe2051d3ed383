//! `traces.*`

use url::Url;

use super::setting::{SettingValue, section};

/// Where a collector takes traces: `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

impl Endpoint {
    /// As a URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SettingValue for Option<Endpoint> {
    const EXPECTED: &'static str =
        "the URL of a collector that takes OTLP over gRPC without TLS, such as http://127.0.0.1:4317";
    const TEXT: bool = true;

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let url = Url::parse(text).ok()?;
        let is_plain = url.scheme() == "http"
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        is_plain.then(|| Some(Endpoint(text.to_owned())))
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|endpoint| endpoint.0.clone())
    }
}

/// A share, from nothing to all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

impl SettingValue for Share {
    const EXPECTED: &'static str = "a number from 0 to 1";

    fn parse(text: &str) -> Option<Self> {
        let share: f64 = text.trim().parse().ok()?;
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

section! {
    /// Traces for OpenTelemetry.
    TracesConfig = "traces" {
        /// URL of a collector that takes OTLP over gRPC without TLS, such as http://127.0.0.1:4317. Unset: no traces.
        endpoint: Option<Endpoint> = "endpoint" ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"], |_| None;
        /// Share, from 0 to 1, of the traces begun here that are recorded. A caller that has a trace decides for itself.
        ratio: Share = "ratio", |_| Share(1.0);
        /// The service's name in traces.
        service_name: String = "service_name" ["OTEL_SERVICE_NAME"], |_| "dlc".to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_plain_url_and_nothing_else() {
        let endpoint = |text: &str| Option::<Endpoint>::parse(text).flatten().map(|e| e.0);
        for good in ["http://127.0.0.1:4317", "http://collector:4317/", "http://[::1]:4317"] {
            assert_eq!(endpoint(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "collector:4317",
            "https://collector:4317",
            "http://",
            "http://a:b@c:1",
            "unix:///a",
        ] {
            assert_eq!(endpoint(bad), None, "{bad}");
        }
        for (text, share) in [
            ("0", Some(0.0)),
            ("0.25", Some(0.25)),
            ("1", Some(1.0)),
            ("1.1", None),
            ("-0.1", None),
            ("NaN", None),
        ] {
            assert_eq!(Share::parse(text).map(|share| share.0), share, "{text}");
        }
    }
}
