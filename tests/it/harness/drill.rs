//! What makes a drill of a test: a number of runs, each with a seed of its own that is told when it fails, and a line that
//! sums them up. Not here: what is drilled.
//!
//! `DLC_DRILL_RUNS=10` runs each ten times and in all sizes, `DLC_DRILL_SEED` begins with another seed,
//! `DLC_DRILL_ENGINE` chooses how the servers make claims (`coupons.engine`).

use std::{
    fmt::{self, Display},
    io::Write,
    ops::AddAssign,
    str::FromStr,
    time::Instant,
};

/// Runs a drill as often as was asked for.
pub async fn drill(name: impl Display, run: impl AsyncFn(Random) -> Tally) {
    let first = variable("DLC_DRILL_SEED").unwrap_or(2026);
    let runs = variable("DLC_DRILL_RUNS").unwrap_or(1);
    let started = Instant::now();
    let mut tally = Tally::default();
    for seed in first..first + runs {
        let told_when_it_fails = Seed { name: &name, seed };
        tally += run(Random(seed)).await;
        drop(told_when_it_fails);
    }
    if in_all_sizes() {
        let seconds = started.elapsed().as_secs_f64();
        say(&format!("drill {name}: {runs} runs, {tally}; {seconds:.1} s"));
    }
}

/// Whether time is no object; the suite takes the small sizes.
pub fn in_all_sizes() -> bool {
    std::env::var_os("DLC_DRILL_RUNS").is_some()
}

/// How the servers are to make claims, if the drill is about one way.
pub fn claim_engine() -> Option<String> {
    variable("DLC_DRILL_ENGINE")
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} cannot be read")))
}

/// On the standard error itself: what is printed the usual way is kept back until a test fails.
pub fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

struct Seed<'a, N: Display> {
    name: &'a N,
    seed: u64,
}

impl<N: Display> Drop for Seed<'_, N> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { name, seed } = self;
            say(&format!("drill {name} failed with DLC_DRILL_SEED={seed}"));
        }
    }
}

/// Numbers that look random, and are the same for the same seed (`SplitMix64`).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From nothing to less than `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    /// So many of them, the smallest first.
    pub fn moments(&mut self, number: usize, limit: usize) -> Vec<usize> {
        let mut moments: Vec<usize> = (0..number).map(|_| self.below(limit)).collect();
        moments.sort_unstable();
        moments
    }

    /// Others, for somebody who goes on alone.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }
}

/// What people were answered in a drill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub granted: usize,
    pub replayed: usize,
    pub already_claimed: usize,
    pub out_of_stock: usize,
    pub not_found: usize,
    pub in_use: usize,
    pub unknown: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.granted += other.granted;
        self.replayed += other.replayed;
        self.already_claimed += other.already_claimed;
        self.out_of_stock += other.out_of_stock;
        self.not_found += other.not_found;
        self.in_use += other.in_use;
        self.unknown += other.unknown;
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} granted, {} replayed, {} already claimed, {} out of stock, {} not found, {} key in use, {} unknown",
            self.granted,
            self.replayed,
            self.already_claimed,
            self.out_of_stock,
            self.not_found,
            self.in_use,
            self.unknown
        )
    }
}
