//! PostgreSQL's side: a snapshot that is read by COPY, and a transaction that is filled by COPY, both binary.

use dlc_application::{
    operations::moving::{MoveError, Side},
    ports::connection::ConnectFailure,
};
use futures_util::TryStreamExt;
use sqlx::PgConnection;
use tokio::sync::mpsc::{Receiver, Sender};

use super::{
    questions::{Question, questions},
    sqlite::{CHUNK, Piece},
    structure::{FILLED_BY_MIGRATIONS, Table, quoted},
    survey::Survey,
    tuple::{self, Cutter, Fields},
};
use crate::{error, session::Session};

/// Neither a role's limits nor a database's count here, and a process that is killed is noticed within a second. `pg_settings`
/// has those alone that this server knows.
const IN_PEACE: &str = "SELECT set_config(name, CASE name WHEN 'lock_timeout' THEN '10s' \
    WHEN 'client_connection_check_interval' THEN '1s' WHEN 'row_security' THEN 'off' ELSE '0' END, true) FROM pg_settings WHERE name IN ('statement_timeout', \
    'transaction_timeout', 'idle_in_transaction_session_timeout', 'lock_timeout', 'client_connection_check_interval', 'row_security')";

pub(super) fn failed(side: Side) -> impl Fn(sqlx::Error) -> MoveError {
    move |e| MoveError::Failed {
        side,
        failure: error::connect_failure(&e),
        cause: error::words(&e),
    }
}

fn connection(session: &mut Session) -> Result<&mut PgConnection, MoveError> {
    session.postgres().ok_or_else(|| MoveError::Failed {
        side: Side::Source,
        failure: ConnectFailure::Other,
        cause: "not a PostgreSQL session".to_owned(),
    })
}

/// One moment of the source, until the session ends.
pub(super) async fn begin_snapshot(session: &mut Session) -> Result<(), MoveError> {
    let failed = failed(Side::Source);
    session
        .execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
        .map_err(&failed)?;
    session.execute(IN_PEACE).await.map_err(&failed)
}

/// Who else is there: services by their names.
pub(super) async fn services(session: &mut Session) -> Result<Option<String>, MoveError> {
    let sql = "SELECT min(application_name) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name LIKE 'dlc serve%'";
    session.text(sql, &[]).await.map_err(failed(Side::Source))
}

/// Goes through the rows of a table as they come.
async fn read(session: &mut Session, side: Side, table: &Table, mut take: impl FnMut(&[u8])) -> Result<(), MoveError> {
    let sql = format!(
        "COPY {} ({}) TO STDOUT (FORMAT binary)",
        quoted(&table.name),
        table.list()
    );
    let mut cutter = Cutter::default();
    let mut chunks = connection(session)?.copy_out_raw(&sql).await.map_err(failed(side))?;
    while let Some(chunk) = chunks.try_next().await.map_err(failed(side))? {
        cutter.feed(&chunk);
        while let Some(tuple) = cutter.next() {
            take(tuple);
        }
    }
    if cutter.is_complete() {
        return Ok(());
    }
    Err(MoveError::Failed {
        side,
        failure: ConnectFailure::Lost,
        cause: format!("the rows of {} came to no end", table.name),
    })
}

/// Reads all rows, adds them up, and says what is wrong with their values.
pub(super) async fn read_all(
    session: &mut Session,
    side: Side,
    tables: &[Table],
    survey: &mut Survey,
) -> Result<(), MoveError> {
    let (mut canonical, mut scratch) = (Vec::new(), Vec::new());
    for table in tables {
        survey.begin(table);
        read(session, side, table, |tuple| {
            canonical.clear();
            tuple::begin(table, &mut canonical);
            for (column, field) in table.columns.iter().zip(Fields::of(tuple)) {
                if let Err(why) = tuple::rewrite(column, field, &mut scratch, &mut canonical) {
                    survey.refuse(table, &column.name, why, || tuple::key_of_postgres(table, tuple));
                }
            }
            survey.row(&canonical);
        })
        .await?;
    }
    Ok(())
}

