//! What a run would do, found out without a lock on anything that lives: every statement is rehearsed on a scratch copy,
//! and what it did there is joined with the live tables' sizes and users.

use std::collections::BTreeSet;

use dlc_application::{
    operations::migrate::{
        Basis, Change, Difference, Direction, LiveTable, LockMode, Loss, MigrationState, ObjectKind, Plan,
        PlannedMigration, PlannedStatement, TableEffect, differences,
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

/// Rows and bytes of a table of SQLite are counted in files up to this size, in bytes.
const COUNTED_SQLITE: u64 = 256 * 1024 * 1024;

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
    let mut scratch = Scratch::open_to_watch(migrator).await?;
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
    if migrator.engine() == Engine::Sqlite && direction == Direction::Up {
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
            let lost = lost(&works, &differences(&before, &scratch.objects().await?));
            if lost.is_uncertain {
                notes.push("what the stored SQL takes away cannot be told for certain: read it".to_owned());
            }
            count(session, lost.places).await?
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
        let rehearsed = if work.stored {
            // Its tables are not in the copy.
            Err("this binary does not know what it reverts".to_owned())
        } else {
            scratch.rehearse(sql).await
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
    let sql = "SELECT CAST(pg_total_relation_size(to_regclass(quote_ident($1))) AS text)";
    let exact = match session
        .try_text("SET LOCAL lock_timeout = '100ms'", sql, &[table])
        .await
    {
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
    let pages = "SELECT CAST(page_count * page_size AS text) FROM pragma_page_count(), pragma_page_size()";
    let size = session.text(pages, &[]).await?.and_then(|size| size.parse().ok());
    // Both questions read the whole table; of a large file its largest row number has to do.
    let is_large = size.is_some_and(|size: u64| size > COUNTED_SQLITE);
    let rows = if is_large { "max(rowid)" } else { "count(*)" };
    let rows = session
        .text(&format!("SELECT CAST({rows} AS text) FROM {}", quoted(table)), &[])
        .await?;
    let bytes = "SELECT CAST(sum(pgsize) AS text) FROM dbstat \
                 WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = $1)";
    let bytes = if is_large {
        None
    } else {
        session.text(bytes, &[table]).await?
    };
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

/// What a run takes away.
struct Lost {
    places: BTreeSet<Place>,
    /// Some of its statements were not understood.
    is_uncertain: bool,
}

/// What the rehearsal has shown, and what stored SQL drops in the plainest words.
fn lost(works: &[Work], changes: &[Difference]) -> Lost {
    let mut places: BTreeSet<Place> = changes
        .iter()
        .filter(|difference| matches!(difference.change, Change::Missing { .. }))
        .filter_map(|difference| match difference.kind {
            ObjectKind::Table => Some((difference.table.clone(), None)),
            ObjectKind::Column => Some((difference.table.clone(), Some(difference.name.clone()))),
            ObjectKind::Constraint | ObjectKind::Index => None,
        })
        .collect();
    let mut is_uncertain = false;
    for sql in works
        .iter()
        .filter(|work| work.stored)
        .flat_map(|work| &work.statements)
    {
        let words: Vec<&str> = sql.split_whitespace().collect();
        let plain = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let upper: Vec<String> = words.iter().map(|word| word.to_uppercase()).collect();
        let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
        match (upper.as_slice(), words.as_slice()) {
            (["DROP", "TABLE", _], [_, _, table]) if plain(table) => {
                places.insert(((*table).to_owned(), None));
            }
            (["ALTER", "TABLE", _, "DROP", "COLUMN", _], [_, _, table, _, _, column])
                if plain(table) && plain(column) =>
            {
                places.insert(((*table).to_owned(), Some((*column).to_owned())));
            }
            (["DROP", "INDEX", ..] | ["CREATE", ..], _) => {}
            _ => is_uncertain = true,
        }
    }
    Lost { places, is_uncertain }
}

/// How many rows hold something in each place that is there.
async fn count(session: &mut Session, places: BTreeSet<Place>) -> Result<Vec<Loss>, MigrateError> {
    // Enough for a few million rows; longer is no help to whoever waits for the answer.
    const LIMITS: &str = "SET LOCAL statement_timeout = '3s'; SET LOCAL lock_timeout = '1s'";
    let failed = |e: sqlx::Error| error::migrate(&e, None);
    let live = catalogue::objects(session).await.map_err(failed)?;
    let is_there = |(table, column): &Place| {
        live.iter().any(|object| {
            object.table == *table
                && match column {
                    None => object.kind == ObjectKind::Table,
                    Some(column) => object.kind == ObjectKind::Column && object.name == *column,
                }
        })
    };
    let mut losses = Vec::with_capacity(places.len());
    for (table, column) in places.into_iter().filter(is_there) {
        let what = column.as_deref().map_or_else(|| "*".to_owned(), quoted);
        let sql = format!("SELECT CAST(count({what}) AS text) FROM {}", quoted(&table));
        let rows = match session.try_text(LIMITS, &sql, &[]).await {
            Ok(rows) => rows.and_then(|rows| rows.parse().ok()),
            Err(e) if error::is_timeout(&e) => None,
            Err(e) => return Err(failed(e)),
        };
        losses.push(Loss { table, column, rows });
    }
    Ok(losses)
}
