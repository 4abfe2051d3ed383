//! Facts about the replica for reads: whether it is one, of this database, and how far behind.
//!
//! Not here: whether that is far (`operations/check`), what the service makes of it (`replica`).

use std::time::{Duration, Instant};

use dlc_application::ports::{
    connection::{ConnectError, ConnectFailure},
    inspection::ReplicaFacts,
};

use crate::{
    error,
    options::DatabaseOptions,
    replica::questions::{End, of_primary, of_replica},
    session::Session,
};

/// Longest time for all of it: what does not answer by then is not used either.
const LIMIT: Duration = Duration::from_millis(1_500);
/// For how long a replica that is behind is watched catching up: one that does within that time is as far behind as it took.
const WATCHED: Duration = Duration::from_millis(500);
/// How often it is asked meanwhile.
const EVERY: Duration = Duration::from_millis(10);

pub(super) async fn look(
    primary: &DatabaseOptions,
    replica: &DatabaseOptions,
    limit: Duration,
) -> Result<ReplicaFacts, ConnectError> {
    let limit = limit.min(LIMIT);
    tokio::time::timeout(limit, find_out(primary, replica))
        .await
        .unwrap_or_else(|_| {
            let cause = format!("no answer within {} ms", limit.as_millis());
            Err(error::failed(ConnectFailure::TimedOut, cause, &replica.url))
        })
}

async fn find_out(primary: &DatabaseOptions, replica: &DatabaseOptions) -> Result<ReplicaFacts, ConnectError> {
    let (there, here) = tokio::join!(replica.postgres_session(), primary.postgres_session());
    let (mut there, mut here) = (Session::Postgres(there?), Session::Postgres(here?));
    let began = Instant::now();
    let End { log, flushed: end, .. } = of_primary(&mut here)
        .await
        .map_err(|e| error::connect(&e, &primary.url))?;
    loop {
        let look = of_replica(&mut there).await;
        let look = look.map_err(|e| error::connect(&e, &replica.url))?;
        let took = began.elapsed();
        let is_behind = look.replayed.is_some_and(|replayed| replayed < end);
        let is_copy = look.log.is_of_the_same_database(&log);
        if is_behind && is_copy && took < WATCHED {
            tokio::time::sleep(EVERY).await;
            continue;
        }
        let bytes = look.replayed.map_or(0, |replayed| end.0.saturating_sub(replayed.0));
        tokio::join!(there.close(), here.close());
        return Ok(ReplicaFacts {
            in_recovery: look.replayed.is_some(),
            is_copy,
            same_timeline: look.log.timeline == log.timeline,
            bytes,
            // What stands still is as old as the last that it has.
            behind: if is_behind {
                look.last.unwrap_or(took).max(took)
            } else {
                took
            },
        });
    }
}
