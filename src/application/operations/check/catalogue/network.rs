//! NET: does the way to the server work?

use std::time::Duration;

use super::{Check, Judge};
use crate::{
    operations::check::{Layer, Verdict},
    ports::{connection::ConnectFailure, inspection::Certificate},
};

const NOT_LOOKED_AT: &str = "not looked at";

/// Above this, each new connection waits noticeably for its name.
const SLOW_RESOLUTION: Duration = Duration::from_secs(1);

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "NET001",
        title: "name resolution",
        cause: "The host's name does not resolve, or slowly.",
        fix: "Check its spelling and the name server; inside Compose the host is the service's name.",
        judge: Judge::Case(|case| {
            let Some(network) = &case.facts.network else {
                return Verdict::skipped(NOT_LOOKED_AT);
            };
            let Some(resolution) = &network.resolution else {
                return Verdict::skipped(format!("{} needs none", network.address));
            };
            match &resolution.value {
                Ok(addresses) => {
                    let list = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    let verdict = if resolution.took > SLOW_RESOLUTION {
                        Verdict::warn(list)
                    } else {
                        Verdict::ok(list)
                    };
                    verdict.threshold("1 s")
                }
                Err(why) => Verdict::fail(why)
                    .hint("check the host's spelling; inside Compose the host is the service's name, `postgres`"),
            }
            .took(resolution.took)
        }),
        ..Check::of(Layer::Network)
    },
    Check {
        id: "NET002",
        title: "connection",
        cause: "Nobody answers at that address and port.",
        fix: "Refused: the server does not run, or listens elsewhere. Timed out or unreachable: a firewall, or a wrong address.",
        judge: Judge::Case(|case| {
            let Some(network) = &case.facts.network else {
                return Verdict::skipped(NOT_LOOKED_AT);
            };
            let Some(connection) = &network.connection else {
                return Verdict::skipped("no address");
            };
            match &connection.value {
                Ok(()) => Verdict::ok(format!("{} accepts", network.address)),
                Err(error) => Verdict::refused(format!("{}: {}", network.address, error.cause), error),
            }
            .threshold("3 s")
            .took(connection.took)
        }),
        ..Check::of(Layer::Network)
    },
    Check {
        id: "NET003",
        title: "encryption",
        cause: "The connection is not encrypted; or the server's certificate is not to be trusted, is for another name, or \
                has run out or soon will: from then on nobody who checks it gets in.",
        fix: "Use ?sslmode=verify-full with ?sslrootcert= and the name that the certificate is for; renew it in time.",
        judge: Judge::Case(|case| {
            let (Some(network), Some(server)) = (&case.facts.network, &case.facts.server) else {
                return Verdict::skipped(NOT_LOOKED_AT);
            };
            let shown = network.certificate.as_ref().zip(case.facts.at);
            // Seconds for which it is valid yet; negative: since when it is not.
            let shown = shown.map(|(certificate, now)| (certificate, certificate.expires - now));
            match &server.value {
                Err(error) if error.failure == ConnectFailure::Tls => match shown {
                    Some((certificate, left)) => Verdict::fail(format!(
                        "{}; the certificate: {}",
                        error.cause,
                        described(certificate, left)
                    ))
                    .hint(remedy(&error.cause, certificate, left)),
                    None => Verdict::fail(&error.cause).hint("check ?sslmode= and ?sslrootcert= of the URL"),
                },
                Err(_) => Verdict::skipped("no session"),
                Ok(session) => match (&session.tls, shown) {
                    (Some(version), Some((certificate, left))) => {
                        let words = format!("{version}; {}", described(certificate, left));
                        let verdict = if left < SOON {
                            Verdict::warn(words).hint("renew the server's certificate, then: SELECT pg_reload_conf();")
                        } else {
                            Verdict::ok(words)
                        };
                        verdict.threshold(format!("{} d left", SOON / DAY))
                    }
                    (Some(version), None) => Verdict::ok(version),
                    (None, _) if network.is_local => Verdict::ok("none; the server is on this machine"),
                    (None, _) => Verdict::warn("none; the server is on another host").hint("use ?sslmode=verify-full"),
                },
            }
        }),
        ..Check::of(Layer::Network)
    },
];

/// Seconds.
const DAY: i64 = 86_400;

/// A certificate that ends within this is worth a look (§3.3, NET003).
const SOON: i64 = 14 * DAY;

fn described(certificate: &Certificate, left: i64) -> String {
    let whose = if certificate.names.is_empty() {
        &certificate.subject
    } else {
        &certificate.names.join(", ")
    };
    let by = if certificate.issuer == certificate.subject {
        "itself"
    } else {
        &certificate.issuer
    };
    if left < 0 {
        format!("for {whose}, signed by {by}, ran out {} d ago", -left / DAY)
    } else {
        format!("for {whose}, signed by {by}, {} d left", left / DAY)
    }
}

fn remedy(cause: &str, certificate: &Certificate, left: i64) -> String {
    if left < 0 {
        "renew the server's certificate, then: SELECT pg_reload_conf();".to_owned()
    } else if cause.contains("not valid for name") {
        format!(
            "use the name that it is for ({}), or ?sslmode=verify-ca",
            certificate.names.join(", ")
        )
    } else if certificate.issuer == certificate.subject {
        "it signed itself: name a copy of it in ?sslrootcert=".to_owned()
    } else {
        format!("name the certificate of {} in ?sslrootcert=", certificate.issuer)
    }
}
