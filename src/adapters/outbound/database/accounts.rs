//! What users and sessions both do to an account's row: lock it, and end whatever makes its owner somebody who is signed in.
//!
//! Not here: which change is made (`users`), and who signs in (`sessions`).

use chrono::{DateTime, TimeDelta, Utc};
use dlc_domain::users::{ProfileText, User, UserId, Username};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DbErr, EntityTrait, QueryFilter, Select,
    sea_query::{Expr, ExprTrait, Func, OnConflict, SimpleExpr},
};

use crate::{
    entity::{password_resets, sessions, token_versions, users},
    statements::Statement as Kind,
    transaction::Transaction,
};

/// A row as a user. The seed's columns may be NULL: then nobody administrates, and it has been so since the beginning of time.
pub(crate) fn restore(row: users::Model) -> Result<User, DbErr> {
    let username = Username::parse(row.username)
        .map_err(|corrupt| DbErr::Type(format!("the username of the user {} {corrupt}", row.id)))?;
    Ok(User {
        id: UserId(row.id),
        username,
        description: row.description.map(ProfileText::restore),
        current_goal: row.current_goal.map(ProfileText::restore),
        is_admin: row.is_admin.unwrap_or_default(),
        allow_password_reset: row.allow_password_reset.unwrap_or_default(),
        created_at: row.created_at.unwrap_or_default(),
        updated_at: row.updated_at.unwrap_or_default(),
        deleted_at: row.deleted_at,
        last_login: row.last_login,
    })
}

/// That a name is this one, in lower case. Nobody's where it cannot be a name: PostgreSQL would refuse a NUL, and with it tell
/// that this one was not looked for.
pub(crate) fn is_called(folded: &str) -> SimpleExpr {
    Expr::expr(Func::lower(Expr::col(users::Column::Username))).eq(findable(folded))
}

/// A name to look for; one that is nobody's instead of one that cannot be anybody's.
pub(crate) fn findable(folded: &str) -> &str {
    if Username::parse(folded).is_ok() { folded } else { "" }
}

/// Locks one account, and reads it as it is under the lock.
pub(crate) async fn lock(transaction: &Transaction, id: UserId) -> Result<Option<users::Model>, DbErr> {
    lock_one(transaction, users::Entity::find_by_id(id.0)).await
}

/// The same by its name in lower case.
pub(crate) async fn lock_by_name(transaction: &Transaction, folded: &str) -> Result<Option<users::Model>, DbErr> {
    lock_one(transaction, users::Entity::find().filter(is_called(folded))).await
}

async fn lock_one(transaction: &Transaction, user: Select<users::Entity>) -> Result<Option<users::Model>, DbErr> {
    let find = transaction.locking(user).one(&transaction.connection);
    Kind::SELECT_USERS.traced(transaction.engine, find).await
}

/// The next `updated_at`: it names a state, so it is never the same again, whatever the clocks say.
pub(crate) fn next_state(row: Option<DateTime<Utc>>, at: DateTime<Utc>) -> DateTime<Utc> {
    Ord::max(at, row.unwrap_or_default() + TimeDelta::microseconds(1))
}

/// Changes an account's row, and reads it back. It is locked.
pub(crate) async fn update(transaction: &Transaction, row: users::ActiveModel) -> Result<users::Model, DbErr> {
    let update = users::Entity::update(row).exec(&transaction.connection);
    Kind::UPDATE_USERS.traced(transaction.engine, update).await
}

/// Makes access tokens worthless. The account is locked.
pub(crate) async fn end_access(transaction: &Transaction, id: UserId) -> Result<(), DbErr> {
    let first = token_versions::ActiveModel {
        user_id: Set(id.0),
        version: Set(1),
    };
    let version = Expr::col((token_versions::Entity, token_versions::Column::Version));
    let next = OnConflict::column(token_versions::Column::UserId)
        .value(token_versions::Column::Version, version.add(1))
        .to_owned();
    let insert = token_versions::Entity::insert(first)
        .on_conflict(next)
        .exec_without_returning(&transaction.connection);
    Kind::INSERT_TOKEN_VERSIONS.traced(transaction.engine, insert).await?;
    Ok(())
}

/// The version that access tokens are of. No row is version 0.
pub(crate) async fn version(transaction: &Transaction, id: UserId) -> Result<i32, DbErr> {
    let find = token_versions::Entity::find_by_id(id.0).one(&transaction.connection);
    let row = Kind::SELECT_TOKEN_VERSIONS.traced(transaction.engine, find).await?;
    Ok(row.map_or(0, |row| row.version))
}

/// Ends all of an account's sessions, and tells how many. The account is locked, so nobody begins another one meanwhile.
pub(crate) async fn end_sessions(transaction: &Transaction, id: UserId, at: DateTime<Utc>) -> Result<u64, DbErr> {
    let end = sessions::Entity::update_many()
        .col_expr(sessions::Column::EndedAt, Expr::value(at))
        .filter(sessions::Column::UserId.eq(id.0))
        .filter(sessions::Column::EndedAt.is_null())
        .exec(&transaction.connection);
    Ok(Kind::UPDATE_SESSIONS
        .traced(transaction.engine, end)
        .await?
        .rows_affected)
}

/// Makes the code for a new password worthless. The account is locked; its flag is the caller's to clear.
pub(crate) async fn forget_code(transaction: &Transaction, id: UserId) -> Result<(), DbErr> {
    let delete = password_resets::Entity::delete_by_id(id.0).exec(&transaction.connection);
    Kind::DELETE_PASSWORD_RESETS.traced(transaction.engine, delete).await?;
    Ok(())
}
