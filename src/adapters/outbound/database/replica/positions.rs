//! Asks the primary where its log ends: some times a second, and for whoever has written and wants to know.
//!
//! The place is where the next record goes (`pg_current_wal_insert_lsn`), not what is on its disk: with `synchronous_commit` off a
//! commit is told before it is there. Those who want to know wait for the next question together; none of them is answered by one
//! that was under way already. Asked on a connection of its own, so that a busy pool makes no replica old.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dlc_application::ports::freshness::Position;
use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};

use super::{
    questions::{self, End},
    state::Replica,
};
use crate::{error, options::DatabaseOptions, session::Session};

/// How often the primary is asked, if nobody wants to know. A replica is taken for that much older than it is.
const EVERY: Duration = Duration::from_millis(200);
/// Longest time for a question.
const LIMIT: Duration = Duration::from_secs(1);
/// Longest time for a new connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Most who wait for an answer; whoever comes then does without.
pub(super) const QUEUE: usize = 4096;

/// Whoever asks the primary.
pub(super) struct Positions {
    options: DatabaseOptions,
    questions: mpsc::Receiver<oneshot::Sender<Position>>,
    replica: Arc<Replica>,
    session: Option<Session>,
    /// The end of the log, where that is in the primary's memory only.
    unwritten: Option<(Position, Instant)>,
    /// Whether it was said that there is no answer.
    is_silence_told: bool,
}

impl Positions {
    pub(super) fn new(
        options: &DatabaseOptions,
        questions: mpsc::Receiver<oneshot::Sender<Position>>,
        replica: Arc<Replica>,
    ) -> Self {
        let options = DatabaseOptions {
            connect_timeout: options.connect_timeout.min(CONNECT_LIMIT),
            ..options.without_time_limits()
        };
        Self {
            options,
            questions,
            replica,
            session: None,
            unwritten: None,
            is_silence_told: false,
        }
    }

    pub(super) async fn run(mut self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting = Vec::new();
        loop {
            let is_tick = tokio::select! {
                _ = ticks.tick() => true,
                Some(first) = self.questions.recv() => {
                    waiting.push(first);
                    false
                }
            };
            while let Ok(next) = self.questions.try_recv() {
                waiting.push(next);
            }
            // A primary that is in trouble is not asked for a connection by each write.
            if self.session.is_none() && !is_tick {
                waiting.clear();
                continue;
            }
            // Nothing is awaited between this and the question: whoever waits has written before.
            let began = Instant::now();
            match self.ask().await {
                Ok(end) => {
                    self.say_answers();
                    for waits in waiting.drain(..) {
                        let _ = waits.send(end.written);
                    }
                    self.write_out(&end).await;
                    let is_another_log = self.replica.samples().push(began, end.log, end.written);
                    if is_another_log {
                        self.replica.forget_told();
                    }
                }
                // Whoever waits is told by that nobody will answer.
                Err(why) => {
                    waiting.clear();
                    self.say_silent(&why);
                }
            }
        }
    }

    /// Sees to it that the end of the log does not stay where no replica can get it from, while nothing else happens.
    async fn write_out(&mut self, end: &End) {
        if end.flushed >= end.written {
            self.unwritten = None;
            return;
        }
        match self.unwritten {
            Some((seen, since)) if seen == end.written => {
                if since.elapsed() >= EVERY
                    && let Some(session) = &mut self.session
                {
                    self.unwritten = None;
                    // A role that may not even do this has an older replica while nothing happens, and nothing worse.
                    let _ = tokio::time::timeout(LIMIT, questions::write_out(session)).await;
                }
            }
            _ => self.unwritten = Some((end.written, Instant::now())),
        }
    }

    /// The error says why there was no answer in time. That the database is lost is told by whoever watches over it.
    async fn ask(&mut self) -> Result<End, String> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::Postgres(self.options.postgres_session().await.map_err(|e| e.cause)?),
        };
        let answer = tokio::time::timeout(LIMIT, questions::of_primary(&mut session)).await;
        let answer = answer.map_err(|_| format!("no answer within {} ms", LIMIT.as_millis()))?;
        let answer = answer.map_err(|e| error::words(&e))?;
        self.session = Some(session);
        Ok(answer)
    }

    fn say_silent(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_silence_told, true) {
            tracing::warn!(
                code = "position_unknown",
                "the primary does not say where its log ends: {why}; until it does, no answer to a write names a position, and the \
                 primary answers all reads as soon as what is known of the replica is too old"
            );
        }
    }

    fn say_answers(&mut self) {
        if std::mem::take(&mut self.is_silence_told) {
            tracing::info!("the primary says where its log ends again");
        }
    }
}
