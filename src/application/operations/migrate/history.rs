//! The history of a schema against the migrations of this binary: what is pending, what does not fit, what a run would do.

use chrono::{DateTime, Utc};

use super::record::{Applied, Known, MigrationKind, Record};

/// The history and this binary do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// No migration of that name is known.
    #[error("no migration is called {0}")]
    UnknownTarget(String),
    /// Newer migrations are applied, and not all of them leave older binaries working.
    #[error("the database is ahead of this binary by {}", .0.join(", "))]
    Newer(Vec<String>),
    /// Migrations are applied that this binary should know, and does not.
    #[error("applied, but missing from this binary: {}", .0.join(", "))]
    Missing(Vec<String>),
    /// A migration was changed after it was applied: name, checksum applied, checksum of this binary.
    #[error("edited after being applied: {}", .0.iter().map(|(name, applied, known)| format!("{name} (applied {}, this binary {})", short(applied), short(known))).collect::<Vec<_>>().join(", "))]
    Edited(Vec<(String, String, String)>),
    /// An older migration is pending behind a newer applied one.
    #[error("out of order, pending although newer ones are applied: {}", .0.join(", "))]
    OutOfOrder(Vec<String>),
    /// A run of statements without a transaction was cut short.
    #[error("unfinished: {} stopped after {reached} of {of} statements{}", name, if *known { "" } else { ", and this binary does not know it" })]
    Unfinished {
        /// Its version.
        name: String,
        /// Statements done.
        reached: usize,
        /// Statements there are.
        of: usize,
        /// Whether this binary knows it, and so can begin it again.
        known: bool,
    },
    /// Reverting needs the SQL that is kept in the database, and nobody allowed it.
    #[error("this binary has no SQL to revert {}", .0.join(", "))]
    NeedsStoredSql(Vec<String>),
    /// Reverting needs SQL that nobody has.
    #[error("neither this binary nor the database has SQL to revert {}", .0.join(", "))]
    NoSql(Vec<String>),
}

impl HistoryError {
    /// A stable name for logs and JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownTarget(_) => "migration_unknown",
            Self::Newer(_) => "migrations_newer",
            Self::Missing(_) => "migrations_missing",
            Self::Edited(_) => "migrations_edited",
            Self::OutOfOrder(_) => "migrations_out_of_order",
            Self::Unfinished { .. } => "migration_unfinished",
            Self::NeedsStoredSql(_) => "migrations_need_stored_sql",
            Self::NoSql(_) => "migrations_without_sql",
        }
    }
}

/// The beginning of a checksum, enough for people.
fn short(checksum: &str) -> &str {
    checksum.get(..12).unwrap_or(checksum)
}

/// How one migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationState {
    /// Applied, and known to this binary as it was applied.
    Applied,
    /// Applied, and another one in this binary.
    Edited {
        /// The checksum when it was applied.
        applied: String,
        /// The checksum of this binary's.
        known: String,
    },
    /// Begun and cut short.
    Unfinished {
        /// Statements done.
        reached: usize,
        /// Statements there are.
        of: usize,
        /// Whether this binary knows it.
        known: bool,
    },
    /// Known, and not applied yet.
    Pending,
    /// Pending although a newer one is applied.
    OutOfOrder,
    /// Applied, older than the newest that this binary knows, and not in it.
    Missing,
    /// Applied, and newer than anything this binary knows.
    Newer {
        /// What it means for this binary, as far as the history says.
        kind: Option<MigrationKind>,
    },
}

impl MigrationState {
    fn is_applied(&self) -> bool {
        !matches!(self, Self::Pending | Self::OutOfOrder)
    }
}

/// One migration and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its version.
    pub name: String,
    /// How it stands.
    pub state: MigrationState,
    /// When it was applied.
    pub at: Option<DateTime<Utc>>,
    /// What dlc noted then.
    pub record: Option<Record>,
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

