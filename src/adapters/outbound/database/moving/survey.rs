//! Adds up what is read: rows, their sum, and what the target would refuse. One of these goes through all tables of a side.

use std::sync::Arc;

use dlc_application::{
    operations::moving::{MoveEvent, MovePhase, Refusal, Refusals, Tally},
    ports::moving::MoveObserver,
};
use sha2::{Digest, Sha256};

use super::structure::Table;

/// How often it is told how far it is.
const ROWS_BETWEEN_EVENTS: u64 = 4096;

/// Tells how far a phase is.
pub(super) struct Meter {
    observer: Arc<dyn MoveObserver>,
    phase: MovePhase,
    table: String,
    rows: u64,
    of: Option<u64>,
}

impl Meter {
    pub(super) fn new(observer: &Arc<dyn MoveObserver>, phase: MovePhase, of: Option<u64>) -> Self {
        Self {
            observer: Arc::clone(observer),
            phase,
            table: String::new(),
            rows: 0,
            of,
        }
    }

    pub(super) fn begin(&mut self, table: &str) {
        table.clone_into(&mut self.table);
        self.tell();
    }

    pub(super) fn row(&mut self) {
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS_BETWEEN_EVENTS) {
            self.tell();
        }
    }

    fn tell(&self) {
        self.observer.observe(MoveEvent::Reached {
            phase: self.phase,
            table: self.table.clone(),
            rows: self.rows,
            of: self.of,
        });
    }
}

/// What was found.
pub(super) struct Survey {
    pub(super) meter: Meter,
    pub(super) tallies: Vec<Tally>,
    pub(super) refusals: Refusals,
}

impl Survey {
    pub(super) fn new(meter: Meter) -> Self {
        Self {
            meter,
            tallies: Vec::new(),
            refusals: Refusals::default(),
        }
    }

    pub(super) fn begin(&mut self, table: &Table) {
        self.meter.begin(&table.name);
        self.tallies.push(Tally {
            table: table.name.clone(),
            rows: 0,
            sum: 0,
        });
    }

    /// A row of the table that was begun last, in its canonical form.
    pub(super) fn row(&mut self, tuple: &[u8]) {
        let digest = Sha256::digest(tuple);
        if let (Some(tally), Some(head)) = (self.tallies.last_mut(), digest.first_chunk()) {
            tally.rows += 1;
            // A sum does not depend on the order, which is nobody's.
            tally.sum = tally.sum.wrapping_add(u128::from_be_bytes(*head));
        }
        self.meter.row();
    }

    pub(super) fn refuse(&mut self, table: &Table, column: &str, why: impl Into<String>, key: impl FnOnce() -> String) {
        self.refusals.add(|| Refusal {
            table: table.name.clone(),
            key: key(),
            column: column.to_owned(),
            why: why.into(),
        });
    }
}
