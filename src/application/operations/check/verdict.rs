//! How a check came out, and of which class its failure is.

use std::time::Duration;

use super::limits::Unit;
use crate::ports::connection::ConnectError;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It holds.
    Ok,
    /// It was not judged, for the reason in `measured`.
    Skipped,
    /// It holds, but look at it.
    Warn,
    /// It does not hold.
    Fail,
}

impl Status {
    /// A stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    /// Its number in metrics.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warn => 1,
            Self::Fail => 2,
            Self::Skipped => 3,
        }
    }
}

/// Which exit code class a failure belongs to (§3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// 78
    Configuration,
    /// 69
    Unreachable,
    /// 77
    Permission,
    /// 3
    Locked,
    /// 1
    Failed,
}

/// What a check says about the facts.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub(super) status: Status,
    pub(super) measured: String,
    pub(super) value: Option<(f64, Unit)>,
    pub(super) threshold: Option<String>,
    pub(super) hint: Option<String>,
    pub(super) took: Duration,
    /// It was to be made, and something went wrong with that.
    pub(super) unmade: bool,
}

impl Verdict {
    pub(super) fn new(status: Status, measured: impl Into<String>) -> Self {
        Self {
            status,
            measured: measured.into(),
            value: None,
            threshold: None,
            hint: None,
            took: Duration::ZERO,
            unmade: false,
        }
    }

    pub(super) fn ok(measured: impl Into<String>) -> Self {
        Self::new(Status::Ok, measured)
    }

    pub(super) fn warn(measured: impl Into<String>) -> Self {
        Self::new(Status::Warn, measured)
    }

    pub(super) fn fail(measured: impl Into<String>) -> Self {
        Self::new(Status::Fail, measured)
    }

    pub(super) fn skipped(reason: impl Into<String>) -> Self {
        Self::new(Status::Skipped, reason)
    }

    /// A connection that was not to be had, with its own hint, unless that leads here.
    pub(super) fn refused(words: impl Into<String>, error: &ConnectError) -> Self {
        let hint = error.hint.clone().filter(|hint| !hint.contains("dlc db check"));
        Self {
            hint,
            ..Self::fail(words)
        }
    }

    /// Skipped because something is in the way that is no part of what is judged.
    pub(super) fn unmade(reason: impl Into<String>) -> Self {
        Self {
            unmade: true,
            ..Self::skipped(reason)
        }
    }

    pub(super) fn threshold(mut self, threshold: impl Into<String>) -> Self {
        self.threshold = Some(threshold.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn took(mut self, took: Duration) -> Self {
        self.took = took;
        self
    }
}
