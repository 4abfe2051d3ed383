//! SQL: is the SQLite file there, sound, and ours to write?

use std::time::Duration;

use super::{Check, Judge, Question, text, why_not_asked};
use crate::{
    operations::check::{FailureClass, Layer, Limits, Measured, Purpose, Unit, Verdict},
    ports::{
        connection::ConnectFailure,
        inspection::{Facts, SqliteContent, SqliteFacts, Writer},
    },
};

/// `application_id` in the header of every SQLite file that dlc makes: "dlc1" in ASCII.
pub const APPLICATION_ID: i32 = 0x646c_6331;

/// Above this the log slows every read (§3.3, SQL007).
const LARGE_WAL: f64 = 64.0 * 1024.0 * 1024.0;

/// A writer that holds its lock for longer keeps others waiting.
pub const LONG_WRITE: Duration = Duration::from_millis(300);

const UNREADABLE: &str = "the file cannot be read";

fn file(facts: &Facts, judge: impl FnOnce(&SqliteFacts) -> Verdict) -> Verdict {
    facts
        .sqlite
        .as_ref()
        .map_or_else(|| Verdict::skipped("not looked at"), judge)
}

fn content(facts: &Facts, judge: impl FnOnce(&SqliteContent) -> Verdict) -> Verdict {
    file(facts, |sqlite| match &sqlite.content {
        None => Verdict::skipped(why_not_asked(facts)),
        Some(content) => match &content.value {
            Ok(inside) => judge(inside),
            Err(_) => Verdict::skipped(UNREADABLE),
        }
        .took(content.took),
    })
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "SQL001",
        title: "file and directory",
        cause: "The file or its directory is missing, or may not be written by this user.",
        fix: "Correct the path, or owner and mode; dlc migrate up makes the file.",
        judge: Judge::Case(|case| {
            file(case.facts, |sqlite| {
                if !sqlite.directory_exists {
                    return Verdict::fail(format!("the directory of {} does not exist", sqlite.path))
                        .hint("make it, or correct the path in DATABASE_URL");
                }
                let Some(size) = sqlite.size else {
                    if let Some(Err(error)) = sqlite.content.as_ref().map(|content| &content.value) {
                        return Verdict::refused(error.cause.clone(), error);
                    }
                    return Verdict::fail(format!("{} does not exist", sqlite.path))
                        .hint("`dlc migrate up` or `dlc serve` creates it");
                };
                if !sqlite.is_file {
                    return Verdict::fail(format!("{} is no file", sqlite.path))
                        .hint("correct the path in DATABASE_URL");
                }
                if sqlite.names > 1 {
                    return Verdict::fail(format!(
                        "{} is one of {} names of its file, and SQLite looks for its log under each of them",
                        sqlite.path, sqlite.names
                    ))
                    .hint("what was written by another name is not seen by this one: keep one name (hard links)");
                }
                if sqlite.left_log {
                    return Verdict::warn(format!(
                        "{}: a process that was killed left its log; nobody looked inside, which would leave a file",
                        sqlite.path
                    ))
                    .hint("whoever opens it for writing takes the log up: dlc serve, or dlc migrate up");
                }
                if !sqlite.file_writable || !sqlite.directory_writable {
                    let what = if sqlite.file_writable {
                        "its directory"
                    } else {
                        "the file"
                    };
                    return Verdict::fail(format!("{}: {what} cannot be written by this user", sqlite.path))
                        .hint("correct owner and mode; the directory must be writable for the -wal and -shm files");
                }
                match sqlite.content.as_ref().map(|content| &content.value) {
                    // What is wrong inside, and who is in the way, are other checks' to say.
                    Some(Err(error))
                        if !matches!(error.failure, ConnectFailure::NotADatabase | ConnectFailure::TimedOut) =>
                    {
                        Verdict::refused(format!("{}: {}", sqlite.path, error.cause), error)
                    }
                    _ => Verdict::ok(format!("{}, {size} bytes", sqlite.path)),
                }
            })
        }),
        ..Check::of(Layer::File)
    },
    Check {
        id: "SQL002",
        title: "file system",
        cause: "Write-ahead logging needs memory that all processes share; a network file system has none.",
        fix: "Move the file to a local disk.",
        class: FailureClass::Failed,
        preflight: true,
        judge: Judge::Case(|case| {
            file(case.facts, |sqlite| match &sqlite.network_file_system {
                Some(kind) => Verdict::fail(format!(
                    "{kind}: write-ahead logging does not work on a network file system"
                ))
                .hint("move the file to a local disk"),
                None => Verdict::ok("local"),
            })
        }),
        ..Check::of(Layer::File)
    },
    Check {
        id: "SQL003",
        title: "journal mode and connections",
        cause: "Without write-ahead logging every writer stops every reader. Without foreign keys or a busy time-out on its \
                connections the service would write orphans, or fail where it should wait.",
        fix: "dlc serve turns write-ahead logging on by itself. The rest is set on every connection: report it as a bug.",
        judge: Judge::Case(|case| {
            content(case.facts, |inside| {
                let words = format!(
                    "{}; foreign keys {}, busy time-out {}",
                    inside.journal_mode,
                    if inside.foreign_keys { "on" } else { "off" },
                    if inside.waits { "on" } else { "off" }
                );
                let verdict = if !inside.foreign_keys || !inside.waits {
                    Verdict::fail(words).hint("dlc sets them on every connection, and this SQLite does not keep them")
                } else if inside.journal_mode == "wal" || case.facts.is_foreign() {
                    Verdict::ok(words)
                } else {
                    Verdict::warn(words).hint("`dlc serve` turns write-ahead logging on by itself")
                };
                verdict.threshold("wal")
            })
        }),
        ..Check::of(Layer::File)
    },
    Check {
        id: "SQL004",
        title: "integrity",
        cause: "The file is damaged, or is no SQLite database.",
        fix: "Stop the service, keep a copy, restore from a backup.",
        class: FailureClass::Failed,
        question: Question {
            sqlite_deep: Some("PRAGMA integrity_check(10)"),
            ..Question::sqlite("PRAGMA quick_check(10)")
        },
        judge: Judge::Answer(|case, answer| {
            let damaged = |words: &str| {
                Verdict::fail(words).hint("stop the service, keep a copy of the file, restore it from a backup")
            };
            let opened = case.facts.sqlite.as_ref().and_then(|file| file.content.as_ref());
            if let Some(Err(error)) = opened.map(|opened| &opened.value) {
                return if error.failure == ConnectFailure::NotADatabase {
                    damaged(&error.cause)
                } else {
                    Verdict::skipped(UNREADABLE)
                };
            }
            match answer {
                None => Verdict::skipped(why_not_asked(case.facts)),
                Some(Err(why)) if why.failure == ConnectFailure::NotADatabase => damaged(&why.words),
                Some(Err(why)) => Verdict::unmade(format!("could not be asked: {}", why.words)),
                Some(Ok(rows)) => match rows.first().map_or("", |row| text(row, 0)) {
                    "ok" => Verdict::ok("sound"),
                    wrong => damaged(wrong),
                },
            }
        }),
        ..Check::of(Layer::File)
    },
    Check {
        id: "SQL005",
        title: "foreign keys",
        cause: "Rows refer to rows that do not exist: another program wrote here with foreign keys off.",
        fix: "Delete the orphans or restore what they refer to.",
        class: FailureClass::Failed,
        question: Question::sqlite(
            "SELECT \"table\" || coalesce(' row ' || rowid, '') || ' refers to a missing ' || parent \
             FROM pragma_foreign_key_check LIMIT 10",
        ),
        judge: Judge::Case(|case| {
            let orphans: Vec<&str> = case.rows.iter().map(|row| text(row, 0)).collect();
            if orphans.is_empty() {
                Verdict::ok("no orphans")
            } else {
                Verdict::fail(orphans.join("; ")).hint("another program wrote here with foreign keys off")
            }
        }),
        ..Check::of(Layer::File)
    },
    Check {
        id: "SQL006",
        title: "writer lock",
        cause: "Another process holds the writer lock and does not let go, so the service cannot write.",
        fix: "Look at that process; it may be a forgotten shell in a transaction.",
        class: FailureClass::Locked,
        judge: Judge::Case(|case| {
            file(case.facts, |sqlite| {
                let locked = matches!(
                    sqlite.content.as_ref().map(|content| &content.value),
                    Some(Err(error)) if error.failure == ConnectFailure::TimedOut
                );
                let verdict = match sqlite.writer {
                    None if !sqlite.is_file => Verdict::skipped("there is no file"),
                    None => Verdict::skipped("the service holds the file itself"),
                    Some(None) if locked => Verdict::fail("another process has locked the file")
                        .hint(format!("find it: fuser {}", sqlite.path)),
                    Some(None) => Verdict::ok("free"),
                    Some(Some(Writer { pid, held })) if locked || held >= LONG_WRITE => {
                        Verdict::fail(format!("process {pid} holds it, for {} ms at least", held.as_millis()))
                            .hint(format!("look at that process: ps -fp {pid}"))
                    }
                    Some(Some(Writer { pid, .. })) => {
                        Verdict::ok(format!("process {pid} writes just now, and lets go"))
                    }
                };
                verdict.threshold(format!("{} ms", LONG_WRITE.as_millis()))
            })
        }),
        ..Check::of(Layer::File)
    },
    Check {
        id: "SQL007",
        title: "write-ahead log",
        cause: "The write-ahead log has grown because a reader keeps it from being written back; every read gets slower.",
        fix: "Find and end the long-running reader; the next checkpoint writes the log back.",
        judge: Judge::Quantity(Limits::warning(Unit::Bytes, LARGE_WAL), |case| {
            let file = case.facts.sqlite.as_ref().ok_or("not looked at")?;
            #[allow(clippy::cast_precision_loss)] // a file's size, for people
            let size = file.wal_size.unwrap_or_default() as f64;
            Ok(Measured {
                value: size,
                words: if size == 0.0 { "empty".to_owned() } else { String::new() },
                hint: Some(format!("a reader blocks the checkpoint; find it: fuser {}", file.path)),
                ..Measured::default()
            })
        }),
        ..Check::of(Layer::File)
    },
    Check {
        id: "SQL008",
        title: "application id",
        cause: "The file is another program's.",
        fix: "Correct the path in DATABASE_URL.",
        class: FailureClass::Failed,
        preflight: true,
        judge: Judge::Case(|case| {
            content(case.facts, |inside| match inside.application_id {
                APPLICATION_ID => Verdict::ok(format!("dlc's; SQLite {}", inside.library_version)),
                0 => Verdict::skipped("none set: never migrated by dlc"),
                other => {
                    let words = format!("0x{other:08x} is another program's");
                    // Somebody may want to look at any file; to make tables in it, or to have made some, is a mistake.
                    let verdict = if case.options.purpose == Purpose::Looking && case.facts.is_foreign() {
                        Verdict::warn(words)
                    } else {
                        Verdict::fail(words)
                    };
                    verdict.hint("this file is not dlc's; correct the path in DATABASE_URL")
                }
            })
        }),
        ..Check::of(Layer::File)
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        operations::check::{Options, Status, judge},
        ports::inspection::{ConfigFacts, ConfiguredDatabase, Engine, Timed},
    };

    fn judged(id: &str, change: impl FnOnce(&mut SqliteFacts, &mut SqliteContent)) -> (Status, String) {
        let mut content = SqliteContent {
            library_version: "3".into(),
            application_id: APPLICATION_ID,
            journal_mode: "wal".into(),
            foreign_keys: true,
            waits: true,
        };
        let mut file = SqliteFacts {
            path: "x.db".into(),
            size: Some(1),
            names: 1,
            is_file: true,
            left_log: false,
            wal_size: None,
            file_writable: true,
            directory_exists: true,
            directory_writable: true,
            network_file_system: None,
            space: None,
            writer: None,
            content: None,
        };
        change(&mut file, &mut content);
        file.content = Some(Timed {
            value: Ok(content),
            took: Duration::ZERO,
        });
        let database = ConfiguredDatabase {
            target: "sqlite://x.db".into(),
            source: "a test".into(),
            engine: Engine::Sqlite,
        };
        let mut facts = Facts::unseen(ConfigFacts {
            database: Some(Ok(database)),
            ..ConfigFacts::default()
        });
        facts.sqlite = Some(file);
        let report = judge(&facts, &Options::default());
        let finding = report.findings.into_iter().find(|finding| finding.id == id).unwrap();
        (finding.status, finding.measured)
    }

    /// No network file system is to be had on every machine.
    #[test]
    fn a_network_file_system_is_a_failure() {
        assert_eq!(judged("SQL002", |_, _| {}).0, Status::Ok);
        let (status, words) = judged("SQL002", |file, _| file.network_file_system = Some("nfs".into()));
        assert!(status == Status::Fail && words.starts_with("nfs: "), "{words}");
    }

    /// dlc sets both on every connection, so no real connection of its lacks them.
    #[test]
    fn connections_that_keep_no_foreign_keys_or_wait_for_nobody_are_a_failure() {
        assert_eq!(judged("SQL003", |_, _| {}).0, Status::Ok);
        assert_eq!(
            judged("SQL003", |_, content| content.foreign_keys = false).0,
            Status::Fail
        );
        assert_eq!(judged("SQL003", |_, content| content.waits = false).0, Status::Fail);
        assert_eq!(
            judged("SQL003", |_, content| content.journal_mode = "delete".into()).0,
            Status::Warn
        );
    }
}
