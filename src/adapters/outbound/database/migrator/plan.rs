//! What a run would do, found out without a lock on anything that lives: every statement is rehearsed on a scratch copy,
//! and what it did there is joined with the live tables' sizes and users.

use std::collections::BTreeSet;

use dlc_application::{
    operations::migrate::{
        Basis, Change, Direction, LiveTable, LockMode, Loss, MigrationState, ObjectKind, Plan, PlannedMigration,
        PlannedStatement, TableEffect, differences,
    },
    ports::{
        inspection::Engine,
        migrations::{MigrateError, RunRequest},
    },
};

use super::{
    SqlMigrator, catalogue,
    scratch::{Scratch, Touch, cannot_run_in_a_transaction},
    work::{self, Work},
};
use crate::{error, session::Session};

pub(super) async fn plan(migrator: &SqlMigrator, request: &RunRequest) -> Result<Plan, MigrateError> {
    let mut live = migrator.look().await?;
    let history = match &mut live {
        Some(session) => migrator.history_in(session).await?,
        None => migrator.untouched(),
    };
    let works = work::plan(migrator.settings.migrations, migrator.engine(), &history, request)?;
    let mut notes = Vec::new();
    let direction = match request {
        RunRequest::Up(_) => Direction::Up,
        RunRequest::Down(_) => Direction::Down,
    };
    if works.is_empty() {
        return Ok(Plan {
            direction,
            migrations: Vec::new(),
            losses: Vec::new(),
            notes,
        });
    }
    let mut scratch = Scratch::open(migrator).await?;
    for entry in history.entries() {
        let stands = matches!(entry.state, MigrationState::Applied | MigrationState::Edited { .. });
        // What is half done is rehearsed from its beginning, and reverted from its end.
        let half = matches!(entry.state, MigrationState::Unfinished { .. }) && direction == Direction::Down;
        let known = migrator
            .settings
            .migrations
            .iter()
            .find(|known| known.name == entry.name);
        if let Some(known) = known.filter(|_| stands || half) {
            scratch.apply(&work::up(known, migrator.engine())).await?;
        }
    }
    let before = scratch.objects().await?;
    if let Some(session) = &mut live {
        let objects = catalogue::objects(session)
            .await
            .map_err(|e| error::migrate(&e, None))?;
        if !differences(&before, &objects).is_empty() {
            notes.push(
                "the live schema is not what its migrations make (dlc migrate verify): the plan was rehearsed on theirs"
                    .to_owned(),
            );
        }
    }
    if migrator.engine() == Engine::Sqlite {
        notes.push(
            "the whole run is one transaction: other writers of the file wait until its end, readers do not".to_owned(),
        );
    }
    let mut migrations = Vec::with_capacity(works.len());
    for work in &works {
        migrations.push(rehearse(&mut scratch, work, live.as_mut()).await?);
    }
    let losses = match (direction, &mut live) {
        (Direction::Down, Some(session)) => {
            let gone = lost(&works, &differences(&before, &scratch.objects().await?));
            count(session, gone).await?
        }
        _ => Vec::new(),
    };
    scratch.close().await;
    if let Some(session) = live {
        session.close().await;
    }
    Ok(Plan {
        direction,
        migrations,
        losses,
        notes,
    })
}

