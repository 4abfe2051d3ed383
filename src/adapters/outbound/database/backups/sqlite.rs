//! Backups of SQLite: the online backup API, of one moment, while others write.
//!
//! The pages are copied by the very connection whose read transaction the rows are counted in: in write-ahead mode that is a
//! snapshot that nobody waits for. (In another mode writers wait until the copy is done: a lock is the only snapshot there.)
//! A restored file is a copy under another name until it is known to be what it should be; then it takes the target's name.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use dlc_application::{
    operations::{
        backups::{Contents, TableContents},
        books::{self, Books},
    },
    ports::{
        backups::{BackupError, Observer, RestoreRequest, Target},
        connection::ConnectFailure,
        inspection::Engine,
    },
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    backup::{Backup, StepResult},
    config::DbConfig,
    types::ValueRef,
};
use sha2::{Digest, Sha256};

use super::files::{self, Part};
use crate::{
    error,
    options::{companion, directory_of, log_left_beside},
    schema::history::OWN_TABLES,
    url::DatabaseUrl,
};

/// Pages that are copied between two looks at whether to go on.
const PAGES_AT_ONCE: i32 = 1_000;
/// Rows that are counted between two of them.
const ROWS_AT_ONCE: u64 = 10_000;
/// How long a lock of somebody else's is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Steps of a copy that find the source locked, one after the other.
const MOST_BUSY_STEPS: u32 = 100;

/// What stays as it is in the path of a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// The library's version.
pub(super) fn version() -> &'static str {
    rusqlite::version()
}

/// Copies a database into a file that is there and empty, and tells what is in it, of the same moment.
pub(super) fn copy(
    url: &DatabaseUrl,
    source: &Path,
    part: &Path,
    observer: &Observer,
) -> Result<(DateTime<Utc>, Contents), BackupError> {
    let failed = |error: rusqlite::Error| of_database(&error, url);
    let source = open(source).map_err(failed)?;
    // The first read of a transaction is the moment that all the others see.
    source
        .execute_batch("PRAGMA query_only = on; BEGIN; SELECT count(*) FROM sqlite_schema")
        .and_then(|()| source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))
        .map_err(failed)?;
    let at = Utc::now();
    copy_pages(&source, part, observer)?;
    let contents = contents(&source, observer, failed)?;
    source.execute_batch("ROLLBACK").map_err(failed)?;
    Ok((at, contents))
}

fn copy_pages(source: &Connection, part: &Path, observer: &Observer) -> Result<(), BackupError> {
    let failed = |error: rusqlite::Error| of_file(&error, part);
    let mut target = Connection::open_with_flags(part, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    // Whoever is interrupted leaves nothing that could be rolled back, and whoever is not puts it on the disk at the end.
    target
        .execute_batch("PRAGMA journal_mode = off; PRAGMA synchronous = off")
        .map_err(failed)?;
    let backup = Backup::new(source, &mut target).map_err(failed)?;
    let mut busy = 0;
    loop {
        if observer.is_stopped() {
            return Err(BackupError::Stopped);
        }
        match backup.step(PAGES_AT_ONCE).map_err(failed)? {
            StepResult::Done => break,
            StepResult::Busy | StepResult::Locked if busy < MOST_BUSY_STEPS => {
                busy += 1;
                std::thread::sleep(Duration::from_millis(100));
            }
            StepResult::More => busy = 0,
            _ => {
                return Err(BackupError::File {
                    what: "cannot write the file",
                    path: part.to_path_buf(),
                    cause: "the database is locked".to_owned(),
                });
            }
        }
        let progress = backup.progress();
        let pages = |number: i32| u64::try_from(number).unwrap_or_default();
        let done = progress.pagecount - progress.remaining;
        observer.observe("copying pages", pages(done), Some(pages(progress.pagecount)));
    }
    drop(backup);
    target.close().map_err(|(_, error)| failed(error))
}

/// Opens for writing, because a reader needs the files beside a database in write-ahead mode, and may have to make them.
fn open(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Opens a file that nobody writes to, and leaves nothing beside it.
fn open_still(path: &Path) -> Result<Connection, rusqlite::Error> {
    // Byte by byte: a name need not be UTF-8.
    let path = percent_encode(path.as_os_str().as_bytes(), PATH).to_string();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
}

fn contents(
    database: &Connection,
    observer: &Observer,
    failed: impl Fn(rusqlite::Error) -> BackupError,
) -> Result<Contents, BackupError> {
    // Virtual tables are views of others, which are here.
    let names = texts(
        database,
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow') \
           AND (name NOT LIKE 'sqlite\\_%' ESCAPE '\\' OR name = 'sqlite_sequence') ORDER BY name",
    )
    .map_err(&failed)?;
    let mut found = Contents::default();
    for name in names.into_iter().filter_map(|mut row| row.pop().flatten()) {
        let table = table(database, &name, observer, &failed)?;
        found.tables.insert(name, table);
    }
    let is_there = |name: &str| found.tables.contains_key(name);
    if is_there("coupons") && is_there("claims") {
        let rows = texts(database, books::question(Engine::Sqlite, false)).map_err(&failed)?;
        found.books = Books::read(&rows);
    }
    if is_there(OWN_TABLES[0]) {
        let sql = format!("SELECT version FROM {} ORDER BY version", OWN_TABLES[0]);
        let rows = texts(database, &sql).map_err(&failed)?;
        found.migrations = rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect();
    }
    Ok(found)
}

/// Each row's SHA-256 is a number, and the rows' numbers are added: the order is nobody's business.
fn table(
    database: &Connection,
    name: &str,
    observer: &Observer,
    failed: impl Fn(rusqlite::Error) -> BackupError,
) -> Result<TableContents, BackupError> {
    // The table itself, whatever an index says of it.
    let sql = format!("SELECT * FROM \"{}\" NOT INDEXED", name.replace('"', "\"\""));
    let mut statement = database.prepare(&sql).map_err(&failed)?;
    let columns = statement.column_count();
    let mut rows = statement.query([]).map_err(&failed)?;
    let (mut count, mut sum) = (0_u64, 0_u128);
    while let Some(row) = rows.next().map_err(&failed)? {
        let mut hash = Sha256::new();
        for column in 0..columns {
            let (kind, bytes): (u8, &[u8]) = match row.get_ref(column).map_err(&failed)? {
                ValueRef::Null => (0, &[]),
                ValueRef::Integer(number) => (1, &number.to_be_bytes()),
                ValueRef::Real(number) => (2, &number.to_bits().to_be_bytes()),
                ValueRef::Text(text) => (3, text),
                ValueRef::Blob(blob) => (4, blob),
            };
            hash.update([kind]);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        let mut number = [0; 16];
        number.copy_from_slice(&hash.finalize()[..16]);
        sum = sum.wrapping_add(u128::from_be_bytes(number));
        count += 1;
        if count.is_multiple_of(ROWS_AT_ONCE) {
            if observer.is_stopped() {
                return Err(BackupError::Stopped);
            }
            observer.observe("counting rows", count, None);
        }
    }
    Ok(TableContents {
        rows: count,
        hash: format!("{sum:032x}"),
    })
}

/// A question whose columns are read as texts, whatever they are.
fn texts(database: &Connection, sql: &str) -> Result<Vec<Vec<Option<String>>>, rusqlite::Error> {
    let mut statement = database.prepare(sql)?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        (0..columns)
            .map(|column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Null => None,
                    ValueRef::Integer(number) => Some(number.to_string()),
                    ValueRef::Real(number) => Some(number.to_string()),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
                })
            })
            .collect()
    })?;
    rows.collect()
}

