//! Audit events, each written in the transaction of its effect.
//!
//! Only written: the service reads none, and its role needs no right to read or change them.

use dlc_application::ports::audit::{Act, Action, Actor};
use dlc_domain::users::UserId;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    DbErr, EntityTrait,
};

use crate::{entity::audit_events, statements::Statement as Kind, transaction::Transaction};

/// The width of the column: a client may choose its request's id.
const REQUEST_ID_CHARS: usize = 128;

/// Writes one down.
pub(crate) async fn record(
    transaction: &Transaction,
    act: &Act,
    action: Action,
    subject: Option<UserId>,
) -> Result<(), DbErr> {
    let origin = &act.caller.origin;
    let request_id: String = origin.request_id.chars().take(REQUEST_ID_CHARS).collect();
    let event = audit_events::ActiveModel {
        id: NotSet,
        created_at: Set(act.at),
        actor: Set(match act.caller.actor {
            Actor::Anonymous => "anonymous".to_owned(),
            Actor::User(id) => format!("user:{id}"),
            Actor::CommandLine => "cli".to_owned(),
        }),
        action: Set(action.name().to_owned()),
        subject_id: Set(subject.map(|subject| subject.0)),
        address: Set(origin.address.map(|address| address.to_string())),
        request_id: Set((!request_id.is_empty()).then_some(request_id)),
    };
    let insert = audit_events::Entity::insert(event).exec_without_returning(&transaction.connection);
    Kind::INSERT_AUDIT_EVENTS.traced(transaction.engine, insert).await?;
    Ok(())
}
