//! Limited coupons and their claims: one claim per person and coupon, never more claims than stock.
//!
//! Not here: how that holds while thousands claim at once. That is the persistence adapter's.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::text::{self, TextError};

/// A coupon's name, its identity: 1–255 characters, not blank, no NUL (S1-4).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CouponName(String);

/// Who claims: an opaque id of 1–255 characters, not blank, no NUL (S1-5).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimantId(String);

macro_rules! short_text {
    ($type:ident) => {
        impl $type {
            /// Longest accepted text, in characters: the width of its column.
            pub const MAX_CHARS: usize = 255;

            /// Accepts a text as a caller gave it.
            ///
            /// # Errors
            /// When it breaks the type's rule.
            pub fn parse(text: impl Into<String>) -> Result<Self, TextError> {
                let text = text.into();
                text::check(&text, Self::MAX_CHARS).map(|()| Self(text))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.0
            }
        }
    };
}

short_text!(CouponName);

impl CouponName {
    /// Accepts the name of a coupon that is to be made: one that an address can end in.
    ///
    /// # Errors
    /// When it breaks the type's rule, and for `.` and `..`.
    pub fn parse_new(text: impl Into<String>) -> Result<Self, TextError> {
        match Self::parse(text)? {
            name if [".", ".."].contains(&name.as_str()) => Err(TextError::DotSegment),
            name => Ok(name),
        }
    }
}

short_text!(ClaimantId);

/// How many pieces of a coupon exist at first: 1 … 2,147,483,647 (S1-4: a positive `INTEGER`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stock(i32);

/// An amount outside of [`Stock`]'s range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be between 1 and 2147483647")]
pub struct StockError;

impl Stock {
    /// Accepts an amount as a caller gave it.
    ///
    /// # Errors
    /// When it is not within 1 … 2,147,483,647.
    pub fn new(amount: i64) -> Result<Self, StockError> {
        match i32::try_from(amount) {
            Ok(amount) if amount > 0 => Ok(Self(amount)),
            _ => Err(StockError),
        }
    }

    /// The number of pieces.
    #[must_use]
    pub fn get(self) -> i32 {
        self.0
    }
}

/// A coupon as it stood at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coupon {
    name: CouponName,
    amount: Stock,
    remaining: i32,
    created_at: DateTime<Utc>,
}

/// One person's wish for one piece of a coupon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The coupon.
    pub coupon: CouponName,
    /// Who claims.
    pub claimant: ClaimantId,
    /// When.
    pub at: DateTime<Utc>,
}

/// A stored coupon that breaks a rule of this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored coupon is not valid: {0}")]
pub struct CorruptCoupon(String);

impl Coupon {
    /// A coupon that nobody has claimed yet.
    #[must_use]
    pub fn new(name: CouponName, amount: Stock, created_at: DateTime<Utc>) -> Self {
        let remaining = amount.get();
        Self {
            name,
            amount,
            remaining,
            created_at,
        }
    }

    /// Rebuilds a coupon from storage.
    ///
    /// # Errors
    /// When the stored values break a rule: then the storage was written by something else.
    pub fn restore(
        name: String,
        amount: i32,
        remaining: i32,
        created_at: DateTime<Utc>,
    ) -> Result<Self, CorruptCoupon> {
        let corrupt = |why: String| CorruptCoupon(why);
        let name = CouponName::parse(name).map_err(|e| corrupt(format!("name {e}")))?;
        let amount = Stock::new(amount.into()).map_err(|e| corrupt(format!("amount {e}")))?;
        if !(0..=amount.get()).contains(&remaining) {
            return Err(corrupt(format!(
                "remaining amount {remaining} is not within 0 and {}",
                amount.get()
            )));
        }
        Ok(Self {
            name,
            amount,
            remaining,
            created_at,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &CouponName {
        &self.name
    }

    /// Pieces at first.
    #[must_use]
    pub fn amount(&self) -> Stock {
        self.amount
    }

    /// Pieces left, 0 … amount.
    #[must_use]
    pub fn remaining(&self) -> i32 {
        self.remaining
    }

    /// Pieces claimed. By invariant I2 this is also the number of claim rows; `coupon audit` counts them.
    #[must_use]
    pub fn claimed(&self) -> i32 {
        self.amount.get() - self.remaining
    }

    /// When it went on sale.
    #[must_use]
    pub fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }
}

/// Why a claim for a coupon that exists was refused, in the order in which the reasons are judged (I6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefused {
    /// This person has this coupon already.
    #[error("the coupon is already claimed by this user")]
    AlreadyClaimed,
    /// Nothing is left.
    #[error("the coupon is out of stock")]
    OutOfStock,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_is_a_positive_32_bit_integer() {
        assert_eq!(CouponName::parse_new(".."), Err(TextError::DotSegment));
        assert!(CouponName::parse_new("...").is_ok());
        assert!(Stock::new(0).is_err());
        assert!(Stock::new(-1).is_err());
        assert_eq!(Stock::new(2_147_483_647).unwrap().get(), i32::MAX);
        assert!(Stock::new(2_147_483_648).is_err());
    }

    #[test]
    fn a_stored_coupon_with_more_left_than_there_was_is_corrupt() {
        let restore = |remaining| Coupon::restore("c".into(), 5, remaining, DateTime::UNIX_EPOCH);
        assert_eq!(restore(2).unwrap().claimed(), 3);
        assert!(restore(6).is_err());
        assert!(restore(-1).is_err());
    }
}
