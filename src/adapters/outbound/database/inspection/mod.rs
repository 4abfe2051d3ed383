//! Finds facts out about a database without changing it; the doctor (`operations/check`) judges them.
//!
//! Not here: verdicts, thresholds.

mod certificate;
mod postgres;
mod preflight;
mod replica;
mod sqlite;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chrono::Utc;
use dlc_application::{
    operations::migrate::Known,
    ports::{
        connection::ConnectFailure,
        inspection::{ConfigFacts, DatabaseInspector, Engine, Facts, Inquiry, Question, Row, Timed, Unanswered},
    },
};

use migration::Migration;

use crate::{
    error,
    options::DatabaseOptions,
    schema::{catalogue, history, work},
    session::Session,
};

pub(crate) use preflight::preflight;

/// [`DatabaseInspector`] on both engines.
#[derive(Clone, Debug)]
pub struct SqlInspector {
    options: DatabaseOptions,
    migrations: &'static [Migration],
    file_is_open_here: bool,
    /// A replica for reads, to be looked at, too.
    replica: Option<DatabaseOptions>,
}

impl SqlInspector {
    /// An inspector of a database that this process has not opened; `migrations` are those of this binary.
    #[must_use]
    pub fn new(options: &DatabaseOptions, migrations: &'static [Migration]) -> Arc<Self> {
        Arc::new(Self {
            options: options.without_time_limits(),
            migrations,
            file_is_open_here: false,
            replica: None,
        })
    }

    /// An inspector of the database that this process serves from: it does without looking at file locks, which would
    /// drop the process's own.
    #[must_use]
    pub fn of_a_running_service(options: &DatabaseOptions, migrations: &'static [Migration]) -> Arc<Self> {
        Arc::new(Self {
            options: DatabaseOptions {
                // By its name the service's own sessions are told from the doctor's.
                application_name: format!("doctor of {}", options.application_name)
                    .chars()
                    .take(63)
                    .collect(),
                ..options.without_time_limits()
            },
            migrations,
            file_is_open_here: true,
            replica: None,
        })
    }

    /// The same, which looks at a replica for reads, too.
    #[must_use]
    pub fn beside(self: Arc<Self>, replica: Option<DatabaseOptions>) -> Arc<Self> {
        let replica = replica.map(|replica| DatabaseOptions {
            application_name: self.options.application_name.clone(),
            ..replica.without_time_limits()
        });
        Arc::new(Self {
            replica,
            ..Self::clone(&self)
        })
    }
}

#[async_trait]
impl DatabaseInspector for SqlInspector {
    async fn inspect(&self, config: ConfigFacts, inquiry: &Inquiry, limit: Duration) -> Facts {
        let known = work::known(self.migrations, self.options.url.engine());
        let round = Round {
            options: &self.options,
            inquiry,
            migrations: self.migrations,
            known: &known,
            limit,
            started: Instant::now(),
        };
        let facts = Facts {
            at: Some(Utc::now().timestamp()),
            ..Facts::unseen(config)
        };
        match self.options.url.engine() {
            Engine::Postgres => {
                let (facts, replica) = tokio::join!(postgres::inspect(&round, facts), async {
                    match &self.replica {
                        Some(replica) => Some(timed(replica::look(&self.options, replica, limit)).await),
                        None => None,
                    }
                });
                Facts { replica, ..facts }
            }
            Engine::Sqlite => sqlite::inspect(&round, facts, !self.file_is_open_here).await,
        }
    }
}

/// One look: at what, for what, and for how long.
#[derive(Clone, Copy)]
struct Round<'a> {
    options: &'a DatabaseOptions,
    inquiry: &'a Inquiry,
    migrations: &'static [Migration],
    known: &'a [Known],
    limit: Duration,
    started: Instant,
}

impl Round<'_> {
    /// What the stages before left of the limit.
    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.started.elapsed())
    }
}

/// No question of one check takes longer, unless it was asked for in depth.
const QUESTION_LIMIT: Duration = Duration::from_secs(2);

