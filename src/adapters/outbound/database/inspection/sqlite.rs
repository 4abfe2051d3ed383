//! Facts about a SQLite file. Looking leaves nothing behind: no companion file, no lock that a writer would wait for.

use std::{
    fs,
    io::Read,
    path::Path,
    time::{Duration, Instant},
};

use dlc_application::{
    operations::migrate::Known,
    ports::{
        connection::ConnectError,
        inspection::{Facts, SqliteContent, SqliteFacts, Timed},
    },
};
use rustix::fs::Access;
use sqlx::{Row, SqlitePool};

use super::timed;
use crate::{
    connection::{DatabaseOptions, companion, directory_of, is_closed, read_only_options},
    error,
    session::Session,
    writer,
};

/// The journal mode in the file's header (byte 18; 2 is write-ahead): an immutable connection would always say `delete`.
fn journal_mode_of_closed(path: &Path) -> Option<String> {
    let mut header = [0_u8; 19];
    fs::File::open(path).ok()?.read_exact(&mut header).ok()?;
    Some(if header[18] == 2 { "wal" } else { "delete" }.to_owned())
}

/// `look_at_locks`: only where this process has not opened the file, see [`writer::of`].
pub(super) async fn inspect(
    options: &DatabaseOptions,
    mut facts: Facts,
    known: &[Known],
    limit: Duration,
    look_at_locks: bool,
) -> Facts {
    let started = Instant::now();
    let Some(path) = options.url.file() else { return facts };
    let mut file = outside(path);
    file.writer = if look_at_locks { Some(writer::of(path)) } else { None };
    if file.size.is_none() {
        facts.sqlite = Some(file);
        return facts;
    }
    let closed_mode = if is_closed(path) {
        journal_mode_of_closed(path)
    } else {
        None
    };
    let deep = facts.options.deep;
    let opened = timed(options.sqlite_pool(read_only_options(path), 1)).await;
    let is_open = match opened.value {
        Err(e) => {
            file.content = Some(Timed {
                value: Err(e),
                took: opened.took,
            });
            false
        }
        Ok(pool) => {
            file.content = Some(timed(content(options, &pool, closed_mode, deep)).await);
            pool.close().await;
            file.content.as_ref().is_some_and(|content| content.value.is_ok())
        }
    };
    facts.sqlite = Some(file);
    if is_open && let Ok(mut session) = Session::sqlite(options, read_only_options(path)).await {
        let left = limit.saturating_sub(started.elapsed());
        super::ask(&mut session, &mut facts, known, left).await;
        session.close().await;
    }
    facts
}

/// What can be told without opening the database.
fn outside(path: &Path) -> SqliteFacts {
    let directory = directory_of(path);
    let writable = |path: &Path| rustix::fs::access(path, Access::WRITE_OK).is_ok();
    SqliteFacts {
        path: path.display().to_string(),
        size: fs::metadata(path).ok().map(|metadata| metadata.len()),
        wal_size: fs::metadata(companion(path, "-wal"))
            .ok()
            .map(|metadata| metadata.len()),
        file_writable: writable(path),
        directory_exists: directory.is_dir(),
        directory_writable: writable(directory),
        network_file_system: network_file_system(directory),
        space: rustix::fs::statvfs(directory)
            .ok()
            .map(|space| (space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize)),
        writer: None,
        content: None,
    }
}

/// Names of file systems on which several hosts can have one file open, by the kernel's magic numbers (statfs(2)).
fn network_file_system(directory: &Path) -> Option<String> {
    let kind = rustix::fs::statfs(directory).ok()?.f_type;
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless)] // the field's width differs between targets
    let name = match kind as u64 & 0xffff_ffff {
        0x6969 => "nfs",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "smb",
        0x0102_1997 => "9p",
        0x5346_414f => "afs",
        0x00c3_6400 => "ceph",
        0x0116_1970 => "gfs2",
        0x7461_636f => "ocfs2",
        _ => return None,
    };
    Some(name.to_owned())
}

async fn content(
    options: &DatabaseOptions,
    pool: &SqlitePool,
    closed_mode: Option<String>,
    deep: bool,
) -> Result<SqliteContent, ConnectError> {
    let look = async {
        let text =
            |sql: &'static str| async move { Ok::<_, sqlx::Error>(sqlx::query(sql).fetch_one(pool).await?.get(0)) };
        let id: i32 = sqlx::query("PRAGMA application_id").fetch_one(pool).await?.get(0);
        let check = if deep {
            "PRAGMA integrity_check(10)"
        } else {
            "PRAGMA quick_check(10)"
        };
        let quick_check: Vec<String> = sqlx::query(check)
            .fetch_all(pool)
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        let orphans = sqlx::query("PRAGMA foreign_key_check").fetch_all(pool).await?;
        Ok::<_, sqlx::Error>(SqliteContent {
            library_version: text("SELECT sqlite_version()").await?,
            application_id: id,
            journal_mode: match closed_mode {
                Some(mode) => mode,
                None => text("PRAGMA journal_mode").await?,
            },
            quick_check: quick_check.into_iter().filter(|line| line != "ok").collect(),
            foreign_key_violations: orphans
                .iter()
                .take(10)
                .map(|row| {
                    let rowid: Option<i64> = row.get(1);
                    let rowid = rowid.map_or_else(String::new, |id| format!(" row {id}"));
                    format!(
                        "{}{rowid} refers to a missing {}",
                        row.get::<String, _>(0),
                        row.get::<String, _>(2)
                    )
                })
                .collect(),
        })
    };
    look.await.map_err(|e| error::connect(&e, &options.url))
}
