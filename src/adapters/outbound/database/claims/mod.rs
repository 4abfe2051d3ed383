//! The claim engine: claims that wait travel together (natural group commit, §5.5).
//!
//! A coupon is one row, and whoever claims a piece has to have that row to itself until its commit is durable. So nobody queues
//! at the row: claims queue here ([`queue`]), one line per coupon, and a lane ([`lane`]) takes what waits, for several coupons
//! at once, and commits it as one transaction ([`postgres`], [`sqlite`]). A lone claim goes at once, and nobody waits for company; while a
//! commit is under way the next group gathers. Other processes on the same database are kept apart by the row's lock, as ever.
//!
//! What becomes of a claim is told after the commit and to each caller alone. A group that failed for certain is tried again one
//! by one; one whose outcome is unknown never is, because its winners would hear that they have claimed already: its callers
//! learn the truth by asking again (I5). A caller that has gone away loses its own claim and nobody else's.
//!
//! Whoever comes to a coupon that is sold out is answered from memory ([`sold_out`]). Not here: who asks, and what is asked over
//! HTTP; coupons themselves (`coupons`).

mod group;
mod lane;
#[cfg(test)]
mod model;
mod postgres;
mod queue;
mod sold_out;
mod sqlite;
mod store;

use std::sync::Arc;

use dlc_application::ports::{
    StorageError, StorageErrorKind,
    coupons::ClaimVerdict,
    idempotency::{KeyRefused, Keyed, Repeat},
};
use dlc_domain::coupons::Claim;
use tokio::sync::oneshot;

use self::{
    group::{Failed, Judged, Lock, Waiting},
    queue::{Limits, Queue},
    sold_out::SoldOut,
    store::{SqlStore, Store},
};
use crate::{connection::Database, error, uninterrupted::uninterrupted};

/// How claims reach the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimEngineMode {
    /// Those that wait share a transaction.
    #[default]
    Group,
    /// Each has a transaction of its own, and waits for the coupon's row like anybody else.
    Single,
}

/// Takes claims.
#[derive(Debug)]
pub(crate) struct Claims {
    database: Database,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Group { queue: Arc<Queue>, sold_out: Arc<SoldOut> },
    Single,
}

impl Claims {
    /// The engine of a connected database; its lanes run on the current runtime, and end with it.
    pub(crate) fn start(database: Database, mode: ClaimEngineMode) -> Self {
        let engine = match mode {
            ClaimEngineMode::Single => Engine::Single,
            ClaimEngineMode::Group => {
                let limits = Limits::of(database.engine(), database.max_connections());
                let queue = Arc::new(Queue::new(limits));
                let sold_out = Arc::new(SoldOut::default());
                let loader = sold_out::Loader::start(&sold_out, database.read_source());
                for _ in 0..limits.lanes() {
                    let store = SqlStore::new(database.write_source());
                    tokio::spawn(lane::lane(Arc::clone(&queue), store, loader.clone()));
                }
                Engine::Group { queue, sold_out }
            }
        };
        Self { database, engine }
    }

    /// Claims one piece.
    pub(crate) async fn claim(
        &self,
        claim: &Claim,
        keyed: Option<&Keyed<Claim>>,
    ) -> Result<ClaimVerdict, StorageError> {
        // That a key is in use is known at once.
        let at_work = match keyed {
            Some(keyed) => match self.database.keys().take(&keyed.request) {
                Some(at_work) => Some(at_work),
                None => return Ok(ClaimVerdict::Repeated(Repeat::Refused(KeyRefused::Running))),
            },
            None => None,
        };
        let (answer, answered) = oneshot::channel();
        let waiting = |answer| Waiting::new(claim.clone(), keyed.cloned(), at_work, answer);
        match &self.engine {
            Engine::Group { queue, sold_out } => {
                // A request with a key may have been answered before it was sold out: only the database knows.
                if keyed.is_none()
                    && let Some(refused) = sold_out.verdict(claim)
                {
                    return Ok(ClaimVerdict::Refused(refused));
                }
                queue.push(waiting(answer)).map_err(|_| {
                    let words = "too many claims wait already";
                    StorageError::new(StorageErrorKind::Overloaded, words)
                })?;
                match answered.await {
                    Ok(answer) => answer.map_err(Failed::into_storage_error),
                    Err(_) => Err(StorageError::new(
                        StorageErrorKind::Unavailable,
                        "the claims have ended",
                    )),
                }
            }
            Engine::Single => self.claim_alone(waiting(answer)).await,
        }
    }

    /// A claim in a transaction of its own.
    async fn claim_alone(&self, waiting: Waiting) -> Result<ClaimVerdict, StorageError> {
        let source = self.database.write_source();
        let held = source.hold().await.map_err(error::not_held)?;
        let mut store = SqlStore::holding(source, held);
        uninterrupted((), async move {
            loop {
                let judged = store.commit(&[&waiting], Lock::Wait).await;
                match judged.map_err(Failed::into_storage_error)?.pop() {
                    Some(Judged::Verdict(verdict)) => return Ok(verdict),
                    // Somebody was quicker between the look at it and the lock: what is left to be said is known by now.
                    Some(Judged::Again | Judged::Locked) => {}
                    None => return Err(StorageError::new(StorageErrorKind::Other, "a claim without a verdict")),
                }
            }
        })
        .await
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        if let Engine::Group { queue, .. } = &self.engine {
            queue.close();
        }
    }
}
