//! Requests that their clients may send again without anything being done again (`Idempotency-Key`, §5.1).
//!
//! The answer is kept in the same transaction as the effect, so that there is never the one without the other. Only effects
//! are kept: a refused request changed nothing, and is judged anew when it comes again.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::StorageError;

/// How long an answer is kept, at least.
pub const KEPT_FOR: TimeDelta = TimeDelta::hours(24);

/// A request under the key that its client gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// Who asks; empty for whoever has not signed in. Keys of different people are different keys.
    pub principal: String,
    /// Method and template of the route. Keys at different routes are different keys.
    pub route: &'static str,
    /// The client's key.
    pub key: String,
    /// What is asked for, parameters of the path included: equal for requests that mean the same.
    pub content: String,
}

/// A keyed request, and how to write down the answer to it.
#[derive(Clone, Debug)]
pub struct Keyed<T> {
    /// The request.
    pub request: KeyedRequest,
    /// Writes the answer that is kept for a repeated request.
    pub answer: fn(&T) -> String,
}

/// A key that was used before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// For the same request, which was answered like this.
    Answered(String),
    /// In a way that refuses this one.
    Refused(KeyRefused),
}

/// Why a key is not good for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// Another request was answered under it.
    #[error("this Idempotency-Key was used for another request; take a new one")]
    Differs,
    /// A request under it is being worked on.
    #[error("a request with this Idempotency-Key is still being worked on; ask again for its answer")]
    Running,
}

/// What became of a request that may have been made before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Performed<T> {
    /// It was done now.
    Now(T),
    /// It was done before, and this is the answer that was kept.
    Before(String),
}

/// The kept answers as a whole.
#[async_trait]
pub trait KeptAnswers: Send + Sync {
    /// Forgets answers from before a time, and tells how many. MUST NOT hold up requests: few rows at a time.
    async fn forget(&self, before: DateTime<Utc>) -> Result<u64, StorageError>;
}
