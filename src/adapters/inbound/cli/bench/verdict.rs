//! Whether what a coupon says of itself fits what was answered about it. Not here: what only the database knows, that there is
//! one claim per person and one decrement per claim (`dlc coupon audit`).

/// What a coupon says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Pieces at first.
    pub(super) amount: i64,
    /// Pieces left.
    pub(super) remaining: i64,
}

/// What was answered to those who claimed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    /// Claims that were granted.
    pub(super) granted: i64,
    /// Claims of which nobody knows whether they were.
    pub(super) unknown: i64,
    /// Claims that came too late.
    pub(super) sold_out: i64,
}

/// Why a coupon's state before and after does not fit the answers in between; `None` when it does.
pub(super) fn disagreement(before: Seen, after: Seen, answered: Answered) -> Option<String> {
    let Answered {
        granted,
        unknown,
        sold_out,
    } = answered;
    let (was, is) = (before.remaining, after.remaining);
    let most = was - granted;
    let least = (most - unknown).max(0);
    if granted > was {
        return Some(format!("{granted} claims were granted, and there were {was} pieces"));
    }
    if after.amount != before.amount {
        return Some(format!(
            "it had {} pieces at first, and now {}",
            before.amount, after.amount
        ));
    }
    if is < 0 || is > after.amount {
        return Some(format!("{is} of {} pieces are left", after.amount));
    }
    if !(least..=most).contains(&is) {
        let expected = if least == most {
            most.to_string()
        } else {
            format!("{least} to {most}")
        };
        let doubt = if unknown > 0 {
            format!(" (and up to {unknown} more)")
        } else {
            String::new()
        };
        return Some(format!(
            "{granted} of {was} pieces were granted{doubt}, so that {expected} should be left, not {is}"
        ));
    }
    (sold_out > 0 && is > 0)
        .then(|| format!("it was called sold out ({sold_out} times), and {is} of its pieces are left"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(remaining: i64, granted: i64, unknown: i64, sold_out: i64) -> String {
        let at = |remaining| Seen { amount: 5, remaining };
        let answered = Answered {
            granted,
            unknown,
            sold_out,
        };
        disagreement(at(5), at(remaining), answered).unwrap_or_else(|| "fits".to_owned())
    }

    #[test]
    fn a_coupon_fits_its_answers_or_it_is_said_why_not() {
        for (remaining, granted, unknown, sold_out) in [
            (5, 0, 0, 0),
            (2, 3, 0, 0),
            (0, 5, 0, 9),
            (0, 3, 2, 1),
            (1, 3, 2, 0),
            (0, 5, 7, 0),
        ] {
            assert_eq!(judge(remaining, granted, unknown, sold_out), "fits");
        }
        for (is, words) in [
            (judge(0, 6, 0, 0), "6 claims were granted, and there were 5 pieces"),
            (
                judge(1, 3, 0, 0),
                "3 of 5 pieces were granted, so that 2 should be left, not 1",
            ),
            (
                judge(3, 3, 1, 0),
                "3 of 5 pieces were granted (and up to 1 more), so that 1 to 2 should be left, not 3",
            ),
            (judge(-1, 5, 0, 0), "-1 of 5 pieces are left"),
            (
                judge(2, 3, 0, 1),
                "it was called sold out (1 times), and 2 of its pieces are left",
            ),
        ] {
            assert_eq!(is, words);
        }
        let (before, after) = (
            Seen {
                amount: 5,
                remaining: 5,
            },
            Seen {
                amount: 6,
                remaining: 5,
            },
        );
        assert!(disagreement(before, after, Answered::default()).is_some());
    }
}
