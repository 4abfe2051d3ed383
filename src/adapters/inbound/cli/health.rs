//! `dlc health`: asks the running service on this machine; opens no database and reads no secret.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use http_body_util::Empty;
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{
    exit::{Exit, Failure, plain},
    printer::Printer,
};

/// `dlc health`: 0 when `/readyz` says 200.
///
/// # Errors
/// In every other case, with exit code 1.
pub async fn run(host: IpAddr, port: u16, limit: Duration, printer: Printer) -> Result<Exit, Failure> {
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
        .hint("is it running? dlc serve; another port: --port")
    };
    let status = tokio::time::timeout(limit, ask(address))
        .await
        .map_err(|_| failed(format!("no answer within {} ms", limit.as_millis())))?
        .map_err(|why| failed(plain(&why)))?;
    if status == StatusCode::OK {
        printer.line("ready");
        Ok(Exit::Done)
    } else {
        Err(failed(format!("/readyz says {}", status.as_u16())).hint(format!("curl http://{address}/readyz tells why")))
    }
}

async fn ask(address: SocketAddr) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/readyz")
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let status = sender.send_request(request).await?.status();
    connection.abort();
    Ok(status)
}
