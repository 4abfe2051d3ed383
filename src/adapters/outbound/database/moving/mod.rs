//! Moves all rows of a database to one of the other engine (`dlc db move`), whole or not at all.
//!
//! Start at [`SqlMover`]. A row is one thing everywhere, PostgreSQL's binary tuple (`tuple`): SQLite's values are turned into it
//! and back, and its canonical form is what both sides are added up by (`survey`). The source is read twice in one snapshot:
//! first every value is held against what the target takes, then they are copied. PostgreSQL is filled by COPY in one
//! transaction; SQLite in one, too, in a file that gets its name when it is whole (`place`), or in the one that is there. What was
//! written is read back before it is committed. SQLite works on a thread of its own beside PostgreSQL's socket.
//!
//! Not here: what a report looks like, what a sum means (`operations/moving`), how the target's tables are made (`migrator/`).

mod json;
mod place;
mod postgres;
mod questions;
mod sqlite;
mod structure;
mod survey;
mod times;
mod tuple;

use std::{
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use dlc_application::{
    operations::{
        migrate::{ObjectKind, SchemaObject, Target as HowFar},
        moving::{MoveError, MoveEvent, MovePhase, Moved, MovedTable, Refusal, Refusals, Side, Tally, differing},
    },
    ports::{
        connection::ConnectFailure,
        inspection::Engine,
        migrations::{MigrateError, MigrationEvent, MigrationObserver, RunRequest, SchemaMigrator, UpRequest},
        moving::{DatabaseMover, MoveObserver},
    },
};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use self::{
    place::{Taken, Workshop},
    sqlite::{Piece, Target},
    structure::{Kind, Table},
    survey::{Meter, Survey},
};
use crate::{
    error,
    migrator::{MigratorSettings, SqlMigrator},
    options::{DatabaseOptions, companion},
    schema::catalogue,
    session::Session,
    url::DatabaseUrl,
    writer,
};

/// Pieces on their way between two threads: enough that neither waits for the other's hiccups.
const ON_THE_WAY: usize = 16;
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

/// Migrations of an empty target are told of by nobody.
struct Silent;

impl MigrationObserver for Silent {
    fn observe(&self, _: &MigrationEvent) {}
}

/// What was found out before the first row is read.
struct Plan {
    tables: Arc<Vec<Table>>,
    /// The target has the schema already, or a file of its own.
    target_exists: bool,
}

/// The source, in one moment.
enum Snapshot {
    Sqlite(Connection),
    Postgres(Session),
}

/// What the source has.
struct Found {
    tallies: Vec<Tally>,
    refusals: Refusals,
    /// Table, column, number.
    sequences: Vec<(String, String, i64)>,
}

impl Found {
    fn rows(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.rows).sum()
    }
}

