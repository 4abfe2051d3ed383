//! Where accounts are kept.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use dlc_domain::users::{User, UserChange, UserId, Username};

use super::{
    StorageError,
    audit::{Act, Action},
    freshness::Freshness,
    passwords::PasswordHash,
    tokens::Digest,
};

/// An account to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// Its name.
    pub username: Username,
    /// Its hashed password.
    pub password_hash: PasswordHash,
    /// Whether it administrates.
    pub is_admin: bool,
    /// How it comes to be: [`Action::Registered`] or [`Action::Created`].
    pub action: Action,
}

/// What became of a new account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserCreation {
    /// It is stored.
    Created(User),
    /// The name, in whatever case, is an account's, maybe a deleted one's.
    NameTaken,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserChanged {
    /// It is made; the account is like this now.
    Changed(User),
    /// There is no such account, or only a deleted one (for [`restore`](UserRepository::restore): no such account at all).
    Unknown,
    /// The account was changed since the state that the caller knows.
    Stale,
    /// It would leave nobody who administrates.
    LastAdministrator,
}

/// Which accounts are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserFilter {
    /// Those that can be used.
    #[default]
    Active,
    /// Deleted ones.
    Deleted,
    /// Both.
    All,
}

/// Accounts, kept safe. Each method is one transaction as its caller sees it, the audit event of its effect included; what has no
/// effect leaves no event. Changes of one account MUST happen one after the other, each with an `updated_at` of its own, later than
/// the one before.
#[async_trait]
pub trait UserRepository: Send + Sync {
    /// Makes an account. MUST compare names without case, deleted accounts' included.
    async fn create(&self, user: &NewUser, act: &Act) -> Result<UserCreation, StorageError>;

    /// Reads one account, deleted or not.
    async fn find(&self, id: UserId, freshness: Freshness) -> Result<Option<User>, StorageError>;

    /// Reads the account of a name in whatever case, deleted or not.
    async fn find_by_name(&self, name: &Username) -> Result<Option<User>, StorageError>;

    /// Reads at most `limit` accounts in the order of their ids, those after one.
    async fn page(
        &self,
        filter: UserFilter,
        after: Option<UserId>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<Vec<User>, StorageError>;

    /// Changes an account, when it is still as its caller knows it (`expected` is the `updated_at` of that state). MUST NOT take
    /// the administration away from the last who has it, however many try at once. Whoever becomes no administrator any more
    /// MUST be left without access tokens. Audit: [`Action::Promoted`], [`Action::Demoted`], and [`Action::Changed`] for
    /// the rest.
    async fn change(
        &self,
        id: UserId,
        expected: Option<DateTime<Utc>>,
        change: &UserChange,
        act: &Act,
    ) -> Result<UserChanged, StorageError>;

    /// Deletes an account so that it can be restored, and ends its sessions and access tokens. MUST NOT delete the last
    /// administrator.
    async fn delete(&self, id: UserId, act: &Act) -> Result<UserChanged, StorageError>;

    /// Restores a deleted account, and leaves one alone that is not deleted.
    async fn restore(&self, id: UserId, act: &Act) -> Result<UserChanged, StorageError>;

    /// Lets the account's owner set a new password with a code. An earlier code MUST be worthless from then on.
    async fn allow_reset(
        &self,
        id: UserId,
        code: &Digest,
        expires_at: DateTime<Utc>,
        act: &Act,
    ) -> Result<UserChanged, StorageError>;

    /// Deletes accounts for good that were deleted before a time, with their greetings and everything that belongs to them;
    /// tells how many, at most `limit`. Audit events stay.
    async fn purge(&self, deleted_before: DateTime<Utc>, limit: u32, act: &Act) -> Result<u64, StorageError>;

    /// How many accounts [`purge`](Self::purge) would delete.
    async fn count_purgeable(&self, deleted_before: DateTime<Utc>) -> Result<u64, StorageError>;
}
