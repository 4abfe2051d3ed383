//! Where a SQLite file is made that nobody may see before it is whole: a folder beside it, which is locked while somebody works in
//! it, and removed with whatever is in it. What a killed run has left there is removed by the next one.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

use crate::{
    naming::rename_to_nothing,
    options::{companion, directory_of},
};

/// The folder.
pub(super) struct Workshop {
    directory: PathBuf,
    target: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

/// Why there is none.
pub(super) enum Taken {
    /// Another run works there.
    InUse,
    Failed(io::Error),
}

impl Workshop {
    pub(super) fn open(target: &Path) -> Result<Self, Taken> {
        let directory = companion(target, ".moving");
        loop {
            match DirBuilder::new().mode(0o700).create(&directory) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(Taken::Failed(e)),
                _ => {}
            }
            let lock = match File::open(&directory) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(Taken::Failed)?,
            };
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(Taken::InUse),
                Err(e) => return Err(Taken::Failed(e.into())),
            }
            // Whoever had it before may have removed it between two of these lines; then this lock is on nothing.
            let same = |found: fs::Metadata| lock.metadata().is_ok_and(|mine| mine.ino() == found.ino());
            if !fs::metadata(&directory).is_ok_and(same) {
                continue;
            }
            for left in fs::read_dir(&directory).map_err(Taken::Failed)? {
                fs::remove_file(left.map_err(Taken::Failed)?.path()).map_err(Taken::Failed)?;
            }
            return Ok(Self {
                directory,
                target: target.to_owned(),
                _lock: lock,
            });
        }
    }

    /// The file to work on.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.join("new.db")
    }

    /// Puts the file where it belongs, for good. It is not put over another one.
    pub(super) fn deliver(&self) -> io::Result<()> {
        let file = self.file();
        File::open(&file)?.sync_all()?;
        rename_to_nothing(&file, &self.target)?;
        File::open(directory_of(&self.target))?.sync_all()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run.
        drop(fs::remove_dir_all(&self.directory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_works_there_at_a_time_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("a.db");
        let left = companion(&target, ".moving");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("new.db-wal"), "of a run that was killed").unwrap();
        let workshop = Workshop::open(&target).ok().unwrap();
        assert_eq!(fs::read_dir(&left).unwrap().count(), 0);
        assert!(matches!(Workshop::open(&target), Err(Taken::InUse)));
        fs::write(workshop.file(), "whole").unwrap();
        workshop.deliver().unwrap();
        drop(workshop);
        assert!(!left.exists());
        assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
        // Not over another one.
        let workshop = Workshop::open(&target).ok().unwrap();
        fs::write(workshop.file(), "other").unwrap();
        assert_eq!(workshop.deliver().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(workshop);
        assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
    }
}