/// Copies a backup beside `place`, and tells what is in the copy.
pub(super) fn restore_beside(file: &Path, place: &Path, observer: &Observer) -> Result<(Part, Contents), BackupError> {
    let mut part = Part::begin(place)?;
    files::copy(file, &mut part, observer)?;
    let broken = |error: rusqlite::Error| BackupError::Broken(words(&error));
    let copy = open_still(&part.path).map_err(broken)?;
    observer.observe("checking the copy", 0, None);
    let integrity = texts(&copy, "PRAGMA integrity_check(1)").map_err(broken)?;
    match integrity.first().and_then(|row| row.first()).and_then(Option::as_deref) {
        Some("ok") => {}
        other => {
            return Err(BackupError::Broken(
                other.unwrap_or("integrity_check says nothing").to_owned(),
            ));
        }
    }
    let found = contents(&copy, observer, broken)?;
    Ok((part, found))
}

/// What there is in the place of a target.
pub(super) fn look(url: &DatabaseUrl, request: &RestoreRequest) -> Result<Target, BackupError> {
    let path = file_of(url)?;
    let directory = directory_of(path);
    if !directory.is_dir() {
        let cause = format!("the directory {} does not exist", directory.display());
        return Err(error::failed(ConnectFailure::FileMissing, cause, url).into());
    }
    let same = |one: &Path, other: &Path| fs::canonicalize(one).ok().zip(fs::canonicalize(other).ok());
    if same(path, &request.file).is_some_and(|(one, other)| one == other) {
        return Err(BackupError::InUse {
            target: url.redacted().to_owned(),
            by: "it is the backup itself".to_owned(),
        });
    }
    let occupied = match fs::metadata(path) {
        Err(_) => left_beside(path),
        Ok(found) if found.len() == 0 => left_beside(path),
        Ok(_) => tables(path, url, request.replace)?,
    };
    if request.replace && is_there(path) {
        drop(alone(path, url)?);
    }
    // As whoever asks for it calls it, be that a link.
    let named = Path::new(url.redacted());
    let name = named.file_name().unwrap_or(path.as_os_str());
    Ok(Target {
        shown: url.redacted().to_owned(),
        name: name.to_string_lossy().into_owned(),
        occupied,
    })
}

