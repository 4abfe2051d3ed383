//! The service that is aimed at: where it is, how its coupons are made and looked at, and in which words it is told that it is not
//! there, is something else, or turns away.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use url::{Host, Url};

use super::{client::Connection, verdict::Seen};
use crate::adapters::inbound::cli::exit::{Exit, Failure, plain};

/// Connections over which coupons are made and looked at.
const LANES: usize = 16;

/// Where a service is.
#[derive(Clone, Debug)]
pub(super) struct Service {
    /// As it was typed.
    pub(super) url: String,
    host: Host<String>,
    port: u16,
    /// What stands before each path.
    base: String,
    /// The address that answered.
    address: Option<SocketAddr>,
}

/// What is to be done with coupons.
#[derive(Clone, Copy, Debug)]
pub(super) enum Errand {
    /// Make them with so many pieces.
    Create(i32),
    /// Look at them.
    Look,
    /// Only see that they can be read, whatever they look like.
    Read,
}

impl Service {
    /// A service that nobody has asked yet.
    ///
    /// # Errors
    /// When it is no URL of a service that speaks plain HTTP.
    pub(super) fn named(url: &str) -> Result<Self, Failure> {
        // What was typed is not repeated: it may hold a password.
        let usage = |why: &str| {
            Failure::new(Exit::Usage, "url_invalid", format!("--url {why}"))
                .hint("write it as http://HOST:PORT, for example http://127.0.0.1:8080")
        };
        let parsed = Url::parse(url).map_err(|error| usage(&format!("is no URL: {error}")))?;
        match parsed.scheme() {
            "http" => {}
            "https" => {
                return Err(usage("is one of TLS, and this speaks plain HTTP only")
                    .hint("aim it at a listener without TLS: what encryption costs is not the sale's"));
            }
            _ => return Err(usage("is none of HTTP")),
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(usage("has a user or a password, and nobody signs in here"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(usage("has a query or a fragment"));
        }
        let host = parsed.host().ok_or_else(|| usage("names no host"))?.to_owned();
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            host,
            port: parsed.port_or_known_default().unwrap_or(80),
            base: parsed.path().trim_end_matches('/').to_owned(),
            address: None,
        })
    }

