//! The way to a replica: a pool of its own, and how far the replica had come when it was last asked.
//!
//! A link lives for as long as the watch's own session on that server: after a loss another one is made, with a pool without
//! connections that hang. Its connections all lead to the server that the watch talks to, and not to another one behind the same
//! name, which may be further behind.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dlc_application::ports::{connection::ConnectError, freshness::Position};
use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::{AssertSqlSafe, Executor, PgPool, Row};
use tokio::sync::{Semaphore, watch};

use super::questions::RUNS_SINCE;
use crate::{
    held::{Pool, Source},
    options::DatabaseOptions,
    reads::CouponReads,
    turnstile::Turnstile,
};

/// The server ends a statement on a replica after this: what takes longer is asked of the primary.
const STATEMENT_LIMIT: Duration = Duration::from_millis(500);
/// Longest wait for a turn: the primary has some, too.
const TURN_LIMIT: Duration = Duration::from_millis(250);
/// Longest time for a question of several reads, with a new connection for it. Each of those who wait gives up much sooner.
const QUESTION_LIMIT: Duration = Duration::from_secs(5);
/// What is the matter with a connection that is none of this link.
const ANOTHER: &str =
    "this connection leads to another server than the one that is watched; replica_url has to name one server";

/// The way to a replica.
#[derive(Debug)]
pub(crate) struct Link {
    connection: DatabaseConnection,
    max_connections: u32,
    /// One connection is made at a time.
    opening: Arc<Semaphore>,
    turnstile: Arc<Turnstile>,
    coupons: CouponReads,
    /// What its times are counted from: no sample is older.
    epoch: Instant,
    /// Of which time it shows the primary, in nanoseconds since then.
    as_of: AtomicU64,
    replayed: AtomicU64,
    usable: AtomicBool,
    left: Arc<watch::Sender<bool>>,
    /// What is the matter with one of its connections.
    unfit: Arc<OnceLock<Arc<sqlx::Error>>>,
}

impl Link {
    /// A link to the server that runs since `since`; it connects when it is first used.
    pub(super) fn new(options: &DatabaseOptions, since: &str, epoch: Instant) -> Result<Self, ConnectError> {
        let options = DatabaseOptions {
            statement_timeout: Some(
                options
                    .statement_timeout
                    .map_or(STATEMENT_LIMIT, |own| own.min(STATEMENT_LIMIT)),
            ),
            min_connections: options.max_connections,
            ..options.clone()
        };
        let left = Arc::new(watch::Sender::new(false));
        let unfit = Arc::new(OnceLock::new());
        let (since, leave, found) = (Arc::<str>::from(since), Arc::clone(&left), Arc::clone(&unfit));
        let pool: PgPool = options
            .postgres_pool()
            .after_connect(move |connection, _| {
                let (since, leave, found) = (Arc::clone(&since), Arc::clone(&leave), Arc::clone(&found));
                Box::pin(async move {
                    let question = format!("SELECT {RUNS_SINCE}");
                    let row = connection.fetch_one(AssertSqlSafe(question)).await;
                    let error = match row.and_then(|row| row.try_get::<String, _>(0)) {
                        Ok(runs) if runs == *since => return Ok(()),
                        Ok(_) => sqlx::Error::Protocol(ANOTHER.to_owned()),
                        Err(error) => error,
                    };
                    // Were it the pool's error, the driver would log it and try again, for each connection. Nothing that is read on
                    // a link that is left is ever told.
                    let _ = found.set(Arc::new(error));
                    leave.send_replace(true);
                    Ok(())
                })
            })
            .connect_lazy_with(options.postgres_of_a_replica()?);
        let turnstile = Arc::new(Turnstile::new(options.max_connections, TURN_LIMIT));
        let coupons = CouponReads::start(&Source {
            pool: Pool::Postgres(pool.clone()),
            turnstile: Arc::clone(&turnstile),
            limit: QUESTION_LIMIT,
        });
        Ok(Self {
            connection: SqlxPostgresConnector::from_sqlx_postgres_pool(pool),
            max_connections: options.max_connections,
            opening: Arc::new(Semaphore::new(1)),
            turnstile,
            coupons,
            epoch,
            as_of: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            usable: AtomicBool::new(false),
            left,
            unfit,
        })
    }

    /// Notes what it has replayed, of which time that shows the primary, and whether it is to be used so.
    pub(super) fn note(&self, replayed: Position, as_of: Instant, usable: bool) {
        let since = as_of.saturating_duration_since(self.epoch).as_nanos();
        self.as_of
            .store(u64::try_from(since).unwrap_or_default(), Ordering::Release);
        self.replayed.store(replayed.0, Ordering::Release);
        self.usable.store(usable, Ordering::Release);
    }

    /// Of which time it shows the primary.
    pub(super) fn as_of(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.as_of.load(Ordering::Acquire))
    }

    pub(super) fn has_replayed(&self, position: Position) -> bool {
        self.replayed.load(Ordering::Acquire) >= position.0
    }

    pub(super) fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Acquire) && !self.is_left()
    }

    /// Makes its connections, all that it may have: reads do not wait for new ones. It is good with fewer, too.
    pub(super) async fn fill(&self) -> Result<(), Arc<sqlx::Error>> {
        let pool = self.connection.get_postgres_connection_pool();
        let made = futures_util::future::join_all((0..self.max_connections).map(|_| pool.acquire())).await;
        let (made, failed): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
        if let Some(error) = self.unfit.get() {
            return Err(Arc::clone(error));
        }
        if made.is_empty()
            && let Some(Err(error)) = failed.into_iter().next()
        {
            return Err(Arc::new(error));
        }
        drop(made);
        // Each is asked whether it is well when it is given back.
        let started = Instant::now();
        while pool.num_idle() == 0 && started.elapsed() < TURN_LIMIT {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Whether a read finds a connection, or will in a moment. Else one is made, which nobody waits for: how long that takes depends on
    /// the way there, and a read that gave up waiting would take the half of it with it.
    pub(super) fn has_free_connection(&self) -> bool {
        let pool = self.connection.get_postgres_connection_pool();
        if pool.num_idle() > 0 || pool.size() >= self.max_connections {
            return true;
        }
        if let Ok(opening) = Arc::clone(&self.opening).try_acquire_owned() {
            let pool = pool.clone();
            tokio::spawn(async move {
                // Who reads next finds out what is the matter, if it is not to be had.
                drop(pool.acquire().await);
                drop(opening);
            });
        }
        false
    }

    pub(super) fn is_left(&self) -> bool {
        *self.left.borrow()
    }

    pub(super) fn leave(&self) {
        self.left.send_replace(true);
    }

    /// Until it is left.
    pub(super) async fn left(&self) {
        // It fails only without a sender, and that is here.
        let _ = self.left.subscribe().wait_for(|left| *left).await;
    }

    /// Says goodbye on every connection.
    pub(super) async fn close(&self) {
        self.turnstile.close();
        self.connection.get_postgres_connection_pool().close().await;
    }

    pub(crate) fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    pub(crate) fn turnstile(&self) -> &Turnstile {
        &self.turnstile
    }

    /// Reads of coupons that travel together.
    pub(crate) fn coupons(&self) -> &CouponReads {
        &self.coupons
    }
}
