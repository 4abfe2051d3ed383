//! Migrations as an operator sees them: what stands, what a run would do, what has drifted. Pure; nothing here runs.
//!
//! - [`history`]: the applied migrations against those of this binary.
//! - [`plan`]: what each statement of a run takes hold of, and what a revert loses.
//! - [`drift`]: two schemas, object by object.
//!
//! Not here: SQL, locks, transactions (`dlc-database`, `migrator/`).

mod drift;
mod history;
mod plan;

pub use drift::{Change, Difference, ObjectKind, SchemaObject, differences};
pub use history::{
    Applied, DownSource, History, HistoryError, Known, MigrationKind, MigrationState, MigrationStatus, Record, Target,
};
pub use plan::{Basis, Direction, LiveTable, LockMode, Loss, Plan, PlannedMigration, PlannedStatement, TableEffect};
