//! Transactions that are ended whatever becomes of whoever asked for them.
//!
//! A client that hangs up, or a request whose time is over, takes its future away, wherever that stands. The driver bears that
//! within a transaction, which it then rolls back, but not while `BEGIN` is under way: it gives the connection back inside of a
//! transaction that it does not know of, and whatever the next one writes there is never committed, though it is said to be.
//! Seen, and held by a test (ops_serve_cancelled).

use dlc_application::ports::{StorageError, StorageErrorKind};
use tracing::Instrument;

/// Runs a transaction to its end, on a task of its own, and holds on to what it needs for so long: its turn, for one, which was
/// waited for before, so that whoever gives up waiting has begun nothing and is in nobody's way.
pub(crate) async fn uninterrupted<T: Send + 'static>(
    held: impl Send + 'static,
    transaction: impl Future<Output = Result<T, StorageError>> + Send + 'static,
) -> Result<T, StorageError> {
    let whole = async move {
        let result = transaction.await;
        drop(held);
        result
    };
    match tokio::spawn(whole.in_current_span()).await {
        Ok(result) => result,
        Err(ended) => Err(StorageError::new(StorageErrorKind::Other, ended)),
    }
}
