//! Where sign-ins are kept: sessions, their refresh tokens, failures, and the codes for new passwords.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use dlc_domain::{
    sessions::SessionId,
    users::{ProfileText, UserId, Username},
};

use super::{StorageError, audit::Act, passwords::PasswordHash, tokens::Digest};

/// A name as somebody typed it in order to sign in: in lower case, and maybe nobody's. It may be a password that was typed
/// into the wrong field, so it is kept as a digest only and not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct TypedName(String);

impl TypedName {
    /// Takes a name as it was typed.
    #[must_use]
    pub fn new(typed: &str) -> Self {
        Self(typed.to_ascii_lowercase())
    }

    /// The name in lower case.
    #[must_use]
    pub fn folded(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for TypedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[typed name]")
    }
}

/// What is known of a name before the password is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignInState {
    /// The account of that name, unless it is deleted, with its hashed password.
    pub account: Option<(UserId, PasswordHash)>,
    /// Until when nobody may sign in under that name, when that is later than now.
    pub locked_until: Option<DateTime<Utc>>,
}

/// A session to be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Its first refresh token.
    pub refresh_token: Digest,
    /// Until when that is good.
    pub expires_at: DateTime<Utc>,
}

/// What became of a look at a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It was wrong, or there is no such account. The account, if there is one.
    Failed(Option<UserId>),
    /// It was right.
    Given {
        /// Whose it is.
        user: UserId,
        /// The hash that it was compared to.
        verified: PasswordHash,
        /// The hash to be kept instead, where that one was made with less effort than is made today.
        rehashed: Option<PasswordHash>,
    },
}

/// What became of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInVerdict {
    /// The session is begun. Access tokens are of this version.
    SignedIn(i32),
    /// Refused, like every wrong name and password.
    Failed,
    /// Refused whatever the password: there were too many failures.
    Locked(DateTime<Utc>),
}

/// What became of the use of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshVerdict {
    /// It is exchanged for the new one.
    Refreshed {
        /// Whose it is.
        user: UserId,
        /// Its session.
        session: SessionId,
        /// Access tokens are of this version.
        version: i32,
    },
    /// It was never given out, has expired, or its session has ended.
    Useless,
    /// It was exchanged long ago. The session is ended now.
    Replayed,
}

/// What became of a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordChanged {
    /// It is kept, and every session has ended.
    Changed,
    /// The present password was given wrong, or was changed meanwhile.
    Failed,
    /// Refused whatever the password: there were too many failures.
    Locked(DateTime<Utc>),
}

/// Somebody who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Their number.
    pub id: UserId,
    /// Their name.
    pub username: Username,
    /// What they work towards.
    pub current_goal: Option<ProfileText>,
    /// Whether they administrate.
    pub is_admin: bool,
    /// By which session.
    pub session: SessionId,
}

/// Sessions, kept safe. Each method is one transaction as its caller sees it, the audit event of its effect included. No secret
/// is kept, only digests.
///
/// Failures are counted by name, whether or not it is an account's, so that a refusal for too many tells nothing. They are
/// judged when they are written: of many tries at once, only as many as are free learn whether their password was right.
#[async_trait]
pub trait SessionRepository: Send + Sync {
    /// Looks at a name. MUST do the same work whether or not there is such an account.
    async fn sign_in_state(&self, name: &TypedName, now: DateTime<Utc>) -> Result<SignInState, StorageError>;

    /// Begins a session, or counts a failure ([`dlc_domain::sessions::wait_after`]); both MUST be refused while the name is
    /// locked. MUST refuse a password that was changed, or an account that was deleted, since it was looked at. A session begun
    /// forgets the name's failures, sets `last_login`, and keeps the new hash where there is one.
    async fn sign_in(
        &self,
        name: &TypedName,
        proof: &Proof,
        session: &NewSession,
        act: &Act,
    ) -> Result<SignInVerdict, StorageError>;

    /// Exchanges a refresh token ([`dlc_domain::sessions::RefreshToken::judge`]). However many use it at once, MUST judge one
    /// after the other. A replay MUST end the session.
    async fn refresh(
        &self,
        presented: &Digest,
        next: &Digest,
        next_expires_at: DateTime<Utc>,
        act: &Act,
    ) -> Result<RefreshVerdict, StorageError>;

    /// Who has an access token of this user, session and version. MUST answer `None` once the session has ended, the version is
    /// another, or the account is deleted.
    async fn principal(
        &self,
        user: UserId,
        session: &SessionId,
        version: i32,
    ) -> Result<Option<Principal>, StorageError>;

    /// Ends one session of a user; access tokens of it are worthless at once.
    async fn end(&self, user: UserId, session: &SessionId, act: &Act) -> Result<(), StorageError>;

    /// Ends all sessions of a user.
    async fn end_all(&self, user: UserId, act: &Act) -> Result<(), StorageError>;

    /// Keeps a new password, ends every session and access token, and makes codes for a new password worthless. `proof` is
    /// about the present one; failures count like those of a sign-in.
    async fn change_password(
        &self,
        name: &TypedName,
        proof: &Proof,
        new: &PasswordHash,
        act: &Act,
    ) -> Result<PasswordChanged, StorageError>;

    /// Whether the owner of a name may set a new password with this code now. MUST do the same work whatever is wrong.
    async fn may_reset(&self, name: &TypedName, code: &Digest, now: DateTime<Utc>) -> Result<bool, StorageError>;

    /// Keeps a new password, when the code is still good for it: then the code and the flag are gone, every session and access
    /// token ends, and the name's failures are forgotten. Tells whether it was.
    async fn reset_password(
        &self,
        name: &TypedName,
        code: &Digest,
        new: &PasswordHash,
        act: &Act,
    ) -> Result<bool, StorageError>;

    /// Forgets sessions whose tokens have all expired, failures that are out of date and codes that have expired, and tells how
    /// many. MUST NOT hold up requests: few rows at a time.
    async fn forget(&self, now: DateTime<Utc>) -> Result<u64, StorageError>;
}
