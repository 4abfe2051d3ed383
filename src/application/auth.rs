//! Proving who one is: register, sign in, stay signed in, sign out, change or recover a password.
//!
//! Not here: accounts as such (`users`), what tokens look like (`ports/tokens`), limits per address (the HTTP adapter's).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use dlc_domain::{
    passwords::{NewPassword, Password, PasswordError},
    sessions::{ACCESS_TOKEN_LIFE, REFRESH_TOKEN_LIFE, SessionId},
    users::{User, UserId, Username},
};
use secrecy::SecretString;
use tracing::instrument;

use crate::ports::{
    StorageError,
    audit::{Act, Action, Caller},
    clock::Clock,
    passwords::{HashError, PasswordHasher, Verification},
    sessions::{
        NewSession, PasswordChanged, Principal, Proof, RefreshVerdict, SessionRepository, SignInVerdict, TypedName,
    },
    tokens::{AccessClaims, AccessTokens, Mint, SigningError},
    users::{NewUser, UserCreation, UserRepository},
};

/// Who may make an account for themself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Everyone.
    Open,
    /// Nobody, but an administrator makes accounts for others.
    Admin,
    /// Nobody; accounts are made on the command line.
    Off,
}

/// What an installation asks of accounts.
#[derive(Clone, Copy, Debug)]
pub struct AuthPolicy {
    /// Who may make an account.
    pub registration: Registration,
    /// The least number of characters of a password.
    pub password_floor: usize,
}

/// What somebody who has signed in is given.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Says who they are, for a while.
    pub access_token: SecretString,
    /// How long that is good, in seconds.
    pub expires_in: i64,
    /// Gets the next ones.
    pub refresh_token: SecretString,
}

/// An account was not made.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Accounts are made by administrators here, or on the command line.
    #[error("accounts are not made here by everyone; ask an administrator for one")]
    Closed,
    /// The name is an account's.
    #[error("an account of that name exists already")]
    NameTaken,
    /// The password is not good enough.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// It could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The storage failed; the outcome is unknown.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Somebody was not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The name, the password, or the account is not right; which of them is nobody's business.
    #[error("the username or the password is not right")]
    Refused,
    /// There were too many failures.
    #[error("too many failures under this name; ask again later")]
    Locked {
        /// Until when.
        until: DateTime<Utc>,
        /// The present time.
        now: DateTime<Utc>,
    },
    /// The password could not be looked at.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// No token could be made.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A refresh token was not exchanged.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// It is not good, or not any more.
    #[error("the refresh token is not good any more; sign in again")]
    Refused,
    /// No token could be made.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A password was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// The present one was given wrong.
    #[error("the present password is not right")]
    Wrong,
    /// There were too many failures.
    #[error("too many failures under this name; ask again later")]
    Locked {
        /// Until when.
        until: DateTime<Utc>,
        /// The present time.
        now: DateTime<Utc>,
    },
    /// The new one is not good enough.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// It could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A password was not set with a code.
#[derive(Debug, thiserror::Error)]
pub enum ResetPasswordError {
    /// The name, the code, or the time is not right; which of them is nobody's business.
    #[error("this name and this code are no way to a new password, or not any more")]
    Refused,
    /// The new one is not good enough, whatever the code.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// It could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The collaborators of [`AuthService`].
pub struct AuthPorts {
    /// Accounts.
    pub users: Arc<dyn UserRepository>,
    /// Sign-ins.
    pub sessions: Arc<dyn SessionRepository>,
    /// Passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Access tokens.
    pub tokens: Arc<dyn AccessTokens>,
    /// Secrets.
    pub mint: Arc<dyn Mint>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The door.
pub struct AuthService {
    ports: AuthPorts,
    policy: AuthPolicy,
}

impl AuthService {
    /// A door with these locks.
    #[must_use]
    pub fn new(ports: AuthPorts, policy: AuthPolicy) -> Self {
        Self { ports, policy }
    }

