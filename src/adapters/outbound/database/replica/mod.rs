//! A replica for reads that may be a little old: which of them go there, and what becomes of those that fail.
//!
//! How old the replica is, is measured in positions of the log, never in its own clock: a task asks the primary where its log ends
//! (`positions`) and keeps the answers with the times at which it began to ask (`samples`); another one asks the replica how far it has
//! come (`watch`). The replica then shows the primary as it was when the newest answer was asked for that the replica has reached.
//! Who wrote after that time (`writes`), or names a position beyond, is sent to the primary; so is everybody while the replica is
//! further behind than it may be, and whoever could not be answered there. So it costs no request.
//!
//! Not here: what is read; what counts as a write (`adapters/inbound/http/freshness`).

mod link;
mod log;
mod positions;
pub(crate) mod questions;
mod samples;
mod state;
mod watch;
mod writes;

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::options::DatabaseOptions;
pub(crate) use link::Link;
use positions::Positions;
pub(crate) use state::{Attached, Replica};
use watch::Watch;

/// What a transaction takes at most, as far as its caller's next read is concerned, where the server has no limit for it.
const UNLIMITED: Duration = Duration::from_secs(60);

/// Everything that decides about a replica.
#[derive(Clone, Debug)]
pub struct ReplicaOptions {
    /// Its database; pool, limits and pooler like those of the primary.
    pub database: DatabaseOptions,
    /// How far it may be behind.
    pub max_lag: Duration,
    /// Instances that share the database. Of more than one none knows what was written through the others.
    pub instances: u32,
}

/// Keeps watch over a replica, for as long as it runs.
#[must_use]
pub struct ReplicaWatch {
    positions: Positions,
    watch: Watch,
}

impl ReplicaWatch {
    /// The watch over a replica of a primary, and what it will know.
    pub(crate) fn over(primary: &DatabaseOptions, options: &ReplicaOptions) -> (Self, Arc<Replica>) {
        let (asked, questions) = mpsc::channel(positions::QUEUE);
        let limits = [primary.statement_timeout, primary.lock_timeout];
        let limits = limits.map(|limit| limit.unwrap_or(UNLIMITED));
        let unfinished = limits.iter().sum::<Duration>() + primary.acquire_timeout;
        let replica = Arc::new(Replica::new(options.max_lag, options.instances, unfinished, asked));
        let watch = Self {
            positions: Positions::new(primary, questions, Arc::clone(&replica)),
            watch: Watch::new(&options.database, Arc::clone(&replica)),
        };
        (watch, replica)
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        tokio::join!(self.positions.run(), self.watch.run());
    }
}
