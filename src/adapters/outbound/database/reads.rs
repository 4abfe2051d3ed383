//! Reads of coupons that travel together.
//!
//! A request for a coupon waits in a queue; a lane takes everything that waits and asks the database once. Nobody waits for
//! a timer: a lone read goes at once, and while a question is under way the next group gathers. Measured: one question per
//! request through the pool costs a second round trip, because sqlx pings each connection when it is given back, and that
//! made reads a quarter slower than pgx's pool.
//!
//! A read never joins a question that is under way already, so it sees every commit that was acknowledged before it came.
//! A cancelled caller loses only itself. Not here: what a coupon is (`dlc-domain`), claims.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use dlc_application::ports::{StorageError, StorageErrorKind};
use dlc_domain::coupons::{Coupon, CouponName};
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, pool::PoolConnection};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::error;

/// Questions under way at a time. One more than the cores of the database's smallest host gains nothing: groups only get
/// smaller.
const LANES: usize = 2;
/// Most reads of one question.
const GROUP: usize = 256;
/// Most reads that wait; beyond it the answer is 503.
const QUEUE: usize = 4096;
/// How long a lane keeps its connection while nobody asks. Giving it back costs a round trip.
const HOLD: Duration = Duration::from_millis(100);

type Answer = Result<Option<Coupon>, Failed>;

/// What a whole group is told.
#[derive(Clone)]
struct Failed {
    kind: StorageErrorKind,
    source: Arc<sqlx::Error>,
}

struct Read {
    name: CouponName,
    answer: oneshot::Sender<Answer>,
}

/// The queue; the lanes end when it is dropped.
#[derive(Debug)]
pub(crate) struct CouponReads {
    queue: mpsc::Sender<Read>,
}

/// Where a lane asks.
#[derive(Clone)]
pub(crate) enum ReadPool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

enum Session {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

impl CouponReads {
    pub(crate) fn start(pool: &ReadPool) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..LANES {
            tokio::spawn(lane(pool.clone(), Arc::clone(&waiting)));
        }
        Self { queue }
    }

    pub(crate) async fn find(&self, name: CouponName) -> Result<Option<Coupon>, StorageError> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(Read { name, answer })
            .map_err(|_| StorageError::new(StorageErrorKind::Timeout, "too many reads wait already"))?;
        match answered.await {
            Ok(Ok(coupon)) => Ok(coupon),
            Ok(Err(failed)) => Err(StorageError::new(failed.kind, failed.source)),
            Err(_) => Err(StorageError::new(StorageErrorKind::Unavailable, "the reads have ended")),
        }
    }
}

/// Takes groups and answers them, until nobody can ask any more.
async fn lane(pool: ReadPool, waiting: Arc<Mutex<mpsc::Receiver<Read>>>) {
    let mut session: Option<Session> = None;
    let mut group = Vec::with_capacity(GROUP);
    loop {
        let next = async { waiting.lock().await.recv_many(&mut group, GROUP).await };
        let taken = match &session {
            None => next.await,
            Some(_) => match tokio::time::timeout(HOLD, next).await {
                Ok(taken) => taken,
                Err(_) => {
                    session = None;
                    continue;
                }
            },
        };
        if taken == 0 {
            return;
        }
        session = answer(&pool, session, &mut group).await;
    }
}

/// Answers one group. Returns the connection while it is sound.
async fn answer(pool: &ReadPool, session: Option<Session>, group: &mut Vec<Read>) -> Option<Session> {
    let mut names: Vec<&str> = group.iter().map(|read| read.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let found = async {
        let mut session = match session {
            Some(session) => session,
            None => Session::open(pool).await.map_err(|e| Failed {
                kind: error::no_connection(&e),
                source: Arc::new(e),
            })?,
        };
        let failed = |e| Failed {
            kind: error::storage_kind(&e),
            source: Arc::new(e),
        };
        let coupons = session.ask(&names).await.map_err(failed)?;
        Ok::<_, Failed>((session, coupons))
    };
    match found.await {
        Ok((session, coupons)) => {
            for read in group.drain(..) {
                // Whoever hung up meanwhile wants no answer.
                let _ = read.answer.send(Ok(coupons.get(read.name.as_str()).cloned()));
            }
            Some(session)
        }
        Err(failed) => {
            for read in group.drain(..) {
                let _ = read.answer.send(Err(failed.clone()));
            }
            None
        }
    }
}

type Row = (String, i32, i32, DateTime<Utc>);

impl Session {
    async fn open(pool: &ReadPool) -> Result<Self, sqlx::Error> {
        Ok(match pool {
            ReadPool::Postgres(pool) => Self::Postgres(pool.acquire().await?),
            ReadPool::Sqlite(pool) => Self::Sqlite(pool.acquire().await?),
        })
    }

    async fn ask(&mut self, names: &[&str]) -> Result<HashMap<String, Coupon>, sqlx::Error> {
        let rows: Vec<Row> = match self {
            Self::Postgres(connection) => {
                let sql = "SELECT name, amount, remaining_amount, created_at FROM coupons WHERE name = ANY($1)";
                sqlx::query_as(sql).bind(names).fetch_all(&mut **connection).await?
            }
            Self::Sqlite(connection) => {
                let sql = "SELECT name, amount, remaining_amount, created_at FROM coupons \
                           WHERE name IN (SELECT value FROM json_each($1))";
                sqlx::query_as(sql)
                    .bind(sqlx::types::Json(names))
                    .fetch_all(&mut **connection)
                    .await?
            }
        };
        rows.into_iter()
            .map(|(name, amount, remaining, created_at)| {
                let coupon = Coupon::restore(name.clone(), amount, remaining, created_at)
                    .map_err(|corrupt| sqlx::Error::Decode(corrupt.into()))?;
                Ok((name, coupon))
            })
            .collect()
    }
}
