//! BAK: is there a backup that is worth its name?

use super::{Check, Judge};
use crate::operations::check::{Layer, Verdict};

pub(super) const CHECKS: &[Check] = &[Check {
    id: "BAK001",
    title: "last backup",
    engine: None,
    cause: "There is no recent backup by dlc, or none that was restored and compared.",
    fix: "Back up with the tools of your platform; a backup counts when it was restored.",
    // This version of dlc makes no backups, so there is nothing that it could know of.
    judge: Judge::Case(|_| Verdict::skipped("dlc has made no backup of this database")),
    ..Check::of(Layer::Health)
}];
