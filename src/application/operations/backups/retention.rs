//! Which backups may go. Not here: finding and removing them.

use chrono::{DateTime, Utc};

/// A backup of dlc's that lies in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<T> {
    /// Which one it is.
    pub which: T,
    /// The database that it is a backup of.
    pub database: String,
    /// The moment that it shows.
    pub snapshot_at: DateTime<Utc>,
    /// Whether it was restored and compared.
    pub verified: bool,
    /// Whether its file is there, as large as it should be.
    pub whole: bool,
}

/// Which of these `--keep` deletes: those of this database beyond the newest `keep` whole ones, but never the last one that was
/// verified, because that is the only one of which it is known that it is one. One that is not whole is none, and saves no other.
#[must_use]
pub fn expired<T: Clone>(backups: &[Kept<T>], database: &str, keep: usize) -> Vec<T> {
    let mut whole: Vec<&Kept<T>> = of(backups, database).filter(|kept| kept.whole).collect();
    whole.sort_by_key(|kept| std::cmp::Reverse(kept.snapshot_at));
    let last_verified = whole.iter().position(|kept| kept.verified);
    let beyond = whole
        .iter()
        .enumerate()
        .filter(|(place, _)| *place >= keep.max(1) && Some(*place) != last_verified)
        .map(|(_, kept)| kept.which.clone());
    // One that is broken goes as soon as so many newer ones are whole.
    let oldest_kept = whole.iter().take(keep.max(1)).next_back().map(|kept| kept.snapshot_at);
    let broken = of(backups, database)
        .filter(|kept| {
            !kept.whole && whole.len() >= keep && oldest_kept.is_some_and(|oldest| kept.snapshot_at < oldest)
        })
        .map(|kept| kept.which.clone());
    beyond.chain(broken).collect()
}

fn of<'a, T>(backups: &'a [Kept<T>], database: &'a str) -> impl Iterator<Item = &'a Kept<T>> {
    backups.iter().filter(move |kept| kept.database == database)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: usize, verified: bool, whole: bool) -> Kept<usize> {
        Kept {
            which: number,
            database: "this".into(),
            snapshot_at: DateTime::from_timestamp(1_000 + i64::try_from(number).unwrap(), 0).unwrap(),
            verified,
            whole,
        }
    }

    #[test]
    fn the_newest_stay_and_the_last_verified_one() {
        let backups: Vec<_> = (0..6)
            .map(|number| kept(number, number == 1 || number == 2, true))
            .collect();
        assert_eq!(expired(&backups, "this", 2), [3, 1, 0]);
        assert_eq!(expired(&backups, "this", 9), []);
        assert_eq!(expired(&backups, "other", 1), []);
    }

    /// Every directory of up to seven backups, each in one of four states, and every number to keep.
    #[test]
    fn whatever_lies_there_the_last_verified_one_and_so_many_stay() {
        for states in 0..4_usize.pow(7) {
            let backups: Vec<_> = (0..7)
                .map(|number| {
                    let state = states / 4_usize.pow(u32::try_from(number).unwrap()) % 4;
                    kept(number, state & 1 == 1, state & 2 == 2)
                })
                .collect();
            let whole = |all: &[Kept<usize>]| all.iter().filter(|kept| kept.whole).count();
            for keep in 1..=7 {
                let gone = expired(&backups, "this", keep);
                let left: Vec<_> = backups
                    .iter()
                    .filter(|kept| !gone.contains(&kept.which))
                    .cloned()
                    .collect();
                let last = backups.iter().rev().find(|kept| kept.verified && kept.whole);
                assert!(
                    last.is_none_or(|last| left.contains(last)),
                    "{backups:?} {keep}: {gone:?}"
                );
                let enough = whole(&backups).min(keep);
                assert!(
                    (enough..=keep + 1).contains(&whole(&left)),
                    "{backups:?} {keep}: {gone:?}"
                );
                // The newest whole ones are among those that stay.
                for newest in backups.iter().rev().filter(|kept| kept.whole).take(keep) {
                    assert!(left.contains(newest), "{backups:?} {keep}: {gone:?}");
                }
            }
        }
    }
}
