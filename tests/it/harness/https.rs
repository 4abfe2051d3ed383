//! A client of HTTPS that shows what a browser hides: the protocol that was agreed on, and the certificate of each connection.

use std::{io, sync::Arc};

use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Version,
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Knows one authority, and verifies like everybody.
#[derive(Clone)]
pub struct Https {
    authority: CertificateDer<'static>,
    offers: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

/// One connection, to be asked again and again.
pub struct HttpsConnection {
    sender: Sender,
    /// The certificate that the server showed.
    pub certificate: CertificateDer<'static>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// An answer, read whole.
#[derive(Debug)]
pub struct HttpsAnswer {
    pub status: u16,
    pub version: Version,
    pub headers: HeaderMap,
    pub text: String,
}

/// The certificate of a PEM text.
pub fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

impl Https {
    /// Offers nothing: HTTP/1.1 is what is left.
    pub fn trusting(authority: &str) -> Self {
        Self {
            authority: der(authority),
            offers: Vec::new(),
            versions: vec![&TLS13, &TLS12],
        }
    }

    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.offers = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Speaks no newer TLS than 1.2.
    pub fn of_yesterday(mut self) -> Self {
        self.versions = vec![&TLS12];
        self
    }

    /// Comes to the end of the handshake, as a client of `localhost`. Nothing is remembered of earlier ones.
    pub async fn open(&self, address: &str) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols.clone_from(&self.offers);
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// A connection that speaks what was agreed on.
    pub async fn connect(&self, address: &str) -> io::Result<HttpsConnection> {
        let stream = self.open(address).await?;
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().unwrap()[0].clone().into_owned();
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        let sender = if is_http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
                .await
                .map_err(io::Error::other)?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        };
        Ok(HttpsConnection { sender, certificate })
    }
}

impl HttpsConnection {
    /// Whether another request can be sent.
    pub async fn is_open(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    pub async fn send(&mut self, method: Method, path: &str, body: String) -> hyper::Result<HttpsAnswer> {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"))
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::from(body))
            .unwrap();
        let answer: hyper::Response<Incoming> = match &mut self.sender {
            Sender::Http1(sender) => sender.send_request(request).await?,
            Sender::Http2(sender) => sender.send_request(request).await?,
        };
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(HttpsAnswer {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            text: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    pub async fn get(&mut self, path: &str) -> HttpsAnswer {
        self.send(Method::GET, path, String::new()).await.unwrap()
    }
}
