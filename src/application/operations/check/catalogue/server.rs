//! SRV: is there a PostgreSQL behind it that lets us in and that we can use?

use super::{Check, Judge};
use crate::{
    operations::check::{FailureClass, Layer, Options, Purpose, Verdict},
    ports::{
        connection::ConnectFailure,
        inspection::{Facts, ServerFacts},
    },
};

/// Oldest supported major (§2.1 C1).
const OLDEST_MAJOR: i32 = 15;

/// What was known of a major when this dlc was made (<https://www.postgresql.org/support/versioning/>, November 2026).
struct Major {
    number: i32,
    newest_minor: i32,
    /// The day of its last correction, in seconds since 1970.
    last_correction: i64,
    /// The same for people.
    last_correction_day: &'static str,
}

const MAJORS: [Major; 4] = [
    Major {
        number: 15,
        newest_minor: 20,
        last_correction: 1_825_891_200,
        last_correction_day: "2027-11-11",
    },
    Major {
        number: 16,
        newest_minor: 16,
        last_correction: 1_857_340_800,
        last_correction_day: "2028-11-09",
    },
    Major {
        number: 17,
        newest_minor: 12,
        last_correction: 1_888_790_400,
        last_correction_day: "2029-11-08",
    },
    Major {
        number: 18,
        newest_minor: 6,
        last_correction: 1_920_844_800,
        last_correction_day: "2030-11-14",
    },
];

/// From this many minor releases on somebody has missed more than the last one: they come every quarter of a year.
const MINORS_BEHIND: i32 = 2;

/// Somebody may want to look at it all the same; to migrate it is no use.
fn stops_migrations(options: &Options, words: &str) -> Verdict {
    match options.purpose {
        Purpose::Looking => Verdict::warn(words),
        Purpose::Migrating => Verdict::fail(words),
    }
}

/// Engines that speak PostgreSQL's protocol, by the words in `version()`.
const RELATIVES: [&str; 5] = ["CockroachDB", "Yugabyte", "YB-", "Redshift", "EnterpriseDB"];

fn product(session: &ServerFacts) -> Verdict {
    let product = session.version.split(' ').next().unwrap_or_default();
    let other = match RELATIVES.into_iter().find(|name| session.version.contains(name)) {
        None if product == "PostgreSQL" => return Verdict::ok(product),
        Some(name) => format!("{name}, not PostgreSQL itself"),
        None => format!("unknown engine: {product}"),
    };
    Verdict::warn(other).hint("dlc is tested on PostgreSQL 15 to 18 only")
}

fn version(session: &ServerFacts, now: Option<i64>) -> Verdict {
    let (major, minor) = (session.version_num / 10_000, session.version_num % 10_000);
    let short = session.version_in_short();
    if major < OLDEST_MAJOR {
        return Verdict::fail(short)
            .threshold(format!("{OLDEST_MAJOR}"))
            .hint(format!("upgrade the server to PostgreSQL {OLDEST_MAJOR} or newer"));
    }
    let Some(known) = MAJORS.iter().find(|known| known.number == major) else {
        return Verdict::ok(format!("{short}; newer than this dlc"));
    };
    let behind = known.newest_minor - minor;
    if now.is_some_and(|now| now >= known.last_correction) {
        Verdict::warn(format!("{short}; no corrections since {}", known.last_correction_day))
            .hint("upgrade to a newer major: pg_upgrade, or dump and restore")
    } else if behind >= MINORS_BEHIND {
        Verdict::warn(format!(
            "{short}; {behind} minor releases behind {major}.{}",
            known.newest_minor
        ))
        .hint(format!(
            "install the newest {major}.x and restart the server; the data stays as it is"
        ))
    } else {
        Verdict::ok(format!("{short}; corrected until {}", known.last_correction_day))
    }
}

