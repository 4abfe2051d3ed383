//! Whoever moves all rows of one database to one of the other engine.

use std::sync::Arc;

use async_trait::async_trait;

use crate::operations::moving::{MoveError, MoveEvent, Moved};

/// Hears how far a move is; must return quickly, and is called by several threads.
pub trait MoveObserver: Send + Sync {
    /// Takes one event.
    fn observe(&self, event: MoveEvent);
}

/// Moves rows from a source to a target.
#[async_trait]
pub trait DatabaseMover: Send + Sync {
    /// Moves all rows of one moment of the source, which MUST NOT be changed. MUST look at every value before anything is
    /// written, and write nothing when the target would refuse one; MUST leave the target without rows, or as it was, unless
    /// all of them are there and were read back and compared; MUST do so when it is killed, too. With `check_only` nothing is
    /// written at all.
    async fn run(&self, check_only: bool, observer: Arc<dyn MoveObserver>) -> Result<Moved, MoveError>;
}