fn schema(side: Side) -> impl Fn(MigrateError) -> MoveError {
    move |error| match error {
        MigrateError::Connect(error) => error.into(),
        error => MoveError::Schema { side, error },
    }
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

    /// Looks at both sides, and writes nothing.
    async fn plan(&self) -> Result<Plan, MoveError> {
        let source_objects = self.look_at_source().await?;
        let migrator = SqlMigrator::new(&self.target, self.settings);
        let history = migrator.history().await.map_err(schema(Side::Target))?;
        history.validate().map_err(|error| schema(Side::Target)(error.into()))?;
        let live = match Session::looking(&self.target).await? {
            None => None,
            Some(mut session) => {
                let objects = self.look_at_target(&mut session, history.is_recorded()).await;
                session.close().await;
                Some(objects?)
            }
        };
        let target_exists = live.is_some();
        let target_objects = match live {
            Some(live) if history.is_recorded() && history.pending().next().is_none() => live,
            _ => migrator.blueprint().await.map_err(schema(Side::Target))?,
        };
        let different = structure::differences(&source_objects, &target_objects);
        if !different.is_empty() {
            return Err(MoveError::StructureDiffers(different));
        }
        let of_postgres = match self.source.url.engine() {
            Engine::Postgres => source_objects,
            Engine::Sqlite => target_objects,
        };
        let tables = structure::tables(&of_postgres).map_err(|what| MoveError::StructureDiffers(vec![what]))?;
        Ok(Plan {
            tables: Arc::new(tables),
            target_exists,
        })
    }

    async fn look_at_source(&self) -> Result<Vec<SchemaObject>, MoveError> {
        let migrator = SqlMigrator::new(&self.source, self.settings);
        let Some(mut session) = Session::looking(&self.source).await? else {
            let cause = "the file does not exist";
            return Err(error::failed(ConnectFailure::FileMissing, cause, &self.source.url).into());
        };
        let history = migrator.history().await.map_err(schema(Side::Source))?;
        history.validate().map_err(|error| schema(Side::Source)(error.into()))?;
        if !history.is_recorded() {
            return Err(MoveError::NeverMigrated);
        }
        if let pending @ 1.. = history.pending().count() {
            return Err(MoveError::Pending(pending));
        }
        let objects = catalogue::objects(&mut session).await;
        session.close().await;
        objects.map_err(postgres::failed(Side::Source))
    }

    /// The objects of a target that has no rows.
    async fn look_at_target(&self, session: &mut Session, is_recorded: bool) -> Result<Vec<SchemaObject>, MoveError> {
        let failed = postgres::failed(Side::Target);
        if session.engine() == Engine::Postgres {
            let encoding = session
                .text("SELECT current_setting('server_encoding')", &[])
                .await
                .map_err(&failed)?;
            if let Some(encoding) = encoding.filter(|encoding| encoding != "UTF8") {
                return Err(MoveError::Encoding(encoding));
            }
        }
        let objects = catalogue::objects(session).await.map_err(&failed)?;
        let names = || {
            objects
                .iter()
                .filter(|object| object.kind == ObjectKind::Table)
                .map(|object| object.name.clone())
        };
        let occupied = if is_recorded {
            let table = |name| Table {
                name,
                columns: Vec::new(),
                key: Vec::new(),
                foreign_keys: Vec::new(),
                checks: Vec::new(),
                unique_lower: Vec::new(),
            };
            // Its backups are its own, and stay.
            let tables: Vec<Table> = names().filter(|name| !structure::stays(name)).map(table).collect();
            postgres::occupied(session, &tables).await.map_err(&failed)?
        } else {
            // Tables of somebody else's are no place to migrate into.
            names().collect()
        };
        if occupied.is_empty() {
            Ok(objects)
        } else {
            Err(MoveError::NotEmpty(occupied))
        }
    }

    async fn snapshot(&self, observer: &Arc<dyn MoveObserver>) -> Result<Snapshot, MoveError> {
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
    async fn survey(
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

    async fn migrate(&self, target: &DatabaseOptions) -> Result<(), MoveError> {
        let request = RunRequest::Up(UpRequest {
            target: HowFar::All,
            // It has no rows: there is nothing to be destroyed.
            allow_destructive: true,
        });
        let migrator = SqlMigrator::new(target, self.settings);
        migrator
            .run(&request, &Silent)
            .await
            .map(drop)
            .map_err(schema(Side::Target))
    }

    async fn fill_postgres(
        &self,
        connection: Connection,
        tables: &Arc<Vec<Table>>,
        found: &Found,
        observer: &Arc<dyn MoveObserver>,
    ) -> Result<(Connection, Vec<Duration>), MoveError> {
        self.migrate(&self.target).await?;
        let mut session = Session::Postgres(self.target.postgres_session().await?);
        postgres::begin(&mut session, tables).await?;
        let mut meter = Meter::new(observer, MovePhase::Copy, Some(found.rows()));
        let mut connection = connection;
        let mut took = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let began = Instant::now();
            let (sender, mut receiver) = mpsc::channel(ON_THE_WAY);
            let all = Arc::clone(tables);
            let reading = on_a_thread(move || {
                let sent = sqlite::send(&connection, &all[index], &mut meter, &sender);
                (connection, meter, sent)
            });
            // Whoever stops taking lets the other side end, too.
            let copying = async {
                let copied = postgres::copy(&mut session, table, &mut receiver).await;
                drop(receiver);
                copied
            };
            let (read, copied) = tokio::join!(reading, copying);
            let (back, counted, sent) = read?;
            (connection, meter) = (back, counted);
            copied?;
            sent?;
            took.push(began.elapsed());
        }
        let failed = postgres::failed(Side::Target);
        let mut survey = Survey::new(Meter::new(observer, MovePhase::Compare, Some(found.rows())));
        postgres::read_all(&mut session, Side::Target, tables, &mut survey).await?;
        let different = differing(&found.tallies, &survey.tallies);
        if !different.is_empty() {
            session.execute("ROLLBACK").await.map_err(&failed)?;
            return Err(MoveError::Differs(different));
        }
        // Last of all: a number that was given is never taken back.
        for (table, column, number) in &found.sequences {
            postgres::set_sequence(&mut session, table, column, *number).await?;
        }
        session.execute("COMMIT").await.map_err(&failed)?;
        // The planner knows nothing of tables that were empty a moment ago; and without it everything is there all the same.
        let names: Vec<String> = tables.iter().map(|table| structure::quoted(&table.name)).collect();
        drop(session.execute(&format!("ANALYZE {}", names.join(", "))).await);
        session.close().await;
        Ok((connection, took))
    }

    /// Whether somebody has written to a source on PostgreSQL since the snapshot; `None` where that cannot be told.
    async fn look_again(&self, snapshot: &mut Session, tables: &[Table]) -> Option<bool> {
        let mut now = Session::Postgres(self.source.postgres_session().await.ok()?);
        let written = postgres::is_written(snapshot, &mut now, tables).await;
        now.close().await;
        written.ok()
    }

    async fn fill_sqlite(
        &self,
        session: &mut Session,
        plan: &Plan,
        found: &Found,
        observer: &Arc<dyn MoveObserver>,
    ) -> Result<Vec<Duration>, MoveError> {
        let path = self.target.sqlite_path()?.to_owned();
        if plan.target_exists {
            self.migrate(&self.target).await?;
            return fill_file(session, path, plan, found, false, observer).await;
        }
        self.target.prepare_directory(&path)?;
        let cannot = |why: &std::io::Error| {
            let cause = format!(
                "a folder beside {} cannot be made or used: {}",
                path.display(),
                error::io_words(why)
            );
            MoveError::from(error::failed(ConnectFailure::FilePermission, cause, &self.target.url))
        };
        let workshop = Workshop::open(&path).map_err(|taken| match taken {
            Taken::InUse => MoveError::TargetBusy("another dlc db move makes this file".to_owned()),
            Taken::Failed(why) => cannot(&why),
        })?;
        let file = workshop.file();
        let mut options = self.target.clone();
        options.url = DatabaseUrl::of_file(file.clone());
        self.migrate(&options).await?;
        let took = fill_file(session, file, plan, found, true, observer).await?;
        workshop.deliver().map_err(|why| match why.kind() {
            std::io::ErrorKind::AlreadyExists => {
                MoveError::TargetBusy(format!("somebody else has made {} in the meantime", path.display()))
            }
            _ => cannot(&why),
        })?;
        Ok(took)
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

/// Sends everything to a thread that fills a file.
async fn fill_file(
    session: &mut Session,
    file: PathBuf,
    plan: &Plan,
    found: &Found,
    is_new: bool,
    observer: &Arc<dyn MoveObserver>,
) -> Result<Vec<Duration>, MoveError> {
    let target = Target {
        is_new,
        tables: Arc::clone(&plan.tables),
        sequences: found
            .sequences
            .iter()
            .map(|(table, _, number)| (table.clone(), *number))
            .collect(),
        expected: found.tallies.clone(),
    };
    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    let told = Arc::clone(observer);
    let filling = on_a_thread(move || {
        let connection = sqlite::begin(&file, &target)?;
        sqlite::fill(connection, &target, receiver, &told)
    });
    let sending = async {
        for table in plan.tables.iter() {
            if sender.send(Piece::Table).await.is_err() {
                return Ok(());
            }
            postgres::send(session, table, &sender).await?;
        }
        drop(sender.send(Piece::End).await);
        // Nothing more comes, in any case.
        drop(sender);
        Ok(())
    };
    let (filled, sent): (_, Result<(), MoveError>) = tokio::join!(filling, sending);
    // Whoever could not read is the cause of what the other one then says.
    sent?;
    filled?
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