/// The history, and what has changed since it was last written. Returns whether the session can be asked anything else: one
/// that still owes an answer would give it to the next question.
async fn read_history(session: &mut Session, facts: &mut Facts, round: &Round<'_>) -> bool {
    let words = |e: sqlx::Error| error::words(&e);
    let history = async {
        let history = history::read_as_a_guest(session, round.known).await.map_err(words)?;
        let drift = timed(async { catalogue::changes_since_recorded(session).await.map_err(words) }).await;
        session.execute("ROLLBACK").await.map_err(words)?;
        Ok((history, drift))
    };
    let limit = round.left();
    let found = timed(tokio::time::timeout(limit, history)).await;
    let is_usable = found.value.is_ok();
    let value = match found.value {
        Ok(Ok((history, drift))) => {
            facts.drift = Some(drift);
            facts.pending_sql = work::statements_of(round.migrations, history.pending(), session.engine());
            Ok(history)
        }
        Ok(Err(why)) => {
            drop(tokio::time::timeout(round.left(), session.execute("ROLLBACK")).await);
            Err(why)
        }
        Err(_) => Err(late(limit).words),
    };
    facts.history = Some(Timed {
        value,
        took: found.took,
    });
    is_usable
}

/// Asks the checks' own questions; they are independent of each other, so the sessions share them.
async fn ask(sessions: impl Iterator<Item = &mut Session>, facts: &mut Facts, round: &Round<'_>) {
    let is_dlcs = facts.is_dlcs();
    let questions = round
        .inquiry
        .questions
        .iter()
        .filter(|question| is_dlcs || !question.own);
    let queue = Mutex::new(questions);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let answers = Mutex::new(&mut facts.answers);
    let note = |id, answer| {
        answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, answer)
    };
    let lanes = sessions.map(async |session| {
        while let Some(question) = next() {
            let answer = timed(ask_one(session, question, round)).await;
            let (value, is_usable) = answer.value;
            let took = answer.took;
            note(question.id, Timed { value, took });
            if !is_usable {
                return;
            }
        }
    });
    futures_util::future::join_all(lanes).await;
    while let Some(question) = next() {
        let value = Err(Unanswered {
            failure: ConnectFailure::TimedOut,
            words: "the server did not answer an earlier question in time".to_owned(),
        });
        let took = Duration::ZERO;
        note(question.id, Timed { value, took });
    }
}

/// How much later than the server this side gives up: an answer that is on its way should be taken.
const GRACE: Duration = Duration::from_millis(250);

/// An answer, and whether the session can be asked anything else.
async fn ask_one(
    session: &mut Session,
    question: &Question,
    round: &Round<'_>,
) -> (Result<Vec<Row>, Unanswered>, bool) {
    let limit = if question.patient {
        round.left()
    } else {
        round.left().min(QUESTION_LIMIT)
    };
    if limit.is_zero() {
        return (Err(late(limit)), true);
    }
    match tokio::time::timeout(limit.saturating_add(GRACE), session.ask_briefly(question.sql, limit)).await {
        Ok(Ok(rows)) => (Ok(rows), true),
        Ok(Err(e)) if error::is_cut_short(&e) => (Err(late(limit)), true),
        Ok(Err(e)) => {
            let failure = error::connect_failure(&e);
            let words = error::words(&e);
            (Err(Unanswered { failure, words }), failure != ConnectFailure::Lost)
        }
        Err(_) => (Err(late(limit)), false),
    }
}

/// Says goodbye to a session that is not waited for any longer.
async fn close(session: Session) {
    drop(tokio::time::timeout(GRACE, session.close()).await);
}

fn late(limit: Duration) -> Unanswered {
    Unanswered {
        failure: ConnectFailure::TimedOut,
        words: if limit.is_zero() {
            "the time of the whole look was over (--timeout)".to_owned()
        } else {
            format!("no answer within {} ms", limit.as_millis())
        },
    }
}

/// Runs `find` and notes how long it took.
async fn timed<T>(find: impl Future<Output = T>) -> Timed<T> {
    let started = Instant::now();
    let value = find.await;
    Timed {
        value,
        took: started.elapsed(),
    }
}
