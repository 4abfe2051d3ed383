//! REP: do the copies keep up?

use super::{Check, FailureClass, Judge, Layer, Limits, Measured, Question, Unit};
use crate::ports::inspection::Engine;

pub(super) const CHECKS: &[Check] = &[Check {
    id: "REP001",
    title: "replication",
    layer: Layer::Health,
    class: FailureClass::Failed,
    engine: Some(Engine::Postgres),
    deep: false,
    own: false,
    cause: "A replica is behind, so reads there see the past; or a replication slot that nobody uses keeps the server from \
            clearing its log away, until the disk is full.",
    fix: "Look at the replica's log and network. A slot that nobody will use again: SELECT pg_drop_replication_slot(name).",
    question: Question::postgres(
        "SELECT CASE WHEN pg_is_in_recovery() \
                THEN CAST(coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0) \
                          * (pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn())::int AS text) \
                ELSE CAST(coalesce((SELECT max(extract(epoch FROM replay_lag)) FROM pg_stat_replication), 0) AS text) END, \
         CASE WHEN pg_is_in_recovery() THEN 'this is a replica' \
              ELSE format('%s replicas', (SELECT count(*) FROM pg_stat_replication)) END, \
         (SELECT string_agg(format('slot %s is inactive', slot_name), ', ') FROM pg_replication_slots WHERE NOT active)",
    ),
    judge: Judge::Quantity(
        Limits {
            unit: Unit::Seconds,
            warn: Some(10.0),
            fail: Some(300.0),
        },
        |answer| {
            let lag = answer.number(0).ok_or("no answer")?;
            let slots = answer.text(2);
            // A forgotten slot is worth a look however small the lag is.
            let value = if slots.is_empty() { lag } else { lag.max(10.0) };
            let words = [answer.text(1), slots].into_iter().filter(|words| !words.is_empty());
            Ok(Measured {
                value,
                words: words.collect::<Vec<_>>().join("; "),
                hint: Some(
                    "look at the replica; a slot that nobody uses: SELECT pg_drop_replication_slot(…);".to_owned(),
                ),
            })
        },
    ),
}];
