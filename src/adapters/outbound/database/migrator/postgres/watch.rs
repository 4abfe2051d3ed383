//! A third connection of a run: it writes who holds the lock, at which step, and that it is alive; and it sees who keeps
//! the run waiting, which the run itself cannot while it waits.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dlc_application::ports::migrations::MigrateError;
use tokio::{sync::Notify, task::JoinHandle};

use super::{super::SqlMigrator, BEGIN};
use crate::{error, session::Session};

/// How often a holder gives a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Seen {
    /// Step, of how many, which migration.
    step: (usize, usize, String),
    /// The server process that runs the migration.
    backend: Option<String>,
    /// Who kept it waiting when it was last looked at.
    blockers: Vec<String>,
}

struct Shared {
    seen: Mutex<Seen>,
    changed: Notify,
}

pub(super) struct Watch {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Names this process as the holder, and begins to watch. `lock` is the server process that holds the lock.
    pub(super) async fn start(migrator: &SqlMigrator, lock: String) -> Result<Self, MigrateError> {
        let mut session = Session::Postgres(migrator.options.postgres_session().await?);
        let name = &migrator.options.application_name;
        let mut enter = async || {
            // Whoever stands here died: the lock is ours.
            write(&mut session, "DELETE FROM dlc_migration_holder", &[]).await?;
            let sql = "INSERT INTO dlc_migration_holder (backend_pid, who, since, heartbeat, step, steps, migration) \
                       VALUES (CAST($1 AS integer), $2, clock_timestamp(), clock_timestamp(), 0, 0, '')";
            write(&mut session, sql, &[&lock, name]).await
        };
        enter().await.map_err(|e| error::migrate(&e, None))?;
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            changed: Notify::new(),
        });
        // Often enough to see a blocker before the run gives up on it.
        let every = HEARTBEAT
            .min(migrator.settings.table_lock_timeout / 4)
            .max(Duration::from_millis(20));
        let task = tokio::spawn(watch(session, lock, Arc::clone(&shared), every));
        Ok(Self { shared, task })
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.changed.notify_one();
    }

    pub(super) fn step(&self, step: usize, of: usize, name: &str) {
        self.change(|seen| {
            seen.step = (step, of, name.to_owned());
            seen.blockers.clear();
        });
    }

    /// The server process to look after. Who was in the way of this step before is remembered: at the next try a look may come too
    /// late to see them again.
    pub(super) fn backend(&self, pid: String) {
        self.change(|seen| seen.backend = Some(pid));
    }

    pub(super) fn blockers(&self) -> Vec<String> {
        self.shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blockers
            .clone()
    }

    /// Ends the watch; nobody holds the lock any more as far as the table says.
    pub(super) async fn stop(self) {
        self.change(|seen| seen.backend = None);
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).step.0 = usize::MAX;
        self.shared.changed.notify_one();
        // It only tidies up; whoever comes next would do that as well.
        drop(tokio::time::timeout(HEARTBEAT, self.task).await);
    }
}

/// One change.
async fn write(session: &mut Session, sql: &str, values: &[&str]) -> Result<(), sqlx::Error> {
    session.execute(BEGIN).await?;
    session.rows(sql, values).await?;
    session.execute("COMMIT").await
}

async fn watch(mut session: Session, lock: String, shared: Arc<Shared>, every: Duration) {
    loop {
        let (step, backend) = {
            let seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
            (seen.step.clone(), seen.backend.clone())
        };
        if step.0 == usize::MAX {
            // Its own sign only: the next holder may have put up another one by now.
            let sql = "DELETE FROM dlc_migration_holder WHERE backend_pid = CAST($1 AS integer)";
            drop(write(&mut session, sql, &[&lock]).await);
            session.close().await;
            return;
        }
        match look(&mut session, &lock, &step, backend.as_deref()).await {
            Ok(blockers) if !blockers.is_empty() => {
                shared.seen.lock().unwrap_or_else(PoisonError::into_inner).blockers = blockers;
            }
            Ok(_) => {}
            Err(e) => {
                // The run does not depend on it: it has its own connections and its own lock.
                tracing::debug!("the watch of the migration run ended: {}", error::words(&e));
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = shared.changed.notified() => {}
        }
    }
}

async fn look(
    session: &mut Session,
    lock: &str,
    (step, of, name): &(usize, usize, String),
    backend: Option<&str>,
) -> Result<Vec<String>, sqlx::Error> {
    let sql = "UPDATE dlc_migration_holder SET heartbeat = clock_timestamp(), step = CAST($2 AS integer), \
               steps = CAST($3 AS integer), migration = $4 WHERE backend_pid = CAST($1 AS integer)";
    write(session, sql, &[lock, &step.to_string(), &of.to_string(), name]).await?;
    let Some(backend) = backend else { return Ok(Vec::new()) };
    let sql = "SELECT format('%s (pid %s, %s, its query began %s s ago)', \
                      coalesce(nullif(application_name, ''), backend_type, 'an unnamed application'), pid, \
                      coalesce(state, 'state unknown'), \
                      coalesce(CAST(extract(epoch FROM clock_timestamp() - query_start)::bigint AS text), '?')) \
               FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(CAST($1 AS integer))) ORDER BY query_start";
    let rows = session.rows(sql, &[backend]).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect())
}
