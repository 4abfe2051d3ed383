//! Do the books of coupons add up? What `dlc coupon audit` proves and the doctor's BIZ001 looks at: one question to the database, one
//! reading of its answer, one way to say it.
//!
//! Not here: who asks, and how long that may take.

use std::fmt;

use dlc_domain::coupons::CouponName;

pub use crate::ports::books::{Books, WrongCoupon};
use crate::ports::{
    books::CouponBooks,
    connection::ConnectError,
    inspection::{Engine, Row},
};

/// Coupons that are told by name at most; the others are counted.
pub const TOLD: usize = 20;

/// One statement, hence one moment on either engine. Claims are grouped by coupon and user, so that nothing has to be believed of
/// the unique index; what has no partner on the other side stays, so that claims without a coupon are found, too. Numbers are
/// wide, because a row that breaks the rules may break them by far. Each row holds the sums, and those after the first another
/// coupon that is wrong.
macro_rules! question {
    ($indexes:literal, $of_claims:literal, $of_coupons:literal) => {
        concat!(
            "WITH per_user AS (SELECT coupon_name, user_id, count(*) AS claims FROM claims",
            $indexes,
            $of_claims,
            " GROUP BY coupon_name, user_id), \
             entries AS (\
                 SELECT name, 1 AS coupons, CAST(amount AS bigint) AS amount, CAST(remaining_amount AS bigint) AS remaining, \
                     0 AS claims, 0 AS repeated, 0 AS repeaters, CAST(NULL AS text) AS repeater FROM coupons",
            $indexes,
            $of_coupons,
            " UNION ALL \
                 SELECT coupon_name, 0, NULL, NULL, sum(claims), sum(claims - 1), \
                     sum(CASE WHEN claims > 1 THEN 1 ELSE 0 END), min(CASE WHEN claims > 1 THEN user_id END) \
                 FROM per_user GROUP BY coupon_name), \
             books AS MATERIALIZED (\
                 SELECT name, sum(coupons) AS coupons, max(amount) AS amount, max(remaining) AS remaining, \
                     sum(claims) AS claims, sum(repeated) AS repeated, sum(repeaters) AS repeaters, max(repeater) AS repeater \
                 FROM entries GROUP BY name), \
             wrong AS MATERIALIZED (\
                 SELECT * FROM books WHERE (coupons = 1 AND amount > 0 AND remaining BETWEEN 0 AND amount \
                     AND amount - remaining = claims AND repeated = 0) IS NOT TRUE) \
             SELECT CAST((SELECT coalesce(sum(coupons), 0) FROM books) AS text), \
                 CAST((SELECT coalesce(sum(claims), 0) FROM books) AS text), CAST((SELECT count(*) FROM wrong) AS text), \
                 w.name, CAST(w.coupons AS text), CAST(w.amount AS text), CAST(w.remaining AS text), CAST(w.claims AS text), \
                 CAST(w.repeated AS text), CAST(w.repeaters AS text), w.repeater \
             FROM (SELECT 1 AS one) o LEFT JOIN (SELECT * FROM wrong ORDER BY name LIMIT 20) w ON TRUE ORDER BY w.name"
        )
    };
}

/// Of all coupons: PostgreSQL.
pub(super) const ALL_ON_POSTGRES: &str = question!("", "", "");
/// The same on SQLite, which is told here that no index is to be believed; whoever asks PostgreSQL tells it in its session.
pub(super) const ALL_ON_SQLITE: &str = question!(" NOT INDEXED", "", "");
/// Of the one that is the question's only value. Its rows are found by their indexes: a table is not read for one coupon.
const ONE: &str = question!("", " WHERE coupon_name = $1", " WHERE name = $1");

/// The question about one coupon, or all of them, in SQL whose columns are all texts.
#[must_use]
pub fn question(engine: Engine, of_one: bool) -> &'static str {
    match (of_one, engine) {
        (true, _) => ONE,
        (false, Engine::Postgres) => ALL_ON_POSTGRES,
        (false, Engine::Sqlite) => ALL_ON_SQLITE,
    }
}

/// What is wrong with a coupon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Claims name it, and it does not exist.
    NoCoupon,
    /// I1: what is left is less than nothing, or more than there was.
    StockImpossible,
    /// I2: what was taken from the stock is not what was claimed; by so many more claims, or fewer.
    ClaimsDiffer(i64),
    /// I3: somebody has claimed more than once.
    ClaimedAgain,
}

impl Fault {
    /// A stable name.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NoCoupon => "no_coupon",
            Self::StockImpossible => "stock_impossible",
            Self::ClaimsDiffer(_) => "claims_differ",
            Self::ClaimedAgain => "claimed_again",
        }
    }
}

impl Books {
    /// Reads an answer to [`question`]. `None`: it is none.
    #[must_use]
    pub fn read(rows: &[Row]) -> Option<Self> {
        let first = rows.first()?;
        let sum = |column: usize| text(first, column)?.parse().ok();
        // The one row without a coupon says that none is wrong.
        let wrong = rows.iter().filter(|row| text(row, 4).is_some());
        Some(Self {
            coupons: sum(0)?,
            claims: sum(1)?,
            wrong: sum(2)?,
            told: wrong.map(WrongCoupon::read).collect::<Option<_>>()?,
        })
    }
}

impl WrongCoupon {
    fn read(row: &Row) -> Option<Self> {
        let number = |column: usize| text(row, column)?.parse().ok();
        Some(Self {
            name: text(row, 3).unwrap_or_default().to_owned(),
            rows: number(4)?,
            amount: number(5),
            remaining: number(6),
            claims: number(7)?,
            repeated: number(8)?,
            repeaters: number(9)?,
            repeater: text(row, 10).map(str::to_owned),
        })
    }