    /// Makes an account for whoever asks, or for somebody else when an administrator asks.
    ///
    /// # Errors
    /// [`RegisterError`]
    #[instrument(target = "dlc::trace", name = "auth.register", skip_all)]
    pub async fn register(
        &self,
        username: Username,
        password: String,
        by: Option<&Principal>,
        caller: Caller,
    ) -> Result<User, RegisterError> {
        let by_admin = by.is_some_and(|principal| principal.is_admin);
        match self.policy.registration {
            Registration::Open => {}
            Registration::Admin if by_admin => {}
            Registration::Admin | Registration::Off => return Err(RegisterError::Closed),
        }
        let password = NewPassword::choose(password, username.as_str(), self.policy.password_floor)?;
        let password_hash = self.ports.hasher.hash(password.password()).await?;
        let new = NewUser {
            username,
            password_hash,
            is_admin: false,
            action: if by_admin { Action::Created } else { Action::Registered },
        };
        match self.ports.users.create(&new, &self.act(caller)).await? {
            UserCreation::Created(user) => Ok(user),
            UserCreation::NameTaken => Err(RegisterError::NameTaken),
        }
    }

    /// Signs somebody in. Unknown names, wrong passwords and deleted accounts are refused alike and take as long.
    ///
    /// # Errors
    /// [`SignInError`]
    #[instrument(target = "dlc::trace", name = "auth.sign_in", skip_all)]
    pub async fn sign_in(&self, name: &str, password: &Password, caller: Caller) -> Result<Tokens, SignInError> {
        let name = TypedName::new(name);
        let now = self.ports.clock.now();
        let state = self.ports.sessions.sign_in_state(&name, now).await?;
        if let Some(until) = state.locked_until {
            return Err(SignInError::Locked { until, now });
        }
        let hash = state.account.as_ref().map(|(_, hash)| hash);
        let verification = self.ports.hasher.verify(password, hash).await?;
        let proof = match (state.account, verification) {
            (None, _) => Proof::Failed(None),
            (Some((user, _)), Verification::Wrong) => Proof::Failed(Some(user)),
            (Some((user, verified)), Verification::Right) => Proof::Given {
                user,
                verified,
                rehashed: None,
            },
            (Some((user, verified)), Verification::Outdated) => {
                // Whoever has given the right password is not sent away because there is no time to hash it anew.
                let rehashed = self.ports.hasher.hash(password).await.ok();
                Proof::Given {
                    user,
                    verified,
                    rehashed,
                }
            }
        };
        let act = self.act(caller);
        let refresh_token = self.ports.mint.refresh_token();
        let session = NewSession {
            id: self.ports.mint.session_id(),
            refresh_token: refresh_token.digest,
            expires_at: act.at + REFRESH_TOKEN_LIFE,
        };
        let now = act.at;
        match (self.ports.sessions.sign_in(&name, &proof, &session, &act).await?, proof) {
            (SignInVerdict::SignedIn(version), Proof::Given { user, .. }) => {
                Ok(self.tokens(user, session.id, version, now, refresh_token.secret)?)
            }
            (SignInVerdict::Locked(until), _) => Err(SignInError::Locked { until, now }),
            _ => Err(SignInError::Refused),
        }
    }

    /// Exchanges a refresh token for new tokens.
    ///
    /// # Errors
    /// [`RefreshError`]
    #[instrument(target = "dlc::trace", name = "auth.refresh", skip_all)]
    pub async fn refresh(&self, presented: &str, caller: Caller) -> Result<Tokens, RefreshError> {
        let act = self.act(caller);
        let (now, expires_at) = (act.at, act.at + REFRESH_TOKEN_LIFE);
        let presented = self.ports.mint.digest_of_token(presented);
        let next = self.ports.mint.refresh_token();
        let sessions = &self.ports.sessions;
        match sessions.refresh(&presented, &next.digest, expires_at, &act).await? {
            RefreshVerdict::Refreshed { user, session, version } => {
                Ok(self.tokens(user, session, version, now, next.secret)?)
            }
            RefreshVerdict::Useless => Err(RefreshError::Refused),
            RefreshVerdict::Replayed => {
                tracing::warn!(
                    code = "refresh_token_replayed",
                    request_id = act.caller.origin.request_id,
                    "a refresh token was used long after it was exchanged; its session is ended"
                );
                Err(RefreshError::Refused)
            }
        }
    }

    /// Tells who has an access token, if it is good.
    ///
    /// # Errors
    /// When the storage failed.
    #[instrument(target = "dlc::trace", name = "auth.authenticate", skip_all)]
    pub async fn authenticate(&self, access_token: &str) -> Result<Option<Principal>, StorageError> {
        let Some(claims) = self.ports.tokens.read(access_token, self.ports.clock.now()) else {
            return Ok(None);
        };
        let sessions = &self.ports.sessions;
        sessions
            .principal(claims.subject, &claims.session, claims.version)
            .await
    }

