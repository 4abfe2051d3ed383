//! One connection of its own, outside of any pool, on either engine: what the migration runner, its scratch copies and the
//! doctor stand on. Everything is asked for as text, so that a question is written once for both engines.
//!
//! A pool may replace its connection behind one's back; settings, temporary tables and locks of a session would be gone.

use std::time::{Duration, Instant};

use dlc_application::ports::{connection::ConnectError, inspection::Engine};
use sqlx::{
    AssertSqlSafe, Column, Connection, Executor, PgConnection, Row, SqliteConnection, TypeInfo,
    postgres::PgRow,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

use crate::options::{DatabaseOptions, read_only_options};

/// How many steps of SQLite's machine pass between two looks at the clock: some microseconds.
const SQLITE_STEPS_BETWEEN_LOOKS: i32 = 1_000;

/// Where a policy of rows would hide some of them, the question fails: what is seen of a table in part is not the truth about it.
pub(crate) const ALL_ROWS: &str = "SET LOCAL row_security = off";

/// A row whose columns are texts.
pub(crate) type Texts = Vec<Option<String>>;

/// A connection of its own.
#[derive(Debug)]
pub(crate) enum Session {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Session {
    /// A session that only looks. On SQLite it leaves no file behind; `None` when there is no file.
    pub(crate) async fn looking(options: &DatabaseOptions) -> Result<Option<Self>, ConnectError> {
        match options.url.engine() {
            Engine::Postgres => Ok(Some(Self::Postgres(options.postgres_session().await?))),
            Engine::Sqlite => {
                let path = options.sqlite_path()?;
                if !options.file_exists()? {
                    return Ok(None);
                }
                Self::sqlite(options, read_only_options(path)).await.map(Some)
            }
        }
    }

    /// Asks the first of several questions that are answered of one moment, until the transaction or the session ends.
    pub(crate) async fn begin_look(&mut self, sql: &str) -> Result<Vec<Texts>, sqlx::Error> {
        match self {
            // Local to the transaction: behind a pooler the session is somebody else's afterwards. All in one round trip.
            Self::Postgres(_) => {
                let sql = format!(
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '1s'; \
                     SET LOCAL statement_timeout = '60s'; {ALL_ROWS}; {sql}"
                );
                self.rows(&sql, &[]).await
            }
            Self::Sqlite(_) => {
                self.execute("BEGIN").await?;
                self.rows(sql, &[]).await
            }
        }
    }

    /// Asks one thing that only reads, in a transaction of its own that the database ends after `limit`; on PostgreSQL in
    /// one round trip.
    pub(crate) async fn ask_briefly(&mut self, sql: &str, limit: Duration) -> Result<Vec<Texts>, sqlx::Error> {
        match self {
            Self::Postgres(_) => {
                // The server counts in milliseconds, and not beyond what an integer holds.
                let ms = limit.as_millis().clamp(1, 2_147_483_647);
                let whole = format!(
                    "BEGIN READ ONLY; SET LOCAL statement_timeout = '{ms}ms'; SET LOCAL lock_timeout = '500ms'; {ALL_ROWS}; \
                     {sql}; ROLLBACK"
                );
                let answer = self.rows(&whole, &[]).await;
                if answer.is_err() {
                    self.execute("ROLLBACK").await?;
                }
                answer
            }
            Self::Sqlite(session) => {
                let deadline = Instant::now() + limit;
                session
                    .lock_handle()
                    .await?
                    .set_progress_handler(SQLITE_STEPS_BETWEEN_LOOKS, move || Instant::now() < deadline);
                let answer = self.rows(sql, &[]).await;
                if let Self::Sqlite(session) = self {
                    session.lock_handle().await?.remove_progress_handler();
                }
                answer
            }
        }
    }

    /// Asks something that may fail without spoiling the transaction, with limits of its own (PostgreSQL).
    pub(crate) async fn try_text(
        &mut self,
        limits: &str,
        sql: &str,
        values: &[&str],
    ) -> Result<Option<String>, sqlx::Error> {
        if self.engine() == Engine::Sqlite {
            return self.text(sql, values).await;
        }
        self.execute(&format!("SAVEPOINT try; {limits}")).await?;
        let answer = self.text(sql, values).await;
        self.execute("ROLLBACK TO SAVEPOINT try; RELEASE SAVEPOINT try").await?;
        answer
    }

    /// A session on SQLite with options of the caller's.
    pub(crate) async fn sqlite(options: &DatabaseOptions, sqlite: SqliteConnectOptions) -> Result<Self, ConnectError> {
        Ok(Self::Sqlite(options.sqlite_session(sqlite).await?))
    }

    /// The driver's own connection, for what is no question.
    pub(crate) fn postgres(&mut self) -> Option<&mut PgConnection> {
        match self {
            Self::Postgres(session) => Some(session),
            Self::Sqlite(_) => None,
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        match self {
            Self::Postgres(_) => Engine::Postgres,
            Self::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// Runs statements that return nothing, by the protocol that prepares nothing: it takes several at once, and a pooler
    /// of any age lets it through.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(session) => session.execute(AssertSqlSafe(sql)).await.map(drop),
            Self::Sqlite(session) => session.execute(AssertSqlSafe(sql)).await.map(drop),
        }
    }

    /// Runs a query whose columns are texts (`CAST(… AS text)`); values are texts, too.
    pub(crate) async fn rows(&mut self, sql: &str, values: &[&str]) -> Result<Vec<Texts>, sqlx::Error> {
        match self {
            Self::Postgres(session) => {
                let rows = if values.is_empty() {
                    session.fetch_all(AssertSqlSafe(sql)).await?
                } else {
                    let query = values
                        .iter()
                        .fold(sqlx::query(AssertSqlSafe(sql)), |query, value| query.bind(*value));
                    query.fetch_all(session).await?
                };
                rows.iter().map(texts_of_postgres).collect()
            }
            Self::Sqlite(session) => {
                let query = values
                    .iter()
                    .fold(sqlx::query(AssertSqlSafe(sql)), |query, value| query.bind(*value));
                let rows = query.fetch_all(session).await?;
                rows.iter().map(texts_of_sqlite).collect()
            }
        }
    }

    /// The first column of the first row.
    pub(crate) async fn text(&mut self, sql: &str, values: &[&str]) -> Result<Option<String>, sqlx::Error> {
        let rows = self.rows(sql, values).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// Says goodbye. A connection that ends without one is noticed just as well.
    pub(crate) async fn close(self) {
        match self {
            Self::Postgres(session) => drop(session.close().await),
            Self::Sqlite(session) => drop(session.close().await),
        }
    }
}

fn texts_of_postgres(row: &PgRow) -> Result<Texts, sqlx::Error> {
    debug_assert!(
        row.columns()
            .iter()
            .all(|column| ["TEXT", "VARCHAR", "NAME", "UNKNOWN"].contains(&column.type_info().name())),
        "a column is no text: {row:?}"
    );
    (0..row.len()).map(|index| row.try_get(index)).collect()
}

fn texts_of_sqlite(row: &SqliteRow) -> Result<Texts, sqlx::Error> {
    (0..row.len()).map(|index| row.try_get_unchecked(index)).collect()
}
