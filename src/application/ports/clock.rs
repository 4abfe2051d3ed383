//! The time of day, as an argument.

use chrono::{DateTime, Utc};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present moment, in whole microseconds: what both databases can store without loss.
    fn now(&self) -> DateTime<Utc>;
}
