//! `dlc health`: asks the running service on this machine, in the way that it speaks; opens no database and reads no secret,
//! the key of the service's certificate included.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    exit::{Exit, Failure, plain},
    printer::Printer,
    unverified::encrypted,
};

/// Bytes of an answer that are read: whoever listens there may be anybody.
const LONGEST_ANSWER: usize = 256 * 1024;

/// `dlc health`: 0 when `/readyz` says 200.
///
/// # Errors
/// In every other case, with exit code 1.
pub async fn run(host: IpAddr, port: u16, is_tls: bool, limit: Duration, printer: Printer) -> Result<Exit, Failure> {
    // A service that listens on all addresses is asked on loopback.
    let host = match host {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let address = SocketAddr::new(host, port);
    let failed = |why: String| {
        Failure::new(
            Exit::Failed,
            "not_ready",
            format!("the service at {address} is not ready: {why}"),
        )
        .hint("is it running? dlc serve; another port: --port; it is asked as server.tls says, in plain HTTP without a certificate")
    };
    let late = |_| failed(format!("no answer within {} ms", limit.as_millis()));
    let asked = tokio::time::timeout(limit, ask(address, is_tls, "/readyz")).await;
    let (status, body) = asked.map_err(late)?.map_err(|why| failed(plain(&why)))?;
    if status == StatusCode::OK {
        printer.line("ready");
        return Ok(Exit::Done);
    }
    // Only now: the doctor's look is more than a probe, and whoever may not see it gets the short answer again.
    let reasons = match tokio::time::timeout(limit, ask(address, is_tls, "/readyz?verbose")).await {
        Ok(Ok((_, verbose))) => reasons(&verbose),
        _ => reasons(&body),
    };
    let reasons = if reasons.is_empty() {
        format!("/readyz says {}", status.as_u16())
    } else {
        reasons.join("; ")
    };
    Err(failed(reasons).hint("dlc db check looks at each layer"))
}

/// What an answer of `/readyz` gives for reasons: the phase, the database in fixed words, the checks that fail.
fn reasons(body: &[u8]) -> Vec<String> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut reasons: Vec<String> = text(&answer["phase"])
        .filter(|phase| phase != "serving")
        .into_iter()
        .collect();
    reasons.extend(text(&answer["database"]));
    let failing = answer["checks"].as_array().into_iter().flatten();
    reasons.extend(failing.filter(|check| check["status"] == "fail").filter_map(|check| {
        let (id, title) = (check["id"].as_str()?, check["title"].as_str()?);
        Some(format!("{id} {title}: {}", check["measured"].as_str()?))
    }));
    reasons
}

type Answer = Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>>;

async fn ask(address: SocketAddr, is_tls: bool, path: &str) -> Answer {
    let stream = TcpStream::connect(address).await?;
    if is_tls {
        ask_on(encrypted(stream, address.ip()).await?, address, path).await
    } else {
        ask_on(stream, address, path).await
    }
}

async fn ask_on(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    address: SocketAddr,
    path: &str,
) -> Answer {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER)
        .collect()
        .await?
        .to_bytes();
    connection.abort();
    Ok((status, body))
}
