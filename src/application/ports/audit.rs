//! What is written down about who did what to whose account.
//!
//! Each event is kept in the transaction of its effect, by the port that has the effect; there is no port for audit alone. No
//! password, code or token is ever among it, nor a name that somebody typed and nobody has: that may be a password.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use dlc_domain::users::UserId;

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody who has signed in.
    Anonymous,
    /// A user.
    User(UserId),
    /// Whoever may run commands on the database's behalf.
    CommandLine,
}

/// Where a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The request's id, as in the log.
    pub request_id: String,
}

/// Who acts, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// From where.
    pub origin: Origin,
}

impl Caller {
    /// Whoever runs commands.
    #[must_use]
    pub fn command_line() -> Self {
        Self {
            actor: Actor::CommandLine,
            origin: Origin::default(),
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Somebody made an account for themself.
    Registered,
    /// An account was made for somebody.
    Created,
    /// Somebody signed in.
    SignedIn,
    /// Somebody failed to: the name or the password was wrong.
    SignInFailed,
    /// Somebody signed out.
    SignedOut,
    /// Somebody signed out everywhere.
    SignedOutEverywhere,
    /// A refresh token was used long after it was exchanged: its session was ended.
    RefreshReplayed,
    /// Somebody chose a new password.
    PasswordChanged,
    /// Somebody who was signed in gave a wrong password for the present one.
    PasswordChangeFailed,
    /// An administrator let somebody set a new password.
    ResetAllowed,
    /// Somebody set a new password with a code.
    PasswordReset,
    /// An account was changed.
    Changed,
    /// Somebody became an administrator.
    Promoted,
    /// Somebody is no administrator any more.
    Demoted,
    /// An account was deleted, and can be restored.
    Deleted,
    /// An account was restored.
    Restored,
    /// An account was deleted for good.
    Purged,
}

impl Action {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registered => "user.registered",
            Self::Created => "user.created",
            Self::SignedIn => "session.signed_in",
            Self::SignInFailed => "session.sign_in_failed",
            Self::SignedOut => "session.signed_out",
            Self::SignedOutEverywhere => "session.signed_out_everywhere",
            Self::RefreshReplayed => "session.refresh_replayed",
            Self::PasswordChanged => "password.changed",
            Self::PasswordChangeFailed => "password.change_failed",
            Self::ResetAllowed => "password.reset_allowed",
            Self::PasswordReset => "password.reset",
            Self::Changed => "user.changed",
            Self::Promoted => "user.promoted",
            Self::Demoted => "user.demoted",
            Self::Deleted => "user.deleted",
            Self::Restored => "user.restored",
            Self::Purged => "user.purged",
        }
    }
}

/// Who does something, from where and when. What it is and to whom is known to whoever does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Who, and from where.
    pub caller: Caller,
    /// When.
    pub at: DateTime<Utc>,
}
