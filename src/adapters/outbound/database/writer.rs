//! Who writes to a SQLite file in write-ahead mode, asked of the operating system without taking a lock.

use std::{fs, path::Path};

use crate::connection::companion;

/// Where SQLite keeps the writer lock of a write-ahead log: byte 120 of the `-shm` file (its source: `wal.c`).
const WAL_WRITE_LOCK: u64 = 120;

/// The process that holds the writer lock of the write-ahead log. Asked with `F_GETLK`, which takes nothing.
///
/// Only ever called before this process opens the file: closing any descriptor of a file drops all of a process's POSIX
/// locks on it, those that SQLite holds included.
pub(crate) fn of(path: &Path) -> Option<u32> {
    of_shared_memory(&fs::File::open(companion(path, "-shm")).ok()?)
}

/// The same, asked through an open `-shm` file.
pub(crate) fn of_shared_memory(file: &fs::File) -> Option<u32> {
    use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};
    let question = Flock {
        start: WAL_WRITE_LOCK,
        length: 1,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let holder = fcntl_getlk(file, &question).ok()??;
    u32::try_from(holder.pid?.as_raw_nonzero().get()).ok()
}
