//! Files of backups: written under another name until they are whole, for nobody else to read; and what was left by runs that were
//! killed. Not here: what is in them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use dlc_application::ports::backups::{BackupError, Observer};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use crate::{
    error::io_words,
    naming::rename_to_nothing,
    options::{companion, directory_of},
};

/// What stands behind the name of a file that is not whole, and behind no name of anybody else's.
pub(super) const PART: &str = ".dlc.part";

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
            clear(&part)?;
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
            rename_to_nothing(&self.path, path).map_err(|e| match e.kind() {
                io::ErrorKind::AlreadyExists => BackupError::Exists(path.to_path_buf()),
                _ => write(&e),
            })?;
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

/// A name is on the disk when its directory is.
fn sync_directory(path: &Path) -> Result<(), BackupError> {
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| failed("cannot write the directory", directory, &e))
}

/// Removes what a killed run has left. An error: somebody is writing there, or it is none of dlc's.
fn clear(part: &Path) -> Result<(), BackupError> {
    let unusable = |error: &io::Error| failed("cannot write the file", part, error);
    let found = match fs::symlink_metadata(part) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(unusable(&e)),
    };
    // As each of them is made: a file for nobody else.
    let me = rustix::process::geteuid();
    let is_mine = found.is_file() && found.mode() & 0o077 == 0 && (me.is_root() || me.as_raw() == found.uid());
    if !is_mine {
        return Err(BackupError::Exists(part.to_path_buf()));
    }
    let file = match File::open(part) {
        Ok(file) => file,
        // It was finished, or cleared away, a moment ago.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(unusable(&e)),
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(BackupError::BeingWritten(part.to_path_buf()));
    }
    drop(fs::remove_file(companion(part, "-journal")));
    match fs::remove_file(part) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(unusable(&e)),
        _ => Ok(()),
    }
}

/// Whoever could use the file of this name can use the one that takes it.
pub(super) fn take_after(path: &Path, part: &Part) -> Result<(), BackupError> {
    let Ok(old) = fs::metadata(path) else { return Ok(()) };
    let failed = |error: io::Error| failed("cannot hand over the file", &part.path, &error);
    // Only root may give files away; anybody else has made a file of their own, and the old one was theirs.
    if fs::metadata(&part.path).is_ok_and(|new| (new.uid(), new.gid()) != (old.uid(), old.gid())) {
        std::os::unix::fs::chown(&part.path, Some(old.uid()), Some(old.gid())).map_err(failed)?;
    }
    fs::set_permissions(&part.path, old.permissions()).map_err(failed)
}

/// Removes what killed runs have left in a directory of backups.
pub(super) fn clear_directory(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("dlc-") && name.ends_with(PART) {
            // What is not to be had is for whoever wants the same name.
            drop(clear(&entry.path()));
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

/// Whether a file begins so.
pub(super) fn begins_with(path: &Path, mark: &[u8]) -> Result<bool, BackupError> {
    let unreadable = |error: &io::Error| failed("cannot read the file", path, error);
    let mut begin = Vec::new();
    let file = File::open(path).map_err(|e| unreadable(&e))?;
    file.take(mark.len() as u64)
        .read_to_end(&mut begin)
        .map_err(|e| unreadable(&e))?;
    Ok(begin == mark)
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