/// Whose SQL reverts a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownSource {
    /// This binary's.
    Binary,
    /// The one that was stored when it was applied.
    Stored,
}

/// Every migration that is known or applied, in version order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    entries: Vec<MigrationStatus>,
    recorded: bool,
    /// Known migrations that nothing reverts.
    one_way: Vec<String>,
}

impl History {
    /// Holds the applied migrations (`None`: the database has no history table) against the known ones.
    #[must_use]
    pub fn compare(known: &[Known], applied: Option<Vec<Applied>>) -> Self {
        let recorded = applied.is_some();
        // What dlc noted as finished and SeaORM's table does not have is not applied: that table is the authority.
        let applied: Vec<Applied> = applied
            .unwrap_or_default()
            .into_iter()
            .filter(|row| row.at.is_some() || row.record.as_ref().is_some_and(|record| !record.finished))
            .collect();
        let newest_known = known.iter().map(|known| known.name.as_str()).max().unwrap_or_default();
        let newest_applied = applied.iter().map(|row| row.name.clone()).max();
        let mut entries: Vec<MigrationStatus> = known
            .iter()
            .filter(|known| !applied.iter().any(|row| row.name == known.name))
            .map(|known| MigrationStatus {
                name: known.name.clone(),
                state: match &newest_applied {
                    Some(newest) if *newest > known.name => MigrationState::OutOfOrder,
                    _ => MigrationState::Pending,
                },
                at: None,
                record: None,
            })
            .collect();
        entries.extend(applied.into_iter().map(|row| {
            let known = known.iter().find(|known| known.name == row.name);
            let record = row.record.as_ref();
            let state = match (known, record) {
                (known, Some(record)) if !record.finished => MigrationState::Unfinished {
                    reached: record.reached,
                    of: record.statements,
                    known: known.is_some(),
                },
                (Some(known), Some(record)) if known.checksum != record.checksum => MigrationState::Edited {
                    applied: record.checksum.clone(),
                    known: known.checksum.clone(),
                },
                (Some(_), _) => MigrationState::Applied,
                (None, _) if row.name.as_str() < newest_known => MigrationState::Missing,
                (None, record) => MigrationState::Newer {
                    kind: record.and_then(|record| record.kind),
                },
            };
            MigrationStatus {
                name: row.name,
                state,
                at: row.at,
                record: row.record,
            }
        }));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let one_way = known
            .iter()
            .filter(|known| !known.reverts)
            .map(|known| known.name.clone());
        Self {
            entries,
            recorded,
            one_way: one_way.collect(),
        }
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
        self.applied().last()
    }

    /// Migrations still to be applied, oldest first, unfinished and out-of-order ones included.
    pub fn pending(&self) -> impl Iterator<Item = &str> {
        self.names(|state| {
            matches!(
                state,
                MigrationState::Pending | MigrationState::OutOfOrder | MigrationState::Unfinished { .. }
            )
        })
    }

    /// Applied migrations, oldest first; those that are unfinished or that this binary does not know included.
    pub fn applied(&self) -> impl Iterator<Item = &str> {
        self.names(MigrationState::is_applied)
    }

    /// Migrations that are newer than anything this binary knows.
    pub fn newer(&self) -> impl Iterator<Item = &str> {
        self.names(|state| matches!(state, MigrationState::Newer { .. }))
    }