/// Everything that can be said of the source before anything is copied.
pub(super) async fn survey(session: &mut Session, tables: &[Table], survey: &mut Survey) -> Result<(), MoveError> {
    read_all(session, Side::Source, tables, survey).await?;
    let failed = failed(Side::Source);
    for table in tables {
        let mut all = questions(table);
        for column in &table.unique_lower {
            // SQLite's lower case is that of ASCII, and so is that of this collation.
            let lower = format!("lower(CAST(c.{} AS text) COLLATE \"C\")", quoted(column));
            let name = quoted(&table.name);
            all.push(Question {
                column: column.clone(),
                why: "is another row's too, by what the target takes for upper and lower case".to_owned(),
                sql: format!(
                    "SELECT {key} FROM (SELECT *, count(*) OVER (PARTITION BY {lower}) AS twins FROM {name} c) c WHERE twins > 1",
                    key = table.key_list("c")
                ),
            });
        }
        for Question { column, why, sql } in all {
            let sql = format!(
                "SELECT left(concat_ws(', ', {}), 80) FROM ({sql}) c",
                table.key_list("c")
            );
            for row in session.rows(&sql, &[]).await.map_err(&failed)? {
                survey.refuse(table, &column, why.clone(), || {
                    row.into_iter().next().flatten().unwrap_or_default()
                });
            }
        }
    }
    Ok(())
}

