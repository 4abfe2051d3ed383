//! Signals. SIGINT and SIGTERM: the first asks to leave, the second insists. SIGHUP asks to reload, unless it tells that the
//! terminal is gone.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

/// What was signalled so far.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    /// Somebody asked to leave.
    pub(super) leave: CancellationToken,
    /// Somebody insisted.
    pub(super) force: CancellationToken,
    /// Somebody asked to read again what can be read again.
    pub(super) reload: Arc<Notify>,
}

impl Signals {
    /// Handles signals from now on, for as long as the runtime lives.
    pub(super) fn install() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let signals = Self {
            leave: CancellationToken::new(),
            force: CancellationToken::new(),
            reload: Arc::new(Notify::new()),
        };
        let Self { leave, force, reload } = signals.clone();
        let left = leave.clone();
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
        let on_terminal = || io::stdin().is_terminal() || io::stderr().is_terminal();
        let began_on_terminal = on_terminal();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                if began_on_terminal && !on_terminal() {
                    // Whoever closes a window does not want to leave a service behind that holds the port.
                    left.cancel();
                } else {
                    reload.notify_one();
                }
            }
        });
        Ok(signals)
    }
}
