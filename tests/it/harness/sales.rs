//! Sales over HTTP: a shop of one or more servers on one database, and people who claim at it and keep what they heard in
//! a ledger. Not here: what must be true in the end (`ledger`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::{sync::Barrier, task::JoinSet};

use super::{
    Database, Server,
    drill::{self, Tally},
    ledger::{Heard, Ledger},
};

/// Nobody asks for the truth for longer.
const LIMIT: Duration = Duration::from_secs(60);

/// Most connections of the people to the shop.
pub const MOST_AT_ONCE: usize = 256;

/// Limits that no sale comes near, so that nearly everybody hears the truth at the first time of asking.
pub const PATIENT: &[(&str, &str)] = &[
    ("DLC_DATABASE__ACQUIRE_TIMEOUT", "25s"),
    ("DLC_DATABASE__LOCK_TIMEOUT", "25s"),
    ("DLC_DATABASE__STATEMENT_TIMEOUT", "25s"),
    ("DLC_SERVER__REQUEST_TIMEOUT", "28s"),
];

/// Servers on one database.
pub struct Shop {
    servers: Vec<Server>,
    pub tills: Tills,
}

/// Where people ask: the servers' addresses, and what was heard there.
#[derive(Clone)]
pub struct Tills {
    client: Client,
    addresses: Arc<[String]>,
    pub ledger: Arc<Ledger>,
}

/// What somebody wants.
#[derive(Clone, Debug)]
pub struct Wish {
    pub user: String,
    pub coupon: String,
    pub key: Option<String>,
    /// Asked for at the seed's path.
    is_literal: bool,
}

impl Wish {
    /// The wish of person number so and so; every other one goes to the seed's path.
    pub fn of(number: usize, coupon: &str) -> Self {
        Self {
            user: format!("u{number}"),
            coupon: coupon.to_owned(),
            key: None,
            is_literal: number.is_multiple_of(2),
        }
    }

    /// The same under a key of its own.
    pub fn keyed(mut self) -> Self {
        self.key = Some(format!("{}/{}", self.coupon, self.user));
        self
    }

    /// Wishes of so many people for one coupon.
    pub fn of_all(people: std::ops::Range<usize>, coupon: &str) -> Vec<Self> {
        people.map(|number| Self::of(number, coupon)).collect()
    }

    /// The same, each third of them under a key.
    pub fn of_all_kinds(people: std::ops::Range<usize>, coupon: &str) -> Vec<Self> {
        let kind = |wish: Self, number: usize| if number.is_multiple_of(3) { wish.keyed() } else { wish };
        people.map(|number| kind(Self::of(number, coupon), number)).collect()
    }
}

/// What comes of looking at a coupon.
#[derive(Clone, Debug)]
pub enum Look {
    Seen(Seen),
    Missing,
    /// 503.
    Unknown,
}

impl Look {
    pub fn seen(self) -> Option<Seen> {
        match self {
            Self::Seen(seen) => Some(seen),
            Self::Missing | Self::Unknown => None,
        }
    }
}

/// What somebody sees who looks at a coupon.
#[derive(Clone, Debug)]
pub struct Seen {
    pub remaining: u64,
    /// Nobody in particular in the short form.
    pub claimed_by: Vec<String>,
}

impl Shop {
    /// Opens with so many servers on a database.
    pub async fn open(database: Database, servers: usize, variables: &[(&str, &str)]) -> Self {
        let (engine, url) = (database.engine, database.url.clone());
        let mut databases = vec![database];
        databases.resize_with(servers, || Database::at(engine, &url));
        let mut running = Vec::new();
        for database in databases {
            let engine = drill::claim_engine();
            let engine = engine.iter().map(|engine| ("DLC_COUPONS__ENGINE", engine.as_str()));
            let variables = variables.iter().copied().chain(engine);
            let dlc = variables.fold(database.dlc(), |dlc, (name, value)| dlc.env(name, value));
            running.push(Server::start_as(database, dlc, &[]).await);
        }
        Self::with(running)
    }

    /// Opens with servers that are there already.
    pub fn with(running: Vec<Server>) -> Self {
        let addresses = running.iter().map(|server| format!("http://{}", server.address()));
        let tills = Tills {
            client: running[0].client.clone(),
            addresses: addresses.collect(),
            ledger: Ledger::new(),
        };
        Self {
            servers: running,
            tills,
        }
    }

    pub fn database(&self) -> &Database {
        &self.servers[0].database
    }

    /// Has another database looked at in the end than the one that the servers were started with: a copy of it.
    pub fn look_at(&mut self, database: Database) {
        self.servers[0].database = database;
    }

    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// One of the servers.
    pub fn server(&self, till: usize) -> &Server {
        &self.servers[till % self.servers.len()]
    }

