//! The target is filled with what was found in the source, compared with it, and only then kept. Not here: what is copied (`snapshot`).

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use dlc_application::{
    operations::{
        migrate::Target as HowFar,
        moving::{MoveError, MovePhase, Side, differing},
    },
    ports::{
        connection::ConnectFailure,
        migrations::{MigrationEvent, MigrationObserver, RunRequest, SchemaMigrator, UpRequest},
        moving::MoveObserver,
    },
};
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{
    SqlMover, on_a_thread,
    place::{Taken, Workshop},
    plan::{Plan, schema},
    postgres,
    snapshot::Found,
    sqlite::{self, Piece, Target},
    structure::{self, Table},
    survey::{Meter, Survey},
};
use crate::{
    error,
    migrator::SqlMigrator,
    options::{DatabaseOptions, log_left_beside},
    session::Session,
    url::DatabaseUrl,
};

/// Pieces on their way between two threads: enough that neither waits for the other's hiccups.
const ON_THE_WAY: usize = 16;

/// Migrations of an empty target are told of by nobody.
struct Silent;

impl MigrationObserver for Silent {
    fn observe(&self, _: &MigrationEvent) {}
}

impl SqlMover {
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

    pub(super) async fn fill_postgres(
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

    pub(super) async fn fill_sqlite(
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
        let no_log = || match log_left_beside(&path) {
            Some(log) => Err(MoveError::NotEmpty(vec![format!(
                "{} is there, the log of a database that is not",
                log.display()
            )])),
            None => Ok(()),
        };
        no_log()?;
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
        options.url = DatabaseUrl::of_file(&file);
        self.migrate(&options).await?;
        let took = fill_file(session, file, plan, found, true, observer).await?;
        no_log()?;
        workshop.deliver().map_err(|why| match why.kind() {
            std::io::ErrorKind::AlreadyExists => {
                MoveError::TargetBusy(format!("somebody else has made {} in the meantime", path.display()))
            }
            _ => cannot(&why),
        })?;
        Ok(took)
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