    /// Finds out which address of it answers.
    ///
    /// # Errors
    /// When none does.
    pub(super) async fn found(mut self) -> Result<Self, Failure> {
        let addresses = self.addresses().await.map_err(|error| self.unreachable(&error))?;
        let mut why = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match Connection::open(address).await {
                Ok(_) => {
                    self.address = Some(address);
                    return Ok(self);
                }
                Err(error) => why = error,
            }
        }
        Err(self.unreachable(&why))
    }

    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(match &self.host {
            Host::Ipv4(ip) => vec![(IpAddr::V4(*ip), self.port).into()],
            Host::Ipv6(ip) => vec![(IpAddr::V6(*ip), self.port).into()],
            Host::Domain(name) => tokio::net::lookup_host((name.as_str(), self.port)).await?.collect(),
        })
    }

    /// Connects to it.
    pub(super) async fn connect(&self) -> io::Result<Connection> {
        let address = self.address.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Connection::open(address).await
    }

    /// The first lines of a request for a path below `/api/v1/coupons`.
    pub(super) fn head(&self, method: &str, path: &str) -> String {
        let Self { host, port, base, .. } = self;
        format!("{method} {base}/api/v1/coupons{path} HTTP/1.1\r\nHost: {host}:{port}\r\n")
    }

    /// A coupon's path below that.
    pub(super) fn coupon(name: &str) -> String {
        // Hyphens need no escaping, and make up most of what a run's names have beside letters.
        const NOT_PLAIN: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
        format!("/{}", utf8_percent_encode(name, NOT_PLAIN))
    }

    /// Does the same with all of these coupons. What is seen of them comes in their order.
    ///
    /// # Errors
    /// With the first that fails.
    pub(super) async fn run(&self, errand: Errand, names: &[String]) -> Result<Vec<Seen>, Failure> {
        let mut lanes = JoinSet::new();
        for lane in 0..LANES.min(names.len()) {
            let names: Vec<(usize, String)> = names.iter().cloned().enumerate().skip(lane).step_by(LANES).collect();
            let service = self.clone();
            lanes.spawn(async move { service.lane(errand, names).await });
        }
        let mut seen = vec![Seen::default(); names.len()];
        while let Some(lane) = lanes.join_next().await {
            let lane = lane.map_err(|error| self.unreachable(&io::Error::other(error)))?;
            for (index, coupon) in lane? {
                seen[index] = coupon;
            }
        }
        Ok(seen)
    }

    async fn lane(&self, errand: Errand, names: Vec<(usize, String)>) -> Result<Vec<(usize, Seen)>, Failure> {
        let mut connection = self.connect().await.map_err(|error| self.unreachable(&error))?;
        let mut seen = Vec::with_capacity(names.len());
        for (index, name) in names {
            if connection.is_closing() {
                connection = self.connect().await.map_err(|error| self.unreachable(&error))?;
            }
            seen.push((index, self.one(&mut connection, errand, &name).await?));
        }
        Ok(seen)
    }

    async fn one(&self, connection: &mut Connection, errand: Errand, name: &str) -> Result<Seen, Failure> {
        let path = Self::coupon(name);
        let (request, asked) = match errand {
            Errand::Create(amount) => {
                let body = json!({"name": name, "amount": amount}).to_string();
                let head = self.head("POST", "");
                let length = body.len();
                let request = format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
                (request, "POST /api/v1/coupons".to_owned())
            }
            Errand::Look | Errand::Read => (
                format!("{}\r\n", self.head("GET", &path)),
                format!("GET /api/v1/coupons{path}"),
            ),
        };
        let answer = connection.exchange(request.as_bytes(), Instant::now()).await;
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        let body: Value = serde_json::from_slice(answer.body).unwrap_or_default();
        let whole = |field: &str| body[field].as_i64();
        match (errand, answer.status, whole("amount"), whole("remaining_amount")) {
            (Errand::Create(_), 201, Some(amount), Some(remaining))
            | (Errand::Look, 200, Some(amount), Some(remaining)) => Ok(Seen { amount, remaining }),
            (Errand::Read, 200, ..) => Ok(Seen::default()),
            (Errand::Look | Errand::Read, 404, ..) if code(answer.body) == Some("coupon_not_found") => {
                let message = format!("there is no coupon {name} at {}", self.url);
                Err(Failure::new(Exit::Failed, "coupon_not_found", message)
                    .hint("leave --coupon away: then coupons are made for the sale"))
            }
            (_, status, ..) => Err(self.turned_away(&asked, status, answer.body)),
        }
    }

    /// Nobody is there, or says nothing that can be understood.
    pub(super) fn unreachable(&self, why: &io::Error) -> Failure {
        let why = if why.kind() == io::ErrorKind::TimedOut {
            "no answer in time".to_owned()
        } else {
            plain(why)
        };
        let message = format!("no service answers at {}: {why}", self.url);
        Failure::new(Exit::Failed, "service_unreachable", message)
            .hint("is it running? dlc serve; at another place: --url http://HOST:PORT")
    }

    /// An answer that ends everything.
    pub(super) fn turned_away(&self, asked: &str, status: u16, body: &[u8]) -> Failure {
        let url = &self.url;
        let code = code(body);
        let called = code.map_or_else(|| status.to_string(), |code| format!("{status} {code}"));
        match (status, code) {
            (401 | 403, _) => Failure::new(
                Exit::Permission,
                "sign_in_required",
                format!(
                    "the service at {url} wants people to sign in ({called}), so that a crowd cannot be played there"
                ),
            )
            .hint("on a test installation let everybody create and claim: DLC_AUTH__COUPONS=open dlc serve"),
            (429, _) => Failure::new(
                Exit::Failed,
                "rate_limited",
                format!(
                    "the service at {url} limits the requests of an address ({called}), and a crowd comes from one here"
                ),
            )
            .hint("on a test installation switch that off: DLC_SERVER__RATE_LIMIT=off dlc serve"),
            (503, Some(_)) => Failure::new(
                Exit::Failed,
                "service_unavailable",
                format!("the service at {url} cannot serve now: {asked} answers {called}"),
            )
            .hint("dlc health tells whether it is ready, dlc db check looks at its database"),
            (_, Some(_)) => Failure::new(
                Exit::Failed,
                "request_refused",
                format!("the service at {url} refuses: {asked} answers {called}"),
            )
            .hint("dlc openapi tells what each answer means"),
            (_, None) => Failure::new(
                Exit::Failed,
                "not_dlc",
                format!("what answers at {url} does not sell coupons as dlc does: {asked} answers {called}"),
            )
            .hint("is that the service's own address? its explorer is at /docs"),
        }
    }
}

/// Whether the same may go well a little later.
pub(super) fn may_pass(failure: &Failure) -> bool {
    matches!(failure.code, "service_unreachable" | "service_unavailable")
}

/// The code of a problem: found, not parsed, because it is looked for in each answer that grants nothing.
pub(super) fn code(body: &[u8]) -> Option<&str> {
    const BEFORE: &[u8] = b"\"code\":\"";
    let start = body.windows(BEFORE.len()).position(|bytes| bytes == BEFORE)? + BEFORE.len();
    let length = body[start..].iter().position(|byte| *byte == b'"')?;
    let code = &body[start..start + length];
    let is_code = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
    // Whoever listens there may be anybody, and it is printed.
    if code.is_empty() || length > 40 || !code.iter().all(is_code) {
        return None;
    }
    std::str::from_utf8(code).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_where_there_is_one() {
        assert_eq!(code(br#"{"status":409,"code":"out_of_stock"}"#), Some("out_of_stock"));
        for body in [
            &br#"{"code":""}"#[..],
            br#"{"code":"A\u001b"}"#,
            br#"{"code":"cut_of"#,
            b"",
            br#"{"code":7}"#,
        ] {
            assert_eq!(code(body), None);
        }
    }
}
