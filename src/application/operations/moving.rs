//! Moving a database to the other engine: what is told while it goes on, what is refused, and when a copy is the same.
//!
//! Not here: how rows are read and written (`dlc-database`, `moving/`), how it is told (`cli/db`).

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::ports::{
    connection::{ConnectError, ConnectFailure},
    migrations::MigrateError,
};

/// Refused values that are told one by one; the others are counted.
pub const TOLD: usize = 20;

/// Rows of a table, and a sum over all of them that does not depend on their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The table.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// The sum, modulo 2^128, of the first 16 bytes of each row's SHA-256.
    pub sum: u128,
}

/// Tables whose copy is not what the source has.
#[must_use]
pub fn differing(source: &[Tally], copy: &[Tally]) -> Vec<String> {
    let copies: BTreeMap<&str, &Tally> = copy.iter().map(|tally| (tally.table.as_str(), tally)).collect();
    let mut tables: Vec<String> = source
        .iter()
        .filter(|tally| copies.get(tally.table.as_str()) != Some(tally))
        .map(|tally| tally.table.clone())
        .collect();
    let known = |name: &str| source.iter().any(|tally| tally.table == name);
    tables.extend(copy.iter().map(|tally| tally.table.clone()).filter(|name| !known(name)));
    tables
}

/// A value that the target would refuse. The value itself is not told: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The table.
    pub table: String,
    /// The primary key of its row.
    pub key: String,
    /// The column, when it is one column's fault.
    pub column: String,
    /// Why.
    pub why: String,
}

/// What the target would refuse: the first ones, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// The first [`TOLD`].
    pub told: Vec<Refusal>,
    /// All of them.
    pub total: u64,
}

impl Refusals {
    /// Takes one.
    pub fn add(&mut self, refusal: impl FnOnce() -> Refusal) {
        if self.told.len() < TOLD {
            self.told.push(refusal());
        }
        self.total += 1;
    }

    /// Counts some that nobody will be told of one by one.
    pub fn count(&mut self, more: u64) {
        self.total += more;
    }
}

/// One table that was moved, or looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedTable {
    /// What the source has, and, when it was moved, the target.
    pub tally: Tally,
    /// How long copying it took; nothing when it was only looked at.
    pub took: Duration,
}

/// How a move ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Whether anything was copied; everything is there and equal then.
    pub copied: bool,
    /// The tables, in the order in which they are copied.
    pub tables: Vec<MovedTable>,
    /// The numbers after which each sequence goes on: `table.column`.
    pub sequences: Vec<(String, i64)>,
    /// What the target would refuse. With any, nothing was copied.
    pub refusals: Refusals,
    /// Whether somebody has written to the source since the moment that was moved; `None`: nobody has looked, or could tell.
    pub written_meanwhile: Option<bool>,
    /// How long all of it took.
    pub took: Duration,
}

impl Moved {
    /// All rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.tally.rows).sum()
    }
}

/// What a move does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovePhase {
    /// Every value of the source is held against what the target takes.
    Check,
    /// Rows are copied.
    Copy,
    /// The target is read back.
    Compare,
}

impl fmt::Display for MovePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "checking",
            Self::Copy => "copying",
            Self::Compare => "comparing",
        })
    }
}

/// How far a move is, or what else is worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveEvent {
    /// So far.
    Reached {
        /// In which phase.
        phase: MovePhase,
        /// At which table.
        table: String,
        /// Rows of all tables in this phase so far.
        rows: u64,
        /// Rows that there are, as soon as they were counted.
        of: Option<u64>,
    },
    /// The source is in use: what is written from now on is not moved.
    SourceInUse {
        /// By whom, as far as can be told.
        by: String,
    },
}

/// Which end of the move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where the rows come from.
    Source,
    /// Where they go.
    Target,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

/// Why nothing was moved. The target is as it was, but for migrations that may have been applied to an empty one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MoveError {
    /// Both are of one engine.
    #[error("source and target are both {0}; a move goes from one engine to the other")]
    SameEngine(&'static str),
    /// One side cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// One side's history does not fit, or the target could not be migrated.
    #[error("{side}: {error}")]
    Schema {
        /// Which.
        side: Side,
        /// Why.
        error: MigrateError,
    },
    /// The source has no schema of dlc's.
    #[error("the source was never migrated: there is nothing to move")]
    NeverMigrated,
    /// The source is behind this binary.
    #[error("{0} migrations are pending on the source")]
    Pending(usize),
    /// The target has rows, or tables of somebody else's.
    #[error("the target is not empty: {}", .0.join(", "))]
    NotEmpty(Vec<String>),
    /// One side has tables or columns that the other does not.
    #[error("source and target do not have the same tables and columns: {}", .0.join(", "))]
    StructureDiffers(Vec<String>),
    /// The target keeps its text in an encoding that does not have every character.
    #[error("the target's encoding is {0}, which cannot take every character")]
    Encoding(String),
    /// Somebody else writes to the target, or moves to it.
    #[error("the target is in use: {0}")]
    TargetBusy(String),
    /// The target refused rows that looked good, and nothing of them was kept.
    #[error("the target refused rows of {table}: {cause}")]
    Refused {
        /// Whose.
        table: String,
        /// The target's words.
        cause: String,
    },
    /// What was read back is not what the source has. Nothing of it was kept.
    #[error("the copy is not what the source has, in {}", .0.join(", "))]
    Differs(Vec<String>),
    /// One side failed while it was read or written.
    #[error("{side}: {cause}")]
    Failed {
        /// Which.
        side: Side,
        /// What kind of failure it was.
        failure: ConnectFailure,
        /// Its words.
        cause: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(table: &str, rows: u64, sum: u128) -> Tally {
        Tally {
            table: table.into(),
            rows,
            sum,
        }
    }

    #[test]
    fn a_copy_differs_by_rows_by_sum_and_by_tables() {
        let source = [tally("a", 2, 7), tally("b", 1, 9)];
        assert_eq!(differing(&source, &[tally("b", 1, 9), tally("a", 2, 7)]), [""; 0]);
        assert_eq!(differing(&source, &[tally("a", 3, 7), tally("b", 1, 9)]), ["a"]);
        assert_eq!(differing(&source, &[tally("a", 2, 8), tally("b", 1, 9)]), ["a"]);
        assert_eq!(differing(&source, &[tally("a", 2, 7)]), ["b"]);
        let beyond = [tally("a", 2, 7), tally("b", 1, 9), tally("c", 0, 0)];
        assert_eq!(differing(&source, &beyond), ["c"]);
    }

    #[test]
    fn only_the_first_refusals_are_told() {
        let mut refusals = Refusals::default();
        for row in 0..30 {
            refusals.add(|| Refusal {
                table: "t".into(),
                key: row.to_string(),
                column: "c".into(),
                why: "w".into(),
            });
        }
        assert_eq!((refusals.told.len(), refusals.total), (TOLD, 30));
    }
}
