//! What a run would do, statement by statement: locks, rewrites, whom it would stop, what it would lose.

use std::{fmt, time::Duration};

use super::record::MigrationKind;

/// Which way a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Applies.
    Up,
    /// Reverts.
    Down,
}

/// A table lock of PostgreSQL, weakest first (its documentation, "Explicit Locking"); and SQLite's one writer lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// `ACCESS SHARE`: a read.
    AccessShare,
    /// `ROW SHARE`
    RowShare,
    /// `ROW EXCLUSIVE`: a write of rows.
    RowExclusive,
    /// `SHARE UPDATE EXCLUSIVE`
    ShareUpdateExclusive,
    /// `SHARE`
    Share,
    /// `SHARE ROW EXCLUSIVE`
    ShareRowExclusive,
    /// `EXCLUSIVE`
    Exclusive,
    /// `ACCESS EXCLUSIVE`
    AccessExclusive,
    /// SQLite: the file's one writer.
    Writer,
}

impl LockMode {
    const ALL: [Self; 9] = [
        Self::AccessShare,
        Self::RowShare,
        Self::RowExclusive,
        Self::ShareUpdateExclusive,
        Self::Share,
        Self::ShareRowExclusive,
        Self::Exclusive,
        Self::AccessExclusive,
        Self::Writer,
    ];

    /// The mode that `pg_locks` calls so.
    #[must_use]
    pub fn of_pg_locks(mode: &str) -> Option<Self> {
        let squeezed = mode.strip_suffix("Lock")?.to_uppercase();
        Self::ALL
            .into_iter()
            .find(|mode| mode.name().replace(' ', "") == squeezed)
    }

    /// Its name as the server's documentation writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessShare => "ACCESS SHARE",
            Self::RowShare => "ROW SHARE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
            Self::Writer => "WRITER",
        }
    }

    /// Whom it keeps waiting.
    #[must_use]
    pub fn blocks(self) -> &'static str {
        match self {
            Self::AccessShare | Self::RowShare | Self::RowExclusive | Self::ShareUpdateExclusive => "nobody",
            Self::Share | Self::ShareRowExclusive | Self::Exclusive | Self::Writer => "writes",
            Self::AccessExclusive => "reads and writes",
        }
    }
}

/// How it is known what a statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// It was run on a scratch copy of the structure, and watched.
    Rehearsed,
    /// It could not be run there; this follows from its text.
    Predicted {
        /// Why it could not be.
        why: String,
    },
}

/// A table as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveTable {
    /// Rows: the planner's estimate on PostgreSQL, counted on SQLite.
    pub rows: u64,
    /// Bytes with its indexes; `None` where it cannot be told.
    pub bytes: Option<u64>,
    /// Other sessions that hold a lock on it right now; each would wait, or be waited for.
    pub sessions: u32,
}

/// What one statement does to one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableEffect {
    /// The table.
    pub table: String,
    /// The strongest lock that the statement takes on it.
    pub lock: LockMode,
    /// Every row is written anew.
    pub rewrites: bool,
    /// Every row is read, under the lock.
    pub scans: bool,
    /// What stands there now; `None` when the run itself makes the table.
    pub live: Option<LiveTable>,
}

/// One statement of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStatement {
    /// What is run.
    pub sql: String,
    /// How its effects are known.
    pub basis: Basis,
    /// What it does to the tables, strongest lock first.
    pub effects: Vec<TableEffect>,
    /// How long it took on the clone that was named.
    pub took: Option<Duration>,
}

/// One migration of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedMigration {
    /// Its version.
    pub name: String,
    /// What it means for older binaries; `None` when the history does not say.
    pub kind: Option<MigrationKind>,
    /// Whether its statements stand and fall together.
    pub transaction: bool,
    /// The SQL is the history's, not this binary's.
    pub stored: bool,
    /// In order.
    pub statements: Vec<PlannedStatement>,
}

/// What a revert takes away for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The table.
    pub table: String,
    /// One column of it; `None`: the whole table.
    pub column: Option<String>,
    /// Rows that hold something there; `None` when counting took too long.
    pub rows: Option<u64>,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            None => write!(f, "table {}", self.table)?,
            Some(column) => write!(f, "column {}.{column}", self.table)?,
        }
        match self.rows {
            None => f.write_str(": more rows than can be counted quickly"),
            Some(1) => f.write_str(": 1 row"),
            Some(rows) => write!(f, ": {rows} rows"),
        }
    }
}

/// A run that was thought through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which way.
    pub direction: Direction,
    /// In the order of the run.
    pub migrations: Vec<PlannedMigration>,
    /// What a revert takes away.
    pub losses: Vec<Loss>,
    /// What the reader should know besides, for example that the live schema is not the one that was rehearsed on.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modes_of_pg_locks_are_known_and_ordered_by_strength() {
        let modes = [
            "AccessShareLock",
            "RowShareLock",
            "RowExclusiveLock",
            "ShareUpdateExclusiveLock",
            "ShareLock",
            "ShareRowExclusiveLock",
            "ExclusiveLock",
            "AccessExclusiveLock",
        ];
        let known: Vec<LockMode> = modes.iter().filter_map(|mode| LockMode::of_pg_locks(mode)).collect();
        assert_eq!(known.len(), modes.len());
        assert!(known.is_sorted());
        assert_eq!(LockMode::of_pg_locks("SIReadLock"), None);
    }
}
