//! REP: do the copies keep up?

use super::{Check, Judge, Question};
use crate::{
    operations::check::{Layer, Limits, Measured, Unit},
    ports::inspection::Engine,
};

pub(super) const CHECKS: &[Check] = &[Check {
    id: "REP001",
    title: "replication",
    engine: Some(Engine::Postgres),
    cause: "A replica is behind, so reads there see the past; or a replication slot that nobody uses keeps the server from \
            clearing its log away, until the disk is full.",
    fix: "Look at the replica's log and network. A slot that nobody will use again: SELECT pg_drop_replication_slot(name).",
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
        let lag = case.number(0).ok_or("no answer")?;
        let (slots, alone) = (case.text(2), case.text(3));
        if case.number(4).is_some_and(|hidden| hidden > 0.0) {
            return Err(format!("replicas are hidden: GRANT pg_monitor TO {};", case.text(5)));
        }
        let words = [case.text(1), alone, slots];
        let words = words.into_iter().filter(|words| !words.is_empty());
        Ok(Measured {
            value: lag,
            words: words.collect::<Vec<_>>().join("; "),
            // A forgotten slot or a replica that was cut off is worth a look however small the lag is.
            suspect: !slots.is_empty() || !alone.is_empty(),
            hint: Some("look at the replica's log; a slot that nobody uses: pg_drop_replication_slot()".to_owned()),
        })
    }),
    ..Check::of(Layer::Health)
}];
