//! Those who administrate, of whom there must be one at least.
//!
//! Whatever might take the administration away locks every administrator's row: two of them who demote each other queue on that,
//! and the second one sees what the first one did.

use dlc_application::ports::inspection::Engine;
use dlc_domain::users::UserId;
use sea_orm::{ColumnTrait, Condition, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::{entity::users, statements::Statement as Kind, transaction::Transaction};

/// Those who administrate, and can.
fn administrates() -> Condition {
    Condition::all()
        .add(users::Column::IsAdmin.eq(true))
        .add(users::Column::DeletedAt.is_null())
}

/// Locks an account and every administrator's, and reads the account as it is then.
///
/// All in one statement in the order of ids: two of these, whatever they see, never wait for each other. Of two that would take
/// the administration away from two people, the later one sees both as administrators or the work of the earlier one, so they
/// queue; and what counts is read by statements after this one.
pub(super) async fn lock_with(transaction: &Transaction, id: UserId) -> Result<Option<users::Model>, DbErr> {
    let engine = transaction.engine;
    if engine == Engine::Postgres {
        let lock = users::Entity::find()
            .select_only()
            .column(users::Column::Id)
            .filter(Condition::any().add(users::Column::Id.eq(id.0)).add(administrates()))
            .order_by_asc(users::Column::Id);
        let lock = transaction
            .locking(lock)
            .into_tuple::<i32>()
            .all(&transaction.connection);
        Kind::SELECT_USERS.traced(engine, lock).await?;
    }
    let find = users::Entity::find_by_id(id.0).one(&transaction.connection);
    Kind::SELECT_USERS.traced(engine, find).await
}

/// Whether nobody else administrates. They are locked.
pub(super) async fn is_last(transaction: &Transaction, id: UserId) -> Result<bool, DbErr> {
    let others = users::Entity::find()
        .filter(administrates())
        .filter(users::Column::Id.ne(id.0))
        .count(&transaction.connection);
    Ok(Kind::SELECT_USERS.traced(transaction.engine, others).await? == 0)
}
