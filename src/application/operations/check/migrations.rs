//! MIG: is the schema the one that this binary was built for?

use super::{Check, FailureClass, Judge, Layer, Question, Verdict};
use crate::{
    operations::migrate::{History, HistoryError},
    ports::inspection::{Engine, Facts},
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
        layer: Layer::Migrations,
        class: FailureClass::Failed,
        engine: None,
        deep: false,
        own: false,
        cause,
        fix,
        question: Question::NONE,
        judge: Judge::Facts(judge),
    }
}

fn history(facts: &Facts, judge: impl FnOnce(&History) -> Verdict) -> Verdict {
    let Some(history) = &facts.history else {
        return Verdict::skipped("no database to look at");
    };
    match &history.value {
        Ok(history) => judge(history),
        Err(why) => Verdict::fail(why),
    }
    .took(history.took)
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.collect()
}

pub(super) const CHECKS: &[Check] = &[
    check(
        "MIG001",
        "pending migrations",
        [
            "Migrations of this binary are not applied yet.",
            "dlc migrate plan shows what they would do, dlc migrate up does it.",
        ],
        |facts| {
            history(facts, |history| match list(history.pending()).as_slice() {
                [] => Verdict::ok("none"),
                some => {
                    let words = if history.is_recorded() {
                        format!("{} pending: {}", some.len(), some.join(", "))
                    } else {
                        format!("never migrated: {} pending", some.len())
                    };
                    let verdict = if facts.options.require_current {
                        Verdict::fail(words)
                    } else {
                        Verdict::warn(words)
                    };
                    verdict.hint("dlc migrate up")
                }
            })
        },
    ),
    check(
        "MIG002",
        "migrations unknown to this binary",
        [
            "Migrations are applied that this binary does not know.",
            "Run the newer dlc; or revert them: dlc migrate down --use-stored-sql.",
        ],
        |facts| {
            history(facts, |history| {
                let missing = list(history.missing());
                let newer = list(history.newer());
                if !missing.is_empty() {
                    Verdict::fail(format!("missing from this binary: {}", missing.join(", ")))
                        .hint("run a dlc of the line that applied them")
                } else if history.is_ahead_by_more_than_additions() {
                    Verdict::fail(format!("ahead of this binary: {}", newer.join(", ")))
                        .hint("run the newer dlc that applied them")
                } else if newer.is_empty() {
                    Verdict::ok("none")
                } else {
                    Verdict::warn(format!("ahead by additions only: {}", newer.join(", ")))
                        .hint("this binary goes on working; update it when convenient")
                }
            })
        },
    ),
    check(
        "MIG003",
        "checksums of migrations",
        [
            "A migration was changed after it was applied.",
            "Restore its SQL; if the schema agrees, dlc migrate repair notes the new checksum.",
        ],
        |facts| {
            history(facts, |history| match history.validate() {
                Err(error @ HistoryError::Edited(_)) => Verdict::fail(error.to_string())
                    .hint("restore the migration's SQL; dlc migrate verify tells whether the schema agrees"),
                _ => match list(history.unrecorded()).as_slice() {
                    [] => Verdict::ok("as they were applied"),
                    names => {
                        Verdict::ok(format!("no checksum recorded for {}", names.join(", "))).hint("dlc migrate repair")
                    }
                },
            })
        },
    ),
    check(
        "MIG004",
        "order of migrations",
        [
            "An older migration is pending behind a newer applied one.",
            "Give it a newer number; if its objects are there, dlc migrate repair enters it.",
        ],
        |facts| {
            history(facts, |history| match list(history.out_of_order()).as_slice() {
                [] => Verdict::ok("in order"),
                names => Verdict::fail(format!("pending behind newer ones: {}", names.join(", ")))
                    .hint("two branches were merged; see `dlc migrate status`"),
            })
        },
    ),
    check(
        "MIG005",
        "unfinished migration",
        [
            "A migration without a transaction was cut short.",
            "dlc migrate up begins it again; dlc migrate down gives it up.",
        ],
        |facts| {
            history(facts, |history| match history.unfinished() {
                None => Verdict::ok("none"),
                Some(error) => Verdict::fail(error.to_string()).hint("go on with it: dlc migrate up"),
            })
        },
    ),
    Check {
        engine: Some(Engine::Postgres),
        ..check(
            "MIG006",
            "migration lock",
            [
                "Somebody migrates just now.",
                "Wait for it; a dead process frees the lock by itself.",
            ],
            |facts| match facts.server.as_ref().map(|server| &server.value) {
                None | Some(Err(_)) => Verdict::skipped("no session"),
                Some(Ok(session)) => match &session.migration_lock_holder {
                    None => Verdict::ok("free"),
                    Some(holder) => {
                        Verdict::warn(format!("held by {holder}")).hint("a migration is running: wait for it")
                    }
                },
            },
        )
    },
];