async fn rehearse(
    scratch: &mut Scratch,
    work: &Work,
    mut live: Option<&mut Session>,
) -> Result<PlannedMigration, MigrateError> {
    let mut statements = Vec::with_capacity(work.statements.len());
    for sql in &work.statements {
        let rehearsed = match scratch.obstacle() {
            Some(why) => Err(why.to_owned()),
            // Its tables are not in the copy.
            None if work.stored => Err("this binary does not know what it reverts".to_owned()),
            None => scratch.rehearse(sql).await,
        };
        let predicted = cannot_run_in_a_transaction(sql);
        let (basis, touches) = match rehearsed {
            Ok(touches) if !predicted => (Basis::Rehearsed, touches),
            Ok(_) => (
                Basis::Predicted {
                    why: "it cannot run in a transaction, so nobody can watch its locks".to_owned(),
                },
                predict(sql),
            ),
            Err(why) => (Basis::Predicted { why }, predict(sql)),
        };
        let mut effects = Vec::with_capacity(touches.len());
        for touch in touches {
            let live = match live.as_deref_mut() {
                Some(session) => live_table(session, &touch.table)
                    .await
                    .map_err(|e| error::migrate(&e, None))?,
                None => None,
            };
            effects.push(TableEffect {
                table: touch.table,
                lock: touch.lock,
                rewrites: touch.rewrites,
                scans: touch.scans,
                live,
            });
        }
        statements.push(PlannedStatement {
            sql: sql.clone(),
            basis,
            effects,
            took: None,
        });
    }
    Ok(PlannedMigration {
        name: work.name.clone(),
        kind: work.kind,
        transaction: work.transaction,
        stored: work.stored,
        statements,
    })
}

/// What PostgreSQL's documentation says of the few statements that cannot be watched. Nothing is better than a guess.
fn predict(sql: &str) -> Vec<Touch> {
    let words: Vec<&str> = sql
        .split(|c: char| c.is_whitespace() || c == '(')
        .filter(|word| !word.is_empty())
        .collect();
    let is = |index: usize, word: &str| words.get(index).is_some_and(|found| found.eq_ignore_ascii_case(word));
    let after = |word: &str| {
        let at = words.iter().position(|found| found.eq_ignore_ascii_case(word))?;
        words.get(at + 1).map(|table| table.trim_matches('"').to_owned())
    };
    let concurrently = words.iter().any(|word| word.eq_ignore_ascii_case("CONCURRENTLY"));
    let touch = |table: Option<String>, lock, scans| {
        table
            .map(|table| Touch {
                table,
                lock,
                rewrites: false,
                scans,
            })
            .into_iter()
            .collect()
    };
    if is(0, "CREATE") && concurrently {
        touch(after("ON"), LockMode::ShareUpdateExclusive, true)
    } else if is(0, "DROP") && is(1, "TABLE") && words.len() == 3 {
        touch(after("TABLE"), LockMode::AccessExclusive, false)
    } else {
        Vec::new()
    }
}

/// The live table of that name; `None` when there is none.
async fn live_table(session: &mut Session, table: &str) -> Result<Option<LiveTable>, sqlx::Error> {
    match session.engine() {
        Engine::Postgres => live_table_of_postgres(session, table).await,
        Engine::Sqlite => live_table_of_sqlite(session, table).await,
    }
}

async fn live_table_of_postgres(session: &mut Session, table: &str) -> Result<Option<LiveTable>, sqlx::Error> {
    // A size is read under a lock, the weakest; behind a running ALTER even that would wait.
    let size = "BEGIN; SET LOCAL lock_timeout = '100ms'";
    session.execute(size).await?;
    let sql = "SELECT CAST(pg_total_relation_size(to_regclass(quote_ident($1))) AS text)";
    let exact = session.text(sql, &[table]).await;
    session.execute("ROLLBACK").await?;
    let exact = match exact {
        Ok(size) => size,
        Err(e) if error::is_timeout(&e) => None,
        Err(e) => return Err(e),
    };
    let sql = "SELECT CAST(greatest(c.reltuples::bigint, s.n_live_tup, 0) AS text), \
                      CAST(c.relpages::bigint * current_setting('block_size')::bigint AS text), \
                      (SELECT CAST(count(DISTINCT l.pid) AS text) FROM pg_locks l \
                       WHERE l.locktype = 'relation' AND l.relation = c.oid AND l.pid <> pg_backend_pid() \
                         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) \
               FROM pg_class c LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid \
               WHERE c.oid = to_regclass(quote_ident($1))";
    let Some(row) = session.rows(sql, &[table]).await?.into_iter().next() else {
        return Ok(None);
    };
    let mut numbers = row
        .into_iter()
        .map(|text| text.and_then(|text| text.parse::<u64>().ok()));
    let mut next = || numbers.next().flatten();
    let (rows, pages, sessions) = (next(), next(), next());
    Ok(Some(LiveTable {
        rows: rows.unwrap_or_default(),
        bytes: exact.and_then(|size| size.parse().ok()).or(pages),
        sessions: sessions.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
    }))
}