    /// Puts a coupon on sale, once; returns whether it was not there already, for all that is known.
    pub async fn offer(&self, coupon: &str, amount: usize) -> bool {
        let mut is_known = true;
        for till in 0.. {
            let body = json!({"name": coupon, "amount": amount});
            let created = self.server(till).post("/api/v1/coupons", body).await;
            match created.status {
                201 => return true,
                409 => return !is_known,
                503 => is_known = false,
                _ => panic!("{created:?}"),
            }
        }
        unreachable!()
    }

    /// Holds what was heard against the tables, and sees that each server is there still and stops in order.
    pub async fn close(mut self) -> Tally {
        let tally = self.tills.ledger.audit(self.database()).await;
        for server in &self.servers {
            assert_eq!(server.get("/livez").await.status, 200, "{}", server.log());
            assert!(!server.log().contains("panicked"), "{}", server.log());
        }
        // The first one last: the database goes with it.
        for server in std::mem::take(&mut self.servers).into_iter().rev() {
            let ended = server.stop().await;
            assert_eq!(ended.code, 0, "{ended:?}");
        }
        tally
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for server in &self.servers {
                let log = server.log();
                let last: Vec<_> = log.lines().rev().take(20).collect();
                let last: Vec<_> = last.into_iter().rev().collect();
                drill::say(&format!(
                    "the last that {} logged:\n{}",
                    server.address(),
                    last.join("\n")
                ));
            }
        }
    }
}

impl Tills {
    /// `http://host:port` of one of them.
    fn address(&self, till: usize) -> &str {
        &self.addresses[till % self.addresses.len()]
    }

    fn request(&self, wish: &Wish, till: usize) -> RequestBuilder {
        let address = self.address(till);
        let (path, body) = if wish.is_literal {
            let body = json!({"user_id": wish.user, "coupon_name": wish.coupon});
            ("/api/coupons/claim".to_owned(), body)
        } else {
            let path = format!("/api/v1/coupons/{}/claims", wish.coupon);
            (path, json!({"user_id": wish.user}))
        };
        let request = self.client.post(format!("{address}{path}")).json(&body);
        match &wish.key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        }
    }

    /// Asks once. Whatever is neither a verdict nor a 503 that says when to come again ends the drill.
    pub async fn claim(&self, wish: &Wish, till: usize) -> Heard {
        let asked = self.ledger.ask(wish);
        let response = self.request(wish, till).send().await;
        let response = response.unwrap_or_else(|error| panic!("{wish:?} was not answered: {error:?}"));
        asked.answered(understand(wish, response).await)
    }

    /// Asks until the truth is heard, each time at the next server.
    pub async fn learn(&self, wish: &Wish, till: usize) -> Heard {
        let started = Instant::now();
        for further in 0.. {
            let heard = self.claim(wish, till + further).await;
            if heard.is_final() {
                return heard;
            }
            assert!(started.elapsed() < LIMIT, "{wish:?} does not learn the truth");
            // What somebody does who is told to come again; nothing is waited for.
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        unreachable!()
    }

    /// Asks until the truth is heard, and looks at another server whether that is true there and then: what was granted is
    /// seen, and what was refused is gone.
    pub async fn learn_and_look(&self, wish: &Wish, till: usize) -> Heard {
        let heard = self.learn(wish, till).await;
        match &heard {
            Heard::Granted { .. } | Heard::AlreadyClaimed => {
                if let Some(seen) = self.look(&wish.coupon, till + 1, true).await.seen() {
                    assert!(
                        seen.claimed_by.contains(&wish.user),
                        "{wish:?} heard {heard:?}: {seen:?}"
                    );
                }
            }
            Heard::OutOfStock => {
                if let Some(seen) = self.look(&wish.coupon, till + 1, false).await.seen() {
                    assert_eq!(seen.remaining, 0, "{wish:?} heard {heard:?}");
                }
            }
            _ => {}
        }
        heard
    }

    /// Hangs up after a while, unless the answer is there before.
    pub async fn hang_up(&self, wish: &Wish, till: usize, after: Duration) {
        drop(tokio::time::timeout(after, self.claim(wish, till)).await);
    }

    /// Looks at a coupon, in the seed's form or the short one. I1 and I2 hold in every answer.
    pub async fn look(&self, coupon: &str, till: usize, is_literal: bool) -> Look {
        let version = if is_literal { "" } else { "/v1" };
        let url = format!("{}/api{version}/coupons/{coupon}", self.address(till));
        let response = self.client.get(url).send().await.unwrap();
        let status = response.status().as_u16();
        if status == 503 {
            assert_says_when(&response);
        }
        let text = response.text().await.unwrap();
        let found: Value = serde_json::from_str(&text).unwrap_or_default();
        match (status, found["code"].as_str()) {
            (404, Some("coupon_not_found")) => return Look::Missing,
            (503, Some(_)) => return Look::Unknown,
            _ => assert_eq!(status, 200, "{text}"),
        }
        let number = |member: &str| found[member].as_u64().unwrap_or_else(|| panic!("{member}: {text}"));
        let (amount, remaining) = (number("amount"), number("remaining_amount"));
        assert!(remaining <= amount, "I1: {text}");
        let mut claimed_by = Vec::new();
        if is_literal {
            claimed_by = serde_json::from_value(found["claimed_by"].clone()).unwrap();
            assert_eq!(amount - remaining, claimed_by.len() as u64, "I2: {text}");
            let mut people: Vec<&String> = claimed_by.iter().collect();
            people.sort_unstable();
            people.dedup();
            assert_eq!(people.len(), claimed_by.len(), "I3: {text}");
        } else {
            assert_eq!(amount - remaining, number("claims_count"), "I2: {text}");
        }
        Look::Seen(Seen { remaining, claimed_by })
    }

    /// Lets all wishes loose at the same moment, as many at a time as there are connections, and returns what each heard in the
    /// end, in their order.
    pub async fn rush(&self, wishes: Vec<Wish>) -> Vec<Heard> {
        let act = async |tills: Self, wish: Wish, number| tills.learn(&wish, number).await;
        self.rush_of(MOST_AT_ONCE, wishes, act).await
    }

    /// The same with at most so many at a time, and what each of them does.
    pub async fn rush_of<F>(
        &self,
        most: usize,
        wishes: Vec<Wish>,
        act: impl Fn(Self, Wish, usize) -> F + Clone + Send + 'static,
    ) -> Vec<Heard>
    where
        F: Future<Output = Heard> + Send,
    {
        let people = wishes.len().min(most);
        let (wishes, next, start) = (
            Arc::new(wishes),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Barrier::new(people)),
        );
        let mut crowd = JoinSet::new();
        for _ in 0..people {
            let (tills, act) = (self.clone(), act.clone());
            let (wishes, next, start) = (Arc::clone(&wishes), Arc::clone(&next), Arc::clone(&start));
            crowd.spawn(async move {
                let mut heard = Vec::new();
                start.wait().await;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(wish) = wishes.get(number) else { return heard };
                    heard.push((number, act(tills.clone(), wish.clone(), number).await));
                }
            });
        }
        let mut all: Vec<_> = crowd.join_all().await.into_iter().flatten().collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, heard)| heard).collect()
    }
}

