//! SQL: is the SQLite file there, sound, and ours to write?

use super::{Check, FailureClass, Judge, Layer, Question, Verdict};
use crate::ports::{
    connection::ConnectFailure,
    inspection::{Engine, Facts, SqliteContent, SqliteFacts},
};

const fn check(
    id: &'static str,
    title: &'static str,
    [cause, fix]: [&'static str; 2],
    judge: fn(&Facts) -> Verdict,
) -> Check {
    Check {
        id,
        title,
        layer: Layer::File,
        class: FailureClass::Unreachable,
        engine: Some(Engine::Sqlite),
        deep: false,
        own: false,
        cause,
        fix,
        question: Question::NONE,
        judge: Judge::Facts(judge),
    }
}

/// `application_id` in the header of every SQLite file that dlc makes: "dlc1" in ASCII.
pub const APPLICATION_ID: i32 = 0x646c_6331;

/// Above this the log slows every read (§3.3, SQL007).
const LARGE_WAL: u64 = 64 * 1024 * 1024;

fn file(facts: &Facts, judge: impl FnOnce(&SqliteFacts) -> Verdict) -> Verdict {
    facts
        .sqlite
        .as_ref()
        .map_or_else(|| Verdict::skipped("not looked at"), judge)
}

fn content(facts: &Facts, judge: impl FnOnce(&SqliteContent) -> Verdict) -> Verdict {
    file(facts, |sqlite| match &sqlite.content {
        None => Verdict::skipped("the file does not exist yet"),
        Some(content) => match &content.value {
            Ok(inside) => judge(inside),
            Err(_) => Verdict::skipped("the file cannot be read"),
        }
        .took(content.took),
    })
}

pub(super) const CHECKS: &[Check] = &[
    check(
        "SQL001",
        "file and directory",
        [
            "The file or its directory is missing, or may not be written by this user.",
            "Correct the path, or owner and mode; dlc migrate up makes the file.",
        ],
        |facts| {
            file(facts, |sqlite| {
                if !sqlite.directory_exists {
                    return Verdict::fail(format!("the directory of {} does not exist", sqlite.path))
                        .hint("make it, or correct the path in DATABASE_URL");
                }
                let Some(size) = sqlite.size else {
                    return Verdict::fail(format!("{} does not exist", sqlite.path))
                        .hint("`dlc migrate up` or `dlc serve` creates it");
                };
                if !sqlite.file_writable || !sqlite.directory_writable {
                    let what = if sqlite.file_writable {
                        "its directory"
                    } else {
                        "the file"
                    };
                    return Verdict::fail(format!("{}: {what} cannot be written by this user", sqlite.path))
                        .hint("correct owner and mode; the directory must be writable for the -wal and -shm files");
                }
                Verdict::ok(format!("{}, {size} bytes", sqlite.path))
            })
        },
    ),
    check(
        "SQL002",
        "file system",
        [
            "Write-ahead logging needs memory that all processes share; a network file system has none.",
            "Move the file to a local disk.",
        ],
        |facts| {
            file(facts, |sqlite| match &sqlite.network_file_system {
                Some(kind) => Verdict::fail(format!(
                    "{kind}: write-ahead logging does not work on a network file system"
                ))
                .hint("move the file to a local disk"),
                None => Verdict::ok("local"),
            })
        },
    ),
    check(
        "SQL003",
        "journal mode",
        [
            "Without write-ahead logging every writer stops every reader.",
            "dlc serve turns it on by itself.",
        ],
        |facts| {
            content(facts, |inside| {
                let verdict = if inside.journal_mode == "wal" {
                    Verdict::ok("wal")
                } else {
                    Verdict::warn(&inside.journal_mode).hint("`dlc serve` turns write-ahead logging on by itself")
                };
                verdict.threshold("wal")
            })
        },
    ),
    check(
        "SQL004",
        "integrity (quick_check)",
        [
            "The file is damaged, or is no SQLite database.",
            "Stop the service, keep a copy, restore from a backup.",
        ],
        |facts| {
            file(facts, |sqlite| {
                match sqlite.content.as_ref().map(|content| &content.value) {
                    Some(Err(error)) if error.failure == ConnectFailure::NotADatabase => {
                        Verdict::fail(&error.cause).hint("restore it from a backup")
                    }
                    Some(Err(error)) => Verdict::fail(&error.cause),
                    _ => content(facts, |inside| match inside.quick_check.as_slice() {
                        [] => Verdict::ok("sound"),
                        [first, ..] => Verdict::fail(first).hint("stop the service and restore the file from a backup"),
                    }),
                }
            })
        },
    ),
    check(
        "SQL005",
        "foreign keys",
        [
            "Rows refer to rows that do not exist: another program wrote here with foreign keys off.",
            "Delete the orphans or restore what they refer to.",
        ],
        |facts| {
            content(facts, |inside| match inside.foreign_key_violations.as_slice() {
                [] => Verdict::ok("no orphans"),
                orphans => Verdict::fail(orphans.join("; ")).hint("another program wrote here with foreign keys off"),
            })
        },
    ),
    check(
        "SQL006",
        "writer lock",
        [
            "Another process holds the writer lock.",
            "If it stays so, look at that process.",
        ],
        |facts| {
            file(facts, |sqlite| match sqlite.writer {
                None => Verdict::skipped("the service holds the file itself"),
                Some(None) => Verdict::ok("free"),
                Some(Some(pid)) => Verdict::warn(format!("held by process {pid} right now"))
                    .hint(format!("if it stays so, look at that process: ps -p {pid}")),
            })
        },
    ),
    check(
        "SQL007",
        "write-ahead log size",
        [
            "The write-ahead log has grown because a reader keeps it from being written back.",
            "Find and end the long-running reader.",
        ],
        |facts| {
            file(facts, |sqlite| {
                let size = sqlite.wal_size.unwrap_or_default();
                let measured = format!("{size} bytes");
                let verdict = if size > LARGE_WAL {
                    Verdict::warn(measured).hint("a long-running reader blocks the checkpoint; find and end it")
                } else {
                    Verdict::ok(measured)
                };
                verdict.threshold("64 MiB")
            })
        },
    ),
    check(
        "SQL008",
        "application id",
        ["The file is another program's.", "Correct the path in DATABASE_URL."],
        |facts| {
            content(facts, |inside| match inside.application_id {
                APPLICATION_ID => Verdict::ok(format!("dlc's; SQLite {}", inside.library_version)),
                0 => Verdict::skipped("none set: never migrated by dlc"),
                other => Verdict::fail(format!("0x{other:08x} is another program's"))
                    .hint("this file is not dlc's; correct the path in DATABASE_URL"),
            })
        },
    ),
];
