//! MIG: is the schema the one that this binary was built for?

use super::{Check, Judge};
use crate::{
    operations::{
        check::{Layer, Verdict},
        migrate::{History, HistoryError},
    },
    ports::inspection::{Engine, Facts},
};

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
    Check {
        id: "MIG001",
        title: "pending migrations",
        cause: "Migrations of this binary are not applied yet.",
        fix: "dlc migrate plan shows what they would do, dlc migrate up does it.",
        judge: Judge::Case(|case| {
            history(case.facts, |history| match list(history.pending()).as_slice() {
                [] => Verdict::ok("none"),
                some if !history.is_recorded() && !case.options.require_current => {
                    Verdict::skipped(format!("never migrated: {} would be", some.len()))
                }
                some => {
                    let words = if history.is_recorded() {
                        format!("{} pending: {}", some.len(), some.join(", "))
                    } else {
                        format!("never migrated: {} pending", some.len())
                    };
                    let verdict = if case.options.require_current {
                        Verdict::fail(words)
                    } else {
                        Verdict::warn(words)
                    };
                    verdict.hint("dlc migrate up")
                }
            })
        }),
        ..Check::of(Layer::Migrations)
    },
    Check {
        id: "MIG002",
        title: "migrations unknown to this binary",
        cause: "Migrations are applied that this binary does not know.",
        fix: "Run the newer dlc; or revert them: dlc migrate down --use-stored-sql.",
        judge: Judge::Case(|case| {
            history(case.facts, |history| {
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
        }),
        ..Check::of(Layer::Migrations)
    },
    Check {
        id: "MIG003",
        title: "checksums of migrations",
        cause: "A migration was changed after it was applied.",
        fix: "Restore its SQL; if the schema agrees, dlc migrate repair notes the new checksum.",
        judge: Judge::Case(|case| {
            history(case.facts, |history| match history.validate() {
                Err(error @ HistoryError::Edited(_)) => Verdict::fail(error.to_string())
                    .hint("restore the migration's SQL; dlc migrate verify tells whether the schema agrees"),
                _ => match list(history.unrecorded()).as_slice() {
                    [] => Verdict::ok("as they were applied"),
                    names => {
                        Verdict::ok(format!("no checksum recorded for {}", names.join(", "))).hint("dlc migrate repair")
                    }
                },
            })
        }),
        ..Check::of(Layer::Migrations)
    },
    Check {
        id: "MIG004",
        title: "order of migrations",
        cause: "An older migration is pending behind a newer applied one.",
        fix: "Give it a newer number; if its objects are there, dlc migrate repair enters it.",
        judge: Judge::Case(|case| {
            history(case.facts, |history| match list(history.out_of_order()).as_slice() {
                [] => Verdict::ok("in order"),
                names => Verdict::fail(format!("pending behind newer ones: {}", names.join(", ")))
                    .hint("two branches were merged; see `dlc migrate status`"),
            })
        }),
        ..Check::of(Layer::Migrations)
    },
    Check {
        id: "MIG005",
        title: "unfinished migration",
        cause: "A migration without a transaction was cut short.",
        fix: "dlc migrate up begins it again; dlc migrate down gives it up.",
        judge: Judge::Case(|case| {
            history(case.facts, |history| match history.unfinished() {
                None => Verdict::ok("none"),
                Some(error) => Verdict::fail(error.to_string()).hint("go on with it: dlc migrate up"),
            })
        }),
        ..Check::of(Layer::Migrations)
    },
    Check {
        id: "MIG006",
        title: "migration lock",
        cause: "Somebody migrates just now.",
        fix: "Wait for it; a dead process frees the lock by itself.",
        engine: Some(Engine::Postgres),
        judge: Judge::Case(|case| match case.facts.server.as_ref().map(|server| &server.value) {
            None | Some(Err(_)) => Verdict::skipped("no session"),
            Some(Ok(session)) => match &session.migration_lock_holder {
                None => Verdict::ok("free"),
                Some(holder) => Verdict::warn(format!("held by {holder}")).hint("a migration is running: wait for it"),
            },
        }),
        ..Check::of(Layer::Migrations)
    },
];