    /// What is wrong with it; always something.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let again = (self.repeated > 0).then_some(Fault::ClaimedAgain);
        if self.rows == 0 {
            return [Some(Fault::NoCoupon), again].into_iter().flatten().collect();
        }
        let stock = self.amount.zip(self.remaining);
        let is_possible =
            self.rows == 1 && stock.is_some_and(|(amount, left)| amount > 0 && (0..=amount).contains(&left));
        let more = stock.map(|(amount, left)| self.claims.saturating_sub(amount.saturating_sub(left)));
        [
            (!is_possible).then_some(Fault::StockImpossible),
            more.filter(|more| *more != 0).map(Fault::ClaimsDiffer),
            again,
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Without its name. Texts of the database stand in it as they are.
impl fmt::Display for WrongCoupon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |number: Option<i64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        let claims = count(self.claims, "claim");
        if self.rows > 0 {
            let (left, amount) = (told(self.remaining), told(self.amount));
            write!(f, "{left} of {amount} left, {claims}")?;
        } else {
            write!(f, "{claims}")?;
        }
        for (index, fault) in self.faults().into_iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            match fault {
                Fault::NoCoupon => f.write_str("there is no such coupon")?,
                Fault::StockImpossible => f.write_str("no such stock can be")?,
                Fault::ClaimsDiffer(more @ 1..) => write!(f, "{more} more claimed than taken from the stock")?,
                Fault::ClaimsDiffer(fewer) => {
                    write!(f, "{} more taken from the stock than claimed", fewer.unsigned_abs())?;
                }
                Fault::ClaimedAgain => {
                    let who = self.repeater.as_deref().unwrap_or_default();
                    let (users, many) = (count(self.repeaters, "user"), count(self.repeated, "claim"));
                    write!(f, "{users} claimed more than once, {many} too many: {who}")?;
                    if self.repeaters > 1 {
                        f.write_str(", …")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// An audit that came to no end.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// There is no such coupon, and nobody has claimed one of that name.
    #[error("there is no such coupon")]
    UnknownCoupon,
    /// The books could not be read.
    #[error(transparent)]
    Database(#[from] ConnectError),
}

/// Audits the books of all coupons, or of one.
///
/// # Errors
/// [`AuditError`]
pub async fn audit(books: &dyn CouponBooks, coupon: Option<&CouponName>) -> Result<Books, AuditError> {
    let read = books.read(coupon).await?;
    if coupon.is_some() && read.coupons == 0 && read.claims == 0 {
        return Err(AuditError::UnknownCoupon);
    }
    Ok(read)
}

fn text(row: &Row, column: usize) -> Option<&str> {
    row.get(column).and_then(Option::as_deref)
}

fn count(number: i64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(columns: &[&str]) -> Row {
        columns
            .iter()
            .map(|text| (*text != "-").then(|| (*text).to_owned()))
            .collect()
    }

    #[test]
    fn an_answer_without_a_wrong_coupon_says_what_was_looked_at() {
        let rows = [answer(&["3", "120", "0", "-", "-", "-", "-", "-", "-", "-", "-"])];
        let books = Books::read(&rows).unwrap();
        assert_eq!(
            (books.coupons, books.claims, books.wrong, books.told.len()),
            (3, 120, 0, 0)
        );
        // What is no answer proves nothing.
        assert_eq!(Books::read(&[]), None);
        assert_eq!(Books::read(&[answer(&["3", "x", "0"])]), None);
        assert_eq!(
            Books::read(&[answer(&["3", "1", "1", "c", "1", "1", "1", "-", "0", "0", "-"])]),
            None
        );
    }

    #[test]
    fn each_fault_is_named_with_its_measure() {
        for (columns, words) in [
            (
                ["1", "5", "4", "2", "0", "0", "-"],
                "4 of 5 left, 2 claims: 1 more claimed than taken from the stock",
            ),
            (
                ["1", "5", "3", "1", "0", "0", "-"],
                "3 of 5 left, 1 claim: 1 more taken from the stock than claimed",
            ),
            (
                ["1", "5", "7", "0", "0", "0", "-"],
                "7 of 5 left, 0 claims: no such stock can be; 2 more claimed than taken from the stock",
            ),
            (
                ["1", "5", "-1", "6", "0", "0", "-"],
                "-1 of 5 left, 6 claims: no such stock can be",
            ),
            (
                ["1", "0", "0", "0", "0", "0", "-"],
                "0 of 0 left, 0 claims: no such stock can be",
            ),
            (
                ["1", "-", "3", "0", "0", "0", "-"],
                "3 of ? left, 0 claims: no such stock can be",
            ),
            (
                ["2", "5", "5", "0", "0", "0", "-"],
                "5 of 5 left, 0 claims: no such stock can be",
            ),
            (
                ["1", "5", "2", "3", "1", "1", "ann"],
                "2 of 5 left, 3 claims: 1 user claimed more than once, 1 claim too many: ann",
            ),
            (
                ["1", "9", "2", "7", "4", "2", "ann"],
                "2 of 9 left, 7 claims: 2 users claimed more than once, 4 claims too many: ann, …",
            ),
            (["0", "-", "-", "2", "0", "0", "-"], "2 claims: there is no such coupon"),
            (
                ["1", "9223372036854775807", "-9223372036854775808", "0", "0", "0", "-"],
                "-9223372036854775808 of 9223372036854775807 left, 0 claims: no such stock can be; 9223372036854775807 more taken from the stock than claimed",
            ),
        ] {
            let row = [&["1", "1", "1", "c"], &columns[..]].concat();
            let books = Books::read(&[answer(&row)]).unwrap();
            assert_eq!(books.told[0].to_string(), words);
            assert!(!books.told[0].faults().is_empty(), "{words}");
        }
    }
}
