//! Which checks a round makes, and how strictly it judges.

use std::collections::BTreeMap;

use super::limits::Limits;

/// What a round is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To know how the database stands.
    #[default]
    Looking,
    /// To migrate right afterwards: what would stop that is a failure.
    Migrating,
}

/// Which checks, and how strict.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the round is for.
    pub purpose: Purpose,
    /// Make the checks that take long, too.
    pub deep: bool,
    /// A pending migration is a failure.
    pub require_current: bool,
    /// Drift of the schema is a failure.
    pub strict: bool,
    /// Limits other than the catalogue's, by check.
    pub limits: BTreeMap<&'static str, Limits>,
    /// Checks that are wanted; empty: all.
    pub only: Vec<&'static str>,
    /// Checks that are not.
    pub skip: Vec<&'static str>,
}

impl Options {
    /// Whether a check's finding is to be shown.
    #[must_use]
    pub fn wants(&self, id: &str) -> bool {
        (self.only.is_empty() || self.only.contains(&id)) && !self.skip.contains(&id)
    }
}
