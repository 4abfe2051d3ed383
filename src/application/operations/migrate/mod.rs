//! Migrations as an operator sees them: what stands, what a run would do, what has drifted. Pure; nothing here runs.
//!
//! - [`history`]: the applied migrations against those of this binary.
//! - [`plan`]: what each statement of a run takes hold of, and what a revert loses.
//! - [`record`]: what both know of one migration.
//! - [`drift`]: two schemas, object by object.
//!
//! Not here: SQL, locks, transactions (`dlc-database`, `migrator/`).

mod drift;
mod history;
mod plan;
mod record;

pub use drift::{Change, Difference, ObjectKind, SchemaObject, differences};
pub use history::{DownSource, History, HistoryError, MigrationState, MigrationStatus, Target};
pub use plan::{Basis, Direction, LiveTable, LockMode, Loss, Plan, PlannedMigration, PlannedStatement, TableEffect};
pub use record::{Applied, Known, MigrationKind, Record};
