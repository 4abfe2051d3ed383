//! The composition root: the only place that knows every ring, reads the environment and the clock, and wires.
//!
//! `run` finds out what was asked for and opens only what it needs; `accounts` opens the database for commands about what it holds;
//! `services`, `doctor`, `moves` and `tls` make adapters out of settings; `serve` is the service's life from the first signal handler to the last closed connection.

mod accounts;
mod backups;
mod doctor;
mod forgetting;
mod moves;
mod run;
mod serve;
mod services;
mod signals;
mod tls;

pub use run::run;
