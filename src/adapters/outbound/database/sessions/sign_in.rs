//! Signing in, and changing one's password: what a look at the present password leads to.

use chrono::{DateTime, Utc};
use dlc_application::ports::{
    audit::{Act, Action},
    passwords::PasswordHash,
    sessions::{NewSession, PasswordChanged, Proof, SignInState, SignInVerdict, TypedName},
};
use dlc_domain::users::UserId;
use sea_orm::{
    ActiveValue::{Set, Unchanged},
    DbErr, EntityTrait, QueryResult, Value,
};

use super::failures::{self, Judged};
use crate::{
    accounts, audit,
    entity::{refresh_tokens, sessions, users},
    statements::Statement as Kind,
    transaction::Transaction,
};

/// One statement that finds something or not: whoever measures how long an answer takes must not learn whose name it was.
pub(super) const STATE: &str = "SELECT u.id, u.password_hash, f.locked_until FROM (SELECT 1) asked \
     LEFT JOIN users u ON lower(u.username) = $1 AND u.deleted_at IS NULL \
     LEFT JOIN sign_in_failures f ON f.name_digest = $2";

/// The values of [`STATE`].
pub(super) fn of(name: &TypedName) -> [Value; 2] {
    [accounts::findable(name.folded()).into(), failures::digest(name).into()]
}

/// What the row of [`STATE`] says.
pub(super) fn state(row: Option<QueryResult>, now: DateTime<Utc>) -> Result<SignInState, DbErr> {
    let Some(row) = row else {
        return Ok(SignInState::default());
    };
    let id: Option<i32> = row.try_get_by_index(0)?;
    let hash: Option<String> = row.try_get_by_index(1)?;
    let locked_until: Option<DateTime<Utc>> = row.try_get_by_index(2)?;
    Ok(SignInState {
        account: id.map(UserId).zip(hash.map(PasswordHash)),
        locked_until: locked_until.filter(|until| *until > now),
    })
}

pub(super) async fn sign_in(
    transaction: Transaction,
    name: TypedName,
    proof: Proof,
    session: NewSession,
    act: Act,
) -> Result<SignInVerdict, DbErr> {
    let rehashed = match &proof {
        Proof::Given { rehashed, .. } => rehashed.clone(),
        Proof::Failed(_) => None,
    };
    let row = match failures::judge(&transaction, &name, proof, act.at).await? {
        Judged::Locked(until) => return transaction.roll_back(SignInVerdict::Locked(until)).await,
        Judged::Failed(subject) => {
            audit::record(&transaction, &act, Action::SignInFailed, subject).await?;
            return transaction.commit(SignInVerdict::Failed).await;
        }
        Judged::Right(row) => row,
    };
    let id = UserId(row.id);
    let mut signed_in = users::ActiveModel {
        id: Unchanged(row.id),
        last_login: Set(Some(act.at)),
        ..Default::default()
    };
    if let Some(PasswordHash(hash)) = rehashed {
        signed_in.password_hash = Set(hash);
    }
    accounts::update(&transaction, signed_in).await?;
    begin(&transaction, id, session, act.at).await?;
    let version = accounts::version(&transaction, id).await?;
    audit::record(&transaction, &act, Action::SignedIn, Some(id)).await?;
    transaction.commit(SignInVerdict::SignedIn(version)).await
}

/// Stores a session and its first token. Its user is locked.
async fn begin(transaction: &Transaction, user: UserId, session: NewSession, at: DateTime<Utc>) -> Result<(), DbErr> {
    let row = sessions::ActiveModel {
        id: Set(session.id.0.clone()),
        user_id: Set(user.0),
        created_at: Set(at),
        expires_at: Set(session.expires_at),
        ended_at: Set(None),
    };
    let insert = sessions::Entity::insert(row).exec_without_returning(&transaction.connection);
    Kind::INSERT_SESSIONS.traced(transaction.engine, insert).await?;
    let token = refresh_tokens::ActiveModel {
        digest: Set(session.refresh_token.0.to_vec()),
        session_id: Set(session.id.0),
        expires_at: Set(session.expires_at),
        used_at: Set(None),
    };
    let insert = refresh_tokens::Entity::insert(token).exec_without_returning(&transaction.connection);
    Kind::INSERT_REFRESH_TOKENS.traced(transaction.engine, insert).await?;
    Ok(())
}

pub(super) async fn change_password(
    transaction: Transaction,
    name: TypedName,
    proof: Proof,
    new: PasswordHash,
    act: Act,
) -> Result<PasswordChanged, DbErr> {
    match failures::judge(&transaction, &name, proof, act.at).await? {
        Judged::Locked(until) => transaction.roll_back(PasswordChanged::Locked(until)).await,
        Judged::Failed(subject) => {
            audit::record(&transaction, &act, Action::PasswordChangeFailed, subject).await?;
            transaction.commit(PasswordChanged::Failed).await
        }
        Judged::Right(row) => {
            replace(&transaction, &row, new, act.at).await?;
            audit::record(&transaction, &act, Action::PasswordChanged, Some(UserId(row.id))).await?;
            transaction.commit(PasswordChanged::Changed).await
        }
    }
}

/// Keeps a new password: nothing that was given out for the old one is good for anything then. The account is locked.
pub(super) async fn replace(
    transaction: &Transaction,
    row: &users::Model,
    new: PasswordHash,
    at: DateTime<Utc>,
) -> Result<(), DbErr> {
    let id = UserId(row.id);
    let changed = users::ActiveModel {
        id: Unchanged(row.id),
        password_hash: Set(new.0),
        allow_password_reset: Set(Some(false)),
        updated_at: Set(Some(accounts::next_state(row.updated_at, at))),
        ..Default::default()
    };
    accounts::update(transaction, changed).await?;
    accounts::end_access(transaction, id).await?;
    accounts::end_sessions(transaction, id, at).await?;
    accounts::forget_code(transaction, id).await
}
