//! SRV: is there a PostgreSQL behind it that lets us in and that we can use?

use super::{Check, Judge};
use crate::{
    operations::check::{FailureClass, Layer, Verdict},
    ports::{
        connection::{ConnectError, ConnectFailure},
        inspection::{Facts, ServerFacts},
    },
};

/// Oldest supported major (§2.1 C1).
const OLDEST_MAJOR: i32 = 15;

/// The session's outcome as one check sees it: `mine` tells which failures this check reports; any other failure is
/// another check's, and this one is skipped.
fn session(facts: &Facts, mine: fn(ConnectFailure) -> bool, good: impl FnOnce(&ServerFacts) -> Verdict) -> Verdict {
    let Some(server) = &facts.server else {
        return Verdict::skipped("not looked at");
    };
    match &server.value {
        Ok(session) => good(session),
        Err(error) if mine(error.failure) => refused(error),
        Err(_) => Verdict::skipped("no session"),
    }
    .took(server.took)
}

fn refused(error: &ConnectError) -> Verdict {
    let verdict = Verdict::fail(&error.cause);
    match &error.hint {
        Some(hint) => verdict.hint(hint),
        None => verdict,
    }
}

fn is_authentication(failure: ConnectFailure) -> bool {
    matches!(failure, ConnectFailure::Authentication | ConnectFailure::Privilege)
}

fn is_missing_database(failure: ConnectFailure) -> bool {
    failure == ConnectFailure::DatabaseMissing
}

/// Whatever no other check reports is this layer's first check's.
fn is_not_accepting(failure: ConnectFailure) -> bool {
    !is_authentication(failure) && !is_missing_database(failure) && failure != ConnectFailure::Tls
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "SRV001",
        title: "accepting connections",
        cause: "The server is there and lets nobody in: it starts, stops, or has no connection left.",
        fix: "Wait for it (--wait=60s); for too many connections see CAP001 on another role, or restart an instance.",
        class: FailureClass::Unreachable,
        judge: Judge::Case(|case| session(case.facts, is_not_accepting, |_| Verdict::ok("yes"))),
        ..Check::of(Layer::Server)
    },
    Check {
        id: "SRV002",
        title: "authentication",
        cause: "User or password are wrong, or pg_hba.conf does not let this host in.",
        fix: "Correct them; with Compose POSTGRES_PASSWORD counts only when the volume is new.",
        class: FailureClass::Permission,
        judge: Judge::Case(|case| session(case.facts, is_authentication, |_| Verdict::ok("accepted"))),
        ..Check::of(Layer::Server)
    },
    Check {
        id: "SRV003",
        title: "database exists",
        cause: "The server has no database of that name.",
        fix: "Correct the name, or create it: createdb.",
        class: FailureClass::Unreachable,
        judge: Judge::Case(|case| session(case.facts, is_missing_database, |_| Verdict::ok("yes"))),
        ..Check::of(Layer::Server)
    },
    Check {
        id: "SRV004",
        title: "engine",
        cause: "Something else than PostgreSQL answers.",
        fix: "dlc is tested on PostgreSQL 15 to 18 only.",
        class: FailureClass::Failed,
        judge: Judge::Case(|case| {
            session(
                case.facts,
                |_| false,
                |session| {
                    let product = session.version.split(' ').next().unwrap_or_default();
                    let relative = ["CockroachDB", "Yugabyte", "YB-", "Redshift", "EnterpriseDB"]
                        .into_iter()
                        .find(|name| session.version.contains(name));
                    match relative {
                        None if product == "PostgreSQL" => Verdict::ok("PostgreSQL"),
                        Some(name) => Verdict::warn(format!("{name}, not PostgreSQL itself"))
                            .hint("dlc is tested on PostgreSQL 15 to 18 only"),
                        None => Verdict::warn(format!("unknown engine: {product}"))
                            .hint("dlc is tested on PostgreSQL 15 to 18 only"),
                    }
                },
            )
        }),
        ..Check::of(Layer::Server)
    },
    Check {
        id: "SRV005",
        title: "server version",
        cause: "The server is older than what dlc needs.",
        fix: "Upgrade to a major that is still supported.",
        class: FailureClass::Failed,
        judge: Judge::Case(|case| {
            session(
                case.facts,
                |_| false,
                |session| {
                    let (major, minor) = (session.version_num / 10_000, session.version_num % 10_000);
                    let measured = format!("{major}.{minor}");
                    let verdict = if major < OLDEST_MAJOR {
                        Verdict::fail(measured).hint("upgrade the server to PostgreSQL 15 or newer")
                    } else {
                        Verdict::ok(measured)
                    };
                    verdict.threshold("15")
                },
            )
        }),
        ..Check::of(Layer::Server)
    },
    Check {
        id: "SRV006",
        title: "session affinity",
        cause: "A pooler lends another server process for each transaction: settings and locks of a session do not last.",
        fix: "Set database.pooler: pgbouncer, and DLC_DATABASE__MIGRATION_URL to a direct connection.",
        class: FailureClass::Failed,
        judge: Judge::Case(|case| {
            session(
                case.facts,
                |_| false,
                |session| match session.session_affinity {
                    Some(true) => Verdict::ok("direct, or a session pooler"),
                    Some(false) => Verdict::warn(
                        "statements of one session reach several server processes: a transaction pooler",
                    )
                    .hint("set database.pooler: pgbouncer, and DLC_DATABASE__MIGRATION_URL to a direct connection"),
                    None => Verdict::skipped("could not be told"),
                },
            )
        }),
        ..Check::of(Layer::Server)
    },
    Check {
        id: "SRV007",
        title: "writable primary",
        cause: "Nothing can be written here: a replica, or a database that is set to be read-only.",
        fix: "Point DATABASE_URL at the primary.",
        class: FailureClass::Failed,
        judge: Judge::Case(|case| {
            session(
                case.facts,
                |_| false,
                |session| {
                    if session.in_recovery {
                        Verdict::warn("a replica: nothing can be written or migrated here")
                            .hint("point DATABASE_URL at the primary")
                    } else if session.read_only {
                        Verdict::warn("read-only by default_transaction_read_only")
                            .hint("ALTER DATABASE … SET default_transaction_read_only = off")
                    } else {
                        Verdict::ok("yes")
                    }
                },
            )
        }),
        ..Check::of(Layer::Server)
    },
];
