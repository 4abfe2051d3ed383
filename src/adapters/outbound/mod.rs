//! Small adapters of the ports; the large one is the package `dlc-database` beside this file.

pub mod clock;
pub mod crypto;
