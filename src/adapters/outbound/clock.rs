//! The operating system's clock.

use chrono::{DateTime, SubsecRound, Utc};
use dlc_application::ports::clock::Clock;

/// [`Clock`] of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        // Whole microseconds, cut off: PostgreSQL stores no more, and a value read back must equal the one written.
        Utc::now().trunc_subsecs(6)
    }
}
