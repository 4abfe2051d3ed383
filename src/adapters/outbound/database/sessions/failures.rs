//! Failures to prove who one is, counted by name: judged when they are written, one after the other.

use chrono::{DateTime, Utc};
use dlc_application::ports::{
    passwords::PasswordHash,
    sessions::{Proof, TypedName},
};
use dlc_domain::{
    sessions::{FAILURES_FORGOTTEN_AFTER, wait_after},
    users::UserId,
};
use sea_orm::{
    ActiveValue::{Set, Unchanged},
    DbErr, EntityTrait,
    sea_query::{Expr, OnConflict},
};
use sha2::{Digest, Sha256};

use crate::{
    accounts,
    entity::{sign_in_failures, users},
    statements::Statement as Kind,
    transaction::Transaction,
};

/// What a proof comes to.
pub(super) enum Judged {
    /// Nothing: nobody may try.
    Locked(DateTime<Utc>),
    /// A failure, which is counted; at whose expense.
    Failed(Option<UserId>),
    /// It is right. The account is locked, and its failures are forgotten.
    Right(users::Model),
}

/// A name as it is kept: it may be a password that was typed into the wrong field.
pub(super) fn digest(name: &TypedName) -> Vec<u8> {
    Sha256::digest(name.folded()).to_vec()
}

/// Judges a proof under the lock of the name.
pub(super) async fn judge(
    transaction: &Transaction,
    name: &TypedName,
    proof: Proof,
    at: DateTime<Utc>,
) -> Result<Judged, DbErr> {
    let failures = lock(transaction, name, at).await?;
    if let Some(until) = failures.locked_until.filter(|until| *until > at) {
        return Ok(Judged::Locked(until));
    }
    let subject = match proof {
        Proof::Failed(subject) => subject,
        Proof::Given { user, verified, .. } => {
            let row = accounts::lock(transaction, user).await?;
            match row.filter(|row| is_still(row, &verified)) {
                Some(row) => {
                    forget(transaction, name).await?;
                    return Ok(Judged::Right(row));
                }
                None => Some(user),
            }
        }
    };
    count(transaction, failures, at).await?;
    Ok(Judged::Failed(subject))
}

/// Whether an account can be used, and has the password that was looked at.
fn is_still(row: &users::Model, verified: &PasswordHash) -> bool {
    row.deleted_at.is_none() && row.password_hash == verified.0
}

/// Locks a name's failures, and reads them as they are then.
///
/// By one statement, which makes the row where there is none: between two of them somebody who signs in might delete it.
pub(super) async fn lock(
    transaction: &Transaction,
    name: &TypedName,
    at: DateTime<Utc>,
) -> Result<sign_in_failures::Model, DbErr> {
    use sign_in_failures::Column;
    let none = sign_in_failures::ActiveModel {
        name_digest: Set(digest(name)),
        failures: Set(0),
        failed_at: Set(at),
        locked_until: Set(None),
    };
    let as_they_are = OnConflict::column(Column::NameDigest)
        .value(
            Column::Failures,
            Expr::col((sign_in_failures::Entity, Column::Failures)),
        )
        .to_owned();
    let lock = sign_in_failures::Entity::insert(none)
        .on_conflict(as_they_are)
        .exec_with_returning(&transaction.connection);
    Kind::INSERT_SIGN_IN_FAILURES.traced(transaction.engine, lock).await
}

/// Counts one more. They are locked.
async fn count(transaction: &Transaction, row: sign_in_failures::Model, at: DateTime<Utc>) -> Result<(), DbErr> {
    let is_long_ago = at - row.failed_at >= FAILURES_FORGOTTEN_AFTER;
    let failures = if is_long_ago { 1 } else { row.failures.saturating_add(1) };
    let wait = wait_after(failures.unsigned_abs());
    let counted = sign_in_failures::ActiveModel {
        name_digest: Unchanged(row.name_digest),
        failures: Set(failures),
        failed_at: Set(at),
        locked_until: Set((!wait.is_zero()).then(|| at + wait)),
    };
    let update = sign_in_failures::Entity::update(counted).exec(&transaction.connection);
    Kind::UPDATE_SIGN_IN_FAILURES.traced(transaction.engine, update).await?;
    Ok(())
}

/// Forgets them. They are locked.
pub(super) async fn forget(transaction: &Transaction, name: &TypedName) -> Result<(), DbErr> {
    let delete = sign_in_failures::Entity::delete_by_id(digest(name)).exec(&transaction.connection);
    Kind::DELETE_SIGN_IN_FAILURES.traced(transaction.engine, delete).await?;
    Ok(())
}
