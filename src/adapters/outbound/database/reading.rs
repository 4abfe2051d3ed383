//! Reads: each has a connection and its turn, on the replica where it may and can be answered there, else on the primary.
//!
//! Not here: when a replica is good enough (`replica`); reads that decide about a write, which take part in its transaction.

use std::sync::Arc;

use dlc_application::ports::{
    StorageError,
    freshness::{Freshness, WriteLog},
};
use sea_orm::DatabaseConnection;

use crate::{
    connection::Database,
    error,
    options::DatabaseOptions,
    replica::{Link, ReplicaOptions, ReplicaWatch},
    turnstile::{Turn, Turnstile},
};

/// A connection for one read, and its turn, which is dropped after it.
pub(crate) struct Reader {
    pub(crate) connection: DatabaseConnection,
    _turn: Turn,
}

impl Reader {
    async fn enter(connection: &DatabaseConnection, turnstile: &Turnstile) -> Result<Self, StorageError> {
        let turn = turnstile.enter().await.map_err(error::not_held)?;
        Ok(Self {
            connection: connection.clone(),
            _turn: turn,
        })
    }
}

impl Database {
    /// Lets reads that may be a little old go to a replica, as soon as the watch has found it to be one; for good.
    pub fn attach_replica(&self, primary: &DatabaseOptions, options: &ReplicaOptions) -> ReplicaWatch {
        let (watch, replica) = ReplicaWatch::over(primary, options);
        // Only the first call counts; there is one replica.
        let _ = self.attached().set(replica);
        watch
    }

    /// Who has written when; none without a replica, where every read sees everything.
    #[must_use]
    pub fn write_log(&self) -> Option<Arc<dyn WriteLog>> {
        let replica = Arc::clone(self.attached().get()?);
        Some(replica)
    }

    /// Reads as freshly as is wanted. `ask` is called a second time where the replica had no answer.
    pub(crate) async fn read<T, F>(&self, freshness: Freshness, ask: impl Fn(Reader) -> F) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        self.read_unless(freshness, |_| true, ask).await
    }

    /// The same for what may not be there: what a replica does not have is looked for on the primary.
    pub(crate) async fn read_one<T, F>(
        &self,
        freshness: Freshness,
        ask: impl Fn(Reader) -> F,
    ) -> Result<Option<T>, StorageError>
    where
        F: Future<Output = Result<Option<T>, StorageError>>,
    {
        self.read_unless(freshness, Option::is_some, ask).await
    }

    async fn read_unless<T, F>(
        &self,
        freshness: Freshness,
        is_answer: fn(&T) -> bool,
        ask: impl Fn(Reader) -> F,
    ) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        let on_replica = |link: Arc<Link>| {
            let ask = &ask;
            async move { ask(Reader::enter(link.connection(), link.turnstile()).await?).await }
        };
        if let Some(replica) = self.attached().get()
            && let Some(found) = replica.read(freshness, is_answer, on_replica).await
        {
            return Ok(found);
        }
        ask(Reader::enter(self.ro(), self.turnstile_to_read()).await?).await
    }
}
