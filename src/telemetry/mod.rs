//! Logs and traces: set up once. Logs go to standard error, as text for people or JSON for machines.
//!
//! Not here: metrics (`adapters/inbound/http/metrics`), whose numbers live where they arise.

pub mod process;
mod traces;

use std::io;

pub use traces::{Traces, Tracing};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

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

/// Starts logging, and taking traces where they are wanted; a second call changes nothing.
pub fn start(logging: Logging, traces: Option<&Traces>) {
    // Only the first subscriber counts; tests start several services in one process.
    let _ = match traces {
        // Not an empty layer: without traces nothing of them is in the way of a log event.
        None => Registry::default().with(layer(logging)).try_init(),
        Some(traces) => Registry::default().with(traces.layer()).with(layer(logging)).try_init(),
    };
    log_panics();
}

fn layer<S>(logging: Logging) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    // Libraries are held at their own level whatever is asked for: sea-orm and sqlx show connection options, passwords
    // included, in their most detailed events. Spans of traces are no log.
    let level = logging.level;
    let filter = EnvFilter::new(format!(
        "warn,dlc={level},dlc_application={level},dlc_database={level},sqlx=warn,sea_orm=warn,{}=off",
        traces::TARGET
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
    layer.with_filter(filter)
}

/// A panic becomes a log event with its place. Its words are left out: they may hold whatever the code had in hand.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        tracing::error!(code = "panic", place, thread, "a defect: the code panicked");
    }));
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn without_a_collector_no_span_of_a_trace_is_made_however_detailed_the_log() {
        let logging = Logging {
            level: "trace",
            json: false,
            color: false,
        };
        let subscriber = Registry::default().with(layer(logging));
        tracing::subscriber::with_default(subscriber, || {
            assert!(tracing::enabled!(target: "dlc", Level::TRACE));
            assert!(!tracing::span_enabled!(target: traces::TARGET, Level::INFO));
            assert!(tracing::info_span!(target: traces::TARGET, "request").is_disabled());
        });
    }
}
