//! Moves all rows of a database to one of the other engine (`dlc db move`), whole or not at all.
//!
//! Start at [`SqlMover`]. A row is one thing everywhere, PostgreSQL's binary tuple (`tuple`): SQLite's values are turned into it
//! and back, and its canonical form is what both sides are added up by (`survey`). The source is read twice in one snapshot:
//! first every value is held against what the target takes, then they are copied. PostgreSQL is filled by COPY in one
//! transaction; SQLite in one, too, in a file that gets its name when it is whole (`place`), or in the one that is there. What was
//! written is read back before it is committed. SQLite works on a thread of its own beside PostgreSQL's socket.
//!
//! Not here: what a report looks like, what a sum means (`operations/moving`), how the target's tables are made (`migrator/`).

mod filling;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod json;
mod place;
mod plan;
mod postgres;
mod questions;
mod snapshot;
mod sqlite;
mod structure;
mod survey;
mod times;
mod tuple;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use dlc_application::{
    operations::moving::{MoveError, Moved, MovedTable, Side},
    ports::{
        connection::ConnectFailure,
        inspection::Engine,
        moving::{DatabaseMover, MoveObserver},
    },
};
use tokio::sync::oneshot;

use self::snapshot::Snapshot;
use crate::{migrator::MigratorSettings, options::DatabaseOptions};

/// JSON may be nested a thousand times, and is read by functions that call each other as often.
const STACK: usize = 16 * 1024 * 1024;

/// [`DatabaseMover`] between the two engines.
#[derive(Clone, Debug)]
pub struct SqlMover {
    source: DatabaseOptions,
    target: DatabaseOptions,
    settings: MigratorSettings,
}

/// Runs on a thread of its own, because SQLite waits for disks and computes.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, MoveError> {
    let lost = || MoveError::Failed {
        side: Side::Source,
        failure: ConnectFailure::Other,
        cause: "a thread has ended before its time".to_owned(),
    };
    let (done, result) = oneshot::channel();
    let begun = thread::Builder::new()
        .name("dlc-move".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            // Whoever waited may have gone.
            drop(done.send(work()));
        });
    begun.map_err(|_| lost())?;
    result.await.map_err(|_| lost())
}

impl SqlMover {
    /// A mover from one database to another.
    #[must_use]
    pub fn new(source: &DatabaseOptions, target: &DatabaseOptions, settings: MigratorSettings) -> Self {
        Self {
            source: source.without_time_limits(),
            target: target.without_time_limits(),
            settings,
        }
    }
}

#[async_trait]
impl DatabaseMover for SqlMover {
    async fn run(&self, check_only: bool, observer: Arc<dyn MoveObserver>) -> Result<Moved, MoveError> {
        let began = Instant::now();
        let engine = self.source.url.engine();
        if engine == self.target.url.engine() {
            return Err(MoveError::SameEngine(match engine {
                Engine::Postgres => "PostgreSQL",
                Engine::Sqlite => "SQLite",
            }));
        }
        let plan = self.plan().await?;
        let snapshot = self.snapshot(&observer).await?;
        let (snapshot, found) = self.survey(snapshot, &plan.tables, &observer).await?;
        let copied = !check_only && found.refusals.total == 0;
        let mut took = Vec::new();
        let mut written_meanwhile = None;
        match snapshot {
            Snapshot::Sqlite(mut connection) => {
                // Before the end of the snapshot it is the number of its beginning.
                let before = sqlite::version(&connection)?;
                if copied {
                    (connection, took) = self.fill_postgres(connection, &plan.tables, &found, &observer).await?;
                }
                sqlite::end_snapshot(&connection)?;
                written_meanwhile = Some(sqlite::version(&connection)? != before);
            }
            Snapshot::Postgres(mut session) => {
                if copied {
                    took = self.fill_sqlite(&mut session, &plan, &found, &observer).await?;
                    written_meanwhile = self.look_again(&mut session, &plan.tables).await;
                }
                session.close().await;
            }
        }
        let took = took.into_iter().chain(std::iter::repeat(Duration::ZERO));
        let tables = found.tallies.into_iter().zip(took);
        Ok(Moved {
            copied,
            tables: tables.map(|(tally, took)| MovedTable { tally, took }).collect(),
            sequences: found
                .sequences
                .into_iter()
                .map(|(table, column, number)| (format!("{table}.{column}"), number))
                .collect(),
            refusals: found.refusals,
            written_meanwhile,
            took: began.elapsed(),
        })
    }
}
