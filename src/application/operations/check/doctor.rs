//! One database under one pair of eyes: `db check`, `/readyz?verbose`, the gauges.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Options, Report, inquiry, judge};
use crate::ports::inspection::{ConfigFacts, ConfiguredDatabase, DatabaseInspector, Facts, Inquiry};

/// Looks at one database, and judges it.
pub struct Doctor {
    /// `None`: the configuration names no database that could be looked at.
    inspector: Option<Arc<dyn DatabaseInspector>>,
    config: ConfigFacts,
    options: Options,
    limit: Duration,
    last: Mutex<Option<Report>>,
}

impl Doctor {
    /// A doctor whose rounds end within `limit` each.
    #[must_use]
    pub fn new(
        inspector: Option<Arc<dyn DatabaseInspector>>,
        config: ConfigFacts,
        options: Options,
        limit: Duration,
    ) -> Self {
        Self {
            inspector,
            config,
            options,
            limit,
            last: Mutex::default(),
        }
    }

    /// Finds out what there is to judge.
    pub async fn look(&self) -> Facts {
        let engine = match &self.config.database {
            Some(Ok(ConfiguredDatabase { engine, .. })) => Some(*engine),
            _ => None,
        };
        match &self.inspector {
            None => Facts::unseen(self.config.clone()),
            Some(inspector) => {
                let inquiry = engine.map_or_else(Inquiry::default, |engine| inquiry(&self.options, engine));
                inspector.inspect(self.config.clone(), &inquiry, self.limit).await
            }
        }
    }

    /// Judges what was found, and keeps the report.
    pub fn judge(&self, facts: &Facts) -> Report {
        let report = judge(facts, &self.options);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
        report
    }

    /// Looks and judges.
    pub async fn examine(&self) -> Report {
        self.judge(&self.look().await)
    }

    /// The last report; `None` before the first.
    #[must_use]
    pub fn last_report(&self) -> Option<Report> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
