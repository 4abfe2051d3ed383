//! TLS of the service's listener: from the settings to a transport, and kept up to date for as long as the service lives.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::{
    adapters::inbound::{
        cli::exit::{Exit, Failure},
        http::tls::{self, Renewal, Tls},
    },
    config::TlsConfig,
};

/// Certificate and key, where there are any.
pub(super) fn load(config: &TlsConfig) -> Result<Option<(Tls, Renewal)>, Failure> {
    let Some((cert, key)) = config.files() else {
        return Ok(None);
    };
    tls::load(&cert.0, &key.0).map(Some).map_err(|error| {
        Failure::new(Exit::Configuration, "configuration_invalid", error.to_string())
            .hint("server.tls.cert and server.tls.key name PEM files that belong together; neither: plain HTTP")
    })
}

/// Looks at the files from now on, also when `reload` says so.
pub(super) fn keep(renewal: Option<Renewal>, reload: Arc<Notify>) {
    tokio::spawn(async move {
        if let Some(renewal) = renewal {
            renewal.run(&reload).await;
        }
        loop {
            reload.notified().await;
            tracing::info!("there is nothing to reload: no server.tls.cert is configured");
        }
    });
}
