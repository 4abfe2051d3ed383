//! NET: does the way to the server work?

use std::time::Duration;

use super::{Check, Judge};
use crate::{
    operations::check::{Layer, Verdict},
    ports::connection::ConnectFailure,
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
                Err(error) => {
                    let verdict = Verdict::fail(format!("{}: {}", network.address, error.cause));
                    match &error.hint {
                        Some(hint) => verdict.hint(hint),
                        None => verdict,
                    }
                }
            }
            .threshold("3 s")
            .took(connection.took)
        }),
        ..Check::of(Layer::Network)
    },
    Check {
        id: "NET003",
        title: "encryption",
        cause: "The connection is not encrypted, or the server's certificate is not to be trusted.",
        fix: "Use ?sslmode=verify-full with ?sslrootcert=; renew an expired certificate.",
        judge: Judge::Case(|case| {
            let (Some(network), Some(server)) = (&case.facts.network, &case.facts.server) else {
                return Verdict::skipped(NOT_LOOKED_AT);
            };
            match &server.value {
                Err(error) if error.failure == ConnectFailure::Tls => {
                    Verdict::fail(&error.cause).hint("check ?sslmode= and ?sslrootcert= of the URL")
                }
                Err(_) => Verdict::skipped("no session"),
                Ok(session) => match &session.tls {
                    Some(version) => Verdict::ok(version),
                    None if network.is_local => Verdict::ok("none; the server is on this machine"),
                    None => Verdict::warn("none; the server is on another host").hint("use ?sslmode=verify-full"),
                },
            }
        }),
        ..Check::of(Layer::Network)
    },
];
