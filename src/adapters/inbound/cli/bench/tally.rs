//! What was answered so far. Connections count, progress and report read; nobody waits for anybody.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    latencies::{Latencies, Percentiles},
    service::code,
    verdict::Answered,
};
use crate::adapters::inbound::cli::exit::plain;

/// What an answer means for whoever claimed, or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// A piece is theirs; or the coupon was read.
    Granted,
    /// There was nothing left.
    SoldOut,
    /// Nothing was done.
    Nothing,
    /// Nothing was done, and they are to come again later.
    Later,
    /// Nobody knows what was done.
    Unknown,
}

/// The answers of a run.
#[derive(Debug)]
pub(super) struct Tally {
    reads: bool,
    coupons: Vec<PerCoupon>,
    granted: AtomicU64,
    already_claimed: AtomicU64,
    out_of_stock: AtomicU64,
    unknown: AtomicU64,
    /// Those that are rare, or should be.
    others: Mutex<BTreeMap<String, u64>>,
    broken: Mutex<Broken>,
    /// By coupon (the first, the others) and by whether it was granted.
    latencies: [[Latencies; 2]; 2],
}

#[derive(Debug, Default)]
struct PerCoupon {
    granted: AtomicI64,
    unknown: AtomicI64,
    sold_out: AtomicI64,
}

/// Connections that did not hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken {
    /// How often one broke.
    pub(super) times: u64,
    /// How many were given up.
    pub(super) given_up: u64,
    /// Why the last one broke.
    pub(super) why: Option<String>,
}

/// Which latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of them.
    All,
    /// Of claims that were granted.
    Granted,
    /// Of the first coupon.
    Hot,
    /// Of the others.
    Others,
}

impl Tally {
    /// Of so many coupons, which are read or claimed.
    pub(super) fn new(coupons: usize, reads: bool) -> Self {
        Self {
            reads,
            coupons: (0..coupons).map(|_| PerCoupon::default()).collect(),
            granted: AtomicU64::new(0),
            already_claimed: AtomicU64::new(0),
            out_of_stock: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            others: Mutex::default(),
            broken: Mutex::default(),
            latencies: Default::default(),
        }
    }

    /// Counts an answer. `true` when whoever got it should wait a little.
    pub(super) fn answer(&self, coupon: usize, status: u16, body: &[u8], took: Duration) -> bool {
        let code = if status < 400 { None } else { code(body) };
        let effect = self.effect(status, code);
        self.latencies[usize::from(coupon > 0)][usize::from(effect == Effect::Granted)].record(took);
        let per_coupon = &self.coupons[coupon];
        match effect {
            Effect::Granted => drop((
                self.granted.fetch_add(1, Relaxed),
                per_coupon.granted.fetch_add(1, Relaxed),
            )),
            Effect::SoldOut => drop((
                self.out_of_stock.fetch_add(1, Relaxed),
                per_coupon.sold_out.fetch_add(1, Relaxed),
            )),
            Effect::Nothing if code == Some("already_claimed") => drop(self.already_claimed.fetch_add(1, Relaxed)),
            Effect::Nothing | Effect::Later | Effect::Unknown => {
                if effect == Effect::Unknown {
                    self.unknown.fetch_add(1, Relaxed);
                    per_coupon.unknown.fetch_add(1, Relaxed);
                }
                self.other(code.map_or_else(|| format!("http_{status}"), str::to_owned));
            }
        }
        effect == Effect::Later || status == 503
    }

    /// Counts a request that was not answered.
    pub(super) fn no_answer(&self, coupon: usize, why: &io::Error) {
        self.unknown.fetch_add(1, Relaxed);
        self.coupons[coupon].unknown.fetch_add(1, Relaxed);
        self.other("no_answer".to_owned());
        self.broke(why);
    }

    /// Counts a connection that broke, or could not be made.
    pub(super) fn broke(&self, why: &io::Error) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.times += 1;
        broken.why = Some(plain(why));
    }

    /// Counts a connection that was given up.
    pub(super) fn gave_up(&self) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).given_up += 1;
    }

    fn effect(&self, status: u16, code: Option<&str>) -> Effect {
        match (status, code) {
            (200, _) if self.reads => Effect::Granted,
            (201, _) if !self.reads => Effect::Granted,
            (409, Some("out_of_stock")) => Effect::SoldOut,
            (429, _) | (503, Some("overloaded" | "starting")) => Effect::Later,
            (400..=499, _) => Effect::Nothing,
            _ => Effect::Unknown,
        }
    }

    fn other(&self, code: String) {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        *others.entry(code).or_default() += 1;
    }

    /// How many were granted, or read, so far.
    pub(super) fn granted(&self) -> u64 {
        self.granted.load(Relaxed)
    }

    /// Of how many nobody knows what was done.
    pub(super) fn unknown(&self) -> u64 {
        self.unknown.load(Relaxed)
    }

    /// Every kind of answer that came, by name; what is usual first.
    pub(super) fn outcomes(&self) -> Vec<(String, u64)> {
        let usual: &[(&str, u64)] = if self.reads {
            &[("read", self.granted())]
        } else {
            &[
                ("granted", self.granted()),
                ("already_claimed", self.already_claimed.load(Relaxed)),
                ("out_of_stock", self.out_of_stock.load(Relaxed)),
            ]
        };
        let usual = usual.iter().map(|(name, count)| ((*name).to_owned(), *count));
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        usual
            .chain(others.iter().map(|(name, count)| (name.clone(), *count)))
            .collect()
    }

    /// What was answered about a coupon.
    pub(super) fn of(&self, coupon: usize) -> Answered {
        let PerCoupon {
            granted,
            unknown,
            sold_out,
        } = &self.coupons[coupon];
        Answered {
            granted: granted.load(Relaxed),
            unknown: unknown.load(Relaxed),
            sold_out: sold_out.load(Relaxed),
        }
    }

    /// How long answers took.
    pub(super) fn latencies(&self, part: Part) -> Percentiles {
        let [[hot_other, hot_granted], [other, granted]] = &self.latencies;
        match part {
            Part::All => Percentiles::of(&[hot_other, hot_granted, other, granted]),
            Part::Granted => Percentiles::of(&[hot_granted, granted]),
            Part::Hot => Percentiles::of(&[hot_other, hot_granted]),
            Part::Others => Percentiles::of(&[other, granted]),
        }
    }

    /// Connections that did not hold.
    pub(super) fn broken(&self) -> Broken {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
