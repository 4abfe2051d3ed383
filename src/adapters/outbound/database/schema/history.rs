//! The history in the database: SeaORM's own table, so that its tools read it too, and beside it a table of dlc's with
//! what SeaORM's has no room for.

use std::{collections::BTreeMap, time::Duration};

use chrono::DateTime;
use dlc_application::{
    operations::migrate::{Applied, History, Known, MigrationKind, Record},
    ports::inspection::Engine,
};

use super::work::Work;
use crate::{
    error,
    session::{Session, Texts},
};

/// Tables that belong to the runner, not to the schema.
pub(crate) const OWN_TABLES: [&str; 4] = [
    "seaql_migrations",
    "dlc_migrations",
    "dlc_migration_holder",
    "dlc_schema_snapshot",
];

/// The same as a list in SQL.
pub(crate) fn own_tables() -> String {
    OWN_TABLES.map(|table| format!("'{table}'")).join(", ")
}

/// The tables, in words that both engines understand.
const TABLES: [(&str, &str); 4] = [
    (
        OWN_TABLES[0],
        "(version varchar NOT NULL PRIMARY KEY, applied_at bigint NOT NULL)",
    ),
    (
        OWN_TABLES[1],
        "(version varchar(255) NOT NULL PRIMARY KEY, checksum varchar(64) NOT NULL, kind varchar(32) NOT NULL, \
         dlc_version varchar(64) NOT NULL, applied_by varchar(255) NOT NULL, duration_ms bigint NOT NULL, \
         down_sql text NOT NULL, down_in_transaction integer NOT NULL, reached integer NOT NULL, \
         statements integer NOT NULL, finished integer NOT NULL)",
    ),
    (
        OWN_TABLES[2],
        "(backend_pid integer NOT NULL PRIMARY KEY, who varchar(255) NOT NULL, since timestamptz NOT NULL, \
         heartbeat timestamptz NOT NULL, step integer NOT NULL, steps integer NOT NULL, migration varchar(255) NOT NULL)",
    ),
    (
        OWN_TABLES[3],
        "(id integer NOT NULL PRIMARY KEY CHECK (id = 1), fingerprint varchar(64) NOT NULL, objects text NOT NULL, \
         recorded_by varchar(255) NOT NULL)",
    ),
];

/// Makes the tables that are missing, under the migration lock. SQLite names its lock's holder in a file, not in a table.
pub(crate) async fn install(session: &mut Session) -> Result<(), sqlx::Error> {
    for (table, columns) in TABLES {
        if (table == OWN_TABLES[2] && session.engine() == Engine::Sqlite) || exists(session, table).await? {
            continue;
        }
        session.execute(&format!("CREATE TABLE {table} {columns}")).await?;
    }
    Ok(())
}

/// Whether a table is there.
pub(crate) async fn exists(session: &mut Session, table: &str) -> Result<bool, sqlx::Error> {
    let sql = match session.engine() {
        Engine::Postgres => format!("SELECT CAST(to_regclass('{table}') AS text)"),
        Engine::Sqlite => format!("SELECT name FROM sqlite_master WHERE type = 'table' AND name = '{table}'"),
    };
    Ok(session.text(&sql, &[]).await?.is_some())
}

/// What there is of the runner's tables.
pub(crate) struct Found {
    /// Whether SeaORM's table is there.
    seaorms: bool,
    /// Whether dlc's notes are there.
    notes: bool,
    /// Whether the holder's table is there.
    pub(crate) holder: bool,
    /// The schema that the history is in, and the one that new tables would be made in, when they differ (PostgreSQL).
    pub(crate) elsewhere: Option<(String, String)>,
    /// Whether no schema of the search path exists (PostgreSQL): then nothing is found, whatever there is.
    pub(crate) nowhere: bool,
}

/// Finds the runner's tables, as the first question of a look.
pub(crate) async fn find(session: &mut Session) -> Result<Found, sqlx::Error> {
    let sql = find_sql(session.engine());
    let rows = session.begin_look(&sql).await?;
    Ok(found(rows))
}

/// The same within a transaction that has begun already.
pub(crate) async fn find_within(session: &mut Session) -> Result<Found, sqlx::Error> {
    let sql = find_sql(session.engine());
    let rows = session.rows(&sql, &[]).await?;
    Ok(found(rows))
}

fn find_sql(engine: Engine) -> String {
    let [seaorms, notes, holder, _] = OWN_TABLES;
    match engine {
        Engine::Postgres => format!(
            "SELECT '', '', coalesce(CAST(current_schema() AS text), '') UNION ALL \
             SELECT CAST(c.relname AS text), CAST(n.nspname AS text), CAST(current_schema() AS text) \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid IN (to_regclass('{seaorms}'), to_regclass('{notes}'), to_regclass('{holder}'))"
        ),
        Engine::Sqlite => format!(
            "SELECT name, '', '' FROM sqlite_master WHERE type = 'table' AND name IN ('{seaorms}', '{notes}', '{holder}')"
        ),
    }
}

