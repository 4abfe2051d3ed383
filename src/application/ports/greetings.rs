//! Where greetings are kept.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use dlc_domain::{
    greetings::{Greeting, GreetingContext, GreetingId},
    users::UserId,
};

use super::{
    StorageError,
    freshness::Freshness,
    idempotency::{Keyed, Repeat},
};

/// A greeting to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGreeting {
    /// Who was greeted.
    pub user: Option<UserId>,
    /// What was said.
    pub message: String,
    /// What the caller wants remembered.
    pub context: Option<GreetingContext>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is stored.
    Recorded(Greeting),
    /// The request's key was used before; nothing was changed.
    Repeated(Repeat),
}

/// A place in somebody's history: the last greeting of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPosition {
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// Its number.
    pub id: GreetingId,
}

/// Greetings, kept. Each method is one transaction as its caller sees it.
#[async_trait]
pub trait GreetingRepository: Send + Sync {
    /// Records one; where the request has a key, the answer is kept in the same transaction.
    async fn record(&self, greeting: &NewGreeting, keyed: Option<&Keyed<Greeting>>) -> Result<Recorded, StorageError>;

    /// Reads one of somebody's. MUST NOT find anybody else's.
    async fn find(&self, owner: UserId, id: GreetingId, freshness: Freshness)
    -> Result<Option<Greeting>, StorageError>;

    /// Reads at most `limit` of somebody's, the youngest first, those older than a place. Greetings that were there when the first
    /// page was read MUST each be on exactly one page, whatever is recorded meanwhile.
    async fn page(
        &self,
        owner: UserId,
        before: Option<HistoryPosition>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<Vec<Greeting>, StorageError>;

    /// Deletes greetings recorded before a time, and tells how many, at most `limit`.
    async fn prune(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, StorageError>;
}
