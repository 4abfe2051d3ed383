//! Logs: set up once, on standard error, as text for people or JSON for machines.
//!
//! Not here: metrics (`adapters/inbound/http/metrics`), whose numbers live where they arise.

pub mod process;

use std::io;

use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How to log.
#[derive(Clone, Copy, Debug)]
pub struct Logging {
    /// The least important level, by name.
    pub level: &'static str,
    /// One JSON object per line instead of text.
    pub json: bool,
    /// Colour the text.
    pub color: bool,
}

/// Starts logging; a second call changes nothing.
pub fn start(logging: Logging) {
    // Libraries are held at their own level whatever is asked for: sea-orm and sqlx show connection options, passwords
    // included, in their most detailed events.
    let level = logging.level;
    let filter = EnvFilter::new(format!(
        "warn,dlc={level},dlc_application={level},dlc_database={level},sqlx=warn,sea_orm=warn"
    ));
    // An event that cannot be written is lost. The library would say so on the same standard error, and panic when that fails,
    // too: a service whose terminal or log reader is gone goes on.
    let layer = if logging.json {
        fmt::layer()
            .json()
            .with_writer(io::stderr)
            .log_internal_errors(false)
            .with_target(false)
            .flatten_event(true)
            .boxed()
    } else {
        let timer = fmt::time::ChronoLocal::new("%H:%M:%S".to_owned());
        fmt::layer()
            .with_writer(io::stderr)
            .log_internal_errors(false)
            .with_target(false)
            .with_ansi(logging.color)
            .with_timer(timer)
            .boxed()
    };
    // Only the first subscriber counts; tests start several services in one process.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
    log_panics();
}

/// A panic becomes a log event with its place. Its words are left out: they may hold whatever the code had in hand.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        tracing::error!(code = "panic", place, thread, "a defect: the code panicked");
    }));
}