/// After which number a table's sequence goes on. A number that was given and not used counts.
pub(super) async fn sequence(session: &mut Session, table: &Table, column: &str) -> Result<i64, MoveError> {
    let name = quoted(&table.name);
    // Without privileges on the sequence, or before its first number, there is no `last_value`.
    let sql = format!(
        "SELECT CAST(greatest(coalesce((SELECT last_value FROM pg_sequences \
         WHERE format('%I.%I', schemaname, sequencename)::regclass = pg_get_serial_sequence({of}, {literal})::regclass), 0), \
         coalesce((SELECT max({column}) FROM {name}), 0), 0) AS text)",
        of = literal(&name),
        literal = literal(column),
        column = quoted(column),
    );
    let text = session.text(&sql, &[]).await.map_err(failed(Side::Source))?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// Sends a table's rows as they come.
pub(super) async fn send(session: &mut Session, table: &Table, pieces: &Sender<Piece>) -> Result<(), MoveError> {
    let sql = format!(
        "COPY {} ({}) TO STDOUT (FORMAT binary)",
        quoted(&table.name),
        table.list()
    );
    let mut chunks = connection(session)?
        .copy_out_raw(&sql)
        .await
        .map_err(failed(Side::Source))?;
    let mut together = Vec::with_capacity(CHUNK + CHUNK / 8);
    while let Some(chunk) = chunks.try_next().await.map_err(failed(Side::Source))? {
        together.extend_from_slice(&chunk);
        if together.len() >= CHUNK {
            let full = std::mem::replace(&mut together, Vec::with_capacity(CHUNK + CHUNK / 8));
            // Nobody there: whoever has gone says why.
            if pieces.send(Piece::Rows(full)).await.is_err() {
                return Ok(());
            }
        }
    }
    drop(pieces.send(Piece::Rows(together)).await);
    Ok(())
}

/// What upper case is in lower case, as the target has it.
pub(super) async fn lowered(session: &mut Session, names: &[(String, String)]) -> Result<Vec<String>, MoveError> {
    let mut lowered = Vec::new();
    for (_, name) in names {
        let text = session
            .text("SELECT lower($1)", &[name])
            .await
            .map_err(failed(Side::Target))?;
        lowered.push(text.unwrap_or_default());
    }
    Ok(lowered)
}

/// Begins the transaction of the target: nobody else writes to its tables, and they are still empty.
pub(super) async fn begin(session: &mut Session, tables: &[Table]) -> Result<(), MoveError> {
    let failed = failed(Side::Target);
    session
        .execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        .await
        .map_err(&failed)?;
    session.execute(IN_PEACE).await.map_err(&failed)?;
    let names: Vec<String> = tables.iter().map(|table| quoted(&table.name)).collect();
    let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", names.join(", "));
    session.execute(&lock).await.map_err(|e| {
        if error::is_timeout(&e) {
            MoveError::TargetBusy("other sessions write to its tables".to_owned())
        } else {
            failed(e)
        }
    })?;
    let rows = occupied(session, tables).await.map_err(&failed)?;
    if !rows.is_empty() {
        return Err(MoveError::NotEmpty(rows));
    }
    for name in FILLED_BY_MIGRATIONS {
        session
            .execute(&format!("DELETE FROM {}", quoted(name)))
            .await
            .map_err(&failed)?;
    }
    Ok(())
}

/// Tables with rows, those apart into which migrations write.
pub(super) async fn occupied(session: &mut Session, tables: &[Table]) -> Result<Vec<String>, sqlx::Error> {
    let questions: Vec<String> = tables
        .iter()
        .filter(|table| !FILLED_BY_MIGRATIONS.contains(&table.name.as_str()))
        .map(|table| {
            format!(
                "SELECT {} AS name WHERE EXISTS (SELECT 1 FROM {})",
                literal(&table.name),
                quoted(&table.name)
            )
        })
        .collect();
    let rows = session.rows(&questions.join(" UNION ALL "), &[]).await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// Whether a table of the source has other versions of rows now than in the snapshot, which keeps each version that it sees from being
/// cleaned away. No value is looked at.
pub(super) async fn is_written(snapshot: &mut Session, now: &mut Session, tables: &[Table]) -> Result<bool, MoveError> {
    let failed = failed(Side::Source);
    begin_snapshot(now).await?;
    // Nobody has committed anything on the whole server: the usual case.
    let moment = "SELECT CAST(pg_current_snapshot() AS text)";
    if snapshot.text(moment, &[]).await.map_err(&failed)? == now.text(moment, &[]).await.map_err(&failed)? {
        return Ok(false);
    }
    for table in tables {
        let versions = format!(
            "SELECT concat_ws(' ', count(*), sum(hashtextextended(concat_ws(' ', ctid, xmin), 0))) FROM {}",
            quoted(&table.name)
        );
        let before = snapshot.text(&versions, &[]).await.map_err(&failed)?;
        if now.text(&versions, &[]).await.map_err(&failed)? != before {
            return Ok(true);
        }
    }
    Ok(false)
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Takes a table's rows.
pub(super) async fn copy(
    session: &mut Session,
    table: &Table,
    chunks: &mut Receiver<Vec<u8>>,
) -> Result<(), MoveError> {
    let refused = |e: sqlx::Error| {
        if error::is_refusal(&e) {
            MoveError::Refused {
                table: table.name.clone(),
                cause: error::words(&e),
            }
        } else {
            failed(Side::Target)(e)
        }
    };
    let sql = format!(
        "COPY {} ({}) FROM STDIN (FORMAT binary)",
        quoted(&table.name),
        table.list()
    );
    let mut copy = connection(session)?.copy_in_raw(&sql).await.map_err(&refused)?;
    while let Some(chunk) = chunks.recv().await {
        copy.send(chunk).await.map_err(&refused)?;
    }
    copy.finish().await.map_err(&refused).map(drop)
}

/// The next number is one that nobody had.
pub(super) async fn set_sequence(
    session: &mut Session,
    table: &str,
    column: &str,
    number: i64,
) -> Result<(), MoveError> {
    // One that has given no number yet begins with 1.
    let sql = format!(
        "SELECT setval(pg_get_serial_sequence({}, {}), greatest({number}, 1), {})",
        literal(&quoted(table)),
        literal(column),
        number > 0
    );
    session.execute(&sql).await.map_err(failed(Side::Target))
}
