//! What touches the outside: `inbound` is touched by it, `outbound` touches it.
//!
//! `outbound/database` is a package of its own (`dlc-database`), so that the compiler holds that wall.

pub mod inbound;
pub mod outbound;
