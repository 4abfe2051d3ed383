//! What people heard about their claims, held against what is in the tables. Not here: asking.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use tokio::sync::watch;

use super::{Database, drill::Tally, sales::Wish};

/// What somebody hears who claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// 201, and whether it says that it was said before.
    Granted {
        body: String,
        replayed: bool,
    },
    AlreadyClaimed,
    OutOfStock,
    NotFound,
    /// Another request under the same key is being worked on.
    KeyInUse,
    /// 503, or hung up before there was an answer: it may have been done or not.
    Unknown(String),
}

impl Heard {
    /// Whether there is nothing left to ask.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::KeyInUse | Self::Unknown(_))
    }
}

/// What somebody asked under, if under a key, and heard.
type Answers = Vec<(Option<String>, Heard)>;

/// Everything that everybody heard in a sale.
pub struct Ledger {
    /// By coupon and user.
    heard: Mutex<BTreeMap<(String, String), Answers>>,
    finals: watch::Sender<usize>,
}

/// A question that was asked; dropped without an answer it was hung up on.
pub struct Asked<'a> {
    ledger: &'a Ledger,
    wish: &'a Wish,
    answer: Option<Heard>,
}

impl Asked<'_> {
    pub fn answered(mut self, heard: Heard) -> Heard {
        self.answer = Some(heard.clone());
        heard
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let heard = self
            .answer
            .take()
            .unwrap_or_else(|| Heard::Unknown("hung up".to_owned()));
        let is_final = heard.is_final();
        let person = (self.wish.coupon.clone(), self.wish.user.clone());
        let mut all = self.ledger.heard.lock().unwrap();
        all.entry(person).or_default().push((self.wish.key.clone(), heard));
        drop(all);
        if is_final {
            self.ledger.finals.send_modify(|number| *number += 1);
        }
    }
}

impl Ledger {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            heard: Mutex::default(),
            finals: watch::Sender::new(0),
        })
    }

    pub fn ask<'a>(&'a self, wish: &'a Wish) -> Asked<'a> {
        Asked {
            ledger: self,
            wish,
            answer: None,
        }
    }

    /// Waits until so many claims are judged.
    pub async fn until_judged(&self, number: usize) {
        let mut finals = self.finals.subscribe();
        finals.wait_for(|judged| *judged >= number).await.unwrap();
    }

    /// How many claims are judged by now.
    pub fn judged(&self) -> usize {
        *self.finals.borrow()
    }

    /// Holds it all against the tables; everybody's last answer has to be a final one by now.
    pub async fn audit(&self, database: &Database) -> Tally {
        let coupons = "SELECT name, CAST(amount AS text), CAST(remaining_amount AS text) FROM coupons";
        let coupons = database.rows(coupons).await;
        let claims = "SELECT coupon_name, user_id FROM claims ORDER BY id";
        let claims: Vec<_> = database.rows(claims).await.into_iter().map(pair).collect();
        let keys = "SELECT key, answer FROM idempotency_keys";
        let kept: BTreeMap<_, _> = database.rows(keys).await.into_iter().map(pair).collect();

        let rows: BTreeSet<_> = claims.iter().cloned().collect();
        assert_eq!(rows.len(), claims.len(), "I3: somebody has a coupon twice: {claims:?}");
        let heard = self.heard.lock().unwrap();
        for claim in &claims {
            assert!(heard.contains_key(claim), "{claim:?} is in the table and never asked");
        }
        for coupon in &coupons {
            let number = |index: usize| coupon[index].parse::<usize>().expect("I1: no less than nothing");
            let (name, amount, remaining) = (&coupon[0], number(1), number(2));
            let sold = claims.iter().filter(|claim| claim.0 == *name).count();
            assert!(remaining <= amount, "I1: {coupon:?}");
            assert_eq!(
                amount - remaining,
                sold,
                "I2, I8: {coupon:?} and its claims: {claims:?}"
            );
            let wanted = heard.keys().filter(|person| person.0 == *name).count();
            assert_eq!(sold, wanted.min(amount), "{coupon:?} is wanted by {wanted}");
        }
        let mut tally = Tally::default();
        for (person, answers) in heard.iter() {
            assert_truth(person, answers, rows.contains(person), &kept);
            for (_, heard) in answers {
                tally += one(heard);
            }
        }
        tally
    }
}

fn pair(row: Vec<String>) -> (String, String) {
    let [first, second]: [String; 2] = row.try_into().unwrap();
    (first, second)
}

/// Whether somebody was told the truth, whenever they asked.
fn assert_truth(
    person: &(String, String),
    answers: &[(Option<String>, Heard)],
    has_a_row: bool,
    kept: &BTreeMap<String, String>,
) {
    let who = || format!("{person:?} heard {answers:?}; in the table: {has_a_row}");
    let mut first_hand = 0;
    let mut was_unknown = false;
    let mut bodies = BTreeMap::new();
    for (key, heard) in answers {
        match heard {
            Heard::Granted { body, replayed } => {
                assert!(has_a_row, "I4: granted and not kept: {}", who());
                first_hand += usize::from(!replayed);
                assert!(key.is_some() || !replayed, "replayed without a key: {}", who());
                if let Some(key) = key {
                    let first = bodies.entry(key).or_insert(body);
                    assert_eq!(*first, body, "another answer under the same key: {}", who());
                    assert!(kept.contains_key(key), "not kept under its key: {}", who());
                }
            }
            Heard::AlreadyClaimed => assert!(has_a_row, "I6: refused for a claim that is not there: {}", who()),
            // Stock never comes back: who has a piece had it before it was gone.
            Heard::OutOfStock => assert!(!has_a_row, "I6: out of stock for somebody who has one: {}", who()),
            Heard::NotFound | Heard::KeyInUse => {}
            Heard::Unknown(_) => was_unknown = true,
        }
    }
    assert!(first_hand <= 1, "granted twice: {}", who());
    if has_a_row && first_hand == 0 {
        assert!(was_unknown, "nobody was told that it was granted: {}", who());
    }
    // A claim is kept together with its answer: whoever asks under one key alone is granted again, never refused.
    let keys: BTreeSet<_> = answers.iter().map(|(key, _)| key).collect();
    if let [Some(_)] = keys.into_iter().collect::<Vec<_>>()[..] {
        let refused = answers.iter().any(|(_, heard)| *heard == Heard::AlreadyClaimed);
        assert!(!refused, "refused instead of answered again: {}", who());
    }
    assert!(
        answers.iter().any(|(_, heard)| heard.is_final()),
        "the truth was never heard: {}",
        who()
    );
}

fn one(heard: &Heard) -> Tally {
    let mut tally = Tally::default();
    let kind = match heard {
        Heard::Granted { replayed: false, .. } => &mut tally.granted,
        Heard::Granted { replayed: true, .. } => &mut tally.replayed,
        Heard::AlreadyClaimed => &mut tally.already_claimed,
        Heard::OutOfStock => &mut tally.out_of_stock,
        Heard::NotFound => &mut tally.not_found,
        Heard::KeyInUse => &mut tally.in_use,
        Heard::Unknown(_) => &mut tally.unknown,
    };
    *kind = 1;
    tally
}
