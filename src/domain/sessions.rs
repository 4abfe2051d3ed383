//! Being signed in: how long tokens live, what a used refresh token means, and how long somebody has to wait who guesses.
//!
//! Not here: what the tokens look like, and where they are kept.

use chrono::{DateTime, TimeDelta, Utc};

/// An access token is good for so long (§5.4).
pub const ACCESS_TOKEN_LIFE: TimeDelta = TimeDelta::minutes(15);

/// A refresh token that nobody uses is good for so long (§5.4); the next one has as long again.
pub const REFRESH_TOKEN_LIFE: TimeDelta = TimeDelta::days(30);

/// A refresh token may be used again within so long (§5.4): a client whose answer was lost, or two of its windows at once.
pub const REFRESH_TOKEN_GRACE: TimeDelta = TimeDelta::seconds(10);

/// The code for a new password is good for so long (§5.4).
pub const RESET_CODE_LIFE: TimeDelta = TimeDelta::hours(24);

/// Failures to sign in that are forgiven before anybody has to wait (§5.4).
pub const FREE_FAILURES: u32 = 5;

/// Nobody has to wait for longer than this (§5.4): an account must not be closed by whoever knows its name.
pub const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(15);

/// Failures are forgotten after so long without one.
pub const FAILURES_FORGOTTEN_AFTER: TimeDelta = TimeDelta::hours(24);

/// One sign-in and all the tokens that come of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub String);

/// A refresh token as it is kept, and the session that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// When it was used first.
    pub used_at: Option<DateTime<Utc>>,
    /// Whether its session has ended.
    pub session_has_ended: bool,
}

/// What the use of a refresh token means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshJudgement {
    /// It is exchanged for a new one.
    Exchange,
    /// It is of no use any more.
    Useless,
    /// It was exchanged long ago: whoever uses it now, or whoever used it then, has stolen it.
    Replay,
}

impl RefreshToken {
    /// Judges its use.
    #[must_use]
    pub fn judge(&self, now: DateTime<Utc>) -> RefreshJudgement {
        if self.session_has_ended || now >= self.expires_at {
            return RefreshJudgement::Useless;
        }
        match self.used_at {
            Some(used_at) if now - used_at > REFRESH_TOKEN_GRACE => RefreshJudgement::Replay,
            _ => RefreshJudgement::Exchange,
        }
    }
}

/// How long nobody may sign in to an account after so many failures in a row: 1 s after the fifth, twice as long after each more,
/// 15 min at most.
#[must_use]
pub fn wait_after(failures: u32) -> TimeDelta {
    let Some(beyond) = failures.checked_sub(FREE_FAILURES) else {
        return TimeDelta::zero();
    };
    // 2^10 s are longer than 15 min already.
    TimeDelta::seconds(1 << beyond.min(10)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_guesses_waits_twice_as_long_each_time_but_never_for_ever() {
        let waits: Vec<i64> = [0, 4, 5, 6, 7, 14, 15, 4_000_000_000]
            .map(|failures| wait_after(failures).num_seconds())
            .into();
        assert_eq!(waits, [0, 0, 1, 2, 4, 512, 900, 900]);
    }

    #[test]
    fn a_used_refresh_token_is_forgiven_for_ten_seconds_and_then_betrays_a_thief() {
        let at = DateTime::UNIX_EPOCH;
        let token = |used_after: Option<i64>, has_ended| RefreshToken {
            expires_at: at + REFRESH_TOKEN_LIFE,
            used_at: used_after.map(|seconds| at + TimeDelta::seconds(seconds)),
            session_has_ended: has_ended,
        };
        let judge = |token: RefreshToken, seconds| token.judge(at + TimeDelta::seconds(seconds));
        assert_eq!(judge(token(None, false), 60), RefreshJudgement::Exchange);
        assert_eq!(judge(token(Some(50), false), 60), RefreshJudgement::Exchange);
        assert_eq!(judge(token(Some(49), false), 60), RefreshJudgement::Replay);
        assert_eq!(judge(token(Some(49), true), 60), RefreshJudgement::Useless);
        let month = REFRESH_TOKEN_LIFE.num_seconds();
        assert_eq!(judge(token(None, false), month - 1), RefreshJudgement::Exchange);
        assert_eq!(judge(token(None, false), month), RefreshJudgement::Useless);
        assert_eq!(judge(token(Some(1), false), month), RefreshJudgement::Useless);
    }
}
