//! What a primary and a replica are asked, and what they say: for the service and for the doctor alike.
//!
//! By the protocol that prepares nothing, and with nothing kept in the session, so that a pooler may stand in between.

use std::time::Duration;

use dlc_application::ports::freshness::Position;

use super::log::{Log, end_of_records};
use crate::session::{Session, Texts};

/// What a replica says of itself.
#[derive(Debug)]
pub(crate) struct Look {
    /// How far it has come; `None`: it is no replica.
    pub(crate) replayed: Option<Position>,
    pub(crate) log: Log,
    /// Since when it runs.
    pub(crate) since: String,
    /// How long ago, by its own clock, the last transaction was committed that it has replayed.
    pub(crate) last: Option<Duration>,
}

/// Since when a server runs: another one, or the same one started anew, has another time.
pub(super) const RUNS_SINCE: &str = "CAST(pg_postmaster_start_time() AS text)";

const DATABASE: &str = "CAST((SELECT oid FROM pg_database WHERE datname = current_database()) AS text)";

/// Where the primary's log ends.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) log: Log,
    /// Behind all that was committed.
    pub(crate) written: Position,
    /// Behind all that is on its disk, which is all that a replica can have.
    pub(crate) flushed: Position,
}

/// Asks a primary where its log ends.
pub(crate) async fn of_primary(session: &mut Session) -> Result<End, sqlx::Error> {
    let question = format!(
        "SELECT CAST(pg_current_wal_flush_lsn() AS text), CAST(pg_current_wal_insert_lsn() AS text), \
                CAST(left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS text), \
                CAST(pg_size_bytes(current_setting('wal_block_size')) AS text), \
                CAST(pg_size_bytes(current_setting('wal_segment_size')) AS text), \
                CAST(system_identifier AS text), {DATABASE} FROM pg_control_system()"
    );
    let mut row = Answer::of(session.rows(&question, &[]).await?);
    let flushed = row.parsed(|text| text.parse().ok())?;
    let next = row.parsed(|text| text.parse().ok())?;
    let timeline = row.parsed(hexadecimal)?;
    let (page, segment) = (
        row.parsed(|text| text.parse().ok())?,
        row.parsed(|text| text.parse().ok())?,
    );
    let log = Log {
        system: row.text()?,
        database: row.text()?,
        timeline,
    };
    Ok(End {
        log,
        written: end_of_records(next, page, segment),
        flushed,
    })
}

/// Has a primary write its log out before long: it ends in a commit then.
///
/// What nobody waits for, such as the traces of a transaction that was rolled back, may stay in its memory for a quarter of a minute
/// while nothing else is committed; for so long no replica could have all of the log.
pub(crate) async fn write_out(session: &mut Session) -> Result<(), sqlx::Error> {
    session.execute("SELECT pg_current_xact_id()").await
}

/// Asks a replica how far it has come.
///
/// The timeline is that of its last checkpoint, or the one that it receives, as far as this role is told: after the promotion of
/// another server a replica that follows it is known to do so after its next checkpoint at the latest.
pub(crate) async fn of_replica(session: &mut Session) -> Result<Look, sqlx::Error> {
    let question = format!(
        "SELECT CAST(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END AS text), \
                CAST(greatest(timeline_id, (SELECT received_tli FROM pg_stat_wal_receiver)) AS text), \
                CAST((SELECT system_identifier FROM pg_control_system()) AS text), {DATABASE}, {RUNS_SINCE}, \
                CAST(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) AS text) \
         FROM pg_control_checkpoint()"
    );
    let mut row = Answer::of(session.rows(&question, &[]).await?);
    let replayed = row.next().map(|text| text.parse().map_err(|_| none())).transpose()?;
    let timeline = row.parsed(|text| text.parse().ok())?;
    let log = Log {
        system: row.text()?,
        database: row.text()?,
        timeline,
    };
    let since = row.text()?;
    let last = row.next().and_then(|text| text.parse().ok());
    Ok(Look {
        replayed,
        log,
        since,
        last: last.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    })
}

fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

fn none() -> sqlx::Error {
    sqlx::Error::Protocol("the answer is none".to_owned())
}

/// One row, column by column.
struct Answer(std::vec::IntoIter<Option<String>>);

impl Answer {
    fn of(rows: Vec<Texts>) -> Self {
        Self(rows.into_iter().next().unwrap_or_default().into_iter())
    }

    fn next(&mut self) -> Option<String> {
        self.0.next().flatten()
    }

    fn text(&mut self) -> Result<String, sqlx::Error> {
        self.next().ok_or_else(none)
    }

    fn parsed<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Result<T, sqlx::Error> {
        self.next().as_deref().and_then(parse).ok_or_else(none)
    }
}
