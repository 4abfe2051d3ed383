//! A connection that only asks whether the database is there, so that a busy pool is *busy* and not *down*.
//!
//! Not here: how often to ask and what to believe (`operations/readiness`, `bootstrap/`).

use std::time::{Duration, Instant};

use dlc_application::ports::{connection::ConnectFailure, inspection::Engine};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{error, options::DatabaseOptions};

/// Asks whether the database is there.
#[derive(Debug)]
pub struct Pinger {
    options: DatabaseOptions,
    session: Option<PgConnection>,
}

impl Pinger {
    /// A pinger; it connects when it is first used.
    #[must_use]
    pub fn new(options: &DatabaseOptions) -> Self {
        Self {
            options: options.without_time_limits(),
            session: None,
        }
    }

    /// Asks once.
    ///
    /// # Errors
    /// The kind of failure, after at most `limit`.
    pub async fn ping(&mut self, limit: Duration) -> Result<Duration, ConnectFailure> {
        let started = Instant::now();
        let answer = tokio::time::timeout(limit, self.ask())
            .await
            .unwrap_or(Err(ConnectFailure::TimedOut));
        if answer.is_err() {
            self.session = None;
        }
        answer.map(|()| started.elapsed())
    }

    async fn ask(&mut self) -> Result<(), ConnectFailure> {
        match self.options.url.engine() {
            Engine::Sqlite => {
                // Opened each time: an open handle would go on answering after the file was deleted.
                let path = self.options.sqlite_path().map_err(|e| e.failure)?;
                let options = crate::options::sqlite_options(path).read_only(true);
                let answer = async {
                    let mut session = sqlx::SqliteConnection::connect_with(&options).await?;
                    session
                        .execute(AssertSqlSafe("SELECT count(*) FROM sqlite_master"))
                        .await?;
                    session.close().await
                };
                answer.await.map_err(|e| error::connect_failure(&e))
            }
            Engine::Postgres => {
                let session = match &mut self.session {
                    Some(session) => session,
                    none => none.insert(self.options.postgres_session().await.map_err(|e| e.failure)?),
                };
                session.ping().await.map_err(|e| error::connect_failure(&e))
            }
        }
    }
}
