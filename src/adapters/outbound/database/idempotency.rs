//! Keys of requests that may come again: looked at first, kept with the effect, forgotten after a day.
//!
//! That a request is still being worked on is known without waiting for it: by a set in this process (`keys`), and for other instances
//! on PostgreSQL by an advisory lock that ends with the transaction. On SQLite another process queues for the one writer, and
//! finds the answer when its turn comes. Not here: what an answer looks like.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use dlc_application::ports::{
    StorageError,
    idempotency::{KEPT_FOR, KeptAnswers, KeyRefused, KeyedRequest, Repeat},
    inspection::Engine,
};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, EntityTrait, Statement,
    sea_query::OnConflict,
};
use sha2::{Digest, Sha256};

use crate::{connection::Database, entity::idempotency_keys as keys, error, statements::Statement as Kind};

/// Rows forgotten by one statement: few enough that nobody waits for its locks.
const FORGOTTEN_AT_ONCE: u32 = 1_000;

/// Between two of them: whoever waits to write goes first.
const BREATH: Duration = Duration::from_millis(50);

/// SHA-256 over texts, each with its length, so that no two lists of texts are one.
fn digest(texts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

/// What is asked for, in 32 bytes: equal for requests that mean the same.
pub(crate) fn fingerprint(request: &KeyedRequest) -> Vec<u8> {
    digest(&[&request.content]).to_vec()
}

/// The key's number as an advisory lock. Two keys with one number would only be told to ask again.
pub(crate) fn lock_number(request: &KeyedRequest) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = digest(&[&request.principal, request.route, &request.key]);
    i64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// What is kept under a key.
pub(crate) struct Kept {
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) answer: String,
    pub(crate) created_at: DateTime<Utc>,
}

impl Kept {
    /// What a request under the key hears; nothing where that was too long ago.
    pub(crate) fn repeated_by(self, request: &KeyedRequest, now: DateTime<Utc>) -> Option<Repeat> {
        if now - self.created_at >= KEPT_FOR {
            return None;
        }
        Some(if self.fingerprint == fingerprint(request) {
            Repeat::Answered(self.answer)
        } else {
            Repeat::Refused(KeyRefused::Differs)
        })
    }
}

/// Whether the key was used before. Called first in the transaction of the effect; the key is this transaction's from then on.
pub(crate) async fn seek(
    transaction: &DatabaseTransaction,
    engine: Engine,
    request: &KeyedRequest,
    now: DateTime<Utc>,
) -> Result<Option<Repeat>, DbErr> {
    let backend = transaction.get_database_backend();
    if engine == Engine::Postgres {
        let sql = "SELECT pg_try_advisory_xact_lock($1)";
        let lock = Statement::from_sql_and_values(backend, sql, [lock_number(request).into()]);
        let row = Kind::TRY_LOCK.traced(engine, transaction.query_one_raw(lock)).await?;
        let taken = row.map(|row| row.try_get_by_index::<bool>(0)).transpose()?;
        if taken != Some(true) {
            return Ok(Some(Repeat::Refused(KeyRefused::Running)));
        }
    }
    // A statement of its own, hence a snapshot taken after the lock: whoever had it before has committed.
    let id = (request.principal.clone(), request.route.to_owned(), request.key.clone());
    let find = keys::Entity::find_by_id(id).one(transaction);
    let kept = Kind::SELECT_KEYS.traced(engine, find).await?;
    Ok(kept.and_then(|kept| {
        let kept = Kept {
            fingerprint: kept.fingerprint,
            answer: kept.answer,
            created_at: kept.created_at,
        };
        kept.repeated_by(request, now)
    }))
}

/// Keeps the answer, in the transaction of the effect. What was kept under the key too long ago is replaced.
pub(crate) async fn keep(
    transaction: &DatabaseTransaction,
    engine: Engine,
    request: &KeyedRequest,
    answer: String,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let row = keys::ActiveModel {
        principal: Set(request.principal.clone()),
        route: Set(request.route.to_owned()),
        key: Set(request.key.clone()),
        fingerprint: Set(fingerprint(request)),
        answer: Set(answer),
        created_at: Set(now),
    };
    let replace = OnConflict::columns([keys::Column::Principal, keys::Column::Route, keys::Column::Key])
        .update_columns([keys::Column::Fingerprint, keys::Column::Answer, keys::Column::CreatedAt])
        .to_owned();
    let insert = keys::Entity::insert(row)
        .on_conflict(replace)
        .exec_without_returning(transaction);
    Kind::INSERT_KEYS.traced(engine, insert).await?;
    Ok(())
}

/// [`KeptAnswers`] on both engines.
#[derive(Clone, Debug)]
pub struct SqlKeptAnswers(Database);

impl SqlKeptAnswers {
    /// The kept answers of a connected database.
    #[must_use]
    pub fn new(database: Database) -> Arc<Self> {
        Arc::new(Self(database))
    }
}

#[async_trait]
impl KeptAnswers for SqlKeptAnswers {
    async fn forget(&self, before: DateTime<Utc>) -> Result<u64, StorageError> {
        let connection = self.0.rw();
        let backend = connection.get_database_backend();
        let row = match backend {
            DatabaseBackend::Postgres => "ctid",
            _ => "rowid",
        };
        let sql = format!(
            "DELETE FROM idempotency_keys WHERE {row} IN \
             (SELECT {row} FROM idempotency_keys WHERE created_at < $1 LIMIT {FORGOTTEN_AT_ONCE}) AND created_at < $1"
        );
        let mut forgotten = 0;
        loop {
            let turn = self.0.turn_to_write().await.map_err(error::storage)?;
            let delete = Statement::from_sql_and_values(backend, &sql, [before.into()]);
            let deleted = connection.execute_raw(delete).await.map_err(error::storage)?;
            drop(turn);
            forgotten += deleted.rows_affected();
            if deleted.rows_affected() < u64::from(FORGOTTEN_AT_ONCE) {
                return Ok(forgotten);
            }
            tokio::time::sleep(BREATH).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_apart_where_one_text_ends_and_the_next_begins() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }
}
