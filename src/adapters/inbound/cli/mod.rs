//! The command line: what is typed, what is printed, how it exits. One file per command.
//!
//! stdout carries data and only the printer writes there; stderr carries the rest. Not here: what a command opens and in
//! which order (`bootstrap`), what it decides (`application`).

pub mod args;
pub mod auth;
pub mod bench;
pub mod check;
pub mod config;
pub mod coupon;
pub mod db;
pub mod exit;
pub mod greet;
pub mod health;
pub mod manuals;
pub mod migrate;
pub mod moving;
mod numbers;
mod once;
mod password;
pub mod printer;
mod progress;
mod unverified;
pub mod user;
mod wrapping;
