//! SQLite's side, on a thread of its own: a snapshot that is read, and a file that is filled in one transaction.
//!
//! Not here: what a value may be (`tuple`), which threads there are (`mod`).

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use dlc_application::{
    operations::moving::{MoveError, MovePhase, Side, Tally, differing},
    ports::moving::MoveObserver,
};
use rusqlite::{
    Connection, OpenFlags, Statement,
    types::{ToSqlOutput, ValueRef},
};
use tokio::sync::mpsc::{Receiver, Sender};

use super::{
    questions::{Question, questions},
    structure::{FILLED_BY_MIGRATIONS, Kind, Table, quoted},
    survey::{Meter, Survey},
    times,
    tuple::{self, Cutter, Fields, Form},
};
use crate::{
    error,
    options::{directory_of, is_closed},
};

/// How much goes to the other side at a time.
pub(super) const CHUNK: usize = 256 * 1024;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

fn failed(side: Side) -> impl Fn(rusqlite::Error) -> MoveError {
    move |e| {
        let (failure, cause) = error::of_sqlite(&e);
        MoveError::Failed { side, failure, cause }
    }
}

/// Opens a file to be read in one snapshot, which lasts until [`end_snapshot`].
///
/// A closed file in write-ahead mode is opened for writing where that is possible, and then nothing is written: SQLite's companions
/// of the file go with the last connection that might write, and stay behind one that may not. Nor is it taken for immutable, as
/// the doctor may do: somebody may begin to write in the meantime.
pub(super) fn open_snapshot(path: &Path) -> Result<Connection, MoveError> {
    use rustix::fs::{Access, access};
    let closed = is_closed(path);
    let writable = access(path, Access::WRITE_OK).is_ok() && access(directory_of(path), Access::WRITE_OK).is_ok();
    let open = || {
        let connection = match (closed, writable) {
            (true, true) => Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE),
            (true, false) => {
                let text: String = url::form_urlencoded::byte_serialize(path.as_os_str().as_encoded_bytes())
                    .collect::<String>()
                    .replace('+', "%20");
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
                Connection::open_with_flags(format!("file:{text}?immutable=1"), flags)
            }
            (false, _) => Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY),
        }?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA mmap_size = 268435456; BEGIN")?;
        // The snapshot begins with the first read.
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        Ok(connection)
    };
    open().map_err(failed(Side::Source))
}

/// A number that changes when another connection writes.
pub(super) fn version(connection: &Connection) -> Result<i64, MoveError> {
    connection
        .pragma_query_value(None, "data_version", |row| row.get(0))
        .map_err(failed(Side::Source))
}

pub(super) fn end_snapshot(connection: &Connection) -> Result<(), MoveError> {
    connection.execute_batch("COMMIT").map_err(failed(Side::Source))
}

fn select<'c>(connection: &'c Connection, table: &Table) -> rusqlite::Result<Statement<'c>> {
    connection.prepare(&format!(
        "SELECT {} FROM {} NOT INDEXED",
        table.list(),
        quoted(&table.name)
    ))
}

fn key_of_row(table: &Table, row: &rusqlite::Row<'_>) -> String {
    let told = |place: &usize| {
        row.get_ref(*place)
            .map_or_else(|_| "?".to_owned(), tuple::key_of_sqlite)
    };
    table.key.iter().map(told).collect::<Vec<_>>().join(", ")
}

/// Reads all rows, adds them up, and says what is wrong with their values.
fn read_all(connection: &Connection, tables: &[Table], survey: &mut Survey) -> rusqlite::Result<()> {
    let mut tuple = Vec::new();
    for table in tables {
        survey.begin(table);
        let mut statement = select(connection, table)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            tuple.clear();
            tuple::begin(table, &mut tuple);
            for (place, column) in table.columns.iter().enumerate() {
                if let Err(why) = tuple::encode(column, row.get_ref(place)?, Form::Canonical, &mut tuple) {
                    survey.refuse(table, &column.name, why, || key_of_row(table, row));
                }
            }
            survey.row(&tuple);
        }
    }
    Ok(())
}

