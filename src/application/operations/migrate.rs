//! The history of a schema against the migrations of this binary: what is pending, what is foreign, what a run would do.
//!
//! Not here: running anything (`dlc-database`, `migrator/`).

use chrono::{DateTime, Utc};

/// The history and this binary do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// No migration of that name is known.
    #[error("no migration is called {0}")]
    UnknownTarget(String),
    /// Migrations are applied that this binary does not know.
    #[error("the database has migrations that this binary does not know: {}", .0.join(", "))]
    UnknownApplied(Vec<String>),
    /// An older migration is pending behind a newer applied one.
    #[error("migrations are out of order, pending although newer ones are applied: {}", .0.join(", "))]
    OutOfOrder(Vec<String>),
}

/// How one migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationState {
    /// Applied, and known to this binary.
    Applied {
        /// When, to the second, as SeaORM's table has it.
        at: DateTime<Utc>,
    },
    /// Known, and not applied yet.
    Pending,
    /// Pending although a newer one is applied.
    OutOfOrder,
    /// Applied, and unknown to this binary: the database is newer, or somebody else's.
    Unknown {
        /// When it was applied.
        at: DateTime<Utc>,
    },
}

/// One migration and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its version.
    pub name: String,
    /// How it stands.
    pub state: MigrationState,
}

/// Which migrations a run is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All there are (`up`), or all that are applied (`down --to 0`).
    All,
    /// The next so many.
    Steps(usize),
    /// Up: up to and including this one. Down: until this one is the newest applied.
    Version(String),
}

/// Every migration that is known or applied, in version order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    entries: Vec<MigrationStatus>,
    recorded: bool,
}

impl History {
    /// Holds the applied migrations (`None`: the database has no history table) against the known ones.
    #[must_use]
    pub fn compare(known: &[&str], applied: Option<&[(String, DateTime<Utc>)]>) -> Self {
        let recorded = applied.is_some();
        let applied = applied.unwrap_or_default();
        let newest_applied = known
            .iter()
            .filter(|name| applied.iter().any(|(version, _)| version == *name))
            .max()
            .copied();
        let mut entries: Vec<MigrationStatus> = known
            .iter()
            .map(|name| {
                let state = match applied.iter().find(|(version, _)| version == name) {
                    Some((_, at)) => MigrationState::Applied { at: *at },
                    None if newest_applied.is_some_and(|newest| newest > *name) => MigrationState::OutOfOrder,
                    None => MigrationState::Pending,
                };
                MigrationStatus {
                    name: (*name).to_owned(),
                    state,
                }
            })
            .collect();
        entries.extend(
            applied
                .iter()
                .filter(|(version, _)| !known.contains(&version.as_str()))
                .map(|(version, at)| MigrationStatus {
                    name: version.clone(),
                    state: MigrationState::Unknown { at: *at },
                }),
        );
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Self { entries, recorded }
    }

    /// All migrations, in version order.
    #[must_use]
    pub fn entries(&self) -> &[MigrationStatus] {
        &self.entries
    }

