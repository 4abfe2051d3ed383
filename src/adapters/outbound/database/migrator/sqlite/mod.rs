//! A run on SQLite: the whole of it in one `BEGIN IMMEDIATE`, so that it is done altogether or not at all; a lock on a
//! file beside the database keeps other runs out and names this one.

mod lock;

use std::{
    fs::File,
    mem::ManuallyDrop,
    path::Path,
    time::{Duration, Instant},
};

use dlc_application::{
    operations::check::catalogue::sqlite::APPLICATION_ID,
    ports::{
        connection::{ConnectError, ConnectFailure},
        migrations::{Holder, MigrateError, MigrationStep},
    },
};

use self::lock::Lock;
use super::{Run, Wait};
use crate::{error, inspection, options::companion, schema::history, session::Session, writer};

pub(super) use lock::holder;

/// How long SQLite itself waits for the writer lock before this runner looks at the clock again.
const POLL: Duration = Duration::from_millis(200);

pub(super) async fn run(run: &Run<'_>) -> Result<Vec<MigrationStep>, MigrateError> {
    let options = &run.migrator.options;
    let path = options.sqlite_path()?;
    if options.file_exists()? {
        // Most runs have nothing to do, and find that out without a lock. Whatever else this look finds, it was taken
        // while others may write: the truth is found out below.
        if let Ok(Some(mut session)) = run.migrator.look().await {
            let plan = run.plan(&mut session).await;
            let fit = match &plan {
                Ok(plan) if plan.is_empty() => Ok(()),
                // With something to do, or a history that cannot be read: is it the right file at all?
                _ => inspection::preflight(options, &mut session, Vec::new(), None).await,
            };
            session.close().await;
            fit?;
            if plan.is_ok_and(|plan| plan.is_empty()) {
                return Ok(Vec::new());
            }
        }
    } else if run.is_up() {
        options.prepare_directory(path)?;
    } else {
        // A revert makes no file.
        return Ok(Vec::new());
    }
    let steps = with_lock(run, async |session, lock| run_locked(session, lock, run).await).await?;
    // Only now are they done: before the commit any of them could still have been undone.
    for step in &steps {
        run.finished(step);
    }
    Ok(steps)
}

/// Holds both locks, the file's and the database's, for a task whose changes are committed when it succeeds.
pub(super) async fn with_lock<T>(
    run: &Run<'_>,
    task: impl AsyncFnOnce(&mut Session, &Lock) -> Result<T, MigrateError>,
) -> Result<T, MigrateError> {
    let path = run.migrator.options.sqlite_path()?;
    let lock = Lock::acquire(run, path).await?;
    let mut session = begin(run, path).await?;
    let result = async {
        let result = task(&mut session, &lock).await?;
        session.execute("COMMIT").await.map_err(|e| error::migrate(&e, None))?;
        Ok(result)
    }
    .await;
    // Without a commit the end of the session undoes everything.
    session.close().await;
    result
}

/// Opens the file and its one write transaction, as soon as other writers let it.
async fn begin(run: &Run<'_>, path: &Path) -> Result<Session, MigrateError> {
    let options = &run.migrator.options;
    let mut wait = Wait::new(run.migrator.settings.lock_timeout, run.observer);
    let mut other = Writer::default();
    let mut session = loop {
        // Foreign keys are off while tables are rebuilt, and can only be switched outside of a transaction; what a run
        // breaks is found before it is committed. Turning the write-ahead log on needs the lock too, so the very opening can find it taken.
        match Session::sqlite(options, options.sqlite_writer(POLL)?.foreign_keys(false)).await {
            Ok(session) => break session,
            Err(ConnectError {
                failure: ConnectFailure::TimedOut,
                ..
            }) => wait_for_writer(&mut wait, other.holder(path)).await?,
            Err(e) => return Err(e.into()),
        }
    };
    loop {
        match session.execute("BEGIN IMMEDIATE").await {
            Ok(()) => return Ok(session),
            Err(e) if error::is_busy(&e) => wait_for_writer(&mut wait, other.holder(path)).await?,
            Err(e) => return Err(error::migrate(&e, None)),
        }
    }
}

async fn wait_for_writer(wait: &mut Wait<'_>, holder: Holder) -> Result<(), MigrateError> {
    if wait.wants_holder() {
        wait.report(holder)?;
    }
    wait.pause(Duration::from_millis(50)).await;
    Ok(())
}

/// Who writes to the file. The descriptor that asks is never closed: closing any descriptor of a file drops all locks that
/// the process has on it, SQLite's included.
#[derive(Default)]
struct Writer(Option<ManuallyDrop<File>>);

impl Writer {
    fn holder(&mut self, path: &Path) -> Holder {
        if self.0.is_none() {
            self.0 = File::open(companion(path, "-shm")).ok().map(ManuallyDrop::new);
        }
        let pid = self.0.as_ref().and_then(|file| writer::of_shared_memory(file));
        Holder::unknown(pid.map_or_else(
            || "another process that writes to the file".to_owned(),
            |pid| format!("process {pid}, which writes to the file"),
        ))
    }
}

async fn run_locked(session: &mut Session, lock: &Lock, run: &Run<'_>) -> Result<Vec<MigrationStep>, MigrateError> {
    let outside = |e: sqlx::Error| error::migrate(&e, None);
    let history = run.migrator.history_within(session).await?;
    let plan = run.plan_for(&history)?;
    if plan.is_empty() {
        return Ok(Vec::new());
    }
    history::install(session).await.map_err(outside)?;
    let sql = format!("PRAGMA application_id = {APPLICATION_ID}");
    session.execute(&sql).await.map_err(outside)?;
    let before = orphans(session).await.map_err(outside)?;
    let mut steps = Vec::with_capacity(plan.len());
    for (index, work) in plan.iter().enumerate() {
        let failed = |e: sqlx::Error| error::migrate(&e, Some(&work.name));
        run.started(work, index + 1, plan.len());
        lock.step(index + 1, plan.len(), &work.name);
        let started = Instant::now();
        for statement in 0..work.statements.len() {
            run.execute(session, work, statement).await.map_err(failed)?;
        }
        let took = started.elapsed();
        run.note(session, work, took).await.map_err(failed)?;
        steps.push(MigrationStep {
            name: work.name.clone(),
            took,
        });
    }
    let after = orphans(session).await.map_err(outside)?;
    if let Some(orphan) = after.iter().find(|orphan| !before.contains(orphan)) {
        return Err(MigrateError::Failed {
            migration: steps
                .last()
                .map_or_else(String::new, |step: &MigrationStep| step.name.clone()),
            cause: format!("rows are left that refer to nothing: {orphan}"),
        });
    }
    Ok(steps)
}

/// Rows whose foreign key refers to nothing.
async fn orphans(session: &mut Session) -> Result<Vec<String>, sqlx::Error> {
    let sql = "SELECT \"table\" || ' row ' || coalesce(CAST(rowid AS text), '?') || ' refers to ' || parent \
               FROM pragma_foreign_key_check()";
    let rows = session.rows(sql, &[]).await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}