fn found(rows: Vec<Texts>) -> Found {
    let rows: Vec<[String; 3]> = rows
        .into_iter()
        .filter_map(|row| {
            let [name, found, current] = <[_; 3]>::try_from(row).ok()?;
            Some([name?, found?, current?])
        })
        .collect();
    let is_there = |table: &str| rows.iter().any(|[name, ..]| name == table);
    Found {
        seaorms: is_there(OWN_TABLES[0]),
        notes: is_there(OWN_TABLES[1]),
        holder: is_there(OWN_TABLES[2]),
        elsewhere: rows
            .iter()
            .find(|[name, found, current]| !name.is_empty() && found != current)
            .map(|[_, found, current]| (found.clone(), current.clone())),
        nowhere: rows
            .iter()
            .any(|[name, _, current]| name.is_empty() && current.is_empty()),
    }
}

/// Entries and notes: two plain questions cost the server less than one that joins them.
fn read_sql(notes: bool) -> String {
    let [seaorms, ours, ..] = OWN_TABLES;
    let entries = format!("SELECT version, CAST(applied_at AS text) FROM {seaorms}");
    if !notes {
        return entries;
    }
    format!(
        "{entries}; SELECT version, checksum, kind, dlc_version, applied_by, CAST(duration_ms AS text), down_sql, \
         CAST(down_in_transaction AS text), CAST(reached AS text), CAST(statements AS text), CAST(finished AS text) \
         FROM {ours}"
    )
}

/// Finds and reads in one round trip, as the first question of a look. Only where a table is missing it takes another one.
pub(crate) async fn look(session: &mut Session, known: &[Known]) -> Result<(History, Found), sqlx::Error> {
    let [seaorms, ..] = OWN_TABLES;
    let place = match session.engine() {
        Engine::Postgres => format!(
            "SELECT '{seaorms}', CAST(n.nspname AS text), coalesce(CAST(current_schema() AS text), 'none') \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = '{seaorms}'::regclass; "
        ),
        Engine::Sqlite => String::new(),
    };
    match session.begin_look(&format!("{place}{}", read_sql(true))).await {
        Ok(mut rows) => {
            let places = rows.extract_if(.., |row| row.len() == 3).collect();
            let found = Found {
                seaorms: true,
                notes: true,
                holder: session.engine() == Engine::Postgres,
                ..found(places)
            };
            Ok((history_of(rows, known), found))
        }
        Err(e) if error::is_missing_table(&e) => {
            session.execute("ROLLBACK").await?;
            let found = find(session).await?;
            let history = read(session, &found, known).await?;
            Ok((history, found))
        }
        Err(e) => Err(e),
    }
}

/// Reads the history of what was found, without writing anything, not even a table.
pub(crate) async fn read(session: &mut Session, found: &Found, known: &[Known]) -> Result<History, sqlx::Error> {
    if !found.seaorms {
        return Ok(History::compare(known, None));
    }
    let rows = session.rows(&read_sql(found.notes), &[]).await?;
    Ok(history_of(rows, known))
}

/// An entry has two columns, a note has more.
fn history_of(rows: Vec<Texts>, known: &[Known]) -> History {
    let mut applied: BTreeMap<String, Applied> = BTreeMap::new();
    for row in rows {
        let is_entry = row.len() == 2;
        let mut columns = row.into_iter();
        let name = columns.next().flatten().unwrap_or_default();
        let entry = applied.entry(name.clone()).or_insert(Applied {
            name,
            at: None,
            record: None,
        });
        if is_entry {
            let seconds = columns.next().flatten().and_then(|seconds| seconds.parse().ok());
            entry.at = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        } else {
            entry.record = Some(record_of(columns));
        }
    }
    History::compare(known, Some(applied.into_values().collect()))
}

fn record_of(mut columns: impl Iterator<Item = Option<String>>) -> Record {
    let mut text = || columns.next().flatten().unwrap_or_default();
    let checksum = text();
    let kind = MigrationKind::parse(&text());
    let (dlc_version, applied_by) = (text(), text());
    let took = Duration::from_millis(text().parse().unwrap_or_default());
    let down = serde_json::from_str(&text()).unwrap_or_default();
    let transaction = text() == "1";
    let mut count = || text().parse().unwrap_or_default();
    let (reached, statements) = (count(), count());
    Record {
        checksum,
        kind,
        dlc_version,
        applied_by,
        took,
        down,
        transaction,
        reached,
        statements,
        finished: text() == "1",
    }
}

/// How far a run has come with one migration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) took: Duration,
    pub(crate) reached: usize,
    pub(crate) finished: bool,
}

