//! A connection that is kept while there is more to do: giving one back costs a round trip, because the driver pings it then.
//!
//! Whoever keeps one while nothing is to be done has it only until somebody else waits. Not here: what is asked on it.

use std::{sync::Arc, time::Duration};

use dlc_application::ports::inspection::Engine;
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, pool::PoolConnection};

use crate::turnstile::{Turn, Turnstile};

/// How long a connection is kept while nothing is to be done.
const IDLE: Duration = Duration::from_millis(100);

/// Where connections come from, and how long is waited for an answer on one.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) pool: Pool,
    pub(crate) turnstile: Arc<Turnstile>,
    /// Longest time for one statement, its answer included.
    pub(crate) limit: Duration,
}

/// One engine's pool.
#[derive(Clone)]
pub(crate) enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// A connection, and the turn that is kept for as long.
pub(crate) struct Held {
    pub(crate) connection: Connection,
    _turn: Turn,
}

/// A connection of a pool.
pub(crate) enum Connection {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

impl Source {
    /// Waits for a turn and a connection.
    pub(crate) async fn hold(&self) -> Result<Held, sqlx::Error> {
        let turn = self.turnstile.enter().await?;
        let connection = match &self.pool {
            Pool::Postgres(pool) => Connection::Postgres(pool.acquire().await?),
            Pool::Sqlite(pool) => Connection::Sqlite(pool.acquire().await?),
        };
        Ok(Held {
            connection,
            _turn: turn,
        })
    }

    pub(crate) fn engine(&self) -> Engine {
        match &self.pool {
            Pool::Postgres(_) => Engine::Postgres,
            Pool::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// Whether somebody waits for a connection.
    pub(crate) fn is_wanted(&self) -> bool {
        self.turnstile.waiting() > 0
    }

    /// Until a connection that is not used should be given back.
    pub(crate) async fn until_wanted(&self) {
        let _ = tokio::time::timeout(IDLE, self.turnstile.until_waited_for()).await;
    }
}

impl Held {
    /// Ends the connection without a word to the server: nobody answers on it any more, and in the pool it would be pinged.
    pub(crate) fn destroy(self) {
        match self.connection {
            Connection::Postgres(connection) => drop(connection.detach()),
            Connection::Sqlite(connection) => drop(connection.detach()),
        }
    }
}