    /// Whether the database is ahead of this binary by more than additions.
    #[must_use]
    pub fn is_ahead_by_more_than_additions(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(entry.state, MigrationState::Newer { kind } if kind != Some(MigrationKind::Expand)))
    }

    /// Migrations that this binary should know, and does not.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.names(|state| *state == MigrationState::Missing)
    }

    /// Pending migrations that are older than an applied one.
    pub fn out_of_order(&self) -> impl Iterator<Item = &str> {
        self.names(|state| *state == MigrationState::OutOfOrder)
    }

    /// Applied migrations that dlc has no note of: another tool applied them.
    pub fn unrecorded(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(|entry| entry.state.is_applied() && entry.record.is_none())
            .map(|entry| entry.name.as_str())
    }

    /// Migrations that were edited: name, checksum applied, checksum of this binary.
    #[must_use]
    pub fn edited(&self) -> Vec<(String, String, String)> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.state {
                MigrationState::Edited { applied, known } => Some((entry.name.clone(), applied.clone(), known.clone())),
                _ => None,
            })
            .collect()
    }

    /// The migration whose run was cut short.
    #[must_use]
    pub fn unfinished(&self) -> Option<HistoryError> {
        self.entries.iter().find_map(|entry| match entry.state {
            MigrationState::Unfinished { reached, of, known } => Some(HistoryError::Unfinished {
                name: entry.name.clone(),
                reached,
                of,
                known,
            }),
            _ => None,
        })
    }

    /// Whether a run of `up` may begin: binary and history fit, pending and unfinished migrations aside.
    ///
    /// # Errors
    /// [`HistoryError`] names what does not fit.
    pub fn validate(&self) -> Result<(), HistoryError> {
        if let Some(error @ HistoryError::Unfinished { known: false, .. }) = self.unfinished() {
            return Err(error);
        }
        let missing = owned(self.missing());
        if !missing.is_empty() {
            return Err(HistoryError::Missing(missing));
        }
        let edited = self.edited();
        if !edited.is_empty() {
            return Err(HistoryError::Edited(edited));
        }
        if self.is_ahead_by_more_than_additions() {
            return Err(HistoryError::Newer(owned(self.newer())));
        }
        let out_of_order = owned(self.out_of_order());
        if !out_of_order.is_empty() {
            return Err(HistoryError::OutOfOrder(out_of_order));
        }
        Ok(())
    }

    /// The same, and nothing is left half done: what a check asks.
    ///
    /// # Errors
    /// [`HistoryError`] names what does not fit.
    pub fn validate_finished(&self) -> Result<(), HistoryError> {
        self.validate()?;
        self.unfinished().map_or(Ok(()), Err)
    }

    /// What `up` would apply, oldest first.
    ///
    /// # Errors
    /// When history and binary do not fit, or the target is not known.
    pub fn plan_up(&self, target: &Target) -> Result<Vec<String>, HistoryError> {
        self.validate()?;
        let pending = owned(self.pending());
        match target {
            Target::All => Ok(pending),
            Target::Steps(steps) => Ok(pending.into_iter().take(*steps).collect()),
            Target::Version(version) => {
                self.find(version)?;
                Ok(pending.into_iter().filter(|name| name <= version).collect())
            }
        }
    }

    /// What `down` would revert, newest first, and with whose SQL. The stored one serves where this binary does not know the
    /// migration as it was applied, and only when `use_stored` allows it.
    ///
    /// # Errors
    /// When there is no SQL for one of them, or the target is not known.
    pub fn plan_down(&self, target: &Target, use_stored: bool) -> Result<Vec<(String, DownSource)>, HistoryError> {
        let applied = self.entries.iter().rev().filter(|entry| entry.state.is_applied());
        let reverted: Vec<&MigrationStatus> = match target {
            Target::All => applied.collect(),
            Target::Steps(steps) => applied.take(*steps).collect(),
            Target::Version(version) => {
                self.find(version)?;
                applied.filter(|entry| entry.name > *version).collect()
            }
        };
        let is_foreign = |entry: &&&MigrationStatus| {
            matches!(
                entry.state,
                MigrationState::Edited { .. }
                    | MigrationState::Missing
                    | MigrationState::Newer { .. }
                    | MigrationState::Unfinished { known: false, .. }
            )
        };
        let names = |entries: &[&MigrationStatus]| entries.iter().map(|entry| entry.name.clone()).collect();
        let foreign: Vec<&MigrationStatus> = reverted.iter().filter(is_foreign).copied().collect();
        let has_sql = |entry: &&&MigrationStatus| {
            if is_foreign(entry) {
                entry.record.as_ref().is_some_and(|record| !record.down.is_empty())
            } else {
                !self.one_way.contains(&entry.name)
            }
        };
        let lost: Vec<&MigrationStatus> = reverted.iter().filter(|entry| !has_sql(entry)).copied().collect();
        if !lost.is_empty() {
            return Err(HistoryError::NoSql(names(&lost)));
        }
        if !foreign.is_empty() && !use_stored {
            return Err(HistoryError::NeedsStoredSql(names(&foreign)));
        }
        Ok(reverted
            .iter()
            .map(|entry| {
                let source = if is_foreign(&entry) {
                    DownSource::Stored
                } else {
                    DownSource::Binary
                };
                (entry.name.clone(), source)
            })
            .collect())
    }

    /// What dlc noted of one migration.
    #[must_use]
    pub fn record(&self, name: &str) -> Option<&Record> {
        self.entries
            .iter()
            .find(|entry| entry.name == name)
            .and_then(|entry| entry.record.as_ref())
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

fn owned<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn known() -> Vec<Known> {
        ["m1", "m2", "m3"]
            .iter()
            .map(|name| Known {
                name: (*name).to_owned(),
                kind: MigrationKind::Expand,
                checksum: format!("sum of {name}"),
                reverts: true,
            })
            .collect()
    }

    fn record(name: &str, kind: MigrationKind) -> Record {
        Record {
            checksum: format!("sum of {name}"),
            kind: Some(kind),
            dlc_version: "0.1.0".into(),
            applied_by: "dlc".into(),
            took: Duration::ZERO,
            down: vec!["DROP TABLE t".into()],
            transaction: true,
            reached: 1,
            statements: 1,
            finished: true,
        }
    }

    fn applied(name: &str) -> Applied {
        Applied {
            name: name.to_owned(),
            at: Some(DateTime::UNIX_EPOCH),
            record: Some(record(name, MigrationKind::Expand)),
        }
    }

    fn history(names: &[&str]) -> History {
        History::compare(&known(), Some(names.iter().map(|name| applied(name)).collect()))
    }

    fn with(names: &[&str], change: impl Fn(&mut Applied)) -> History {
        let mut rows: Vec<Applied> = names.iter().map(|name| applied(name)).collect();
        change(rows.last_mut().unwrap());
        History::compare(&known(), Some(rows))
    }

    #[test]
    fn a_database_without_history_is_not_recorded_and_all_pending() {
        let history = History::compare(&known(), None);
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

    fn reverted(history: &History, target: &Target) -> Vec<String> {
        let plan = history.plan_down(target, false).unwrap();
        assert!(plan.iter().all(|(_, source)| *source == DownSource::Binary));
        plan.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn down_reverts_the_newest_first() {
        let history = history(&["m1", "m2", "m3"]);
        assert_eq!(reverted(&history, &Target::Steps(1)), ["m3"]);
        assert_eq!(reverted(&history, &Target::Version("m1".into())), ["m3", "m2"]);
        assert_eq!(reverted(&history, &Target::All), ["m3", "m2", "m1"]);
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
    fn a_newer_database_lets_an_older_binary_go_on_only_when_it_was_expanded() {
        let all = ["m1", "m2", "m3", "m4"];
        let expanded = history(&all);
        assert_eq!(expanded.newer().collect::<Vec<_>>(), ["m4"]);
        assert_eq!(expanded.plan_up(&Target::All), Ok(Vec::new()));
        for kind in [MigrationKind::Contract, MigrationKind::Irreversible] {
            let contracted = with(&all, |row| row.record = Some(record("m4", kind)));
            let refused = Err(HistoryError::Newer(vec!["m4".into()]));
            assert_eq!(contracted.plan_up(&Target::All), refused);
        }
        let foreign = with(&all, |row| row.record = None);
        assert_eq!(foreign.validate(), Err(HistoryError::Newer(vec!["m4".into()])));
    }

    #[test]
    fn what_the_binary_should_know_and_does_not_is_missing_not_newer() {
        let history = history(&["m1", "m1b", "m2"]);
        assert_eq!(history.validate(), Err(HistoryError::Missing(vec!["m1b".into()])));
        assert_eq!(history.newer().count(), 0);
    }

    #[test]
    fn another_checksum_is_an_edit_and_stops_up() {
        let history = with(&["m1", "m2"], |row| {
            row.record.as_mut().unwrap().checksum = "another".into();
        });
        let edit = ("m2".to_owned(), "another".to_owned(), "sum of m2".to_owned());
        assert_eq!(history.validate(), Err(HistoryError::Edited(vec![edit])));
    }

    #[test]
    fn an_unfinished_one_is_begun_again_by_up_and_refused_by_a_check() {
        let history = with(&["m1", "m2"], |row| {
            row.at = None;
            let record = row.record.as_mut().unwrap();
            record.finished = false;
            record.reached = 0;
        });
        assert_eq!(history.plan_up(&Target::All).unwrap(), ["m2", "m3"]);
        assert!(matches!(
            history.validate_finished(),
            Err(HistoryError::Unfinished { reached: 0, of: 1, .. })
        ));
        assert_eq!(reverted(&history, &Target::Steps(1)), ["m2"]);
    }

    #[test]
    fn an_unfinished_one_of_a_newer_binary_stops_up_and_is_given_up_by_the_stored_sql_alone() {
        let history = with(&["m1", "m2", "m3", "m4"], |row| {
            row.at = None;
            row.record.as_mut().unwrap().finished = false;
        });
        assert!(matches!(
            history.plan_up(&Target::All),
            Err(HistoryError::Unfinished { known: false, .. })
        ));
        assert_eq!(
            history.plan_down(&Target::Steps(1), false),
            Err(HistoryError::NeedsStoredSql(vec!["m4".into()]))
        );
    }

    #[test]
    fn a_pending_one_behind_a_newer_one_that_is_unknown_is_out_of_order() {
        let history = history(&["m1", "m2", "m4"]);
        assert_eq!(
            history.plan_up(&Target::All),
            Err(HistoryError::OutOfOrder(vec!["m3".into()]))
        );
    }

    #[test]
    fn stored_sql_that_cannot_be_read_reverts_nothing() {
        let history = with(&["m1", "m2", "m3", "m4"], |row| {
            row.record.as_mut().unwrap().down.clear();
        });
        assert_eq!(
            history.plan_down(&Target::Steps(1), true),
            Err(HistoryError::NoSql(vec!["m4".into()]))
        );
    }

    #[test]
    fn a_note_without_a_row_of_seaorms_table_is_not_applied() {
        let history = with(&["m1", "m2"], |row| row.at = None);
        assert_eq!(history.pending().collect::<Vec<_>>(), ["m2", "m3"]);
    }

    #[test]
    fn reverting_what_this_binary_does_not_know_needs_the_stored_sql_and_a_permission() {
        let history = history(&["m1", "m2", "m3", "m4"]);
        assert_eq!(
            history.plan_down(&Target::Steps(2), false),
            Err(HistoryError::NeedsStoredSql(vec!["m4".into()]))
        );
        assert_eq!(
            history.plan_down(&Target::Steps(2), true).unwrap(),
            [
                ("m4".to_owned(), DownSource::Stored),
                ("m3".to_owned(), DownSource::Binary)
            ]
        );
        let foreign = with(&["m1", "m2", "m3", "m4"], |row| row.record = None);
        assert_eq!(
            foreign.plan_down(&Target::Steps(1), true),
            Err(HistoryError::NoSql(vec!["m4".into()]))
        );
    }
}
