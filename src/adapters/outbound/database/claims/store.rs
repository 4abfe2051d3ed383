//! Where groups are committed: on a connection that is kept from one group to the next.

use dlc_application::ports::StorageErrorKind;
use tracing::{Instrument, Span};

use super::{
    group::{Failed, Judged, Lock, Waiting},
    postgres, sqlite,
};
use crate::{
    error,
    held::{Connection, Held, Source},
};

/// Commits groups. The engine's own test has another one, which fails when it is told to.
pub(super) trait Store: Send + 'static {
    /// Judges claims, each of another person or for another coupon, and makes those that are granted durable, all in one
    /// transaction; a verdict for each, in their order.
    fn commit(&mut self, claims: &[&Waiting], lock: Lock) -> impl Future<Output = Result<Vec<Judged>, Failed>> + Send;

    /// Until it has given back what it keeps for the next group.
    fn until_idle(&mut self) -> impl Future<Output = ()> + Send;
}

/// Claims on one connection after which PostgreSQL is to forget its plans for the first time, and then whenever there were twice
/// as many: a plan made for an empty table reads all of it for every claim, until autoanalyze comes by after a minute or so.
const FIRST_PLANS_ARE_GOOD_FOR: usize = 1_000;

/// The database.
pub(super) struct SqlStore {
    source: Source,
    held: Option<Held>,
    /// Claims on the connection that is held.
    carried: usize,
    plans_are_good_for: usize,
}

impl SqlStore {
    pub(super) fn new(source: Source) -> Self {
        Self::with(source, None)
    }

    pub(super) fn holding(source: Source, held: Held) -> Self {
        Self::with(source, Some(held))
    }

    fn with(source: Source, held: Option<Held>) -> Self {
        Self {
            source,
            held,
            carried: 0,
            plans_are_good_for: FIRST_PLANS_ARE_GOOD_FOR,
        }
    }

    /// The connection, and whether its plans are too old.
    async fn hold(&mut self, claims: usize) -> Result<(Held, bool), Failed> {
        let (held, is_stale) = match self.held.take() {
            Some(held) => (held, self.carried >= self.plans_are_good_for),
            None => {
                let held = self.source.hold().await;
                let held = held.map_err(|e| Failed::certain(error::no_connection(&e), e))?;
                (self.carried, self.plans_are_good_for) = (0, FIRST_PLANS_ARE_GOOD_FOR);
                (held, false)
            }
        };
        if is_stale {
            self.plans_are_good_for = self.carried * 2;
        }
        self.carried += claims;
        Ok((held, is_stale))
    }
}

impl Store for SqlStore {
    async fn commit(&mut self, claims: &[&Waiting], lock: Lock) -> Result<Vec<Judged>, Failed> {
        // The first whose trace is recorded has the statements among its own, and the others are linked to them.
        let mut asking = claims.iter().filter_map(|waiting| waiting.span.as_ref());
        let first = asking.next().cloned().unwrap_or_else(Span::none);
        let others: Vec<Span> = asking.cloned().collect();
        let (mut held, is_stale) = self.hold(claims.len()).instrument(first.clone()).await?;
        let committed = async {
            match &mut held.connection {
                Connection::Postgres(connection) => {
                    if is_stale {
                        postgres::forget_plans(connection).await?;
                    }
                    postgres::commit(connection, claims, lock, &others).await
                }
                Connection::Sqlite(connection) => sqlite::commit(connection, claims, &others).await,
            }
        }
        .instrument(first);
        match tokio::time::timeout(self.source.limit(), committed).await {
            Ok(Ok(judged)) => {
                // Somebody waits for a connection: this lane queues again like everybody else.
                if !self.source.is_wanted() {
                    self.held = Some(held);
                }
                Ok(judged)
            }
            Ok(Err(failed)) => Err(failed),
            Err(_) => {
                held.destroy();
                let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(Failed::unknown(StorageErrorKind::Timeout, late))
            }
        }
    }

    async fn until_idle(&mut self) {
        if self.held.is_none() {
            return std::future::pending().await;
        }
        self.source.until_wanted().await;
        self.held = None;
    }
}
