//! A connected database: its pools, and who gets a connection of which.
//!
//! A direct probe goes before the pool, because a pool reports nothing but its own time-out. Both engines end as the same
//! pair: `rw` for writes and for reads after one's own write, `ro` for other reads. On SQLite these are one writer and a
//! few read-only readers, since a pool of writers fails most read-then-write transactions whatever the busy timeout; on
//! PostgreSQL both are the pool; reads that may be a little old have a replica, where one is attached (`replica`).
//!
//! Not here: what decides about a connection (`options.rs`).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dlc_application::ports::{
    connection::ConnectError,
    inspection::Engine,
    monitoring::{Durations, PoolStatus},
};
use sea_orm::{ConnAcquireErr, DatabaseConnection, DbErr, SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::{PgPool, SqlitePool};

use crate::{
    held::{Pool, Source},
    keys::KeysAtWork,
    options::{DatabaseOptions, SQLITE_BUSY_TIMEOUT, sqlite_options},
    pooling,
    replica::Attached,
    statistics::Counters,
    turnstile::{Turn, Turnstile},
};

/// Read-only connections beside the writer: measured, 1 + 4 beat any pool of writers (design 7 §4).
const SQLITE_READERS: u32 = 4;
/// Longest time for a question when the server has no limit of its own for statements.
const UNLIMITED: Duration = Duration::from_secs(30);
/// What a question may take beyond the server's limit: the limit is the server's to enforce, this one is for a server that
/// has vanished without a word.
const SLACK: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Pools {
    Postgres(PgPool),
    Sqlite { writer: SqlitePool, readers: SqlitePool },
}

/// The turnstiles before the pools; on PostgreSQL both are the same.
#[derive(Debug)]
struct Turnstiles {
    rw: Arc<Turnstile>,
    ro: Arc<Turnstile>,
}

#[derive(Debug)]
struct Inner {
    pools: Pools,
    rw: DatabaseConnection,
    ro: DatabaseConnection,
    turnstiles: Turnstiles,
    max_connections: u32,
    statement_timeout: Option<Duration>,
    counters: Counters,
    keys: KeysAtWork,
    replica: Attached,
}

/// A connected database. Cloning shares the connections.
#[derive(Clone, Debug)]
pub struct Database(Arc<Inner>);

/// Whether all connections were closed in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// To the database itself.
    pub database: bool,
    /// To its replica, where there is one.
    pub replica: bool,
}

/// What sea-orm says when the pool itself has no connection to give.
fn no_turn(error: &sqlx::Error) -> DbErr {
    DbErr::ConnectionAcquire(match error {
        sqlx::Error::PoolTimedOut => ConnAcquireErr::Timeout,
        _ => ConnAcquireErr::ConnectionClosed,
    })
}

/// Connects once.
///
/// # Errors
/// [`ConnectError`] says why not.
pub async fn connect(options: &DatabaseOptions) -> Result<Database, ConnectError> {
    let turnstile = |turns| Arc::new(Turnstile::new(turns, options.acquire_timeout));
    let (pools, rw, ro, turnstiles, max_connections) = match options.url.engine() {
        Engine::Postgres => {
            pooling::carries_a_service(options).await?;
            let pool = options
                .postgres_pool()
                .connect_lazy_with(options.postgres_of_a_service()?);
            let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
            let turns = turnstile(options.max_connections);
            (
                Pools::Postgres(pool),
                connection.clone(),
                connection,
                Turnstiles {
                    ro: Arc::clone(&turns),
                    rw: turns,
                },
                options.max_connections,
            )
        }
        Engine::Sqlite => {
            let writer = options
                .sqlite_pool(options.sqlite_writer(SQLITE_BUSY_TIMEOUT)?, 1)
                .await?;
            let readers = options
                .sqlite_pool(sqlite_options(options.sqlite_path()?).read_only(true), SQLITE_READERS)
                .await?;
            let rw = SqlxSqliteConnector::from_sqlx_sqlite_pool(writer.clone());
            let ro = SqlxSqliteConnector::from_sqlx_sqlite_pool(readers.clone());
            let turnstiles = Turnstiles {
                rw: turnstile(1),
                ro: turnstile(SQLITE_READERS),
            };
            let pools = Pools::Sqlite { writer, readers };
            (pools, rw, ro, turnstiles, 1 + SQLITE_READERS)
        }
    };
    Ok(Database(Arc::new(Inner {
        pools,
        rw,
        ro,
        turnstiles,
        max_connections,
        statement_timeout: options.statement_timeout,
        counters: Counters::default(),
        keys: KeysAtWork::default(),
        replica: Attached::default(),
    })))
}

/// Connects, and keeps trying for as long as `wait` when the failure is one that can heal by itself. `on_retry` hears of
/// each failed try and how much of the wait is left.
///
/// # Errors
/// The last [`ConnectError`]: at once when waiting cannot help.
pub async fn connect_and_wait(
    options: &DatabaseOptions,
    wait: Duration,
    mut on_retry: impl FnMut(&ConnectError, Duration) + Send,
) -> Result<Database, ConnectError> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        let error = match connect(options).await {
            Ok(database) => return Ok(database),
            Err(error) => error,
        };
        let left = wait.saturating_sub(started.elapsed());
        if !error.failure.heals() || left.is_zero() {
            return Err(error);
        }
        on_retry(&error, left);
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

