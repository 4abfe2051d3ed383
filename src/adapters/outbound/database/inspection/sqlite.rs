//! Facts about a SQLite file. Looking leaves nothing behind: no companion file, no lock that a writer would wait for.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use dlc_application::{
    operations::check::catalogue::sqlite::LONG_WRITE,
    ports::{
        connection::ConnectFailure,
        inspection::{Facts, SqliteContent, SqliteFacts, Timed, Writer},
    },
};
use rustix::fs::Access;

use super::{Round, timed};
use crate::{
    error,
    options::{companion, directory_of, is_closed, read_only_options},
    session::Session,
    writer,
};

/// Longest wait for another process's lock.
const PATIENCE: Duration = Duration::from_millis(500);

/// `look_at_locks`: only where this process has not opened the file, see [`writer::of`].
pub(super) async fn inspect(round: &Round<'_>, mut facts: Facts, look_at_locks: bool) -> Facts {
    let options = round.options;
    let Some(path) = options.url.file() else { return facts };
    let mut file = outside(path);
    // The one of dlc's own choice is made with the file.
    file.directory_exists |= options.create_directory;
    if let Err(error) = options.file_exists()
        && file.size.is_none()
    {
        file.directory_exists = true;
        file.content = Some(Timed {
            value: Err(error),
            took: Duration::ZERO,
        });
    }
    if !file.is_file {
        facts.sqlite = Some(file);
        return facts;
    }
    file.writer = if look_at_locks {
        Some(watched_writer(path).await)
    } else {
        None
    };
    if file.left_log {
        facts.sqlite = Some(file);
        return facts;
    }
    // An immutable connection would always say `delete`.
    let closed_mode = is_closed(path).then(|| "wal".to_owned());
    let limit = round.left();
    let opening = async {
        let options_of_look = read_only_options(path).busy_timeout(PATIENCE);
        let mut session = Session::sqlite(options, options_of_look).await?;
        let content = content(&mut session, closed_mode).await;
        Ok((session, content.map_err(|e| error::connect(&e, &options.url))?))
    };
    let opened = timed(tokio::time::timeout(limit, opening)).await;
    let (session, content) = match opened.value {
        Ok(Ok((session, content))) => (Some(session), Ok(content)),
        Ok(Err(error)) => (None, Err(error)),
        Err(_) => {
            let failure = ConnectFailure::TimedOut;
            (
                None,
                Err(error::failed(failure, super::late(limit).words, &options.url)),
            )
        }
    };
    file.content = Some(Timed {
        value: content,
        took: opened.took,
    });
    facts.sqlite = Some(file);
    if let Some(mut session) = session {
        if super::read_history(&mut session, &mut facts, round).await {
            super::ask(std::iter::once(&mut session), &mut facts, round).await;
        }
        super::close(session).await;
    }
    facts
}

/// Who holds the writer lock and does not let go: a commit that is just under way is nobody's trouble.
async fn watched_writer(path: &Path) -> Option<Writer> {
    let started = Instant::now();
    let pid = writer::of(path)?;
    let mut held = Duration::ZERO;
    while held < LONG_WRITE {
        tokio::time::sleep(LONG_WRITE / 10).await;
        if writer::of(path) != Some(pid) {
            break;
        }
        held = started.elapsed();
    }
    Some(Writer { pid, held })
}

/// What can be told without opening the database.
pub(super) fn outside(path: &Path) -> SqliteFacts {
    let directory = directory_of(path);
    let writable = |path: &Path| rustix::fs::access(path, Access::WRITE_OK).is_ok();
    SqliteFacts {
        path: path.display().to_string(),
        size: fs::metadata(path).ok().map(|metadata| metadata.len()),
        names: fs::metadata(path).map_or(0, |metadata| metadata.nlink()),
        is_file: fs::metadata(path).is_ok_and(|metadata| metadata.is_file()),
        // Whoever has the file open has both; looking with the log alone would make the other one.
        left_log: companion(path, "-wal").exists() && !companion(path, "-shm").exists(),
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

pub(super) async fn content(session: &mut Session, closed_mode: Option<String>) -> Result<SqliteContent, sqlx::Error> {
    let mut pragma = async |sql| Ok::<_, sqlx::Error>(session.text(sql, &[]).await?.unwrap_or_default());
    let library_version = pragma("SELECT sqlite_version()").await?;
    let foreign_keys = pragma("PRAGMA foreign_keys").await?;
    let busy_timeout = pragma("PRAGMA busy_timeout").await?;
    let application_id = pragma("PRAGMA application_id").await?;
    let journal_mode = match closed_mode {
        Some(mode) => mode,
        None => pragma("PRAGMA journal_mode").await?,
    };
    Ok(SqliteContent {
        library_version,
        application_id: application_id.parse().unwrap_or_default(),
        journal_mode,
        foreign_keys: foreign_keys == "1",
        waits: busy_timeout.parse().is_ok_and(|ms: u64| ms > 0),
    })
}
