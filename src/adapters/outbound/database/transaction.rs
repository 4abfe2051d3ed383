//! Transactions that write: how each is begun, run to its end and ended.
//!
//! Locks are taken in one order by all of them, so that no two wait for each other:
//!
//! 1. the key of a request (`idempotency`);
//! 2. the row of a name's failures to sign in;
//! 3. rows of users, several in the order of their ids;
//! 4. a session's row; several only by whoever has their user's;
//! 5. what belongs to those: tokens, versions, codes, greetings.
//!
//! Whoever cleans up takes only rows that are free, and waits for none (`cleaning`). Coupons have nothing to do with all that.

use dlc_application::ports::{StorageError, inspection::Engine};
use sea_orm::{
    DatabaseTransaction, DbErr, EntityTrait, QuerySelect, Select, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

use crate::{connection::Database, error, statements::Statement as Kind, uninterrupted::uninterrupted};

/// A transaction that was begun. One that is dropped is rolled back.
pub(crate) struct Transaction {
    pub(crate) connection: DatabaseTransaction,
    pub(crate) engine: Engine,
}

impl Transaction {
    async fn begin(database: &Database) -> Result<Self, DbErr> {
        // IMMEDIATE: a transaction that reads first and writes later fails on SQLite as soon as another one wrote between.
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let engine = database.engine();
        let begun = database.rw().begin_with_options(options);
        let connection = Kind::BEGIN.traced(engine, begun).await?;
        Ok(Self { connection, engine })
    }

    /// Keeps what was done; this is what became of it.
    pub(crate) async fn commit<T>(self, outcome: T) -> Result<T, DbErr> {
        Kind::COMMIT.traced(self.engine, self.connection.commit()).await?;
        Ok(outcome)
    }

    /// Undoes whatever was done, which is no failure: this is what became of it.
    pub(crate) async fn roll_back<T>(self, outcome: T) -> Result<T, DbErr> {
        Kind::ROLLBACK.traced(self.engine, self.connection.rollback()).await?;
        Ok(outcome)
    }

    /// The same rows, locked. On SQLite the whole database is this transaction's already.
    pub(crate) fn locking<E: EntityTrait>(&self, rows: Select<E>) -> Select<E> {
        match self.engine {
            Engine::Postgres => rows.lock_exclusive(),
            Engine::Sqlite => rows,
        }
    }
}

/// Waits for a turn, and runs a transaction to its end, whatever becomes of whoever asked for it. `held` is held for so long.
pub(crate) async fn write<T, F>(
    database: &Database,
    held: impl Send + 'static,
    work: impl FnOnce(Transaction) -> F + Send + 'static,
) -> Result<T, StorageError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, DbErr>> + Send,
{
    let turn = database.turn_to_write().await.map_err(error::storage)?;
    let database = database.clone();
    uninterrupted((turn, held), async move {
        let transaction = Transaction::begin(&database).await.map_err(error::storage)?;
        work(transaction).await.map_err(error::storage)
    })
    .await
}
