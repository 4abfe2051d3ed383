//! What the running service forgets by itself: kept answers whose day is over.

use std::{sync::Arc, time::Duration};

use dlc_application::ports::{
    StorageErrorKind,
    clock::Clock,
    idempotency::{KEPT_FOR, KeptAnswers},
};
use tokio::time::Instant;

/// How often. Each instance does it; what one has forgotten the next does not find.
const EVERY: Duration = Duration::from_secs(600);

/// Forgets, until it is dropped.
pub(super) async fn forget(answers: Arc<dyn KeptAnswers>, clock: Arc<dyn Clock>) {
    // Not at once: a start has other things to do, and what is a day old may be a little older.
    let mut rounds = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
    loop {
        rounds.tick().await;
        match answers.forget(clock.now() - KEPT_FOR).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::debug!(forgotten, "forgot answers to requests of yesterday"),
            // The database's absence is told elsewhere, and the next round takes what this one left.
            Err(error) if error.kind() == StorageErrorKind::Unavailable => {}
            Err(error) => tracing::warn!(
                code = "answers_kept",
                "old answers to requests were not forgotten: {error}"
            ),
        }
    }
}