async fn live_table_of_sqlite(session: &mut Session, table: &str) -> Result<Option<LiveTable>, sqlx::Error> {
    let found = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = $1";
    if session.text(found, &[table]).await?.is_none() {
        return Ok(None);
    }
    let rows = session
        .text(&format!("SELECT CAST(count(*) AS text) FROM {}", quoted(table)), &[])
        .await?;
    let bytes = "SELECT CAST(sum(pgsize) AS text) FROM dbstat \
                 WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = $1)";
    let bytes = session.text(bytes, &[table]).await?;
    Ok(Some(LiveTable {
        rows: rows.and_then(|rows| rows.parse().ok()).unwrap_or_default(),
        bytes: bytes.and_then(|bytes| bytes.parse().ok()),
        sessions: 0,
    }))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table or a column of it.
type Place = (String, Option<String>);

/// What the run takes away: what the rehearsal has shown, and tables that stored SQL drops.
fn lost(works: &[Work], changes: &[dlc_application::operations::migrate::Difference]) -> BTreeSet<Place> {
    let mut gone: BTreeSet<Place> = changes
        .iter()
        .filter(|difference| matches!(difference.change, Change::Missing { .. }))
        .filter_map(|difference| match difference.kind {
            ObjectKind::Table => Some((difference.table.clone(), None)),
            ObjectKind::Column => Some((difference.table.clone(), Some(difference.name.clone()))),
            ObjectKind::Constraint | ObjectKind::Index => None,
        })
        .collect();
    for sql in works
        .iter()
        .filter(|work| work.stored)
        .flat_map(|work| &work.statements)
    {
        let words: Vec<&str> = sql
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|w| !w.is_empty())
            .collect();
        let is = |index: usize, word: &str| words.get(index).is_some_and(|found| found.eq_ignore_ascii_case(word));
        let name = |index: usize| words.get(index).map(|name| (*name).to_owned());
        if is(0, "DROP") && is(1, "TABLE") {
            let at = if is(2, "IF") { 4 } else { 2 };
            gone.extend(name(at).map(|table| (table, None)));
        } else if is(0, "ALTER") && is(1, "TABLE") && is(3, "DROP") && is(4, "COLUMN") {
            let at = if is(5, "IF") { 7 } else { 5 };
            gone.extend(name(2).map(|table| (table, name(at))));
        }
    }
    gone
}

/// How many rows hold something in each place; a place that does not exist holds nothing.
async fn count(session: &mut Session, places: BTreeSet<Place>) -> Result<Vec<Loss>, MigrateError> {
    // Enough for a few million rows; longer is no help to whoever waits for the answer.
    const LIMIT: &str = "BEGIN; SET LOCAL statement_timeout = '3s'; SET LOCAL lock_timeout = '1s'";
    let mut losses = Vec::with_capacity(places.len());
    for (table, column) in places {
        let what = column.as_deref().map_or_else(|| "*".to_owned(), quoted);
        let sql = format!("SELECT CAST(count({what}) AS text) FROM {}", quoted(&table));
        let postgres = session.engine() == Engine::Postgres;
        let failed = |e: sqlx::Error| error::migrate(&e, None);
        if postgres {
            session.execute(LIMIT).await.map_err(failed)?;
        }
        let counted = session.text(&sql, &[]).await;
        if postgres {
            session.execute("ROLLBACK").await.map_err(failed)?;
        }
        let rows = match counted {
            Ok(rows) => rows.and_then(|rows| rows.parse().ok()),
            Err(e) if error::is_missing_table(&e) => continue,
            Err(e) if error::is_timeout(&e) => None,
            Err(e) => return Err(failed(e)),
        };
        losses.push(Loss { table, column, rows });
    }
    Ok(losses)
}
