//! Changes of one account, each a transaction that locks its row first and writes down what was done.

use chrono::{DateTime, Utc};
use dlc_application::ports::{
    audit::{Act, Action},
    tokens::Digest,
    users::{NewUser, UserChanged, UserCreation},
};
use dlc_domain::users::{UserChange, UserId};
use sea_orm::{
    ActiveValue::{NotSet, Set, Unchanged},
    DbErr, EntityTrait,
    sea_query::OnConflict,
};

use super::administrators;
use crate::{
    accounts, audit,
    entity::{
        password_resets::{self, Column},
        users,
    },
    statements::Statement as Kind,
    transaction::Transaction,
};

pub(super) async fn create(transaction: Transaction, user: NewUser, act: Act) -> Result<UserCreation, DbErr> {
    let row = users::ActiveModel {
        id: NotSet,
        created_at: Set(Some(act.at)),
        updated_at: Set(Some(act.at)),
        deleted_at: NotSet,
        username: Set(user.username.as_str().to_owned()),
        password_hash: Set(user.password_hash.0),
        description: NotSet,
        current_goal: NotSet,
        is_admin: Set(Some(user.is_admin)),
        allow_password_reset: Set(Some(false)),
        last_login: NotSet,
    };
    // Without a target: the name as it is and the name in lower case are two constraints.
    let insert = users::Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_with_returning(&transaction.connection);
    let insert = async {
        match insert.await {
            Ok(row) => Ok(Some(row)),
            // No row came back, so there was a conflict.
            Err(DbErr::RecordNotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let Some(row) = Kind::INSERT_USERS.traced(transaction.engine, insert).await? else {
        return transaction.roll_back(UserCreation::NameTaken).await;
    };
    let id = UserId(row.id);
    audit::record(&transaction, &act, user.action, Some(id)).await?;
    let user = accounts::restore(row)?;
    transaction.commit(UserCreation::Created(user)).await
}

/// A change of an account that is locked, with nothing in it yet but the state that comes of it.
fn change_of(row: &users::Model, at: DateTime<Utc>) -> users::ActiveModel {
    users::ActiveModel {
        id: Unchanged(row.id),
        updated_at: Set(Some(accounts::next_state(row.updated_at, at))),
        ..Default::default()
    }
}

/// Makes a change, writes down what it was, and keeps both.
async fn keep(
    transaction: Transaction,
    change: users::ActiveModel,
    actions: &[Action],
    act: &Act,
) -> Result<UserChanged, DbErr> {
    let user = accounts::restore(accounts::update(&transaction, change).await?)?;
    for action in actions {
        audit::record(&transaction, act, *action, Some(user.id)).await?;
    }
    transaction.commit(UserChanged::Changed(user)).await
}

pub(super) async fn change(
    transaction: Transaction,
    id: UserId,
    expected: Option<DateTime<Utc>>,
    change: UserChange,
    act: Act,
) -> Result<UserChanged, DbErr> {
    let row = if change.is_admin == Some(false) {
        administrators::lock_with(&transaction, id).await?
    } else {
        accounts::lock(&transaction, id).await?
    };
    let Some(row) = row.filter(|row| row.deleted_at.is_none()) else {
        return transaction.roll_back(UserChanged::Unknown).await;
    };
    let mut changed = change_of(&row, act.at);
    let user = accounts::restore(row)?;
    if expected.is_some_and(|expected| expected != user.updated_at) {
        return transaction.roll_back(UserChanged::Stale).await;
    }
    let mut actions = Vec::new();
    if let Some(description) = change.description.filter(|new| *new != user.description) {
        changed.description = Set(description.map(|text| text.as_str().to_owned()));
        actions.push(Action::Changed);
    }
    if let Some(goal) = change.current_goal.filter(|new| *new != user.current_goal) {
        changed.current_goal = Set(goal.map(|text| text.as_str().to_owned()));
        actions = vec![Action::Changed];
    }
    if let Some(is_admin) = change.is_admin.filter(|new| *new != user.is_admin) {
        changed.is_admin = Set(Some(is_admin));
        if is_admin {
            actions.push(Action::Promoted);
        } else {
            if administrators::is_last(&transaction, id).await? {
                return transaction.roll_back(UserChanged::LastAdministrator).await;
            }
            accounts::end_access(&transaction, id).await?;
            actions.push(Action::Demoted);
        }
    }
    if actions.is_empty() {
        return transaction.roll_back(UserChanged::Changed(user)).await;
    }
    keep(transaction, changed, &actions, &act).await
}

pub(super) async fn delete(transaction: Transaction, id: UserId, act: Act) -> Result<UserChanged, DbErr> {
    let row = administrators::lock_with(&transaction, id).await?;
    let Some(row) = row.filter(|row| row.deleted_at.is_none()) else {
        return transaction.roll_back(UserChanged::Unknown).await;
    };
    if row.is_admin == Some(true) && administrators::is_last(&transaction, id).await? {
        return transaction.roll_back(UserChanged::LastAdministrator).await;
    }
    accounts::end_access(&transaction, id).await?;
    accounts::end_sessions(&transaction, id, act.at).await?;
    // Whoever restores the account means the account, not a code that somebody was told before.
    accounts::forget_code(&transaction, id).await?;
    let mut deleted = change_of(&row, act.at);
    deleted.deleted_at = Set(Some(act.at));
    deleted.allow_password_reset = Set(Some(false));
    keep(transaction, deleted, &[Action::Deleted], &act).await
}

pub(super) async fn restore(transaction: Transaction, id: UserId, act: Act) -> Result<UserChanged, DbErr> {
    let Some(row) = accounts::lock(&transaction, id).await? else {
        return transaction.roll_back(UserChanged::Unknown).await;
    };
    if row.deleted_at.is_none() {
        let user = accounts::restore(row)?;
        return transaction.roll_back(UserChanged::Changed(user)).await;
    }
    let mut restored = change_of(&row, act.at);
    restored.deleted_at = Set(None);
    keep(transaction, restored, &[Action::Restored], &act).await
}

pub(super) async fn allow_reset(
    transaction: Transaction,
    id: UserId,
    code: Digest,
    expires_at: DateTime<Utc>,
    act: Act,
) -> Result<UserChanged, DbErr> {
    let row = accounts::lock(&transaction, id).await?;
    let Some(row) = row.filter(|row| row.deleted_at.is_none()) else {
        return transaction.roll_back(UserChanged::Unknown).await;
    };
    let replace = OnConflict::column(Column::UserId)
        .update_columns([Column::CodeDigest, Column::CreatedAt, Column::ExpiresAt])
        .to_owned();
    let reset = password_resets::ActiveModel {
        user_id: Set(id.0),
        code_digest: Set(code.0.to_vec()),
        created_at: Set(act.at),
        expires_at: Set(expires_at),
    };
    let insert = password_resets::Entity::insert(reset)
        .on_conflict(replace)
        .exec_without_returning(&transaction.connection);
    Kind::INSERT_PASSWORD_RESETS.traced(transaction.engine, insert).await?;
    let mut allowed = change_of(&row, act.at);
    allowed.allow_password_reset = Set(Some(true));
    keep(transaction, allowed, &[Action::ResetAllowed], &act).await
}