/// Everything that can be said of the source before anything is copied.
pub(super) fn survey(connection: &Connection, tables: &[Table], survey: &mut Survey) -> Result<(), MoveError> {
    let all = |survey: &mut Survey| {
        read_all(connection, tables, survey)?;
        for table in tables {
            for Question { column, why, sql } in questions(table) {
                // A condition in words that only PostgreSQL knows is left to it.
                let Ok(mut statement) = connection.prepare(&sql) else {
                    continue;
                };
                let mut rows = statement.raw_query();
                while let Some(row) = rows.next()? {
                    let columns = row.as_ref().column_count();
                    let told = |place| row.get_ref(place).map_or_else(|_| "?".to_owned(), tuple::key_of_sqlite);
                    survey.refuse(table, &column, why.clone(), || {
                        (0..columns).map(told).collect::<Vec<_>>().join(", ")
                    });
                }
            }
        }
        Ok(())
    };
    all(survey).map_err(failed(Side::Source))
}

/// Names that are unique without regard to case, of which SQLite knows that of ASCII alone: key and name.
pub(super) fn names_beyond_ascii(
    connection: &Connection,
    table: &Table,
    column: &str,
) -> Result<Vec<(String, String)>, MoveError> {
    let read = || {
        let name = quoted(column);
        // More bytes than characters.
        let mut statement = connection.prepare(&format!(
            "SELECT {name}, {} FROM {} c WHERE length({name}) <> length(CAST({name} AS blob))",
            table.key_list("c"),
            quoted(&table.name)
        ))?;
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            // What is no text, or has a NUL, was told of already.
            let ValueRef::Text(text) = row.get_ref(0)? else {
                continue;
            };
            let Ok(text) = std::str::from_utf8(text) else { continue };
            if !text.contains('\0') {
                let told = |place| row.get_ref(place).map_or_else(|_| "?".to_owned(), tuple::key_of_sqlite);
                let key: Vec<String> = (1..=table.key.len()).map(told).collect();
                found.push((key.join(", "), text.to_owned()));
            }
        }
        Ok(found)
    };
    read().map_err(failed(Side::Source))
}

/// Which of these names are another row's, too, when the target has put them into lower case.
pub(super) fn refuse_twins(
    connection: &Connection,
    (table, column): (&Table, &str),
    names: &[(String, String)],
    lowered: &[String],
    survey: &mut Survey,
) -> Result<(), MoveError> {
    let mut look = || {
        let mut statement = connection.prepare(&format!(
            "SELECT 1 FROM {} WHERE lower({name}) = ?1 AND {name} <> ?2",
            quoted(&table.name),
            name = quoted(column)
        ))?;
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for name in lowered {
            *seen.entry(name).or_default() += 1;
        }
        for ((key, name), lower) in names.iter().zip(lowered) {
            let again = seen.get(lower.as_str()).is_some_and(|count| *count > 1);
            if again || statement.exists([lower, name])? {
                let why = "is another row's too, by what the target takes for upper and lower case";
                survey.refuse(table, column, why, || key.clone());
            }
        }
        Ok(())
    };
    look().map_err(failed(Side::Source))
}

/// After which number a table's sequence goes on, those included whose rows were deleted.
pub(super) fn sequence(connection: &Connection, table: &Table, column: &str) -> Result<i64, MoveError> {
    let sql = format!(
        "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = ?1), 0), coalesce((SELECT max({}) FROM {}), 0), 0)",
        quoted(column),
        quoted(&table.name)
    );
    connection
        .query_row(&sql, [&table.name], |row| row.get(0))
        .map_err(failed(Side::Source))
}

