//! TLS below HTTP: loads certificate and key, serves handshakes with them, and takes new ones while it runs.
//!
//! Not here: which files these are (`config`), when to look at them again (`bootstrap` passes the signal on), HTTP (`server`).

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use poem::http::uri::Scheme;
use rustls::{
    ConfigBuilder, InconsistentKeys, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio::{
    net::TcpStream,
    sync::{Notify, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::server::Transport;

/// How often the files are looked at. Their contents, not their times: Kubernetes swaps a link above them.
const EVERY: Duration = Duration::from_secs(2);

/// What is offered in the handshake, the preferred first.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];
const HTTP2: &[u8] = b"h2";

/// Certificate or key that cannot be used. No sentence repeats anything of a file's contents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file that is not there, or not for us.
    #[error("the file {} of {setting} cannot be read: {cause}", path.display())]
    Unreadable {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A file without what it is there for.
    #[error("the file {} of {setting} holds no {what} in PEM form", path.display())]
    Missing {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A file that breaks off, or was spoilt.
    #[error("the file {} of {setting} is no whole PEM file: {cause}", path.display())]
    Broken {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Where.
        cause: &'static str,
    },
    /// Two files that are whole, and of no use together.
    #[error("the private key in {} does not belong to the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        cert: PathBuf,
    },
    /// A kind of certificate or key that is not known here.
    #[error("the certificate in {} with the private key in {} cannot be used: {cause}", cert.display(), key.display())]
    Unusable {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        cert: PathBuf,
        /// Why.
        cause: String,
    },
}

/// Serves handshakes with the certificate that is in force at their beginning.
#[derive(Clone, Debug)]
pub struct Tls {
    current: watch::Receiver<Arc<ServerConfig>>,
}

impl Transport for Tls {
    type Stream = TlsStream<TcpStream>;
    const SCHEME: Scheme = Scheme::HTTPS;

    async fn open(&self, stream: TcpStream) -> io::Result<(Self::Stream, bool)> {
        let config = Arc::clone(&self.current.borrow());
        let failed = |error: io::Error| io::Error::new(error.kind(), format!("the TLS handshake failed: {error}"));
        let stream = TlsAcceptor::from(config).accept(stream).await.map_err(failed)?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok((stream, is_http2))
    }
}

/// Loads certificate and key: for handshakes, and to be kept up to date.
///
/// # Errors
/// [`TlsError`] when they cannot be used.
pub fn load(cert: &Path, key: &Path) -> Result<(Tls, Renewal), TlsError> {
    let files = Files {
        cert: cert.to_owned(),
        key: key.to_owned(),
    };
    let contents = files.read()?;
    let (config, not_after) = files.config(&contents)?;
    tell("TLS with a certificate", not_after);
    let (current, tls) = watch::channel(Arc::new(config));
    let renewal = Renewal {
        seen: Some(contents.fingerprint()),
        files,
        current,
        failure: None,
    };
    Ok((Tls { current: tls }, renewal))
}

/// Puts new files in force: for handshakes from then on, established connections keep what they have. The whole of the TLS
/// configuration is replaced, and with it what sessions are resumed from: a session that began with the old certificate is
/// not resumed past it.
#[derive(Debug)]
pub struct Renewal {
    files: Files,
    current: watch::Sender<Arc<ServerConfig>>,
    /// What was read last, whether or not it could be used. A fingerprint: nobody needs a second copy of a key in memory.
    seen: Option<u64>,
    /// What was wrong with it, and has been said.
    failure: Option<TlsError>,
}

impl Renewal {
    /// Looks at the files every now and then, and at once when `asked`. Does not end.
    pub async fn run(mut self, asked: &Notify) {
        let mut looks = interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_asked = tokio::select! {
                _ = looks.tick() => false,
                () = asked.notified() => true,
            };
            let files = self.files.clone();
            // A file system may hang; nobody but this task is to hang with it.
            let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await else {
                continue;
            };
            self.renew(read, is_asked);
        }
    }

    /// Whoever asks is answered; otherwise there is one line for what is new.
    fn renew(&mut self, read: Result<Contents, TlsError>, is_asked: bool) {
        let seen = read.as_ref().ok().map(Contents::fingerprint);
        if !is_asked && seen.is_some() && seen == self.seen {
            return;
        }
        self.seen = seen;
        match read.and_then(|contents| self.files.config(&contents)) {
            Ok((config, not_after)) => {
                self.current.send_replace(Arc::new(config));
                self.failure = None;
                tell("TLS reloaded, with a certificate", not_after);
            }
            Err(error) => {
                if is_asked || self.failure.as_ref() != Some(&error) {
                    let code = "tls_reload_failed";
                    tracing::warn!(code, "the certificate in force stays: {error}");
                }
                self.failure = Some(error);
            }
        }
    }
}

/// Says until when a certificate is good. One that is not any more is served all the same: clients decide what they accept.
fn tell(what: &str, not_after: Option<DateTime<Utc>>) {
    let Some(not_after) = not_after else { return };
    let until = not_after.to_rfc3339_opts(SecondsFormat::Secs, true);
    if not_after < Utc::now() {
        let code = "tls_certificate_expired";
        tracing::warn!(code, "{what} that ran out at {until}: renew it");
    } else {
        tracing::info!("{what} that is valid until {until}");
    }
}

/// Where certificate and key are.
#[derive(Clone, Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What was in them. No `Debug`: there is a private key in it.
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Contents {
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.cert, &self.key).hash(&mut hasher);
        hasher.finish()
    }
}

