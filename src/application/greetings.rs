//! Greeting people, and remembering it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use dlc_domain::greetings::{Greeted, Greeting, GreetingContext, GreetingId, greet, greet_personally};
use tracing::instrument;

use crate::ports::{
    StorageError,
    clock::Clock,
    freshness::Freshness,
    greetings::{GreetingRepository, HistoryPosition, NewGreeting, Recorded},
    idempotency::{KeyRefused, Keyed, Performed, Repeat},
    sessions::Principal,
};

/// Greetings deleted by one transaction: few enough that nobody waits for their locks.
const PRUNED_AT_ONCE: u32 = 1_000;

/// A greeting was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordGreetingError {
    /// The request's key is not good for it.
    #[error(transparent)]
    Key(#[from] KeyRefused),
    /// The storage failed; the outcome is unknown.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A greeting could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum FindGreetingError {
    /// There is none, or it is somebody else's.
    #[error("there is no such greeting")]
    Unknown,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What is said: to whoever is named, else to whoever has signed in, else to the world. The same words for the same question.
#[must_use]
pub fn say(whom: Option<&Greeted>, principal: Option<&Principal>) -> String {
    match (whom, principal) {
        (Some(whom), _) => greet(whom),
        (None, Some(known)) => greet_personally(&known.username, known.current_goal.as_ref()),
        (None, None) => greet(&Greeted::default()),
    }
}

/// The guest book.
pub struct GreetingService {
    greetings: Arc<dyn GreetingRepository>,
    clock: Arc<dyn Clock>,
}

impl GreetingService {
    /// A guest book in a storage.
    #[must_use]
    pub fn new(greetings: Arc<dyn GreetingRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { greetings, clock }
    }

    /// Greets and remembers it.
    ///
    /// # Errors
    /// [`RecordGreetingError`]
    #[instrument(target = "dlc::trace", name = "greetings.record", skip_all)]
    pub async fn record(
        &self,
        whom: Option<&Greeted>,
        context: Option<GreetingContext>,
        principal: Option<&Principal>,
        keyed: Option<Keyed<Greeting>>,
    ) -> Result<Performed<Greeting>, RecordGreetingError> {
        let greeting = NewGreeting {
            user: principal.map(|principal| principal.id),
            message: say(whom, principal),
            context,
            created_at: self.clock.now(),
        };
        match self.greetings.record(&greeting, keyed.as_ref()).await? {
            Recorded::Recorded(greeting) => Ok(Performed::Now(greeting)),
            Recorded::Repeated(Repeat::Answered(answer)) => Ok(Performed::Before(answer)),
            Recorded::Repeated(Repeat::Refused(why)) => Err(why.into()),
        }
    }

    /// Looks at one of somebody's greetings.
    ///
    /// # Errors
    /// [`FindGreetingError`]
    #[instrument(target = "dlc::trace", name = "greetings.find", skip_all)]
    pub async fn find(
        &self,
        owner: &Principal,
        id: GreetingId,
        freshness: Freshness,
    ) -> Result<Greeting, FindGreetingError> {
        self.greetings
            .find(owner.id, id, freshness)
            .await?
            .ok_or(FindGreetingError::Unknown)
    }

    /// Looks at somebody's history, the youngest first.
    ///
    /// # Errors
    /// When the storage failed.
    #[instrument(target = "dlc::trace", name = "greetings.history", skip_all)]
    pub async fn history(
        &self,
        owner: &Principal,
        before: Option<HistoryPosition>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<Vec<Greeting>, StorageError> {
        self.greetings.page(owner.id, before, limit, freshness).await
    }

    /// Deletes everybody's greetings from before a time, and tells how many.
    ///
    /// # Errors
    /// When the storage failed; what was deleted until then stays deleted.
    #[instrument(target = "dlc::trace", name = "greetings.prune", skip_all)]
    pub async fn prune(&self, before: DateTime<Utc>) -> Result<u64, StorageError> {
        let mut pruned = 0;
        loop {
            match self.greetings.prune(before, PRUNED_AT_ONCE).await? {
                0 => return Ok(pruned),
                some => pruned += some,
            }
        }
    }
}
