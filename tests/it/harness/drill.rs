//! What makes a drill of a test: a number of runs, each with a seed of its own that is told when it fails, and a line that
//! sums them up. Not here: what is drilled.
//!
//! `DLC_DRILL_RUNS=10` runs each ten times and in all sizes, `DLC_DRILL_SEED` begins with another seed,
//! `DLC_DRILL_ENGINE` chooses how the servers make claims (`coupons.engine`), `DLC_DRILL_FIGURES` names a file that collects the
//! lines: for `scripts/drill`, which chooses drills by name.

use std::{
    fmt::{self, Display},
    fs::File,
    io::Write,
    ops::AddAssign,
    panic::Location,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, Instant},
};

/// Runs a drill as often as was asked for.
#[track_caller]
pub fn drill<T>(name: impl Display, run: impl AsyncFn(Random) -> T) -> impl Future<Output = ()>
where
    T: Default + AddAssign + Display,
{
    drill_at_most(u64::MAX, name, run)
}

/// The same for one that takes long, or in which nothing is left to chance: more runs than these would tell no more.
#[track_caller]
pub fn drill_at_most<T>(most: u64, name: impl Display, run: impl AsyncFn(Random) -> T) -> impl Future<Output = ()>
where
    T: Default + AddAssign + Display,
{
    let file = Location::caller().file();
    async move {
        let first = variable("DLC_DRILL_SEED").unwrap_or(2026);
        let runs = variable("DLC_DRILL_RUNS").unwrap_or(1).min(most);
        let started = Instant::now();
        let mut figures = T::default();
        for seed in first..first + runs {
            let told_when_it_fails = Seed { name: &name, seed };
            figures += run(Random(seed)).await;
            drop(told_when_it_fails);
        }
        let seconds = started.elapsed().as_secs_f64();
        let runs = if runs == 1 {
            "1 run".to_owned()
        } else {
            format!("{runs} runs")
        };
        tell(file, &format!("{name}: {runs}, {figures}; {seconds:.1} s"));
    }
}

/// Tells figures of a drill in that file, to whoever watches and to whoever collects them.
fn tell(file: &str, figures: &str) {
    let stem = Path::new(file).file_stem().unwrap().to_string_lossy();
    let line = format!("{stem}: {figures}");
    say(&line);
    if let Some(collected) = variable::<PathBuf>("DLC_DRILL_FIGURES") {
        let mut file = File::options().create(true).append(true).open(collected).unwrap();
        // At once, so that lines of several stay lines.
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// Tells one figure more of a drill.
#[track_caller]
pub fn note(figure: &str) {
    tell(Location::caller().file(), figure);
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

/// What was done in a drill, and how long the longest took: whatever a drill has to tell, in its order.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<(&'static str, Figure)>);

#[derive(Clone, Copy, Debug)]
enum Figure {
    Count(usize),
    AtMost(u128, &'static str),
    Lowest(f64),
}

impl Figures {
    /// So many of those.
    pub fn count(mut self, what: &'static str, number: usize) -> Self {
        self.0.push((what, Figure::Count(number)));
        self
    }

    /// What took so long; the longest is told.
    pub fn longest(mut self, what: &'static str, time: Duration) -> Self {
        self.0.push((what, Figure::AtMost(time.as_millis(), "ms")));
        self
    }

    /// What was so much; the most is told.
    pub fn most(mut self, what: &'static str, number: u64, unit: &'static str) -> Self {
        self.0.push((what, Figure::AtMost(u128::from(number), unit)));
        self
    }

    /// A ratio; the lowest is told.
    pub fn ratio(mut self, what: &'static str, value: f64) -> Self {
        self.0.push((what, Figure::Lowest(value)));
        self
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        for (what, figure) in other.0 {
            match (self.0.iter_mut().find(|(its, _)| *its == what), figure) {
                (Some((_, Figure::Count(sum))), Figure::Count(more)) => *sum += more,
                (Some((_, Figure::AtMost(most, _))), Figure::AtMost(other, _)) => *most = (*most).max(other),
                (Some((_, Figure::Lowest(lowest))), Figure::Lowest(other)) => *lowest = lowest.min(other),
                (Some(_), _) => panic!("{what} is two kinds of figures"),
                (None, figure) => self.0.push((what, figure)),
            }
        }
    }
}

impl Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (what, figure)) in self.0.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            match figure {
                Figure::Count(count) => write!(f, "{comma}{count} {what}")?,
                Figure::AtMost(most, unit) => write!(f, "{comma}{what} {most} {unit} at most")?,
                Figure::Lowest(ratio) => write!(f, "{comma}{what} {ratio:.2} at least")?,
            }
        }
        Ok(())
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
