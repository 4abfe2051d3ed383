//! The use cases of dlc, and a port for everything they need from outside.
//!
//! Two kinds of use case live here: the product's ([`auth`], [`users`], [`greetings`], [`coupons`]) and the operator's ([`operations`]).
//! Not here: SQL, HTTP, the command line, configuration, any runtime. `cargo tree -p dlc-application -e normal` shows it.

pub mod auth;
pub mod coupons;
pub mod greetings;
pub mod operations;
pub mod ports;
pub mod users;