    /// Signs somebody out, where they are signed in by this session.
    ///
    /// # Errors
    /// When the storage failed.
    #[instrument(target = "dlc::trace", name = "auth.sign_out", skip_all)]
    pub async fn sign_out(&self, principal: &Principal, caller: Caller) -> Result<(), StorageError> {
        let act = self.act(caller);
        self.ports.sessions.end(principal.id, &principal.session, &act).await
    }

    /// Signs somebody out everywhere.
    ///
    /// # Errors
    /// When the storage failed.
    #[instrument(target = "dlc::trace", name = "auth.sign_out_everywhere", skip_all)]
    pub async fn sign_out_everywhere(&self, principal: &Principal, caller: Caller) -> Result<(), StorageError> {
        self.ports.sessions.end_all(principal.id, &self.act(caller)).await
    }

    /// Changes somebody's password; they are signed out everywhere.
    ///
    /// # Errors
    /// [`ChangePasswordError`]
    #[instrument(target = "dlc::trace", name = "auth.change_password", skip_all)]
    pub async fn change_password(
        &self,
        principal: &Principal,
        present: &Password,
        new: String,
        caller: Caller,
    ) -> Result<(), ChangePasswordError> {
        let username = principal.username.as_str();
        let new = NewPassword::choose(new, username, self.policy.password_floor)?;
        let name = TypedName::new(username);
        let now = self.ports.clock.now();
        let state = self.ports.sessions.sign_in_state(&name, now).await?;
        if let Some(until) = state.locked_until {
            return Err(ChangePasswordError::Locked { until, now });
        }
        let hash = state.account.as_ref().map(|(_, hash)| hash);
        let verification = self.ports.hasher.verify(present, hash).await?;
        // Whatever the present one is: how long a refusal takes must not tell that it was right.
        let hash = self.ports.hasher.hash(new.password()).await?;
        let proof = match (state.account, verification) {
            (Some((user, verified)), Verification::Right | Verification::Outdated) => Proof::Given {
                user,
                verified,
                rehashed: None,
            },
            (account, _) => Proof::Failed(account.map(|(user, _)| user)),
        };
        let act = self.act(caller);
        let now = act.at;
        let sessions = &self.ports.sessions;
        match sessions.change_password(&name, &proof, &hash, &act).await? {
            PasswordChanged::Changed => Ok(()),
            PasswordChanged::Failed => Err(ChangePasswordError::Wrong),
            PasswordChanged::Locked(until) => Err(ChangePasswordError::Locked { until, now }),
        }
    }

    /// Sets a new password with a code that an administrator has passed on; its owner is signed out everywhere.
    ///
    /// # Errors
    /// [`ResetPasswordError`]
    #[instrument(target = "dlc::trace", name = "auth.reset_password", skip_all)]
    pub async fn reset_password(
        &self,
        name: &str,
        code: &str,
        new: String,
        caller: Caller,
    ) -> Result<(), ResetPasswordError> {
        let new = NewPassword::choose(new, name, self.policy.password_floor)?;
        let name = TypedName::new(name);
        let code = self.ports.mint.digest_of_code(code);
        let sessions = &self.ports.sessions;
        // Before the new one is hashed: nobody makes this service work by guessing.
        if !sessions.may_reset(&name, &code, self.ports.clock.now()).await? {
            return Err(ResetPasswordError::Refused);
        }
        let hash = self.ports.hasher.hash(new.password()).await?;
        if sessions.reset_password(&name, &code, &hash, &self.act(caller)).await? {
            Ok(())
        } else {
            Err(ResetPasswordError::Refused)
        }
    }

    fn act(&self, caller: Caller) -> Act {
        let at = self.ports.clock.now();
        Act { caller, at }
    }

    fn tokens(
        &self,
        subject: UserId,
        session: SessionId,
        version: i32,
        issued_at: DateTime<Utc>,
        refresh_token: SecretString,
    ) -> Result<Tokens, SigningError> {
        let claims = AccessClaims {
            subject,
            session,
            version,
            issued_at,
            expires_at: issued_at + ACCESS_TOKEN_LIFE,
        };
        Ok(Tokens {
            access_token: self.ports.tokens.issue(&claims)?,
            expires_in: ACCESS_TOKEN_LIFE.num_seconds(),
            refresh_token,
        })
    }
}
