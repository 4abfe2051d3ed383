//! How long answers took: counts in buckets that are narrow where values are small, so that a percentile is at most 1 % too
//! high. Many count at once, and whoever wants to know reads meanwhile.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Buckets between a power of two and the next.
const STEPS: u64 = 128;

/// Powers of two above [`STEPS`]: the last bucket ends at 2^31 µs, which is half an hour.
const OCTAVES: u64 = 24;

/// Latencies of one kind.
#[derive(Debug)]
pub(super) struct Latencies {
    buckets: Box<[AtomicU64]>,
    longest: AtomicU64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            buckets: (0..STEPS * (OCTAVES + 1)).map(|_| AtomicU64::new(0)).collect(),
            longest: AtomicU64::new(0),
        }
    }
}

impl Latencies {
    /// Counts one.
    pub(super) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let last = self.buckets.len() - 1;
        self.buckets[bucket(micros).min(last)].fetch_add(1, Relaxed);
        if micros > self.longest.load(Relaxed) {
            self.longest.fetch_max(micros, Relaxed);
        }
    }
}

/// What is known of some of them together, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Percentiles {
    /// How many there are.
    pub(super) count: u64,
    /// Half of them took no longer.
    pub(super) p50: u64,
    /// Nine of ten took no longer.
    pub(super) p90: u64,
    /// 99 of a hundred took no longer.
    pub(super) p99: u64,
    /// None took longer.
    pub(super) max: u64,
}

impl Percentiles {
    /// Of several kinds together.
    pub(super) fn of(kinds: &[&Latencies]) -> Self {
        let longest = |kind: &&Latencies| kind.longest.load(Relaxed);
        let buckets = kinds.iter().map(|kind| kind.buckets.len()).max().unwrap_or_default();
        let counts: Vec<u64> = (0..buckets)
            .map(|index| kinds.iter().map(|kind| kind.buckets[index].load(Relaxed)).sum())
            .collect();
        let count: u64 = counts.iter().sum();
        let max = kinds.iter().map(longest).max().unwrap_or_default();
        let at = |percent: u64| {
            let rank = (count * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let found = counts.iter().position(|here| {
                seen += here;
                seen >= rank
            });
            found.map_or(0, |index| highest(index as u64).min(max))
        };
        Self {
            count,
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max,
        }
    }
}

/// Where a value is counted: below `2 × STEPS` each has a bucket of its own.
fn bucket(micros: u64) -> usize {
    let octave = u64::from(63 - (micros | STEPS).leading_zeros()) - u64::from(STEPS.ilog2());
    usize::try_from(octave * STEPS + (micros >> octave)).unwrap_or(usize::MAX)
}

/// The highest value that is counted there.
fn highest(bucket: u64) -> u64 {
    let octave = (bucket / STEPS).saturating_sub(1);
    ((bucket - octave * STEPS + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_told_by_at_most_one_percent_too_high_and_never_too_low() {
        let mut last = 0;
        for micros in (0..5_000).chain((5_000..2_000_000_000).step_by(7_654_321)) {
            let (index, told) = (bucket(micros), highest(bucket(micros) as u64));
            assert!(index >= last, "{micros}");
            assert!(
                told >= micros && told - micros <= micros / 100,
                "{micros} is told as {told}"
            );
            last = index;
        }
    }

    #[test]
    fn percentiles_are_those_of_all_kinds_together() {
        let [few, many] = [Latencies::default(), Latencies::default()];
        for micros in 1..=50 {
            few.record(Duration::from_micros(micros));
            many.record(Duration::from_micros(micros + 50));
        }
        let told = Percentiles::of(&[&few, &many]);
        let expected = Percentiles {
            count: 100,
            p50: 50,
            p90: 90,
            p99: 99,
            max: 100,
        };
        assert_eq!(told, expected);
        assert_eq!(Percentiles::of(&[&few]).max, 50);
        assert_eq!(Percentiles::of(&[]), Percentiles::default());
    }

    #[test]
    fn what_takes_for_ever_is_counted_too() {
        let latencies = Latencies::default();
        latencies.record(Duration::from_secs(u64::MAX));
        assert_eq!(Percentiles::of(&[&latencies]).count, 1);
    }
}
