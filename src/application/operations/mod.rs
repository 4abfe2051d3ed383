//! The operator's use cases: what is decided about a database, without a line of SQL but questions, as data.

pub mod backups;
pub mod books;
pub mod check;
pub mod migrate;
pub mod moving;
pub mod readiness;