    /// Whether the database has a history table at all: *never migrated* is not *behind*.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.recorded
    }

    /// The newest applied migration.
    #[must_use]
    pub fn current(&self) -> Option<&str> {
        self.names(|state| matches!(state, MigrationState::Applied { .. } | MigrationState::Unknown { .. }))
            .last()
    }

    /// Migrations still to be applied, oldest first, out-of-order ones included.
    pub fn pending(&self) -> impl Iterator<Item = &str> {
        self.names(|state| matches!(state, MigrationState::Pending | MigrationState::OutOfOrder))
    }

    /// Applied migrations, oldest first, unknown ones included.
    pub fn applied(&self) -> impl Iterator<Item = &str> {
        self.names(|state| matches!(state, MigrationState::Applied { .. } | MigrationState::Unknown { .. }))
    }

    /// Applied migrations that this binary does not know.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.names(|state| matches!(state, MigrationState::Unknown { .. }))
    }

    /// Pending migrations that are older than an applied one.
    pub fn out_of_order(&self) -> impl Iterator<Item = &str> {
        self.names(|state| matches!(state, MigrationState::OutOfOrder))
    }

    /// Whether binary and database fit together, pending migrations aside.
    ///
    /// # Errors
    /// [`HistoryError`] names what does not fit.
    pub fn validate(&self) -> Result<(), HistoryError> {
        let owned = |names: &mut dyn Iterator<Item = &str>| names.map(str::to_owned).collect::<Vec<_>>();
        let unknown = owned(&mut self.unknown());
        if !unknown.is_empty() {
            return Err(HistoryError::UnknownApplied(unknown));
        }
        let out_of_order = owned(&mut self.out_of_order());
        if !out_of_order.is_empty() {
            return Err(HistoryError::OutOfOrder(out_of_order));
        }
        Ok(())
    }

    /// What `up` would apply, oldest first.
    ///
    /// # Errors
    /// When history and binary do not fit, or the target is not known.
    pub fn plan_up(&self, target: &Target) -> Result<Vec<String>, HistoryError> {
        self.validate()?;
        let pending: Vec<String> = self.pending().map(str::to_owned).collect();
        match target {
            Target::All => Ok(pending),
            Target::Steps(steps) => Ok(pending.into_iter().take(*steps).collect()),
            Target::Version(version) => {
                self.find(version)?;
                Ok(pending.into_iter().filter(|name| name <= version).collect())
            }
        }
    }

    /// What `down` would revert, newest first.
    ///
    /// # Errors
    /// When one of them is unknown to this binary, or the target is not known.
    pub fn plan_down(&self, target: &Target) -> Result<Vec<String>, HistoryError> {
        let mut applied: Vec<String> = self.applied().map(str::to_owned).collect();
        applied.reverse();
        let reverted: Vec<String> = match target {
            Target::All => applied,
            Target::Steps(steps) => applied.into_iter().take(*steps).collect(),
            Target::Version(version) => {
                self.find(version)?;
                applied.into_iter().filter(|name| name > version).collect()
            }
        };
        let unknown: Vec<String> = self
            .unknown()
            .filter(|name| reverted.iter().any(|r| r == name))
            .map(str::to_owned)
            .collect();
        if unknown.is_empty() {
            Ok(reverted)
        } else {
            Err(HistoryError::UnknownApplied(unknown))
        }
    }

    fn find(&self, version: &str) -> Result<(), HistoryError> {
        let found = self.entries.iter().any(|entry| entry.name == version);
        if found {
            Ok(())
        } else {
            Err(HistoryError::UnknownTarget(version.to_owned()))
        }
    }

    fn names(&self, wanted: impl Fn(&MigrationState) -> bool) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(move |entry| wanted(&entry.state))
            .map(|entry| entry.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["m1", "m2", "m3"];

    fn history(applied: &[&str]) -> History {
        let rows: Vec<_> = applied
            .iter()
            .map(|name| ((*name).to_owned(), DateTime::UNIX_EPOCH))
            .collect();
        History::compare(KNOWN, Some(&rows))
    }

    #[test]
    fn a_database_without_history_is_not_recorded_and_all_pending() {
        let history = History::compare(KNOWN, None);
        assert!(!history.is_recorded());
        assert_eq!(history.pending().count(), 3);
        assert_eq!(history.current(), None);
    }

    #[test]
    fn up_applies_the_pending_ones_up_to_its_target() {
        let history = history(&["m1"]);
        assert_eq!(history.plan_up(&Target::All).unwrap(), ["m2", "m3"]);
        assert_eq!(history.plan_up(&Target::Steps(1)).unwrap(), ["m2"]);
        assert_eq!(history.plan_up(&Target::Version("m2".into())).unwrap(), ["m2"]);
        assert_eq!(
            history.plan_up(&Target::Version("m9".into())),
            Err(HistoryError::UnknownTarget("m9".into()))
        );
    }

    #[test]
    fn down_reverts_the_newest_first() {
        let history = history(&["m1", "m2", "m3"]);
        assert_eq!(history.plan_down(&Target::Steps(1)).unwrap(), ["m3"]);
        assert_eq!(history.plan_down(&Target::Version("m1".into())).unwrap(), ["m3", "m2"]);
        assert_eq!(history.plan_down(&Target::All).unwrap(), ["m3", "m2", "m1"]);
    }

    #[test]
    fn a_gap_is_out_of_order_and_stops_up() {
        let history = history(&["m1", "m3"]);
        assert_eq!(
            history.plan_up(&Target::All),
            Err(HistoryError::OutOfOrder(vec!["m2".into()]))
        );
    }

    #[test]
    fn a_newer_database_stops_up_and_the_reverting_of_what_is_unknown() {
        let history = history(&["m1", "m2", "m3", "m4"]);
        assert_eq!(
            history.plan_up(&Target::All),
            Err(HistoryError::UnknownApplied(vec!["m4".into()]))
        );
        assert_eq!(
            history.plan_down(&Target::Steps(1)),
            Err(HistoryError::UnknownApplied(vec!["m4".into()]))
        );
    }
}