/// I7: whoever is sent away is told when to come again.
fn assert_says_when(response: &Response) {
    let after = response.headers().get("retry-after");
    let after = after.and_then(|after| after.to_str().ok()?.parse::<u32>().ok());
    assert!(after.is_some_and(|after| after >= 1), "no Retry-After: {response:?}");
}

async fn understand(wish: &Wish, response: Response) -> Heard {
    let status = response.status().as_u16();
    if status == 503 {
        assert_says_when(&response);
    }
    let replayed = response.headers().contains_key("idempotency-replayed");
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    match (status, body["code"].as_str()) {
        (201, _) => {
            let own = json!({"user_id": wish.user, "coupon_name": wish.coupon});
            assert_eq!(body, own, "somebody else's answer");
            Heard::Granted { body: text, replayed }
        }
        (404, Some("coupon_not_found")) => Heard::NotFound,
        (409, Some("already_claimed")) => Heard::AlreadyClaimed,
        (409, Some("out_of_stock")) => Heard::OutOfStock,
        (409, Some("idempotency_key_in_use")) => Heard::KeyInUse,
        (503, Some(code)) => Heard::Unknown(code.to_owned()),
        _ => panic!("{wish:?} was answered {status} {text}"),
    }
}

/// How many heard that they have it, now or before, and how many that there is none left. Who was told first, and whether anybody was
/// told twice, is for the ledger: on a busy machine somebody may have to ask again.
pub fn verdicts(all: &[Heard]) -> (usize, usize) {
    let has_it = |heard: &&Heard| matches!(heard, Heard::Granted { .. } | Heard::AlreadyClaimed);
    let is_refused = |heard: &&Heard| **heard == Heard::OutOfStock;
    (all.iter().filter(has_it).count(), all.iter().filter(is_refused).count())
}
