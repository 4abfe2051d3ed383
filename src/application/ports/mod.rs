//! Every trait that the outside satisfies, one file per collaborator, with the errors that travel through them.

pub mod audit;
pub mod backups;
pub mod books;
pub mod clock;
pub mod connection;
pub mod coupons;
pub mod cursors;
pub mod freshness;
pub mod greetings;
pub mod idempotency;
pub mod inspection;
pub mod migrations;
pub mod monitoring;
pub mod moving;
pub mod passwords;
pub mod sessions;
mod storage;
pub mod tokens;
pub mod users;

pub use storage::{StorageError, StorageErrorKind};
