//! How much of the past a read may show, where a replica answers some of them.
//!
//! A read that says nothing of it is [`Freshness::Current`]: whoever decides something by what it reads, or is about to write, never
//! looks at a replica. Not here: how a replica is asked, and when it is behind (`dlc-database`).

use std::{fmt, str::FromStr};

use async_trait::async_trait;

/// A place in the database's log of changes: everything that was committed before it stands before it. Written as PostgreSQL writes
/// its own, two hexadecimal numbers: `16/B374D848`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// A text that is no [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a position as an answer to a write has told it, such as 16/B374D848")]
pub struct NoPosition;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (high, low) = text.split_once('/').ok_or(NoPosition)?;
        let half = |text: &str| {
            let fits = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            fits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let (high, low) = half(high).zip(half(low)).ok_or(NoPosition)?;
        Ok(Self(high << 32 | low))
    }
}

/// Who writes and reads again: nothing of it but that it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session(pub u64);

/// What a caller has written, as far as it is known: a read of theirs MUST see that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// The session that the caller presents; none for whoever presents nothing, which is everybody.
    pub session: Option<Session>,
    /// What the caller says that it must see; whoever says nothing must see everything that was written here.
    pub after: Option<Position>,
}

/// How much of the past a read may show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// None: it MUST see everything that was committed before it was asked.
    #[default]
    Current,
    /// What others have written lately may be missing, for as long as the configuration allows. What the caller has written itself
    /// MUST NOT; and of a caller who does not say what that is, nothing that was written here.
    MayLag(Own),
}

/// Keeps in mind who has written when.
#[async_trait]
pub trait WriteLog: Send + Sync {
    /// A request has written. MUST be told before its caller hears of it.
    fn wrote(&self, session: Option<Session>);

    /// The same of a request that is over for its caller, who does not know what became of it: it may write yet, for as long as a
    /// transaction may take.
    fn may_write_yet(&self, session: Option<Session>);

    /// A request has changed nothing, but has told its caller what is there: reads MUST show it from now on. MUST be told before its
    /// caller hears of it.
    fn told(&self, until: Position);

    /// A position behind everything that was committed before this was asked; `None` where it is not to be had in good time.
    async fn position(&self) -> Option<Position>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written_and_nothing_else_is_one() {
        for text in ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        assert_eq!("1/0".parse::<Position>().unwrap(), Position(1 << 32));
        assert!("1/0".parse::<Position>().unwrap() > "0/FFFFFFFF".parse().unwrap());
        for text in [
            "",
            "/",
            "0",
            "0/",
            "/0",
            "0/0/0",
            " 0/0",
            "+1/0",
            "0/123456789",
            "g/0",
            "0/-1",
        ] {
            assert_eq!(text.parse::<Position>(), Err(NoPosition), "{text}");
        }
    }
}
