//! The two ways in: the command line and HTTP.

pub mod cli;
pub mod http;
