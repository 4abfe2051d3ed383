//! The one error of every storage port.

use std::{error::Error, fmt};

/// What kind of trouble the storage had: all that a use case may decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// The database cannot be reached, is shutting down or starting, or has no room or memory left. Asking again later can help.
    Unavailable,
    /// A time limit (statement, lock or pool) ran out. Asking again later can help.
    Timeout,
    /// Too much is waiting for it already, and nothing was done. Asking again later can help.
    Overloaded,
    /// Two writers met and this one lost. Asking again at once can help.
    Conflict,
    /// Anything else: a defect, or a database that is not as the migrations made it.
    Other,
}

/// A storage port failed. The outcome of a write is then *unknown* (I5): asking again tells the truth.
#[derive(Debug)]
pub struct StorageError {
    kind: StorageErrorKind,
    source: Box<dyn Error + Send + Sync>,
}

impl StorageError {
    /// Wraps a driver's error; it is never shown to a caller, only logged.
    pub fn new(kind: StorageErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: source.into(),
        }
    }

    /// What kind of trouble it was.
    #[must_use]
    pub fn kind(&self) -> StorageErrorKind {
        self.kind
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StorageErrorKind::Unavailable => "the database is unavailable",
            StorageErrorKind::Timeout => "the database did not answer in time",
            StorageErrorKind::Overloaded => "too much waits for the database already",
            StorageErrorKind::Conflict => "another writer was first",
            StorageErrorKind::Other => "the database refused the statement",
        })
    }
}

impl Error for StorageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
