//! dlc: a database-backed service and the operations tool that looks after its database.
//!
//! Layers outside, features inside, one file stem everywhere: how coupons work stands in the files called `coupons`.
//!
//! ```text
//! main → bootstrap → adapters → application → domain          config and telemetry are leaves
//!                    ├ inbound/cli, inbound/http
//!                    └ outbound/database, outbound/crypto, outbound/clock
//! ```
//!
//! `domain`, `application` and `adapters/outbound/database` are packages in place, so the compiler holds those walls;
//! `tests/architecture.rs` holds the others. Start reading at [`bootstrap`] for how it comes up, at
//! [`application`] for what it does.

pub mod adapters;
pub mod bootstrap;
pub mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod telemetry;

pub use dlc_application as application;
pub use dlc_database as database;
pub use dlc_domain as domain;
