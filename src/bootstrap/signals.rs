//! SIGINT and SIGTERM: the first asks to leave, the second insists.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What was signalled so far.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    /// Somebody asked to leave.
    pub(super) leave: CancellationToken,
    /// Somebody insisted.
    pub(super) force: CancellationToken,
}

impl Signals {
    /// Handles signals from now on, for as long as the runtime lives.
    pub(super) fn install() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let signals = Self {
            leave: CancellationToken::new(),
            force: CancellationToken::new(),
        };
        let Self { leave, force } = signals.clone();
        tokio::spawn(async move {
            for token in [leave, force] {
                let name = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                };
                tracing::info!(signal = name, "asked to stop");
                token.cancel();
            }
        });
        Ok(signals)
    }
}
