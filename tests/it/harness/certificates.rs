//! Certificates of an authority of a test's own.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate as a server is given it, both parts in PEM form.
#[derive(Clone)]
pub struct Made {
    pub certificate: String,
    pub key: String,
}

/// Somebody who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

/// What is to be signed: for these names, good from so many days from now until so many.
pub fn params(subject: &str, names: &[&str], from: i64, to: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.subject_alt_names = names
        .iter()
        .map(|name| SanType::DnsName((*name).try_into().unwrap()))
        .collect();
    let now = SystemTime::now();
    let at = |days: i64| {
        let distance = DAY * u32::try_from(days.abs()).unwrap();
        if days < 0 { now - distance } else { now + distance }
    };
    params.not_before = at(from).into();
    params.not_after = at(to).into();
    params
}

impl Authority {
    pub fn new() -> Self {
        let mut params = params("an-authority", &[], -90, 90);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub fn sign(&self, params: &CertificateParams) -> Made {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Made {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A good one for `localhost`.
    pub fn for_localhost(&self) -> Made {
        self.sign(&params("localhost", &["localhost"], -1, 60))
    }
}
