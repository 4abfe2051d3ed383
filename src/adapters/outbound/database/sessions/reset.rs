//! New passwords by code: the administrator's flag and the code together, and neither without the other.

use chrono::{DateTime, Utc};
use dlc_application::ports::{
    audit::{Act, Action},
    passwords::PasswordHash,
    sessions::TypedName,
    tokens::Digest,
};
use dlc_domain::users::UserId;
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};

use super::{failures, sign_in};
use crate::{accounts, audit, statements::Statement as Kind, transaction::Transaction};

/// The code of a name, if it has one. One statement, whatever is wrong, and always a row; the rest is compared afterwards.
pub(super) const CODE: &str = "SELECT u.allow_password_reset, r.code_digest, r.expires_at FROM (SELECT 1) asked \
     LEFT JOIN users u ON lower(u.username) = $1 AND u.deleted_at IS NULL \
     LEFT JOIN password_resets r ON r.user_id = u.id";

/// Whether the row of [`CODE`] makes a code good.
pub(super) fn is_good(row: Option<QueryResult>, code: &Digest, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let Some(row) = row else { return Ok(false) };
    let is_allowed: Option<bool> = row.try_get_by_index(0)?;
    let digest: Option<Vec<u8>> = row.try_get_by_index(1)?;
    let expires_at: Option<DateTime<Utc>> = row.try_get_by_index(2)?;
    // Digests: how long the comparison takes tells nothing of the code.
    Ok(is_allowed == Some(true)
        && digest.is_some_and(|digest| digest == code.0)
        && expires_at.is_some_and(|expires_at| now < expires_at))
}

pub(super) async fn reset(
    transaction: Transaction,
    name: TypedName,
    code: Digest,
    new: PasswordHash,
    act: Act,
) -> Result<bool, DbErr> {
    // First, because that is the order of locks: they are forgotten at the end.
    failures::lock(&transaction, &name, act.at).await?;
    let row = accounts::lock_by_name(&transaction, name.folded()).await?;
    let (engine, connection) = (transaction.engine, &transaction.connection);
    let backend = connection.get_database_backend();
    let question = Statement::from_sql_and_values(backend, CODE, [accounts::findable(name.folded()).into()]);
    let kept = Kind::SELECT_USERS_RESETS
        .traced(engine, connection.query_one_raw(question))
        .await?;
    let (Some(row), true) = (row, is_good(kept, &code, act.at)?) else {
        return transaction.roll_back(false).await;
    };
    sign_in::replace(&transaction, &row, new, act.at).await?;
    failures::forget(&transaction, &name).await?;
    audit::record(&transaction, &act, Action::PasswordReset, Some(UserId(row.id))).await?;
    transaction.commit(true).await
}
