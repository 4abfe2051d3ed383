//! The rules of dlc: entities, value objects and what may be refused, in plain Rust.
//!
//! Not here: anything asynchronous, any input or output, any clock, any serialisation. A value of a type of this crate
//! is valid by construction.

pub mod coupons;
pub mod greetings;
pub mod passwords;
pub mod sessions;
mod text;
pub mod users;

pub use text::TextError;