/// The session's outcome as one check sees it: `mine` tells which failures this check reports; any other failure is
/// another check's, and this one is skipped.
fn session(facts: &Facts, mine: fn(ConnectFailure) -> bool, good: impl FnOnce(&ServerFacts) -> Verdict) -> Verdict {
    let Some(server) = &facts.server else {
        return Verdict::skipped("not looked at");
    };
    match &server.value {
        Ok(session) => good(session),
        Err(error) if mine(error.failure) => Verdict::refused(error.cause.clone(), error),
        Err(_) => Verdict::skipped("no session"),
    }
    .took(server.took)
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
        judge: Judge::Case(|case| session(case.facts, |_| false, product)),
        ..Check::of(Layer::Server)
    },
    Check {
        id: "SRV005",
        title: "server version",
        cause: "The server is older than what dlc needs, gets no more corrections, or lacks several that were published.",
        fix: "Take the newest minor release of its major at least: no dump is needed for that. Upgrade a major in time.",
        class: FailureClass::Failed,
        preflight: true,
        judge: Judge::Case(|case| session(case.facts, |_| false, |session| version(session, case.facts.at))),
        ..Check::of(Layer::Server)
    },
    Check {
        id: "SRV006",
        title: "session affinity",
        cause: "A pooler lends another server process for each transaction: settings and locks of a session do not last.",
        fix: "Set database.pooler: pgbouncer, and DLC_DATABASE__MIGRATION_URL to a direct connection.",
        class: FailureClass::Configuration,
        preflight: true,
        judge: Judge::Case(|case| {
            session(
                case.facts,
                |_| false,
                |session| match session.session_affinity {
                    Some(true) => Verdict::ok("direct, or a session pooler"),
                    Some(false) => match case.options.purpose {
                        Purpose::Looking => Verdict::warn(
                            "statements of one session reach several server processes: a transaction pooler",
                        )
                        .hint("set database.pooler: pgbouncer, and DLC_DATABASE__MIGRATION_URL to a direct connection"),
                        Purpose::Migrating => Verdict::fail(
                            "a transaction pooler is in between, and what is to be run cannot run in a transaction",
                        )
                        .hint("name a connection around the pooler: DLC_DATABASE__MIGRATION_URL"),
                    },
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
        preflight: true,
        judge: Judge::Case(|case| {
            session(
                case.facts,
                |_| false,
                |session| {
                    if session.in_recovery {
                        stops_migrations(case.options, "a replica: nothing can be written or migrated here")
                            .hint("point DATABASE_URL at the primary")
                    } else if session.read_only {
                        // What a role has of its own counts more than what the database has.
                        let whose = match session.read_only_by_role {
                            true => format!("ROLE {} IN DATABASE {}", session.role, session.database),
                            false => format!("DATABASE {}", session.database),
                        };
                        stops_migrations(case.options, "read-only by default_transaction_read_only").hint(format!(
                            "BEGIN READ WRITE; ALTER {whose} SET default_transaction_read_only = off; COMMIT;"
                        ))
                    } else {
                        Verdict::ok("yes")
                    }
                },
            )
        }),
        ..Check::of(Layer::Server)
    },
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::operations::check::Status;

    fn server(version_num: i32) -> ServerFacts {
        ServerFacts {
            version_num,
            version: format!("PostgreSQL {version_num}"),
            tls: None,
            in_recovery: false,
            read_only: false,
            read_only_by_role: false,
            session_affinity: None,
            migration_lock_holder: None,
            database: "d".into(),
            role: "r".into(),
            hidden_sessions: 0,
            round_trip: Duration::ZERO,
            clock_ahead: 0.0,
        }
    }

    fn judged(version_num: i32, at: i64) -> (Status, String) {
        let verdict = version(&server(version_num), Some(at));
        (verdict.status, verdict.measured)
    }

    /// Servers of every age are not to be had on one machine.
    #[test]
    fn versions_are_judged_by_age_and_by_what_they_lack() {
        const TODAY: i64 = 1_795_219_200;
        assert_eq!(judged(140_022, TODAY).0, Status::Fail);
        let (status, words) = judged(150_018, TODAY);
        assert_eq!(
            (status, words.as_str()),
            (Status::Warn, "15.18; 2 minor releases behind 15.20")
        );
        for current in [150_019, 150_020, 150_025] {
            assert_eq!(judged(current, TODAY).0, Status::Ok, "{current}");
        }
        let last_day = MAJORS[0].last_correction;
        assert_eq!(judged(150_020, last_day - 1).0, Status::Ok);
        let (status, words) = judged(150_020, last_day);
        assert_eq!(
            (status, words.as_str()),
            (Status::Warn, "15.20; no corrections since 2027-11-11")
        );
        assert_eq!(
            judged(190_000, TODAY),
            (Status::Ok, "19.0; newer than this dlc".to_owned())
        );
    }

    /// Nor are the relatives of PostgreSQL. Their words are those of their documentation.
    #[test]
    fn what_is_not_postgresql_itself_is_named() {
        let judged = |version: &str| {
            let verdict = product(&ServerFacts {
                version: version.to_owned(),
                ..server(150_000)
            });
            (verdict.status, verdict.measured)
        };
        let (ok, warn) = (Status::Ok, Status::Warn);
        assert_eq!(
            judged("PostgreSQL 15.18 (Debian) on x86_64"),
            (ok, "PostgreSQL".to_owned())
        );
        let relative = judged("PostgreSQL 15.2-YB-2.21.0.0-b0 on x86_64-pc-linux-gnu");
        assert_eq!(relative, (warn, "YB-, not PostgreSQL itself".to_owned()));
        let relative = judged("CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu)");
        assert_eq!(relative, (warn, "CockroachDB, not PostgreSQL itself".to_owned()));
        assert_eq!(judged("Else 1.0"), (warn, "unknown engine: Else".to_owned()));
    }

    #[test]
    fn the_last_day_is_the_same_for_people_and_for_the_clock() {
        for major in MAJORS {
            let day = major
                .last_correction_day
                .split('-')
                .map(|part| part.parse::<i64>().unwrap());
            let [year, month, day] = day.collect::<Vec<_>>().try_into().unwrap();
            // Days from civil, for months after February: the years here have no leap day behind it.
            let (year, month) = (year, month - 3);
            let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
            assert_eq!(days * 86_400, major.last_correction, "{}", major.number);
        }
    }
}
