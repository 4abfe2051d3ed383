//! BAK: is there a backup that is worth its name?

use super::{Check, FailureClass, Judge, Layer, Question, Verdict};

pub(super) const CHECKS: &[Check] = &[Check {
    id: "BAK001",
    title: "last backup",
    layer: Layer::Health,
    class: FailureClass::Failed,
    engine: None,
    deep: false,
    own: false,
    cause: "There is no recent backup by dlc, or none that was restored and compared.",
    fix: "Back up with the tools of your platform; a backup counts when it was restored.",
    question: Question::NONE,
    // This version of dlc makes no backups, so there is nothing that it could know of.
    judge: Judge::Facts(|_| Verdict::skipped("dlc has made no backup of this database")),
}];
