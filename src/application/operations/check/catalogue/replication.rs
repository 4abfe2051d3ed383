//! REP: do the copies keep up?

use std::time::Duration;

use super::{Case, Check, Judge, Question};
use crate::{
    operations::check::{Layer, Limits, Measured, Unit},
    ports::inspection::Engine,
};

/// What was found out about the replica for reads.
struct Reads {
    behind: Duration,
    words: String,
    /// Why it is not used, and what to do.
    trouble: Option<String>,
}

/// Judges the replica for reads, where one is configured and was looked at.
fn replica_for_reads(case: &Case<'_>) -> Option<Reads> {
    let configured = case.facts.config.replica.as_ref()?;
    let looked = case.facts.replica.as_ref()?;
    let (target, max) = (&configured.target, Unit::Seconds.show(configured.max_lag.as_secs_f64()));
    let unused = |why: &str, hint: &str| Reads {
        behind: Duration::ZERO,
        words: format!("{target} {why}: the primary answers all reads"),
        trouble: Some(hint.to_owned()),
    };
    let facts = match &looked.value {
        Err(error) => {
            let hint = "start it, or look at its log and at the network; without database.replica_url there is none";
            return Some(unused(
                &format!("cannot be asked ({}: {})", error.target, error.cause),
                hint,
            ));
        }
        Ok(facts) => facts,
    };
    if !facts.is_copy {
        let hint = "database.replica_url must name a streaming replica of this database, by the same database name";
        return Some(unused("is no copy of this database, but of another one", hint));
    }
    if !facts.in_recovery {
        let hint = "make it a replica again (pg_rewind, pg_basebackup), or correct database.replica_url";
        return Some(unused("is no replica, or was promoted: it takes writes itself", hint));
    }
    if !facts.same_timeline {
        let hint =
            "if its log says that it follows the new primary: CHECKPOINT; on it; else pg_rewind or pg_basebackup";
        return Some(unused("has not come to the timeline of the primary", hint));
    }
    let behind = Unit::Seconds.show(facts.behind.as_secs_f64());
    if facts.behind > configured.max_lag {
        let missing = Unit::Bytes.show(bytes(facts.bytes));
        let why = format!("is {behind} behind ({missing} of the log), more than {max} (database.replica_max_lag)");
        let hint = "on it: SELECT pg_is_wal_replay_paused(); its log, disk and network; then longer queries that hold the replay up";
        return Some(Reads {
            behind: facts.behind,
            ..unused(&why, hint)
        });
    }
    Some(Reads {
        behind: Duration::ZERO,
        words: format!("the one for reads is {behind} behind, of {max}"),
        trouble: None,
    })
}

#[allow(clippy::cast_precision_loss)] // shown to three digits
fn bytes(bytes: u64) -> f64 {
    bytes as f64
}

pub(super) const CHECKS: &[Check] = &[Check {
    id: "REP001",
    title: "replication",
    engine: Some(Engine::Postgres),
    cause: "A replica is behind, so reads there see the past; the one that database.replica_url names is not used then, nor while it \
            cannot be asked or is no replica of this database, and the primary answers all reads. Or a replication slot that nobody uses keeps the server from \
            clearing its log away, until the disk is full.",
    fix: "Look at the replica's log and network. One that was promoted, or is a copy of another database, is made anew with \
          pg_basebackup. A slot that nobody will use again: SELECT pg_drop_replication_slot(name).",
    question: Question::postgres(
        "SELECT CASE WHEN pg_is_in_recovery() \
                THEN CAST(coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0) \
                          * (pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn())::int AS text) \
                ELSE CAST(coalesce((SELECT max(extract(epoch FROM replay_lag)) FROM pg_stat_replication), 0) AS text) END, \
         CASE WHEN pg_is_in_recovery() THEN 'this is a replica' \
              ELSE (SELECT CASE count(*) WHEN 1 THEN '1 replica' ELSE format('%s replicas', count(*)) END FROM pg_stat_replication) END, \
         (SELECT string_agg(format('slot %s is inactive', slot_name), ', ') FROM pg_replication_slots WHERE NOT active), \
         CASE WHEN pg_is_in_recovery() AND NOT EXISTS (SELECT 1 FROM pg_stat_wal_receiver) \
              THEN 'it receives nothing from its primary' END, \
         CAST((SELECT count(*) FROM pg_stat_replication WHERE state IS NULL) AS text), quote_ident(current_user)",
    ),
    judge: Judge::Quantity(Limits::new(Unit::Seconds, 10.0, 300.0), |case| {
        let reads = replica_for_reads(case);
        let lag = case.number(0).ok_or("no answer")?;
        let (slots, alone) = (case.text(2), case.text(3));
        let hidden = case.number(4).is_some_and(|hidden| hidden > 0.0);
        if hidden && reads.is_none() {
            return Err(format!("replicas are hidden: GRANT pg_monitor TO {};", case.text(5)));
        }
        let (behind, told, trouble) = match reads {
            Some(reads) => (reads.behind.as_secs_f64(), reads.words, reads.trouble),
            None => (0.0, String::new(), None),
        };
        // Of whom this role is told nothing, it is told no lag either.
        let words = [if hidden { "" } else { case.text(1) }, alone, slots, &told];
        let words = words.into_iter().filter(|words| !words.is_empty());
        Ok(Measured {
            value: lag.max(behind),
            words: words.collect::<Vec<_>>().join("; "),
            // A forgotten slot or a replica that was cut off is worth a look however small the lag is.
            suspect: !slots.is_empty() || !alone.is_empty() || trouble.is_some(),
            hint: trouble.or_else(|| {
                Some("look at the replica's log; a slot that nobody uses: pg_drop_replication_slot()".to_owned())
            }),
        })
    }),
    ..Check::of(Layer::Health)
}];
