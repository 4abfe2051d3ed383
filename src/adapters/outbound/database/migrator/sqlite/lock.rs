//! The migration lock on SQLite: an advisory lock of the operating system on a file beside the database, so that it goes
//! with the process that holds it. The file's text names the holder; it is gone when nobody migrates.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dlc_application::ports::{
    connection::ConnectFailure,
    migrations::{Holder, MigrateError},
};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::super::{Run, Wait};
use crate::{
    error::{self},
    options::companion,
};

/// How often the lock is tried.
const POLL: Duration = Duration::from_millis(50);
/// How often a holder gives a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(1);

fn path_of(database: &Path) -> PathBuf {
    companion(database, "-migrating")
}

/// What the file says of its holder.
struct Sign {
    who: String,
    since: u64,
    step: (usize, usize, String),
}

impl Sign {
    fn write(&self, mut file: &File) -> io::Result<()> {
        let (step, of, migration) = &self.step;
        let text = json!({
            "who": self.who, "since": self.since, "heartbeat": now(), "step": step, "of": of, "migration": migration,
        })
        .to_string();
        rustix::fs::ftruncate(file, 0)?;
        rustix::fs::seek(file, rustix::fs::SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Held as long as the file is open.
pub(crate) struct Lock {
    file: Arc<File>,
    path: PathBuf,
    sign: Arc<Mutex<Sign>>,
    heartbeat: JoinHandle<()>,
}

impl Lock {
    pub(super) async fn acquire(run: &Run<'_>, database: &Path) -> Result<Self, MigrateError> {
        let path = path_of(database);
        let mut wait = Wait::new(run.migrator.settings.lock_timeout, run.observer);
        let file = loop {
            if let Some(file) = try_lock(&path, database).map_err(|e| failed(&path, &e))? {
                break Arc::new(file);
            }
            if wait.wants_holder() {
                wait.report(read(&path).unwrap_or_else(|| Holder::unknown("a process that has just begun")))?;
            }
            wait.pause(POLL).await;
        };
        let sign = Arc::new(Mutex::new(Sign {
            who: run.migrator.options.application_name.clone(),
            since: now(),
            step: (0, 0, String::new()),
        }));
        let heartbeat = tokio::spawn(beat(Arc::clone(&file), Arc::clone(&sign)));
        Ok(Self {
            file,
            path,
            sign,
            heartbeat,
        })
    }

    pub(super) fn step(&self, step: usize, of: usize, name: &str) {
        let mut sign = self.sign.lock().unwrap_or_else(PoisonError::into_inner);
        sign.step = (step, of, name.to_owned());
        // The lock is what counts; its text is for people.
        drop(sign.write(&self.file));
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.heartbeat.abort();
        // While it is still locked: whoever has opened the file by now finds it gone once locked, and makes a new one.
        drop(fs::remove_file(&self.path));
    }
}

async fn beat(file: Arc<File>, sign: Arc<Mutex<Sign>>) {
    loop {
        drop(sign.lock().unwrap_or_else(PoisonError::into_inner).write(&file));
        tokio::time::sleep(HEARTBEAT).await;
    }
}

fn try_lock(path: &Path, database: &Path) -> io::Result<Option<File>> {
    let open = |write: bool| {
        // A link would lead the holder's name into somebody else's file.
        let flags = OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | if write {
                OFlags::RDWR | OFlags::CREATE
            } else {
                OFlags::RDONLY
            };
        rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))
            .map(File::from)
            .map_err(io::Error::from)
    };
    let file = match open(true) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            // Perhaps what another user's killed process has left: nobody holds it, and it can be removed.
            let left = open(false).map_err(|_| e)?;
            if rustix::fs::flock(&left, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Ok(None);
            }
            fs::remove_file(path)?;
            open(true)?
        }
        opened => opened?,
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(e) => return Err(e.into()),
    }
    // The file that was locked must still be the one of that name.
    let same = fs::metadata(path).is_ok_and(|found| file.metadata().is_ok_and(|own| own.ino() == found.ino()));
    if same && let Ok(owner) = fs::metadata(database) {
        // As SQLite does with its companions: whoever may write the database may take its lock. Only root can give a file
        // away, and nobody else needs to.
        drop(std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid())));
        drop(file.set_permissions(owner.permissions()));
    }
    Ok(same.then_some(file))
}

fn failed(path: &Path, error: &io::Error) -> MigrateError {
    let cause = format!("{} cannot be locked: {}", path.display(), error::io_words(error));
    match error.kind() {
        io::ErrorKind::PermissionDenied => MigrateError::Storage {
            failure: ConnectFailure::FilePermission,
            cause,
        },
        io::ErrorKind::ReadOnlyFilesystem => MigrateError::ReadOnly { cause },
        _ => MigrateError::Storage {
            failure: ConnectFailure::Other,
            cause,
        },
    }
}

/// Who holds the lock; `None` when it is free.
pub(in super::super) fn holder(database: &Path) -> Option<Holder> {
    let path = path_of(database);
    let file = File::open(&path).ok()?;
    // Asked by trying, for an instant: a file that a killed process left behind is held by nobody.
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    Some(read(&path).unwrap_or_else(|| Holder::unknown("a process that has just begun")))
}

fn read(path: &Path) -> Option<Holder> {
    let text: Value = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    let ago = |name: &str| {
        text[name]
            .as_u64()
            .map(|at| Duration::from_secs(now().saturating_sub(at)))
    };
    let number = |name: &str| usize::try_from(text[name].as_u64()?).ok();
    let migration = text["migration"].as_str().unwrap_or_default();
    Some(Holder {
        who: text["who"].as_str()?.to_owned(),
        held: ago("since"),
        step: match (number("step"), number("of")) {
            (Some(step), Some(of)) if !migration.is_empty() => Some((step, of, migration.to_owned())),
            _ => None,
        },
        silent: ago("heartbeat"),
    })
}
