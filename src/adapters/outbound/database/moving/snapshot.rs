//! The source in one moment, gone through before anything is copied: what it has, and what the target would refuse. Not here: how it is
//! copied (`filling`).

use std::sync::Arc;

use dlc_application::{
    operations::moving::{MoveError, MoveEvent, MovePhase, Refusal, Refusals, Tally},
    ports::{inspection::Engine, moving::MoveObserver},
};
use rusqlite::Connection;

use super::{
    SqlMover, on_a_thread, postgres, sqlite,
    structure::{Kind, Table},
    survey::{Meter, Survey},
};
use crate::{options::companion, session::Session, writer};

/// The source, in one moment.
pub(super) enum Snapshot {
    Sqlite(Connection),
    Postgres(Session),
}

/// What the source has.
pub(super) struct Found {
    pub(super) tallies: Vec<Tally>,
    pub(super) refusals: Refusals,
    /// Table, column, number.
    pub(super) sequences: Vec<(String, String, i64)>,
}

impl Found {
    pub(super) fn rows(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.rows).sum()
    }
}

impl SqlMover {
    pub(super) async fn snapshot(&self, observer: &Arc<dyn MoveObserver>) -> Result<Snapshot, MoveError> {
        match self.source.url.engine() {
            Engine::Postgres => {
                let mut session = Session::Postgres(self.source.postgres_session().await?);
                if let Some(by) = postgres::services(&mut session).await? {
                    observer.observe(MoveEvent::SourceInUse { by });
                }
                postgres::begin_snapshot(&mut session).await?;
                Ok(Snapshot::Postgres(session))
            }
            Engine::Sqlite => {
                let path = self.source.sqlite_path()?.to_owned();
                if companion(&path, "-wal").exists() {
                    let by = match writer::of(&path) {
                        Some(process) => format!("process {process} writes to it just now"),
                        None => "its -wal file is there, so a service has it open, or was killed".to_owned(),
                    };
                    observer.observe(MoveEvent::SourceInUse { by });
                }
                on_a_thread(move || sqlite::open_snapshot(&path))
                    .await?
                    .map(Snapshot::Sqlite)
            }
        }
    }

    /// Goes through the whole source.
    pub(super) async fn survey(
        &self,
        snapshot: Snapshot,
        tables: &Arc<Vec<Table>>,
        observer: &Arc<dyn MoveObserver>,
    ) -> Result<(Snapshot, Found), MoveError> {
        let mut survey = Survey::new(Meter::new(observer, MovePhase::Check, None));
        let serial = |table: &Table| Some((table.name.clone(), table.serial()?.name.clone()));
        let serials: Vec<(String, String)> = tables.iter().filter_map(serial).collect();
        let mut sequences = Vec::new();
        match snapshot {
            Snapshot::Postgres(mut session) => {
                postgres::survey(&mut session, tables, &mut survey).await?;
                for (table, column) in tables.iter().filter_map(|table| Some((table, table.serial()?))) {
                    let number = postgres::sequence(&mut session, table, &column.name).await?;
                    sequences.push((table.name.clone(), column.name.clone(), number));
                }
                Ok((Snapshot::Postgres(session), found(survey, sequences)))
            }
            Snapshot::Sqlite(connection) => {
                let all = Arc::clone(tables);
                let (connection, mut survey, numbers) = on_a_thread(move || {
                    sqlite::survey(&connection, &all, &mut survey)?;
                    let numbers = all.iter().filter_map(|table| Some((table, table.serial()?)));
                    let numbers: Result<Vec<i64>, MoveError> = numbers
                        .map(|(table, column)| sqlite::sequence(&connection, table, &column.name))
                        .collect();
                    Ok::<_, MoveError>((connection, survey, numbers?))
                })
                .await??;
                sequences.extend(
                    serials
                        .into_iter()
                        .zip(numbers)
                        .map(|((table, column), number)| (table, column, number)),
                );
                refuse_sequences(tables, &sequences, &mut survey.refusals);
                let mut connection = connection;
                for (index, table) in tables.iter().enumerate() {
                    for column in table.unique_lower.clone() {
                        (connection, survey) = self.refuse_twins(connection, survey, tables, index, column).await?;
                    }
                }
                Ok((Snapshot::Sqlite(connection), found(survey, sequences)))
            }
        }
    }

    /// Names that are two on SQLite, and one by what PostgreSQL knows of upper and lower case.
    async fn refuse_twins(
        &self,
        connection: Connection,
        mut survey: Survey,
        tables: &Arc<Vec<Table>>,
        index: usize,
        column: String,
    ) -> Result<(Connection, Survey), MoveError> {
        let names = sqlite::names_beyond_ascii(&connection, &tables[index], &column)?;
        if !names.is_empty() {
            let mut session = Session::Postgres(self.target.postgres_session().await?);
            let lowered = postgres::lowered(&mut session, &names).await?;
            session.close().await;
            sqlite::refuse_twins(&connection, (&tables[index], &column), &names, &lowered, &mut survey)?;
        }
        Ok((connection, survey))
    }

    /// Whether somebody has written to a source on PostgreSQL since the snapshot; `None` where that cannot be told.
    pub(super) async fn look_again(&self, snapshot: &mut Session, tables: &[Table]) -> Option<bool> {
        let mut now = Session::Postgres(self.source.postgres_session().await.ok()?);
        let written = postgres::is_written(snapshot, &mut now, tables).await;
        now.close().await;
        written.ok()
    }
}

fn found(survey: Survey, sequences: Vec<(String, String, i64)>) -> Found {
    Found {
        tallies: survey.tallies,
        refusals: survey.refusals,
        sequences,
    }
}

/// A sequence of PostgreSQL's ends with its column's type.
fn refuse_sequences(tables: &[Table], sequences: &[(String, String, i64)], refusals: &mut Refusals) {
    for (table, column, number) in sequences {
        let of = tables.iter().find(|known| known.name == *table).and_then(Table::serial);
        let is_short = of.is_some_and(|column| column.kind == Kind::Integer);
        if is_short && *number > i64::from(i32::MAX) {
            refusals.add(|| Refusal {
                table: table.clone(),
                key: "its sequence".to_owned(),
                column: column.clone(),
                why: format!("is at {number}, beyond an integer of 32 bits"),
            });
        }
    }
}
