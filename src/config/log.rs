//! `log.*`

use super::setting::{SettingValue, section, words};

/// The least important event that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Failures.
    Error,
    /// What an operator should look at.
    Warn,
    /// What happens, in broad strokes.
    Info,
    /// What happens, in detail.
    Debug,
    /// Everything, SQL statements (never their values) included.
    Trace,
}

impl LogLevel {
    const ALL: [Self; 6] = [Self::Off, Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    fn named(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|level| text.trim().eq_ignore_ascii_case(level.name()))
    }
}

impl SettingValue for LogLevel {
    const EXPECTED: &'static str = "off, error, warn, info, debug or trace";

    /// A filter as `RUST_LOG` has it is taken, too: what it says of dlc counts, else what it says of everything. Libraries are
    /// held at a level of their own in any case.
    fn parse(text: &str) -> Option<Self> {
        if !text.contains(['=', ',']) {
            return Self::named(text);
        }
        let (mut of_all, mut of_dlc) = (None, None);
        for directive in text.split(',') {
            match directive.split_once('=') {
                None => of_all = Some(Self::named(directive)?),
                Some((target, level)) if target.trim() == "dlc" => of_dlc = Some(Self::named(level)?),
                Some(_) => {}
            }
        }
        Some(of_dlc.or(of_all).unwrap_or(Self::Info))
    }

    fn show(&self) -> Option<String> {
        Some(self.name().to_owned())
    }
}

words! {
    /// How a log line looks.
    LogFormat: "auto, pretty or json" {
        /// As whoever reads it needs it.
        Auto = "auto",
        /// For people.
        Pretty = "pretty",
        /// For machines, one object per line.
        Json = "json",
    }
}

impl LogFormat {
    /// Whether lines are JSON, where standard error is or is not a terminal.
    #[must_use]
    pub fn is_json(self, is_terminal: bool) -> bool {
        match self {
            Self::Auto => !is_terminal,
            Self::Pretty => false,
            Self::Json => true,
        }
    }
}

section! {
    /// Logs, on standard error.
    LogConfig = "log" {
        /// The least important event that is logged: off, error, warn, info, debug or trace. RUST_LOG counts, too, if it is one.
        level: LogLevel = "level" ["LOG_LEVEL", "RUST_LOG"], |_| LogLevel::Info;
        /// How a line looks: pretty for people, json for machines; auto is pretty on a terminal and json elsewhere.
        format: LogFormat = "format", |_| LogFormat::Auto;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_filter_the_part_that_is_about_dlc_counts() {
        for (text, level) in [
            ("debug", Some(LogLevel::Debug)),
            (" WARN ", Some(LogLevel::Warn)),
            ("off", Some(LogLevel::Off)),
            ("loud", None),
            ("info,dlc=debug", Some(LogLevel::Debug)),
            ("dlc=trace,info", Some(LogLevel::Trace)),
            ("warn,hyper=trace", Some(LogLevel::Warn)),
            ("hyper=trace", Some(LogLevel::Info)),
            ("dlc=debgu", None),
            ("debgu,dlc=info", None),
        ] {
            assert_eq!(LogLevel::parse(text), level, "{text}");
        }
    }
}