/// Notes how far a run has come. The time of SeaORM's table is the database's, so that instances with different clocks
/// agree.
pub(crate) async fn record(
    session: &mut Session,
    work: &Work,
    applied_by: &str,
    progress: Progress,
) -> Result<(), sqlx::Error> {
    note(session, work, applied_by, progress).await?;
    if progress.finished {
        enter(session, &work.name).await
    } else {
        // One that is begun anew, or whose revert has begun, is not applied.
        session
            .rows("DELETE FROM seaql_migrations WHERE version = $1", &[&work.name])
            .await
            .map(drop)
    }
}

/// Writes dlc's own note.
pub(crate) async fn note(
    session: &mut Session,
    work: &Work,
    applied_by: &str,
    progress: Progress,
) -> Result<(), sqlx::Error> {
    let down = serde_json::to_string(&work.note.down).unwrap_or_default();
    let sql = "INSERT INTO dlc_migrations (version, checksum, kind, dlc_version, applied_by, duration_ms, down_sql, \
               down_in_transaction, reached, statements, finished) \
               VALUES ($1, $2, $3, $4, $5, CAST($6 AS bigint), $7, CAST($8 AS integer), CAST($9 AS integer), \
               CAST($10 AS integer), CAST($11 AS integer)) \
               ON CONFLICT (version) DO UPDATE SET checksum = excluded.checksum, kind = excluded.kind, \
               dlc_version = excluded.dlc_version, applied_by = excluded.applied_by, \
               duration_ms = excluded.duration_ms, down_sql = excluded.down_sql, \
               down_in_transaction = excluded.down_in_transaction, reached = excluded.reached, \
               statements = excluded.statements, finished = excluded.finished";
    let flag = |flag: bool| if flag { "1" } else { "0" };
    session
        .rows(
            sql,
            &[
                &work.name,
                &work.note.checksum,
                work.note.kind,
                env!("CARGO_PKG_VERSION"),
                applied_by,
                &progress.took.as_millis().to_string(),
                &down,
                flag(work.transaction),
                &progress.reached.to_string(),
                &work.statements.len().to_string(),
                flag(progress.finished),
            ],
        )
        .await
        .map(drop)
}

/// Whether a migration is entered in SeaORM's table by now.
pub(crate) async fn is_entered(session: &mut Session, version: &str) -> Result<bool, sqlx::Error> {
    let sql = "SELECT version FROM seaql_migrations WHERE version = $1";
    Ok(session.text(sql, &[version]).await?.is_some())
}

/// Enters a migration into SeaORM's table; one that is there already is an error.
pub(crate) async fn enter(session: &mut Session, version: &str) -> Result<(), sqlx::Error> {
    let now = match session.engine() {
        Engine::Sqlite => "CAST(strftime('%s', 'now') AS INTEGER)",
        Engine::Postgres => "CAST(extract(epoch FROM clock_timestamp()) AS bigint)",
    };
    let sql = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ($1, {now})");
    session.rows(&sql, &[version]).await.map(drop)
}

/// Notes that the revert of a migration has begun that is no transaction.
pub(crate) async fn begin_revert(session: &mut Session, work: &Work, by: &str) -> Result<(), sqlx::Error> {
    if work.stored {
        let sql =
            "UPDATE dlc_migrations SET finished = 0, reached = 0, statements = CAST($2 AS integer) WHERE version = $1";
        session
            .rows(sql, &[&work.name, &work.statements.len().to_string()])
            .await?;
    } else {
        let begun = Progress {
            took: Duration::ZERO,
            reached: 0,
            finished: false,
        };
        note(session, work, by, begun).await?;
    }
    session
        .rows("DELETE FROM seaql_migrations WHERE version = $1", &[&work.name])
        .await
        .map(drop)
}

/// Notes how many statements are done.
pub(crate) async fn advance(session: &mut Session, version: &str, reached: usize) -> Result<(), sqlx::Error> {
    let sql = "UPDATE dlc_migrations SET reached = CAST($2 AS integer) WHERE version = $1";
    session.rows(sql, &[version, &reached.to_string()]).await.map(drop)
}

/// Notes a migration as not applied.
pub(crate) async fn forget(session: &mut Session, version: &str) -> Result<(), sqlx::Error> {
    for table in [OWN_TABLES[0], OWN_TABLES[1]] {
        session
            .rows(&format!("DELETE FROM {table} WHERE version = $1"), &[version])
            .await?;
    }
    Ok(())
}

/// The history, as the first thing that a look is about. The tables are looked for first: the database may be none of dlc's,
/// and an error in its log would be noise.
pub(crate) async fn read_as_a_guest(session: &mut Session, known: &[Known]) -> Result<History, sqlx::Error> {
    let found = find(session).await?;
    read(session, &found, known).await
}
