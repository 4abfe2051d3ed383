//! BIZ: do the books add up? Not here: the question, and what its answer means (`operations/books`).

use super::{Check, Judge, Question};
use crate::operations::{
    books::{self, Books},
    check::{Layer, Verdict},
};

/// Coupons that a report names at most: it has other things to tell, and `dlc coupon audit` names more.
const NAMED: usize = 5;

pub(super) const CHECKS: &[Check] = &[Check {
    id: "BIZ001",
    title: "coupon audit",
    engine: None,
    own: true,
    cause: "A coupon's stock and its claims do not add up, somebody has claimed twice, or a coupon that does not exist: rows were changed past dlc.",
    fix: "Find out who wrote there. The claims are the truth: set remaining_amount to amount less their number.",
    question: Question::both(books::ALL_ON_POSTGRES, books::ALL_ON_SQLITE),
    judge: Judge::Case(|case| {
        let Some(books) = Books::read(case.rows) else {
            return Verdict::unmade("the answer is none");
        };
        if books.wrong == 0 {
            return Verdict::ok("every coupon adds up");
        }
        let told = books.told.iter().take(NAMED);
        let mut wrong: Vec<String> = told.map(|coupon| format!("{}: {coupon}", coupon.name)).collect();
        if let more @ 1.. = books.wrong.saturating_sub(NAMED as u64) {
            wrong.push(format!("{more} more coupons"));
        }
        Verdict::fail(wrong.join("; "))
            .hint("rows were changed past dlc; the claims are the truth; `dlc coupon audit` names up to 20")
    }),
    ..Check::of(Layer::Health)
}];
