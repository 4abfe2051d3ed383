//! Who writes to a SQLite file, asked of the operating system without taking a lock.

use std::{fs, path::Path};

use crate::options::companion;

/// Where SQLite keeps the writer lock of a write-ahead log: byte 120 of the `-shm` file (its source: `wal.c`).
const WAL_WRITE_LOCK: u64 = 120;
/// Where SQLite keeps the locks of a file without a write-ahead log: PENDING and RESERVED, two bytes at 1 GiB (its source:
/// `os.h`).
const ROLLBACK_WRITE_LOCKS: (u64, u64) = (0x4000_0000, 2);

/// The process that holds the writer lock. Asked with `F_GETLK`, which takes nothing.
///
/// Only ever called before this process opens the file: closing any descriptor of a file drops all of a process's POSIX
/// locks on it, those that SQLite holds included.
pub(crate) fn of(path: &Path) -> Option<u32> {
    let logged = fs::File::open(companion(path, "-shm")).ok();
    logged
        .and_then(|file| of_shared_memory(&file))
        .or_else(|| holder(&fs::File::open(path).ok()?, ROLLBACK_WRITE_LOCKS))
}

/// The same in write-ahead mode, asked through an open `-shm` file.
pub(crate) fn of_shared_memory(file: &fs::File) -> Option<u32> {
    holder(file, (WAL_WRITE_LOCK, 1))
}

fn holder(file: &fs::File, (start, length): (u64, u64)) -> Option<u32> {
    use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};
    let question = Flock {
        start,
        length,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let holder = fcntl_getlk(file, &question).ok()??;
    u32::try_from(holder.pid?.as_raw_nonzero().get()).ok()
}
