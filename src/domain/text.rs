//! The one rule that every short text field shares: 1 to N characters, not blank, no NUL.
//!
//! Not here: the types themselves; each area wraps this rule in types of its own.

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Empty, or white space only.
    #[error("must not be blank")]
    Blank,
    /// More characters (Unicode scalar values, as PostgreSQL counts `VARCHAR(n)`) than the limit.
    #[error("must have at most {max} characters")]
    TooLong {
        /// The limit, in characters.
        max: usize,
    },
    /// In an address these two are no names (RFC 3986 §5.2.4), percent-encoded or not.
    #[error("must not be . or .., which no address can end in")]
    DotSegment,
    /// PostgreSQL cannot store U+0000, and nothing good ever holds one.
    #[error("must not contain a NUL character")]
    Nul,
}

/// Checks `text` against the rule.
pub(crate) fn check(text: &str, max: usize) -> Result<(), TextError> {
    if text.trim().is_empty() {
        Err(TextError::Blank)
    } else if text.contains('\0') {
        Err(TextError::Nul)
    } else if text.chars().count() > max {
        Err(TextError::TooLong { max })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_characters_not_bytes() {
        assert_eq!(check(&"💃".repeat(255), 255), Ok(()));
        assert_eq!(check(&"💃".repeat(256), 255), Err(TextError::TooLong { max: 255 }));
    }

    #[test]
    fn blank_and_nul_are_refused() {
        assert_eq!(check("", 255), Err(TextError::Blank));
        assert_eq!(check(" \t\u{2003}", 255), Err(TextError::Blank));
        assert_eq!(check("a\0b", 255), Err(TextError::Nul));
    }
}
