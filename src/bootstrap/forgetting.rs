//! What the running service forgets by itself: kept answers whose day is over, sessions and failures that are out of date.

use std::{sync::Arc, time::Duration};

use dlc_application::ports::{
    StorageError, StorageErrorKind,
    clock::Clock,
    idempotency::{KEPT_FOR, KeptAnswers},
    sessions::SessionRepository,
};
use tokio::time::Instant;

/// How often. Each instance does it; what one has forgotten the next does not find.
const EVERY: Duration = Duration::from_secs(600);

/// Forgets, until it is dropped.
pub(super) async fn forget(answers: Arc<dyn KeptAnswers>, sessions: Arc<dyn SessionRepository>, clock: Arc<dyn Clock>) {
    // Not at once: a start has other things to do, and what is a day old may be a little older.
    let mut rounds = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
    loop {
        rounds.tick().await;
        let answers = answers.forget(clock.now() - KEPT_FOR).await;
        tell("answers_kept", "answers to requests of yesterday", answers);
        let sessions = sessions.forget(clock.now()).await;
        tell(
            "sessions_kept",
            "sessions, failures and codes that are out of date",
            sessions,
        );
    }
}

fn tell(code: &'static str, what: &'static str, forgotten: Result<u64, StorageError>) {
    match forgotten {
        Ok(0) => {}
        Ok(forgotten) => tracing::debug!(forgotten, "forgot {what}"),
        // The database's absence is told elsewhere, and the next round takes what this one left.
        Err(error) if error.kind() == StorageErrorKind::Unavailable => {}
        Err(error) => tracing::warn!(code, "{what} were not forgotten: {error}"),
    }
}
