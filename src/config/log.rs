//! `log.*`

use super::setting::{section, words};

words! {
    /// The least important event that is logged.
    LogLevel: "error, warn, info, debug or trace" {
        /// Failures.
        Error = "error",
        /// What an operator should look at.
        Warn = "warn",
        /// What happens, in broad strokes.
        Info = "info",
        /// What happens, in detail.
        Debug = "debug",
        /// Everything, SQL statements (never their values) included.
        Trace = "trace",
    }
}

words! {
    /// How a log line looks.
    LogFormat: "text or json" {
        /// For people.
        Text = "text",
        /// For machines, one object per line.
        Json = "json",
    }
}

section! {
    /// Logs, on standard error.
    LogConfig = "log" {
        /// The least important event that is logged: error, warn, info, debug or trace.
        level: LogLevel = "level" ["LOG_LEVEL"], |_| LogLevel::Info;
        /// How a line looks: text for people, json for machines.
        format: LogFormat = "format", |profile| if profile.is_strict() { LogFormat::Json } else { LogFormat::Text };
    }
}