/// Sends a table's rows, until nobody takes them any more.
pub(super) fn send(
    connection: &Connection,
    table: &Table,
    meter: &mut Meter,
    chunks: &Sender<Vec<u8>>,
) -> Result<(), MoveError> {
    let mut read = || {
        meter.begin(&table.name);
        let mut statement = select(connection, table)?;
        let mut rows = statement.raw_query();
        let mut chunk = tuple::HEADER.to_vec();
        while let Some(row) = rows.next()? {
            tuple::begin(table, &mut chunk);
            for (place, column) in table.columns.iter().enumerate() {
                // Each was looked at before, in this very snapshot. What would be wrong now would be missing in the sum.
                drop(tuple::encode(column, row.get_ref(place)?, Form::Wire, &mut chunk));
            }
            if chunk.len() >= CHUNK {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK + CHUNK / 8));
                if chunks.blocking_send(full).is_err() {
                    return Ok(());
                }
            }
            meter.row();
        }
        chunk.extend_from_slice(tuple::TRAILER);
        // Nobody there: whoever has gone says why.
        drop(chunks.blocking_send(chunk));
        Ok(())
    };
    read().map_err(failed(Side::Source))
}

/// What comes from the other side.
pub(super) enum Piece {
    /// The rows of the next table follow.
    Table,
    /// Some of them.
    Rows(Vec<u8>),
    /// Everything was sent. Without it nothing is kept.
    End,
}

/// A file to be filled.
pub(super) struct Target {
    /// Nobody sees it yet: it need not survive anything, but is looked at and written to disk before it is shown.
    pub(super) is_new: bool,
    pub(super) tables: Arc<Vec<Table>>,
    pub(super) sequences: Vec<(String, i64)>,
    pub(super) expected: Vec<Tally>,
}

/// Opens the file and begins the transaction, in which it is still empty.
pub(super) fn begin(path: &Path, target: &Target) -> Result<Connection, MoveError> {
    let open = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        if target.is_new {
            connection.execute_batch(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF",
            )?;
        }
        connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA cache_size = -131072; BEGIN IMMEDIATE")?;
        Ok(connection)
    };
    let connection = open().map_err(|e: rusqlite::Error| {
        if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) {
            MoveError::TargetBusy("another process writes to the file".to_owned())
        } else {
            failed(Side::Target)(e)
        }
    })?;
    let mut rows = Vec::new();
    for table in target
        .tables
        .iter()
        .filter(|table| !FILLED_BY_MIGRATIONS.contains(&table.name.as_str()))
    {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", quoted(&table.name));
        if connection
            .query_row(&sql, [], |row| row.get::<_, bool>(0))
            .map_err(failed(Side::Target))?
        {
            rows.push(table.name.clone());
        }
    }
    if rows.is_empty() {
        Ok(connection)
    } else {
        Err(MoveError::NotEmpty(rows))
    }
}

/// A field as SQLite keeps it.
fn bind(
    statement: &mut Statement<'_>,
    place: usize,
    kind: Kind,
    bytes: Option<&[u8]>,
    text: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    let value = match (kind, bytes) {
        (_, None) => ValueRef::Null,
        (Kind::Integer | Kind::BigInt, Some(bytes)) => ValueRef::Integer(tuple::read_i64(bytes).unwrap_or_default()),
        (Kind::Boolean, Some(bytes)) => ValueRef::Integer(i64::from(bytes == [1])),
        (Kind::Text(_), Some(bytes)) => ValueRef::Text(bytes),
        (Kind::Bytes, Some(bytes)) => ValueRef::Blob(bytes),
        (Kind::Json, Some(bytes)) => ValueRef::Text(tuple::json_text(bytes)),
        (Kind::Time, Some(bytes)) => {
            text.clear();
            // It was looked at before: it has a text.
            let written = tuple::read_i64(bytes).and_then(|at| times::write(at, text));
            written.map_or(ValueRef::Null, |()| ValueRef::Text(text))
        }
    };
    statement.raw_bind_parameter(place + 1, ToSqlOutput::Borrowed(value))
}

