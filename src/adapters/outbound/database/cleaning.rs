//! Deleting what is old: a few rows at a time, and only rows that nobody else is working on.
//!
//! Whoever cleans up waits for no lock, so that it is in no circle of transactions that wait for each other; a row that is not
//! free today is still old tomorrow.

use chrono::{DateTime, Utc};
use dlc_application::ports::{StorageError, inspection::Engine};
use sea_orm::{ConnectionTrait, Statement};

use crate::{connection::Database, error, statements::Statement as Kind};

/// Rows of a table that are older than a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Old {
    pub(crate) kind: Kind,
    pub(crate) table: &'static str,
    /// Its primary key.
    pub(crate) key: &'static str,
    /// The column with the time.
    pub(crate) time: &'static str,
}

impl Old {
    /// Deletes at most `limit` of those from before a time, in a transaction of their own, and tells how many.
    pub(crate) async fn delete(
        self,
        database: &Database,
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<u64, StorageError> {
        let Self { kind, table, key, time } = self;
        let some = format!("SELECT {key} FROM {table} WHERE {time} < $1 ORDER BY {time} LIMIT {limit}");
        let engine = database.engine();
        let sql = match engine {
            // An array is computed once; a subquery with locks might be once per row, and lock more than it says.
            Engine::Postgres => {
                format!("DELETE FROM {table} WHERE {key} = ANY (ARRAY({some} FOR UPDATE SKIP LOCKED))")
            }
            Engine::Sqlite => format!("DELETE FROM {table} WHERE {key} IN ({some})"),
        };
        let _turn = database.turn_to_write().await.map_err(error::storage)?;
        let connection = database.rw();
        let delete = Statement::from_sql_and_values(connection.get_database_backend(), sql, [before.into()]);
        let deleted = kind.traced(engine, connection.execute_raw(delete)).await;
        Ok(deleted.map_err(error::storage)?.rows_affected())
    }
}