/// Whether there is more than nothing.
fn is_there(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

fn left_beside(path: &Path) -> Option<String> {
    log_left_beside(path).map(|log| format!("{} is there, the log of a database that is not", log.display()))
}

/// The tables of a file, in words; a look that leaves nothing.
fn tables(path: &Path, url: &DatabaseUrl, replace: bool) -> Result<Option<String>, BackupError> {
    let sql =
        "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND type <> 'index' ORDER BY name";
    // Somebody may be writing to it: then there is a log, and it is no still file.
    let opened = if crate::options::is_closed(path) {
        open_still(path)
    } else {
        open(path)
    };
    match opened.and_then(|database| texts(&database, sql)) {
        Ok(rows) => {
            let names: Vec<String> = rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect();
            Ok(super::in_words(&names))
        }
        // Whatever it is, it is something; and what is broken is what somebody may want to replace.
        Err(e) if replace && is_broken(&e) => Ok(Some(words(&e))),
        Err(e) => Err(of_database(&e, url)),
    }
}

/// A file of which nobody else has opened anything, for as long as this lives.
struct Alone(Option<Connection>);

/// Takes the lock that every other connection stands in the way of, and keeps it. Nothing is written.
fn alone(path: &Path, url: &DatabaseUrl) -> Result<Alone, BackupError> {
    let locked = || {
        let connection = open(path)?;
        connection.busy_timeout(Duration::from_millis(200))?;
        connection.query_row("PRAGMA locking_mode = exclusive", [], |_| Ok(()))?;
        connection.execute_batch("BEGIN EXCLUSIVE; COMMIT")?;
        Ok(connection)
    };
    match locked() {
        Ok(connection) => Ok(Alone(Some(connection))),
        Err(e) if is_broken(&e) => Ok(Alone(None)),
        Err(e)
            if matches!(
                e.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            ) =>
        {
            Err(BackupError::InUse {
                target: url.redacted().to_owned(),
                by: "another process has it open".to_owned(),
            })
        }
        Err(e) => Err(of_database(&e, url)),
    }
}

/// Copies a backup beside a target, and tells what is in the copy.
pub(super) fn restore_copy(
    url: &DatabaseUrl,
    request: &RestoreRequest,
    observer: &Observer,
) -> Result<(Part, Contents), BackupError> {
    restore_beside(&request.file, &companion(file_of(url)?, ".restoring"), observer)
}

/// Gives a copy the target's name, which is what it was until that moment.
pub(super) fn take_its_place(url: &DatabaseUrl, request: &RestoreRequest, part: Part) -> Result<(), BackupError> {
    let path = file_of(url)?;
    files::take_after(path, &part)?;
    // What came into being meanwhile is something, too.
    let Target { occupied, .. } = look(url, request)?;
    if let (Some(contents), false) = (occupied, request.replace) {
        return Err(BackupError::NotEmpty {
            target: url.redacted().to_owned(),
            contents,
        });
    }
    if !request.replace && !path.exists() {
        return part.finish(path, false);
    }
    let held = if is_there(path) { alone(path, url)?.0 } else { None };
    if let Some(held) = &held {
        let failed = |error: rusqlite::Error| of_database(&error, url);
        // Its log goes into the file that is replaced; and a connection that says goodbye later must not remove that of another.
        held.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(failed)?;
        held.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(failed)?;
    }
    for suffix in ["-wal", "-shm", "-journal"] {
        let log = companion(path, suffix);
        if log.exists() {
            fs::remove_file(&log).map_err(|e| files::failed("cannot remove the file", &log, &e))?;
        }
    }
    part.finish(path, true)
}

/// Notes a backup in its source; `Ok(false)`: there is nothing to be noted.
pub(super) fn note(path: &Path, sql: &str, values: &[&str]) -> Result<bool, String> {
    let note = || {
        let connection = open(path)?;
        let changed = connection.execute(sql, rusqlite::params_from_iter(values))?;
        Ok(changed > 0)
    };
    note().map_err(|error: rusqlite::Error| words(&error))
}

fn file_of(url: &DatabaseUrl) -> Result<&Path, BackupError> {
    url.file()
        .map(PathBuf::as_path)
        .ok_or_else(|| error::failed(ConnectFailure::InvalidUrl, "not a SQLite URL", url).into())
}

fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}

fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    )
}

/// An error of the file that is written.
fn of_file(error: &rusqlite::Error, path: &Path) -> BackupError {
    let (path, cause) = (path.to_path_buf(), words(error));
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => BackupError::Full { path, cause },
        _ => BackupError::File {
            what: "cannot write the file",
            path,
            cause,
        },
    }
}

/// An error of a database.
fn of_database(error: &rusqlite::Error, url: &DatabaseUrl) -> BackupError {
    let failure = match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) if url.file().is_some_and(|path| !path.exists()) => ConnectFailure::FileMissing,
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            ConnectFailure::FilePermission
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => ConnectFailure::NotADatabase,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ConnectFailure::TimedOut,
        _ => ConnectFailure::Other,
    };
    let cause = match failure {
        ConnectFailure::FileMissing => "the file does not exist".to_owned(),
        _ => words(error),
    };
    if failure == ConnectFailure::Other {
        return BackupError::Database {
            target: url.redacted().to_owned(),
            cause,
            failure,
        };
    }
    error::failed(failure, cause, url).into()
}
