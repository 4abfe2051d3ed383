//! What a round found.

use std::time::Duration;

use super::{
    layer::Layer,
    limits::Unit,
    verdict::{FailureClass, Status},
};

/// What one check found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The check's id.
    pub id: &'static str,
    /// The check's title.
    pub title: &'static str,
    /// The check's layer.
    pub layer: Layer,
    /// How it came out.
    pub status: Status,
    /// What was measured, or why it was skipped.
    pub measured: String,
    /// The same as a number, where it is one.
    pub value: Option<(f64, Unit)>,
    /// The limits that were applied.
    pub threshold: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// How long finding out took.
    pub took: Duration,
    /// The check whose failure made this one skipped.
    pub skipped_for: Option<&'static str>,
    /// It was to be made, and something went wrong with that.
    pub unmade: bool,
    /// The exit code class, should it be a failure.
    pub class: FailureClass,
}

/// All findings of one round.
#[derive(Clone, Debug)]
pub struct Report {
    /// One per check that applies to the engine, in the catalogue's order.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many came out like that.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|finding| finding.status == status).count()
    }

    /// The worst status of all.
    #[must_use]
    pub fn status(&self) -> Status {
        self.findings
            .iter()
            .map(|finding| finding.status)
            .filter(|status| *status != Status::Skipped)
            .max()
            .unwrap_or(Status::Skipped)
    }

    /// The class of the first failure: it is the lowest layer's, so it is the cause.
    #[must_use]
    pub fn failure_class(&self) -> Option<FailureClass> {
        self.findings
            .iter()
            .find(|finding| finding.status == Status::Fail)
            .map(|finding| finding.class)
    }
}
