//! BIZ: do the books add up?

use super::{Check, Judge, Question, text};
use crate::operations::check::{Layer, Verdict};

/// I1 and I2: what was taken from the stock is what was claimed. A user's second claim is refused by a unique constraint.
const AUDIT: &str = "SELECT c.name, CAST(c.amount AS text), CAST(c.remaining_amount AS text), CAST(count(k.id) AS text), \
                     CAST(count(k.id) - count(DISTINCT k.user_id) AS text) \
                     FROM coupons c LEFT JOIN claims k ON k.coupon_name = c.name \
                     GROUP BY c.name, c.amount, c.remaining_amount \
                     HAVING c.amount - c.remaining_amount <> count(k.id) OR count(k.id) <> count(DISTINCT k.user_id) \
                     ORDER BY c.name LIMIT 5";

pub(super) const CHECKS: &[Check] = &[Check {
    id: "BIZ001",
    title: "coupon audit",
    engine: None,
    own: true,
    cause: "A coupon's stock and its claims do not add up, or somebody has claimed twice: rows were changed past dlc.",
    fix: "Find out who wrote there. The claims are the truth: set remaining_amount to amount less their number.",
    question: Question::both(AUDIT, AUDIT),
    judge: Judge::Case(|case| {
        if case.rows.is_empty() {
            return Verdict::ok("every coupon adds up");
        }
        let wrong: Vec<String> = case
            .rows
            .iter()
            .map(|row| {
                format!(
                    "{}: {} of {} left, {} claims ({} double)",
                    text(row, 0),
                    text(row, 2),
                    text(row, 1),
                    text(row, 3),
                    text(row, 4)
                )
            })
            .collect();
        Verdict::fail(wrong.join("; ")).hint("rows were changed past dlc; the claims are the truth")
    }),
    ..Check::of(Layer::Health)
}];
