//! `shutdown.*`

use std::time::Duration;

use super::setting::section;

section! {
    /// Leaving after SIGTERM or SIGINT.
    ShutdownConfig = "shutdown" {
        /// How long to go on accepting while /readyz says 503 already, so that load balancers look elsewhere first.
        delay: Duration = "delay", |profile| if profile.is_strict() { Duration::from_secs(3) } else { Duration::ZERO };
        /// Longest wait for requests in flight; then they are cut off and the exit code is 1.
        timeout: Duration = "timeout", |_| Duration::from_secs(10);
    }
}
