//! Every trait that the outside satisfies, one file per collaborator, with the errors that travel through them.

pub mod clock;
pub mod connection;
pub mod coupons;
pub mod idempotency;
pub mod inspection;
pub mod migrations;
pub mod monitoring;
mod storage;

pub use storage::{StorageError, StorageErrorKind};