const CERT: &str = "server.tls.cert";
const KEY: &str = "server.tls.key";

impl Files {
    fn read(&self) -> Result<Contents, TlsError> {
        let read = |setting, path: &Path| {
            fs::read(path).map_err(|error| {
                let text = error.to_string();
                TlsError::Unreadable {
                    setting,
                    path: path.to_owned(),
                    cause: text.split(" (os error").next().unwrap_or(&text).to_lowercase(),
                }
            })
        };
        Ok(Contents {
            cert: read(CERT, &self.cert)?,
            key: read(KEY, &self.key)?,
        })
    }

    /// A configuration with these contents, and when its certificate runs out.
    fn config(&self, contents: &Contents) -> Result<(ServerConfig, Option<DateTime<Utc>>), TlsError> {
        let chain = CertificateDer::pem_slice_iter(&contents.cert)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|chain| {
                if chain.is_empty() {
                    Err(pem::Error::NoItemsFound)
                } else {
                    Ok(chain)
                }
            })
            .map_err(|error| unfit(&error, CERT, &self.cert, "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|error| unfit(&error, KEY, &self.key, "private key (an encrypted one cannot be used)"))?;
        let not_after = chain.first().and_then(|leaf| not_after(leaf));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map(ConfigBuilder::<ServerConfig, _>::with_no_client_auth)
            .and_then(|builder| builder.with_single_cert(chain, key))
            .map_err(|error| self.refused(&error))?;
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        Ok((config, not_after))
    }

    fn refused(&self, error: &rustls::Error) -> TlsError {
        let (cert, key) = (self.cert.clone(), self.key.clone());
        match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch { key, cert },
            other => TlsError::Unusable {
                key,
                cert,
                cause: other.to_string(),
            },
        }
    }
}

/// What is wrong with a PEM file. The parser's own words would repeat some of it.
fn unfit(error: &pem::Error, setting: &'static str, path: &Path, what: &'static str) -> TlsError {
    let path = path.to_owned();
    let cause = match error {
        pem::Error::NoItemsFound => return TlsError::Missing { setting, path, what },
        pem::Error::MissingSectionEnd { .. } => "it ends in the middle of something",
        pem::Error::Base64Decode(_) => "something in it is not base64",
        _ => "a line that begins something is misspelt, or something is too large",
    };
    TlsError::Broken { setting, path, cause }
}

fn not_after(leaf: &CertificateDer<'_>) -> Option<DateTime<Utc>> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0)
}
