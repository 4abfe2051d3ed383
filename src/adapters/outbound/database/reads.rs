//! Reads of coupons that travel together.
//!
//! A request for a coupon waits in a queue; a lane takes everything that waits and asks the database once. Nobody waits for
//! a timer: a lone read goes at once, and while a question is under way the next group gathers. Measured: one question per
//! request through the pool costs a second round trip, because sqlx pings each connection when it is given back, and that
//! made reads a quarter slower than pgx's pool.
//!
//! A read never joins a question that is under way already, so it sees every commit that was acknowledged before it came.
//! A cancelled caller loses only itself. Not here: what a coupon is (`dlc-domain`), claims.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use dlc_application::ports::{StorageError, StorageErrorKind};
use dlc_domain::coupons::{Coupon, CouponName};
use sqlx::Row;
use tokio::sync::{
    Mutex,
    mpsc::{self, error::TrySendError},
    oneshot,
};

use tracing::{Instrument, Span};

use crate::{
    error,
    held::{Connection, Held, Source},
    statements::{self, Statement},
};

/// Questions under way at a time: while one group is asked for, the next one gathers and goes. Chosen, not tuned; more lanes
/// would take connections from writers and make the groups smaller.
const LANES: usize = 2;
/// Most reads of one question.
const GROUP: usize = 256;
/// Most reads that wait; beyond it the answer is 503.
const QUEUE: usize = 4096;
type Answer = Result<Option<Coupon>, Failed>;

/// Why a read was not answered; a whole group may share it.
#[derive(Clone)]
struct Failed {
    kind: StorageErrorKind,
    source: Arc<sqlx::Error>,
}

struct Read {
    name: CouponName,
    answer: oneshot::Sender<Answer>,
    /// Who asks, where that is recorded.
    span: Option<Span>,
}

/// The queue; the lanes end when it is dropped.
#[derive(Debug)]
pub(crate) struct CouponReads {
    queue: mpsc::Sender<Read>,
}

impl CouponReads {
    pub(crate) fn start(source: &Source) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..LANES {
            tokio::spawn(lane(source.clone(), Arc::clone(&waiting)));
        }
        Self { queue }
    }

    pub(crate) async fn find(&self, name: CouponName) -> Result<Option<Coupon>, StorageError> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(Read {
                name,
                answer,
                span: statements::recorded(),
            })
            .map_err(|refused| match refused {
                TrySendError::Full(_) => StorageError::new(StorageErrorKind::Overloaded, "too many reads wait already"),
                TrySendError::Closed(_) => StorageError::new(StorageErrorKind::Unavailable, "the reads have ended"),
            })?;
        match answered.await {
            Ok(Ok(coupon)) => Ok(coupon),
            Ok(Err(failed)) => Err(StorageError::new(failed.kind, failed.source)),
            Err(_) => Err(StorageError::new(StorageErrorKind::Unavailable, "the reads have ended")),
        }
    }
}

/// Takes groups and answers them, until nobody can ask any more.
async fn lane(source: Source, waiting: Arc<Mutex<mpsc::Receiver<Read>>>) {
    let mut session: Option<Held> = None;
    let mut group = Vec::with_capacity(GROUP);
    loop {
        let next = async { waiting.lock().await.recv_many(&mut group, GROUP).await };
        let taken = match &session {
            None => next.await,
            Some(_) => tokio::select! {
                biased;
                taken = next => taken,
                () = source.until_wanted() => {
                    session = None;
                    continue;
                }
            },
        };
        if taken == 0 {
            return;
        }
        session = answer(&source, session, &mut group).await;
        // Somebody waits for a connection: this lane queues again like everybody else.
        if source.is_wanted() {
            session = None;
        }
    }
}

/// Answers one group. Returns the connection while it is sound.
async fn answer(source: &Source, mut session: Option<Held>, group: &mut Vec<Read>) -> Option<Held> {
    // Whoever hung up meanwhile wants no answer.
    group.retain(|read| !read.answer.is_closed());
    if group.is_empty() {
        return session;
    }
    // The first whose trace is recorded has the question among its own, and the others are linked to it.
    let mut asking = group.iter().filter_map(|read| read.span.as_ref());
    let first = asking.next().cloned().unwrap_or_else(Span::none);
    let mut names: Vec<&str> = group.iter().map(|read| read.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let question = async {
        let session = match &mut session {
            Some(session) => session,
            none => {
                let failed = |e| Failed {
                    kind: error::no_connection(&e),
                    source: Arc::new(e),
                };
                none.insert(source.hold().await.map_err(failed)?)
            }
        };
        let failed = |e| Failed {
            kind: error::storage_kind(&e),
            source: Arc::new(e),
        };
        let asked = Statement::SELECT_COUPONS.traced_for(source.engine(), asking, ask(&mut session.connection, &names));
        asked.await.map_err(failed)
    }
    .instrument(first);
    match tokio::time::timeout(source.limit, question).await {
        Ok(Ok(mut coupons)) => {
            for read in group.drain(..) {
                let found = match coupons.get_mut(read.name.as_str()) {
                    None => Ok(None),
                    Some(Ok(coupon)) => Ok(Some(coupon.clone())),
                    Some(Err(failed)) => Err(failed.clone()),
                };
                let _ = read.answer.send(found);
            }
            session
        }
        Ok(Err(failed)) => {
            refuse(group, &failed);
            None
        }
        Err(_) => {
            if let Some(session) = session {
                session.destroy();
            }
            let source = Arc::new(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
            refuse(
                group,
                &Failed {
                    kind: StorageErrorKind::Timeout,
                    source,
                },
            );
            None
        }
    }
}

fn refuse(group: &mut Vec<Read>, failed: &Failed) {
    for read in group.drain(..) {
        let _ = read.answer.send(Err(failed.clone()));
    }
}

/// What was found under each name; a row that does not hold up spoils nobody else's answer.
type Found = HashMap<String, Result<Coupon, Failed>>;

async fn ask(connection: &mut Connection, names: &[&str]) -> Result<Found, sqlx::Error> {
    match connection {
        Connection::Postgres(connection) => {
            let sql = "SELECT name, amount, remaining_amount, created_at FROM coupons WHERE name = ANY($1)";
            let rows = sqlx::query(sql).bind(names).fetch_all(&mut **connection).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, restored(row)))).collect()
        }
        Connection::Sqlite(connection) => {
            let sql = "SELECT name, amount, remaining_amount, created_at FROM coupons \
                       WHERE name IN (SELECT value FROM json_each($1))";
            let rows = sqlx::query(sql)
                .bind(sqlx::types::Json(names))
                .fetch_all(&mut **connection)
                .await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, restored(row)))).collect()
        }
    }
}

fn restored<R: Row>(row: &R) -> Result<Coupon, Failed>
where
    usize: sqlx::ColumnIndex<R>,
    for<'r> String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> i32: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> DateTime<Utc>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    let coupon = || {
        Coupon::restore(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)
            .map_err(|corrupt| sqlx::Error::Decode(corrupt.into()))
    };
    coupon().map_err(|e| Failed {
        kind: StorageErrorKind::Other,
        source: Arc::new(e),
    })
}
