//! The history in the database: SeaORM's own table, so that its tools read it too, and beside it a table of dlc's with
//! what SeaORM's has no room for.

use std::time::Duration;

use chrono::DateTime;
use dlc_application::{
    operations::migrate::{Applied, History, Known, MigrationKind, Record},
    ports::inspection::Engine,
};

use super::work::Work;
use crate::session::{Session, Texts};

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
pub(super) async fn install(session: &mut Session) -> Result<(), sqlx::Error> {
    for (table, columns) in TABLES {
        if (table == OWN_TABLES[2] && session.engine() == Engine::Sqlite) || exists(session, table).await? {
            continue;
        }
        session.execute(&format!("CREATE TABLE {table} {columns}")).await?;
    }
    Ok(())
}

/// Whether a table is there.
pub(super) async fn exists(session: &mut Session, table: &str) -> Result<bool, sqlx::Error> {
    let sql = match session.engine() {
        Engine::Postgres => format!("SELECT CAST(to_regclass('{table}') AS text)"),
        Engine::Sqlite => format!("SELECT name FROM sqlite_master WHERE type = 'table' AND name = '{table}'"),
    };
    Ok(session.text(&sql, &[]).await?.is_some())
}

const NOTED: &str = "m.checksum, m.kind, m.dlc_version, m.applied_by, CAST(m.duration_ms AS text), m.down_sql, \
                     CAST(m.down_in_transaction AS text), CAST(m.reached AS text), CAST(m.statements AS text), \
                     CAST(m.finished AS text)";

/// Reads the history without writing anything, not even a table.
pub(crate) async fn read(session: &mut Session, known: &[Known]) -> Result<History, sqlx::Error> {
    let [seaorms, ours] = [OWN_TABLES[0], OWN_TABLES[1]];
    if !exists(session, seaorms).await? {
        return Ok(History::compare(known, None));
    }
    let sql = if exists(session, ours).await? {
        format!(
            "SELECT s.version, CAST(s.applied_at AS text), {NOTED} FROM {seaorms} s LEFT JOIN {ours} m USING (version) \
             UNION ALL SELECT m.version, NULL, {NOTED} FROM {ours} m \
             WHERE NOT EXISTS (SELECT 1 FROM {seaorms} s WHERE s.version = m.version)"
        )
    } else {
        format!("SELECT version, CAST(applied_at AS text) FROM {seaorms}")
    };
    let rows = session.rows(&sql, &[]).await?;
    let applied = rows.into_iter().map(applied).collect();
    Ok(History::compare(known, Some(applied)))
}

fn applied(row: Texts) -> Applied {
    let mut columns = row.into_iter();
    let mut next = || columns.next().flatten();
    let name = next().unwrap_or_default();
    let seconds = next().and_then(|seconds| seconds.parse().ok());
    let record = next().map(|checksum| {
        let mut text = || next().unwrap_or_default();
        let kind = MigrationKind::parse(&text());
        let (dlc_version, applied_by) = (text(), text());
        let took = Duration::from_millis(text().parse().unwrap_or_default());
        let down = serde_json::from_str(&text()).unwrap_or_default();
        let transaction = text() == "1";
        let mut count = || text().parse().unwrap_or_default();
        Record {
            checksum,
            kind,
            dlc_version,
            applied_by,
            took,
            down,
            transaction,
            reached: count(),
            statements: count(),
            finished: count() == 1,
        }
    });
    Applied {
        name,
        at: seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        record,
    }
}

/// How far a run has come with one migration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) took: Duration,
    pub(super) reached: usize,
    pub(super) finished: bool,
}

/// Notes how far a run has come. The time of SeaORM's table is the database's, so that instances with different clocks
/// agree.
pub(super) async fn record(
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
pub(super) async fn note(
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

/// Enters a migration into SeaORM's table.
pub(super) async fn enter(session: &mut Session, version: &str) -> Result<(), sqlx::Error> {
    let now = match session.engine() {
        Engine::Sqlite => "CAST(strftime('%s', 'now') AS INTEGER)",
        Engine::Postgres => "CAST(extract(epoch FROM clock_timestamp()) AS bigint)",
    };
    let sql = format!(
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ($1, {now}) ON CONFLICT (version) DO NOTHING"
    );
    session.rows(&sql, &[version]).await.map(drop)
}

/// Notes that the revert of a migration has begun that is no transaction.
pub(super) async fn begin_revert(session: &mut Session, version: &str) -> Result<(), sqlx::Error> {
    session
        .rows(
            "UPDATE dlc_migrations SET finished = 0, reached = 0 WHERE version = $1",
            &[version],
        )
        .await?;
    session
        .rows("DELETE FROM seaql_migrations WHERE version = $1", &[version])
        .await
        .map(drop)
}

/// Notes how many statements are done.
pub(super) async fn advance(session: &mut Session, version: &str, reached: usize) -> Result<(), sqlx::Error> {
    let sql = "UPDATE dlc_migrations SET reached = CAST($2 AS integer) WHERE version = $1";
    session.rows(sql, &[version, &reached.to_string()]).await.map(drop)
}

/// Notes a migration as not applied.
pub(super) async fn forget(session: &mut Session, version: &str) -> Result<(), sqlx::Error> {
    for table in [OWN_TABLES[0], OWN_TABLES[1]] {
        session
            .rows(&format!("DELETE FROM {table} WHERE version = $1"), &[version])
            .await?;
    }
    Ok(())
}