/// Takes all rows, sets the sequences, reads everything back, and commits when it is what the source has.
pub(super) fn fill(
    connection: Connection,
    target: &Target,
    mut pieces: Receiver<Piece>,
    observer: &Arc<dyn MoveObserver>,
) -> Result<Vec<Duration>, MoveError> {
    let failed = failed(Side::Target);
    let refused = |table: &Table, e: rusqlite::Error| match e.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => MoveError::Refused {
            table: table.name.clone(),
            cause: error::of_sqlite(&e).1,
        },
        _ => failed(e),
    };
    let of: u64 = target.expected.iter().map(|tally| tally.rows).sum();
    let mut meter = Meter::new(observer, MovePhase::Copy, Some(of));
    let mut took = Vec::new();
    let (mut tables, mut text) = (target.tables.iter(), Vec::new());
    let mut next = pieces.blocking_recv();
    while let Some(Piece::Table) = next {
        let Some(table) = tables.next() else { break };
        let began = std::time::Instant::now();
        meter.begin(&table.name);
        let name = quoted(&table.name);
        if FILLED_BY_MIGRATIONS.contains(&table.name.as_str()) {
            connection
                .execute(&format!("DELETE FROM {name}"), [])
                .map_err(|e| refused(table, e))?;
        }
        let marks = vec!["?"; table.columns.len()].join(", ");
        let sql = format!("INSERT INTO {name} ({}) VALUES ({marks})", table.list());
        let mut statement = connection.prepare(&sql).map_err(|e| refused(table, e))?;
        let mut cutter = Cutter::default();
        next = pieces.blocking_recv();
        while let Some(Piece::Rows(bytes)) = &next {
            cutter.feed(bytes);
            while let Some(tuple) = cutter.next() {
                let mut insert = || {
                    for (place, (column, field)) in table.columns.iter().zip(Fields::of(tuple)).enumerate() {
                        bind(&mut statement, place, column.kind, field, &mut text)?;
                    }
                    statement.raw_execute()
                };
                insert().map_err(|e| refused(table, e))?;
                meter.row();
            }
            next = pieces.blocking_recv();
        }
        if !cutter.is_complete() {
            return Err(interrupted());
        }
        took.push(began.elapsed());
    }
    if !matches!(next, Some(Piece::End)) {
        return Err(interrupted());
    }
    for (table, number) in &target.sequences {
        set_sequence(&connection, table, *number).map_err(&failed)?;
    }
    let mut survey = Survey::new(Meter::new(observer, MovePhase::Compare, Some(of)));
    read_all(&connection, &target.tables, &mut survey).map_err(&failed)?;
    let different = differing(&target.expected, &survey.tallies);
    if !different.is_empty() || survey.refusals.total > 0 {
        return Err(MoveError::Differs(different));
    }
    connection.execute_batch("COMMIT").map_err(&failed)?;
    if target.is_new {
        // As the migrations leave it, and as the service wants it.
        let back = "PRAGMA locking_mode = NORMAL; PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL; SELECT 1 FROM sqlite_master";
        connection.execute_batch(back).map_err(&failed)?;
    }
    connection.close().map_err(|(_, e)| failed(e))?;
    Ok(took)
}

/// A number that a sequence has reached is not reached again, whatever becomes of its row.
fn set_sequence(connection: &Connection, table: &str, number: i64) -> rusqlite::Result<()> {
    let set = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
    if connection.execute(set, rusqlite::params![table, number])? == 0 && number > 0 {
        connection.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)",
            rusqlite::params![table, number],
        )?;
    }
    Ok(())
}

/// The other side has gone, and says why.
fn interrupted() -> MoveError {
    MoveError::Failed {
        side: Side::Source,
        failure: dlc_application::ports::connection::ConnectFailure::Lost,
        cause: "the source was not read to its end".to_owned(),
    }
}
