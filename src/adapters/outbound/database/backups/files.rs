//! Files of backups: written under another name until they are whole, for nobody else to read; and what was left by runs that were
//! killed. Not here: what is in them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use dlc_application::ports::backups::{BackupError, Observer};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use sha2::{Digest, Sha256};

use crate::{
    error::io_words,
    options::{companion, directory_of},
};

/// What stands behind the name of a file that is not whole.
pub(super) const PART: &str = ".part";

/// How much is read at once.
const PIECE: usize = 1 << 20;

/// An error of a file in words.
pub(super) fn failed(what: &'static str, path: &Path, error: &io::Error) -> BackupError {
    let (path, cause) = (path.to_path_buf(), io_words(error));
    match error.kind() {
        // Also a limit of the process or of the file system for one file.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            BackupError::Full { path, cause }
        }
        _ => BackupError::File { what, path, cause },
    }
}

/// A file that is being written. Dropped before it is finished it is gone, with what SQLite keeps beside it.
///
/// A lock on it tells others that somebody is at work; the system takes the lock back from whoever is killed.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    file: File,
    is_finished: bool,
}

impl Part {
    /// Begins a file that is to be called `path`. Nobody else may read it, now or later.
    pub(super) fn begin(path: &Path) -> Result<Self, BackupError> {
        let part = companion(path, PART);
        let write = |error: &io::Error| failed("cannot write the file", &part, error);
        loop {
            if !clear(&part) {
                return Err(BackupError::BeingWritten(part));
            }
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create_new(true).mode(0o600).open(&part);
            let file = match file {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(write(&e)),
            };
            flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| write(&e.into()))?;
            // Between the two somebody may have taken it for one that was left behind.
            let is_mine = fs::metadata(&part)
                .and_then(|named| file.metadata().map(|mine| mine.ino() == named.ino()))
                .unwrap_or(false);
            if is_mine {
                return Ok(Self {
                    path: part,
                    file,
                    is_finished: false,
                });
            }
        }
    }

    /// Writes something small into it.
    pub(super) fn write(&mut self, text: &str) -> Result<(), BackupError> {
        self.file
            .write_all(text.as_bytes())
            .map_err(|e| failed("cannot write the file", &self.path, &e))
    }

    /// Everything is on the disk, and the file has its name. `replace`: instead of another one.
    pub(super) fn finish(mut self, path: &Path, replace: bool) -> Result<(), BackupError> {
        let write = |error: &io::Error| failed("cannot write the file", path, error);
        self.file.sync_all().map_err(|e| write(&e))?;
        if replace {
            fs::rename(&self.path, path).map_err(|e| write(&e))?;
        } else {
            rename_to_nothing(&self.path, path)?;
        }
        self.is_finished = true;
        sync_directory(path)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_finished {
            for path in [companion(&self.path, "-journal"), self.path.clone()] {
                drop(fs::remove_file(path));
            }
        }
    }
}

fn rename_to_nothing(from: &Path, to: &Path) -> Result<(), BackupError> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(BackupError::Exists(to.to_path_buf())),
        // Not every file system has that.
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) && !to.exists() => {
            fs::rename(from, to).map_err(|e| failed("cannot write the file", to, &e))
        }
        Err(_) if to.exists() => Err(BackupError::Exists(to.to_path_buf())),
        Err(e) => Err(failed("cannot write the file", to, &e)),
    }
}

/// A name is on the disk when its directory is.
fn sync_directory(path: &Path) -> Result<(), BackupError> {
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| failed("cannot write the directory", directory, &e))
}

/// Removes what a killed run has left. False: somebody is writing there.
fn clear(part: &Path) -> bool {
    let Ok(file) = File::open(part) else {
        // Nothing there, or nothing that could be removed: whoever goes on will hear of it.
        return true;
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return false;
    }
    drop(fs::remove_file(companion(part, "-journal")));
    drop(fs::remove_file(part));
    true
}

/// Removes what killed runs have left in a directory of backups.
pub(super) fn clear_directory(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("dlc-") && name.ends_with(PART) {
            clear(&entry.path());
        }
    }
}

/// Makes a directory for backups, which nobody else may look into.
pub(super) fn make_directory(directory: &Path) -> Result<(), BackupError> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|e| failed("cannot make the directory", directory, &e))
}

/// The length of a file, and its SHA-256 in hexadecimal digits.
pub(super) fn sum(path: &Path, observer: &Observer) -> Result<(u64, String), BackupError> {
    let mut hash = Sha256::new();
    let size = each_piece(path, "reading the file", observer, |piece| {
        hash.update(piece);
        Ok(())
    })?;
    Ok((size, hex(&hash.finalize())))
}

/// Copies a file into one that is being written.
pub(super) fn copy(from: &Path, to: &mut Part, observer: &Observer) -> Result<(), BackupError> {
    let Part { path, file, .. } = to;
    each_piece(from, "copying the file", observer, |piece| {
        file.write_all(piece)
            .map_err(|e| failed("cannot write the file", path, &e))
    })?;
    Ok(())
}

fn each_piece(
    path: &Path,
    what: &'static str,
    observer: &Observer,
    mut take: impl FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<u64, BackupError> {
    let unreadable = |error: &io::Error| failed("cannot read the file", path, error);
    let mut file = File::open(path).map_err(|e| unreadable(&e))?;
    let of = file.metadata().map_err(|e| unreadable(&e))?.len();
    let (mut piece, mut done) = (vec![0; PIECE], 0);
    loop {
        if observer.is_stopped() {
            return Err(BackupError::Stopped);
        }
        let length = file.read(&mut piece).map_err(|e| unreadable(&e))?;
        if length == 0 {
            return Ok(done);
        }
        take(&piece[..length])?;
        done += length as u64;
        observer.observe(what, done, Some(of));
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
