//! Finds facts out about a database without changing it; the doctor (`operations/check`) judges them.
//!
//! Not here: verdicts, thresholds.

mod postgres;
mod sqlite;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use dlc_application::{
    operations::{check::catalogue, migrate::Known},
    ports::inspection::{ConfigFacts, DatabaseInspector, Engine, Facts, Options, Row, Timed},
};

use migration::Migration;

use crate::{connection::DatabaseOptions, error, migrator, session::Session};

/// [`DatabaseInspector`] on both engines.
#[derive(Clone, Debug)]
pub struct SqlInspector {
    options: DatabaseOptions,
    migrations: &'static [Migration],
    file_is_open_here: bool,
}

impl SqlInspector {
    /// An inspector of a database that this process has not opened; `migrations` are those of this binary.
    #[must_use]
    pub fn new(options: &DatabaseOptions, migrations: &'static [Migration]) -> Arc<Self> {
        Arc::new(Self {
            options: options.without_time_limits(),
            migrations,
            file_is_open_here: false,
        })
    }

    /// An inspector of the database that this process serves from: it does without looking at file locks, which would
    /// drop the process's own.
    #[must_use]
    pub fn of_a_running_service(options: &DatabaseOptions, migrations: &'static [Migration]) -> Arc<Self> {
        Arc::new(Self {
            options: options.without_time_limits(),
            migrations,
            file_is_open_here: true,
        })
    }
}

#[async_trait]
impl DatabaseInspector for SqlInspector {
    async fn inspect(&self, config: ConfigFacts, options: Options, limit: Duration) -> Facts {
        let known = migrator::known(self.migrations, self.options.url.engine());
        let facts = Facts::unseen(config, options);
        match self.options.url.engine() {
            Engine::Postgres => postgres::inspect(&self.options, facts, &known, limit).await,
            Engine::Sqlite => sqlite::inspect(&self.options, facts, &known, limit, !self.file_is_open_here).await,
        }
    }
}

/// No question of one check takes longer, unless it was asked for in depth.
const QUESTION_LIMIT: Duration = Duration::from_secs(2);

/// The history, what has changed since it was last written, and the answers to the checks' own questions.
async fn ask(session: &mut Session, facts: &mut Facts, known: &[Known], limit: Duration) {
    let started = Instant::now();
    let left = || limit.saturating_sub(started.elapsed());
    let words = |e: sqlx::Error| error::words(&e);
    let late = |limit: Duration| format!("no answer within {} ms", limit.as_millis());
    let history = async {
        let history = migrator::read_history(session, known).await.map_err(words)?;
        let drift = timed(async { migrator::changes_since_recorded(session).await.map_err(words) }).await;
        session.execute("ROLLBACK").await.map_err(words)?;
        Ok((history, drift))
    };
    let found = timed(async {
        tokio::time::timeout(left(), history)
            .await
            .unwrap_or_else(|_| Err(late(limit)))
    })
    .await;
    let took = found.took;
    let value = match found.value {
        Ok((history, drift)) => {
            facts.drift = Some(drift);
            Ok(history)
        }
        Err(why) => Err(why),
    };
    let is_lost = value.is_err();
    facts.history = Some(Timed { value, took });
    if is_lost {
        // In what state the session is nobody can tell; the checks that asked nothing are skipped with a reason.
        drop(session.execute("ROLLBACK").await);
    }
    let engine = session.engine();
    let questions: Vec<(&'static str, &'static str, bool)> = catalogue()
        .filter(|check| facts.asks(check))
        .filter_map(|check| Some((check.id, check.question.to(engine)?, check.deep)))
        .collect();
    for (id, question, deep) in questions {
        let limit = if deep { left() } else { left().min(QUESTION_LIMIT) };
        let answer = async {
            match tokio::time::timeout(limit, ask_one(session, question, limit)).await {
                Ok(answer) => answer.map_err(words),
                Err(_) => Err(late(limit)),
            }
        };
        let answer = timed(answer).await;
        facts.answers.insert(id, answer);
    }
}

async fn ask_one(session: &mut Session, question: &str, limit: Duration) -> Result<Vec<Row>, sqlx::Error> {
    if session.engine() == Engine::Sqlite {
        return session.rows(question, &[]).await;
    }
    // Read-only and limited by the server, too; local to the transaction, because a pooler may be in between.
    let sql = format!(
        "BEGIN READ ONLY; SET LOCAL statement_timeout = '{}ms'; SET LOCAL lock_timeout = '500ms'; {question}",
        limit.as_millis().max(1)
    );
    let answer = session.rows(&sql, &[]).await;
    session.execute("ROLLBACK").await?;
    answer
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
