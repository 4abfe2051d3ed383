//! Everything of dlc that talks to PostgreSQL or SQLite; all of sea-orm, sqlx and the migrations stays behind this wall.
//!
//! Start at [`connection`]: [`DatabaseOptions`] go in, a [`Database`] or a [`ConnectError`] comes out, for `serve`,
//! `migrate` and `db check` alike. Repositories implement the ports of `dlc-application`, one file per area;
//! [`migrator`] runs the schema's migrations, [`inspection`] finds facts out for the doctor.
//!
//! Not here: business rules, verdicts, HTTP, configuration. No public item names a type of sea-orm or sqlx.
//!
//! [`ConnectError`]: dlc_application::ports::connection::ConnectError

mod accounts;
mod audit;
mod backups;
mod books;
mod claims;
mod cleaning;
mod connection;
mod coupons;
mod entity;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod greetings;
mod held;
mod idempotency;
mod inspection;
mod keys;
mod migrator;
mod monitor;
mod moving;
mod naming;
mod options;
mod ping;
mod pooling;
mod reading;
mod reads;
mod replica;
mod schema;
mod session;
mod sessions;
mod statements;
mod statistics;
mod transaction;
mod turnstile;
mod uninterrupted;
mod url;
mod users;
mod writer;

pub use backups::{ProgramPlaces, SqlBackups};
pub use books::SqlCouponBooks;
pub use claims::ClaimEngineMode;
pub use connection::{Closed, Database, connect, connect_and_wait};
pub use coupons::SeaOrmCouponRepository;
pub use greetings::SeaOrmGreetingRepository;
pub use idempotency::SqlKeptAnswers;
pub use inspection::SqlInspector;
pub use migration::{Atomicity, Kind, MIGRATIONS, Migration, Script};
pub use migrator::{MigratorSettings, SqlMigrator};
pub use monitor::SqlMonitor;
pub use moving::SqlMover;
pub use options::{DatabaseOptions, Pooler};
pub use ping::Pinger;
pub use replica::{ReplicaOptions, ReplicaWatch};
pub use schema::catalogue;
pub use sessions::SeaOrmSessionRepository;
pub use url::{DatabaseUrl, UrlError};
pub use users::SeaOrmUserRepository;
