//! Gives a finished file its name, and never that of another one. Not here: how it is made, and where.

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

/// Renames a file to a name that nobody has; `AlreadyExists` where somebody has it.
pub(crate) fn rename_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system has that: NFS does not, and many in user space.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => by_a_second_name(from, to),
        renamed => renamed.map_err(io::Error::from),
    }
}

/// A second name is only made where there is none; the first one goes afterwards.
fn by_a_second_name(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => {
            // It has its name; what is left of the first one is what a killed run would leave.
            drop(fs::remove_file(from));
            Ok(())
        }
        Err(e) if is_unknown(&e) => by_a_reservation(from, to),
        Err(e) => Err(e),
    }
}

/// Where a file can have one name only, it replaces an empty one that was made for it, and that only where there was none.
fn by_a_reservation(from: &Path, to: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(to)?;
    fs::rename(from, to).inspect_err(|_| drop(fs::remove_file(to)))
}

/// Whether the file system knows no such thing. Some say that it is not permitted.
fn is_unknown(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_gives_a_name_that_nobody_has_and_takes_nobody_s() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        for way in [rename_to_nothing, by_a_second_name, by_a_reservation] {
            fs::write(place("new"), "new").unwrap();
            way(&place("new"), &place("named")).unwrap();
            assert!(!place("new").exists());
            assert_eq!(fs::read_to_string(place("named")).unwrap(), "new");
            fs::write(place("other"), "other").unwrap();
            let refused = way(&place("other"), &place("named")).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read_to_string(place("named")).unwrap(), "new");
            assert_eq!(fs::read_to_string(place("other")).unwrap(), "other");
            fs::remove_file(place("named")).unwrap();
        }
        // What cannot be renamed leaves nothing in its place.
        by_a_reservation(&place("nothing"), &place("named")).unwrap_err();
        assert!(!place("named").exists());
    }
}
