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
    /// Judges claims, each of another person or for another coupon, and makes those that are granted durable, all of them in one
    /// transaction; a verdict for each, in their order.
    fn commit(&mut self, claims: &[&Waiting], lock: Lock) -> impl Future<Output = Result<Vec<Judged>, Failed>> + Send;

    /// Until it has given back what it keeps for the next group.
    fn until_idle(&mut self) -> impl Future<Output = ()> + Send;
}

/// The database.
pub(super) struct SqlStore {
    source: Source,
    held: Option<Held>,
}

impl SqlStore {
    pub(super) fn new(source: Source) -> Self {
        Self { source, held: None }
    }

    pub(super) fn holding(source: Source, held: Held) -> Self {
        Self {
            source,
            held: Some(held),
        }
    }

    async fn hold(&mut self) -> Result<Held, Failed> {
        match self.held.take() {
            Some(held) => Ok(held),
            None => {
                let held = self.source.hold().await;
                held.map_err(|e| Failed::certain(error::no_connection(&e), e))
            }
        }
    }
}

impl Store for SqlStore {
    async fn commit(&mut self, claims: &[&Waiting], lock: Lock) -> Result<Vec<Judged>, Failed> {
        // The first whose trace is recorded has the statements among its own, and the others are linked to them.
        let mut asking = claims.iter().filter_map(|waiting| waiting.span.as_ref());
        let first = asking.next().cloned().unwrap_or_else(Span::none);
        let others: Vec<Span> = asking.cloned().collect();
        let mut held = self.hold().instrument(first.clone()).await?;
        let committed = async {
            match &mut held.connection {
                Connection::Postgres(connection) => postgres::commit(connection, claims, lock, &others).await,
                Connection::Sqlite(connection) => sqlite::commit(connection, claims, &others).await,
            }
        }
        .instrument(first);
        match tokio::time::timeout(self.source.limit, committed).await {
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