impl Database {
    /// A turn at [`Self::rw`], to be kept for as long as its connection.
    pub(crate) async fn turn_to_write(&self) -> Result<Turn, DbErr> {
        self.0.turnstiles.rw.enter().await.map_err(|e| no_turn(&e))
    }

    /// The same at [`Self::ro`].
    pub(crate) async fn turn_to_read(&self) -> Result<Turn, DbErr> {
        self.0.turnstiles.ro.enter().await.map_err(|e| no_turn(&e))
    }

    /// For writes, and for reads that must see one's own write.
    pub(crate) fn rw(&self) -> &DatabaseConnection {
        &self.0.rw
    }

    /// For other reads.
    pub(crate) fn ro(&self) -> &DatabaseConnection {
        &self.0.ro
    }

    /// A replica, where there is one.
    pub(crate) fn attached(&self) -> &Attached {
        &self.0.replica
    }

    /// The turnstile before [`Self::ro`].
    pub(crate) fn turnstile_to_read(&self) -> &Turnstile {
        &self.0.turnstiles.ro
    }

    /// Where reads that need no transaction are asked.
    pub(crate) fn read_source(&self) -> Source {
        let pool = match &self.0.pools {
            Pools::Postgres(pool) => Pool::Postgres(pool.clone()),
            Pools::Sqlite { readers, .. } => Pool::Sqlite(readers.clone()),
        };
        self.source(pool, &self.0.turnstiles.ro)
    }

    /// Where groups of claims are written.
    pub(crate) fn write_source(&self) -> Source {
        let pool = match &self.0.pools {
            Pools::Postgres(pool) => Pool::Postgres(pool.clone()),
            Pools::Sqlite { writer, .. } => Pool::Sqlite(writer.clone()),
        };
        self.source(pool, &self.0.turnstiles.rw)
    }

    fn source(&self, pool: Pool, turnstile: &Arc<Turnstile>) -> Source {
        Source {
            pool,
            turnstile: Arc::clone(turnstile),
            limit: self.0.statement_timeout.map_or(UNLIMITED, |limit| limit + SLACK),
        }
    }

    /// Most connections; on SQLite writer and readers together.
    pub(crate) fn max_connections(&self) -> u32 {
        self.0.max_connections
    }

    /// Counts and durations of operations.
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Keys of requests that this process is working on.
    pub(crate) fn keys(&self) -> &KeysAtWork {
        &self.0.keys
    }

    pub(crate) fn engine(&self) -> Engine {
        match &self.0.pools {
            Pools::Postgres(_) => Engine::Postgres,
            Pools::Sqlite { .. } => Engine::Sqlite,
        }
    }

    /// The pool now. On SQLite writer and readers together.
    pub(crate) fn pool_status(&self) -> PoolStatus {
        let (open, idle) = match &self.0.pools {
            Pools::Postgres(pool) => (pool.size(), pool.num_idle()),
            Pools::Sqlite { writer, readers } => {
                (writer.size() + readers.size(), writer.num_idle() + readers.num_idle())
            }
        };
        let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(open);
        let in_use = open - idle;
        let waiting = self.each_turnstile().map(Turnstile::waiting).sum();
        PoolStatus {
            max: self.0.max_connections,
            open,
            idle,
            in_use,
            waiting,
        }
    }

    /// How long was waited for a connection so far. On SQLite for writer and readers together.
    pub(crate) fn waits(&self) -> Durations {
        self.each_turnstile()
            .fold(Durations::default(), |sum, turnstile| sum.and(&turnstile.waits()))
    }

    /// Each turnstile once.
    fn each_turnstile(&self) -> impl Iterator<Item = &Turnstile> {
        let Turnstiles { rw, ro } = &self.0.turnstiles;
        let other = (!Arc::ptr_eq(rw, ro)).then_some(ro.as_ref());
        [rw.as_ref()].into_iter().chain(other)
    }

    /// Closes every connection, and waits at most `limit` for those in use: a statement that hangs on the server would
    /// hold the process for ever. Returns whose were closed in time.
    pub async fn close(&self, limit: Duration) -> Closed {
        self.each_turnstile().for_each(Turnstile::close);
        let pools = async {
            match &self.0.pools {
                Pools::Postgres(pool) => pool.close().await,
                Pools::Sqlite { writer, readers } => {
                    // Readers first: the last connection to close writes the log back into the file.
                    readers.close().await;
                    writer.close().await;
                }
            }
        };
        let replica = async {
            if let Some(replica) = self.0.replica.get() {
                replica.close().await;
            }
        };
        // Beside each other: a replica that hangs takes nothing of the primary's time.
        let (pools, replica) = tokio::join!(tokio::time::timeout(limit, pools), tokio::time::timeout(limit, replica));
        Closed {
            database: pools.is_ok(),
            replica: replica.is_ok(),
        }
    }
}
