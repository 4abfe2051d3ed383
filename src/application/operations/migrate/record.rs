//! A migration as the binary knows it, and as the database has noted it.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// What a migration means for the binaries of the version before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationKind {
    /// Only adds; older binaries go on working.
    Expand,
    /// Takes away or changes what older binaries use.
    Contract,
    /// Loses data that no revert brings back.
    Irreversible,
}

impl MigrationKind {
    /// Its name in the history, in reports and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Contract => "contract",
            Self::Irreversible => "irreversible",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Expand, Self::Contract, Self::Irreversible]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// Whether applying it takes something away.
    #[must_use]
    pub fn is_destructive(self) -> bool {
        self != Self::Expand
    }
}

/// A migration of this binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its version.
    pub name: String,
    /// What it means for older binaries.
    pub kind: MigrationKind,
    /// SHA-256 of its statements, in hexadecimal.
    pub checksum: String,
    /// Whether it has statements that revert it.
    pub reverts: bool,
}

/// What dlc noted when a migration was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// SHA-256 of the statements that were run.
    pub checksum: String,
    /// What it means for older binaries; `None` for a word that this binary does not know.
    pub kind: Option<MigrationKind>,
    /// The version of dlc that applied it.
    pub dlc_version: String,
    /// Command, host and process that applied it.
    pub applied_by: String,
    /// How long its statements took.
    pub took: Duration,
    /// The statements that revert it; empty when there are none or they cannot be read.
    pub down: Vec<String>,
    /// Whether those stand and fall together.
    pub transaction: bool,
    /// Statements done; fewer than [`Self::statements`] when the run was cut short.
    pub reached: usize,
    /// Statements there are.
    pub statements: usize,
    /// Whether the run came to its end. Only one that is applied statement by statement can fail to.
    pub finished: bool,
}

/// A migration as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its version.
    pub name: String,
    /// When it was applied, as SeaORM's table has it, to the second; `None`: not in that table.
    pub at: Option<DateTime<Utc>>,
    /// dlc's own note; `None` when another tool applied it.
    pub record: Option<Record>,
}
