//! What the tests stand on.
//!
//! - [`Database`]: a database of one's own, migrated or empty, on either engine.
//! - [`accounts::Accounts`]: accounts without a server, on two instances.
//! - [`Dlc`]: the real binary, run to its end.
//! - [`Server`]: the real binary, serving; [`Https`]: a client for one that speaks TLS.
//! - [`Browser`]: a real one.
//! - [`Person`]: somebody with an account of it, signed in.
//! - [`Console`]: commands as a document shows them.
//! - [`Collector`]: takes the traces that it sends.
//! - [`sales::Shop`]: servers at which a crowd claims, in a [`drill`], and the [`ledger`] of what everybody heard.
//! - [`Service`]: a PostgreSQL as an operator has one.
//! - [`Port`]: where a server will listen that starts later.
//! - [`on_both_engines!`]: one test, run on SQLite and on PostgreSQL.

pub mod accounts;
mod browser;
pub mod certificates;
mod collector;
mod console;
mod database;
mod dlc;
pub mod drill;
mod https;
pub mod ledger;
pub mod load;
mod pair;
mod people;
mod pgbouncer;
mod port;
pub mod postgres;
pub mod program;
mod proxy;
pub mod sales;
mod server;
mod service;
pub mod snapshot;
mod terminal;

pub use browser::Browser;
pub use collector::{Collector, Seen};
pub use console::{Console, Document};
pub use database::{Database, Empty, Engine, Holder};
pub use dlc::{Dlc, Finished, Running};
pub use https::{Https, HttpsConnection, der};
pub use pair::{Pair, Reads};
pub use people::{PASSWORD, Person};
pub use pgbouncer::{PgBouncer, Prepared};
pub use port::Port;
pub use proxy::Proxy;
pub use server::{Answer, Server, send};
pub use service::Service;
pub use terminal::{Terminal, in_a_window_that_closes, on_a_terminal};

/// A secret that signs nothing but tests.
pub const SECRET: &str = "tulip-ferry-onyx-moss-copper-lantern";

/// How many migrations the program ships.
pub const ALL: usize = ::dlc::database::MIGRATIONS.len();

/// The last of them.
pub const LAST: &str = ::dlc::database::MIGRATIONS[ALL - 1].name;

/// Something that a test can be given on an engine of its choice.
pub trait OnEngine {
    async fn on(engine: Engine) -> Self;
}

impl OnEngine for Engine {
    async fn on(engine: Engine) -> Self {
        engine
    }
}

/// Writes a test once and runs it on both engines: `name::sqlite` and `name::postgres`.
macro_rules! on_both_engines {
    ($(async fn $name:ident($arg:ident: $type:ty) $body:block)+) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn case($arg: $type) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                case(<$type as crate::harness::OnEngine>::on(crate::harness::Engine::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                case(<$type as crate::harness::OnEngine>::on(crate::harness::Engine::Postgres).await).await;
            }
        }
    )+};
}
pub(crate) use on_both_engines;
