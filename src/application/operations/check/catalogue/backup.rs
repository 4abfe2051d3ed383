//! BAK: is there a backup that is worth its name?

use super::{Check, Judge, Question, text};
use crate::operations::check::{Layer, Limits, Measured, Unit};

/// A backup of each day, and two hours for the one of today to begin later and take longer than that of yesterday.
const STALE: f64 = 26.0 * 3600.0;

/// A backup that was restored longer ago says little of those that are made now.
const VERIFIED_LONG_AGO: f64 = 7.0 * 86_400.0;

pub(super) const CHECKS: &[Check] = &[Check {
    id: "BAK001",
    title: "last backup",
    engine: None,
    own: true,
    cause: "The last backup by dlc is old, or no backup was restored and compared within the last 7 days: nobody knows whether \
            there is one.",
    fix: "Make one and verify it: dlc db backup --verify. One that exists: dlc db verify FILE. Where another tool makes the \
          backups: --skip BAK001.",
    question: Question::both(
        "SELECT CAST(extract(epoch FROM clock_timestamp() - b.created_at) AS text), b.place, \
                CASE WHEN b.verified_at IS NULL THEN 'no' ELSE 'yes' END, \
                (SELECT CAST(extract(epoch FROM clock_timestamp() - max(created_at)) AS text) FROM backups \
                 WHERE verified_at IS NOT NULL) \
         FROM backups b ORDER BY b.created_at DESC, b.id DESC LIMIT 1",
        "SELECT CAST((julianday('now') - julianday(b.created_at)) * 86400 AS text), b.place, \
                CASE WHEN b.verified_at IS NULL THEN 'no' ELSE 'yes' END, \
                (SELECT CAST((julianday('now') - julianday(max(created_at))) * 86400 AS text) FROM backups \
                 WHERE verified_at IS NOT NULL) \
         FROM backups b ORDER BY b.created_at DESC, b.id DESC LIMIT 1",
    ),
    judge: Judge::Quantity(Limits::warning(Unit::Seconds, STALE), |case| {
        let Some(age) = case.number(0) else {
            return Err("dlc has made no backup of this database".to_owned());
        };
        let place = case.text(1);
        let of_a_verified_one = case.rows.first().and_then(|row| text(row, 3).parse::<f64>().ok());
        let (words, suspect, hint) = match (case.text(2), of_a_verified_one) {
            ("yes", _) => (
                format!("the age of {place}, which was verified"),
                false,
                "dlc db backup --verify",
            ),
            (_, None) => (
                format!("the age of {place}; no backup was ever verified"),
                true,
                "dlc db verify FILE, or dlc db backup --verify",
            ),
            (_, Some(age)) => (
                format!(
                    "the age of {place}; the last verified one is {} old",
                    Unit::Seconds.show(age)
                ),
                age >= VERIFIED_LONG_AGO,
                "dlc db verify FILE, or dlc db backup --verify",
            ),
        };
        Ok(Measured {
            // A clock that was set back makes nothing younger than now.
            value: age.max(0.0),
            words,
            hint: Some(hint.to_owned()),
            suspect,
        })
    }),
    ..Check::of(Layer::Health)
}];
