//! `server.tls.*`: a section inside of another.

use std::path::PathBuf;

use super::setting::{SettingValue, section};

/// The path of a PEM file. Its contents in the path's place are refused: `DLC_SERVER__TLS__KEY_FILE` is the generic way to
/// read a setting from a file, and would put them here, where they could not be reloaded and would be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFile(pub PathBuf);

impl SettingValue for Option<PemFile> {
    const EXPECTED: &'static str = "the path of a PEM file, not its contents";
    const TEXT: bool = true;

    fn parse(text: &str) -> Option<Self> {
        (!text.contains(['\n', '\r'])).then(|| Some(PemFile(PathBuf::from(text))))
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|file| file.0.display().to_string())
    }
}

section! {
    /// TLS of the HTTP server; both files or neither. They are read again when they change, and on SIGHUP.
    TlsConfig = "server.tls" {
        /// PEM file with the server's certificate, followed by those of its issuers. Unset: plain HTTP.
        cert: Option<PemFile> = "cert", |_| None;
        /// PEM file with the certificate's private key, not encrypted.
        key: Option<PemFile> = "key", |_| None;
    }
}

impl TlsConfig {
    /// Certificate and key, when TLS is to be spoken.
    #[must_use]
    pub fn files(&self) -> Option<(&PemFile, &PemFile)> {
        self.cert.as_ref().zip(self.key.as_ref())
    }

    /// What is wrong with one file alone.
    pub(super) fn contradiction(&self) -> Option<String> {
        let (set, unset) = match (&self.cert, &self.key) {
            (Some(_), None) => ("cert", "key"),
            (None, Some(_)) => ("key", "cert"),
            _ => return None,
        };
        Some(format!(
            "server.tls.{set} is set and server.tls.{unset} is not: TLS needs both"
        ))
    }
}
