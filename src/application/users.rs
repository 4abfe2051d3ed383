//! Accounts: one's own, and an administrator's view of everyone's.
//!
//! Not here: proving who one is (`auth`); whether somebody administrates is asked by whoever calls.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use dlc_domain::{
    passwords::{NewPassword, PasswordError},
    sessions::RESET_CODE_LIFE,
    users::{User, UserChange, UserId, Username},
};
use secrecy::SecretString;
use tracing::instrument;

use crate::ports::{
    StorageError,
    audit::{Act, Action, Caller},
    clock::Clock,
    freshness::Freshness,
    passwords::{HashError, PasswordHasher},
    tokens::Mint,
    users::{NewUser, UserChanged, UserCreation, UserFilter, UserRepository},
};

/// Accounts purged by one transaction: few enough that nobody waits for their locks.
const PURGED_AT_ONCE: u32 = 100;

/// An account could not be made by an operator.
#[derive(Debug, thiserror::Error)]
pub enum CreateUserError {
    /// The name is an account's.
    #[error("an account of that name exists already, maybe a deleted one")]
    NameTaken,
    /// The password is not good enough.
    #[error("the password {0}")]
    Password(#[from] PasswordError),
    /// It could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The storage failed; the outcome is unknown.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// An account could not be found or changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// There is no such account, or it is deleted.
    #[error("there is no such user")]
    Unknown,
    /// It was changed since the caller looked at it.
    #[error("the account was changed since; look at it again")]
    Stale,
    /// Nobody would administrate any more.
    #[error("this is the last administrator; make somebody else one first")]
    LastAdministrator,
    /// The storage failed; the outcome of a change is unknown.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A code for a new password, to be passed on to the account's owner.
#[derive(Clone, Debug)]
pub struct ResetCode {
    /// The code; it is told this once.
    pub code: SecretString,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// The registry of accounts.
pub struct UserService {
    users: Arc<dyn UserRepository>,
    hasher: Arc<dyn PasswordHasher>,
    mint: Arc<dyn Mint>,
    clock: Arc<dyn Clock>,
    password_floor: usize,
}

impl UserService {
    /// A registry that asks for passwords of at least so many characters.
    #[must_use]
    pub fn new(
        users: Arc<dyn UserRepository>,
        hasher: Arc<dyn PasswordHasher>,
        mint: Arc<dyn Mint>,
        clock: Arc<dyn Clock>,
        password_floor: usize,
    ) -> Self {
        Self {
            users,
            hasher,
            mint,
            clock,
            password_floor,
        }
    }

    /// Makes an account on an operator's behalf.
    ///
    /// # Errors
    /// [`CreateUserError`]
    #[instrument(target = "dlc::trace", name = "users.create", skip_all)]
    pub async fn create(
        &self,
        username: Username,
        password: String,
        is_admin: bool,
        caller: Caller,
    ) -> Result<User, CreateUserError> {
        let password = NewPassword::choose(password, username.as_str(), self.password_floor)?;
        let new = NewUser {
            username,
            password_hash: self.hasher.hash(password.password()).await?,
            is_admin,
            action: Action::Created,
        };
        match self.users.create(&new, &self.act(caller)).await? {
            UserCreation::Created(user) => Ok(user),
            UserCreation::NameTaken => Err(CreateUserError::NameTaken),
        }
    }

    /// Looks at one account, deleted or not.
    ///
    /// # Errors
    /// [`UserError`]
    #[instrument(target = "dlc::trace", name = "users.find", skip_all)]
    pub async fn find(&self, id: UserId, freshness: Freshness) -> Result<User, UserError> {
        self.users.find(id, freshness).await?.ok_or(UserError::Unknown)
    }

    /// Looks at the account of a name, deleted or not.
    ///
    /// # Errors
    /// [`UserError`]
    #[instrument(target = "dlc::trace", name = "users.find_by_name", skip_all)]
    pub async fn find_by_name(&self, name: &Username) -> Result<User, UserError> {
        self.users.find_by_name(name).await?.ok_or(UserError::Unknown)
    }

    /// Looks at the next accounts in the order of their ids.
    ///
    /// # Errors
    /// When the storage failed.
    #[instrument(target = "dlc::trace", name = "users.page", skip_all)]
    pub async fn page(
        &self,
        filter: UserFilter,
        after: Option<UserId>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<Vec<User>, StorageError> {
        self.users.page(filter, after, limit, freshness).await
    }

    /// Changes an account; `expected` is the state that the caller knows, by its `updated_at`.
    ///
    /// # Errors
    /// [`UserError`]
    #[instrument(target = "dlc::trace", name = "users.change", skip_all)]
    pub async fn change(
        &self,
        id: UserId,
        expected: Option<DateTime<Utc>>,
        change: &UserChange,
        caller: Caller,
    ) -> Result<User, UserError> {
        let act = self.act(caller);
        outcome(self.users.change(id, expected, change, &act).await?)
    }

    /// Deletes an account so that it can be restored; its owner is signed out everywhere.
    ///
    /// # Errors
    /// [`UserError`]
    #[instrument(target = "dlc::trace", name = "users.delete", skip_all)]
    pub async fn delete(&self, id: UserId, caller: Caller) -> Result<User, UserError> {
        let act = self.act(caller);
        outcome(self.users.delete(id, &act).await?)
    }

    /// Restores a deleted account.
    ///
    /// # Errors
    /// [`UserError`]
    #[instrument(target = "dlc::trace", name = "users.restore", skip_all)]
    pub async fn restore(&self, id: UserId, caller: Caller) -> Result<User, UserError> {
        let act = self.act(caller);
        outcome(self.users.restore(id, &act).await?)
    }

    /// Lets an account's owner set a new password, with the code that is told here and nowhere else.
    ///
    /// # Errors
    /// [`UserError`]
    #[instrument(target = "dlc::trace", name = "users.allow_reset", skip_all)]
    pub async fn allow_reset(&self, id: UserId, caller: Caller) -> Result<ResetCode, UserError> {
        let act = self.act(caller);
        let code = self.mint.reset_code();
        let expires_at = act.at + RESET_CODE_LIFE;
        outcome(self.users.allow_reset(id, &code.digest, expires_at, &act).await?)?;
        Ok(ResetCode {
            code: code.secret,
            expires_at,
        })
    }

    /// How many accounts were deleted before a time.
    ///
    /// # Errors
    /// When the storage failed.
    #[instrument(target = "dlc::trace", name = "users.count_purgeable", skip_all)]
    pub async fn count_purgeable(&self, deleted_before: DateTime<Utc>) -> Result<u64, StorageError> {
        self.users.count_purgeable(deleted_before).await
    }

    /// Deletes for good, with all that belongs to them, the accounts that were deleted before a time. Tells how many; their names
    /// are free again.
    ///
    /// # Errors
    /// When the storage failed; what was purged until then stays purged.
    #[instrument(target = "dlc::trace", name = "users.purge", skip_all)]
    pub async fn purge(&self, deleted_before: DateTime<Utc>, caller: Caller) -> Result<u64, StorageError> {
        let act = self.act(caller);
        let mut purged = 0;
        loop {
            match self.users.purge(deleted_before, PURGED_AT_ONCE, &act).await? {
                0 => return Ok(purged),
                some => purged += some,
            }
        }
    }

    fn act(&self, caller: Caller) -> Act {
        let at = self.clock.now();
        Act { caller, at }
    }
}

fn outcome(changed: UserChanged) -> Result<User, UserError> {
    match changed {
        UserChanged::Changed(user) => Ok(user),
        UserChanged::Unknown => Err(UserError::Unknown),
        UserChanged::Stale => Err(UserError::Stale),
        UserChanged::LastAdministrator => Err(UserError::LastAdministrator),
    }
}
