//! The crowd: connections that take turns until there are none left, somebody stops them, or the service turns them away.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    client::Connection,
    plan::{Plan, Requests},
    service::Service,
    tally::Tally,
};
use crate::adapters::inbound::cli::exit::{Exit, Failure, plain};

/// Connections that are opened at the same time: a listener's queue is short.
const OPENED_TOGETHER: usize = 64;

/// How often in a row a connection may fail before it is given up.
const MISSES: u32 = 6;

/// The wait after a first failure; it doubles with each.
const AFTER_A_MISS: Duration = Duration::from_millis(50);

/// The wait of somebody who was told to come again later: shorter than a person's, so that the service stays busy, and long
/// enough that it is not asked as fast as it can refuse.
const LATER: Duration = Duration::from_millis(20);

/// What a crowd shares.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Where they go.
    pub(super) service: Service,
    /// What each turn is.
    pub(super) plan: Plan,
    /// What is sent.
    pub(super) requests: Requests,
    /// What was answered.
    pub(super) tally: Tally,
    /// Turns that there are.
    pub(super) total: u64,
    taken: AtomicU64,
    stopped: AtomicBool,
    turned_away: Mutex<Option<Failure>>,
}

impl Crowd {
    /// A crowd that has not begun.
    pub(super) fn new(service: Service, plan: Plan, requests: Requests, tally: Tally, total: u64) -> Self {
        Self {
            service,
            plan,
            requests,
            tally,
            total,
            taken: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            turned_away: Mutex::new(None),
        }
    }

    /// Opens the connections.
    ///
    /// # Errors
    /// When one cannot be opened: a sale with fewer is another one.
    pub(super) async fn gather(service: &Service, count: usize) -> Result<Vec<Connection>, Failure> {
        let mut connections = Vec::with_capacity(count);
        while connections.len() < count {
            let mut opening = JoinSet::new();
            for _ in 0..OPENED_TOGETHER.min(count - connections.len()) {
                let service = service.clone();
                opening.spawn(async move { service.connect().await });
            }
            while let Some(opened) = opening.join_next().await {
                let opened = opened.map_err(io::Error::other).and_then(|opened| opened);
                connections.push(opened.map_err(|error| {
                    let (opened, why) = (connections.len(), plain(&error));
                    let message = format!("only {opened} of {count} connections could be opened: {why}");
                    Failure::new(Exit::Failed, "connections_missing", message)
                        .hint("a lower --concurrency needs fewer; so many files may be open here: ulimit -n")
                })?);
            }
        }
        Ok(connections)
    }

    /// Lets them begin. Each ends by itself.
    pub(super) fn begin(self: &Arc<Self>, connections: Vec<Connection>) -> JoinSet<()> {
        let mut crowd = JoinSet::new();
        for connection in connections {
            let shared = Arc::clone(self);
            crowd.spawn(async move { shared.one(connection).await });
        }
        crowd
    }

    /// Nobody takes a turn any more; whoever waits for an answer goes on waiting.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// Turns that were taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Relaxed).min(self.total)
    }

    /// Why it was turned away as a whole.
    pub(super) fn turned_away(&self) -> Option<Failure> {
        self.turned_away.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn turn(&self) -> Option<u64> {
        if self.stopped.load(Relaxed) {
            return None;
        }
        let number = self.taken.fetch_add(1, Relaxed);
        (number < self.total).then_some(number)
    }

    async fn one(&self, mut connection: Connection) {
        let mut request = Vec::with_capacity(512);
        let mut misses = 0;
        while let Some(number) = self.turn() {
            let turn = self.plan.turn(number);
            self.requests.write(number, turn, &mut request);
            let began = Instant::now();
            let whole = match connection.exchange(&request, began).await {
                Ok(answer) => {
                    let took = began.elapsed();
                    misses = 0;
                    if self.tally.answer(turn.coupon, answer.status, answer.body, took) {
                        tokio::time::sleep(LATER).await;
                    }
                    if matches!(answer.status, 401 | 403) {
                        let failure = self.service.turned_away("a claim", answer.status, answer.body);
                        *self.turned_away.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                        return self.stop();
                    }
                    !connection.is_closing()
                }
                Err(error) => {
                    misses += 1;
                    self.tally.no_answer(turn.coupon, &error);
                    false
                }
            };
            if whole {
                continue;
            }
            match self.again(&mut misses).await {
                Some(new) => connection = new,
                None => return,
            }
        }
    }

    /// A new connection, instead of one that has ended.
    async fn again(&self, misses: &mut u32) -> Option<Connection> {
        loop {
            if self.stopped.load(Relaxed) {
                return None;
            }
            if *misses >= MISSES {
                self.tally.gave_up();
                return None;
            }
            if *misses > 0 {
                tokio::time::sleep(AFTER_A_MISS * 2_u32.pow(*misses)).await;
            }
            match self.service.connect().await {
                Ok(connection) => return Some(connection),
                Err(error) => {
                    *misses += 1;
                    self.tally.broke(&error);
                }
            }
        }
    }
}
