//! The exchange of refresh tokens, one after the other within a session.

use chrono::{DateTime, Utc};
use dlc_application::ports::{
    audit::{Act, Action},
    sessions::RefreshVerdict,
    tokens::Digest,
};
use dlc_domain::{
    sessions::{RefreshJudgement, RefreshToken, SessionId},
    users::UserId,
};
use sea_orm::{
    ActiveValue::{NotSet, Set, Unchanged},
    ColumnTrait, DbErr, EntityTrait, QueryFilter,
};

use crate::{
    accounts, audit,
    entity::{refresh_tokens, sessions, users},
    statements::Statement as Kind,
    transaction::Transaction,
};

pub(super) async fn refresh(
    transaction: Transaction,
    presented: Digest,
    next: Digest,
    next_expires_at: DateTime<Utc>,
    act: Act,
) -> Result<RefreshVerdict, DbErr> {
    let Some(known) = find(&transaction, &presented).await? else {
        return transaction.roll_back(RefreshVerdict::Useless).await;
    };
    let session = transaction.locking(sessions::Entity::find_by_id(known.session_id));
    let session = session.one(&transaction.connection);
    let Some(session) = Kind::SELECT_SESSIONS.traced(transaction.engine, session).await? else {
        return transaction.roll_back(RefreshVerdict::Useless).await;
    };
    let user = UserId(session.user_id);
    // Again, under the lock: whoever had it before may have used the token, or deleted it.
    let token = find(&transaction, &presented).await?;
    let (Some(token), true) = (token, may_use_sessions(&transaction, user).await?) else {
        return transaction.roll_back(RefreshVerdict::Useless).await;
    };
    let judgement = RefreshToken {
        expires_at: token.expires_at,
        used_at: token.used_at,
        session_has_ended: session.ended_at.is_some(),
    }
    .judge(act.at);
    match judgement {
        RefreshJudgement::Useless => transaction.roll_back(RefreshVerdict::Useless).await,
        RefreshJudgement::Replay => {
            let ended = sessions::ActiveModel {
                id: Unchanged(session.id),
                ended_at: Set(Some(act.at)),
                ..Default::default()
            };
            update(&transaction, ended).await?;
            audit::record(&transaction, &act, Action::RefreshReplayed, Some(user)).await?;
            transaction.commit(RefreshVerdict::Replayed).await
        }
        RefreshJudgement::Exchange => {
            exchange(&transaction, &session, token, next, next_expires_at, act.at).await?;
            let version = accounts::version(&transaction, user).await?;
            let session = SessionId(session.id);
            transaction
                .commit(RefreshVerdict::Refreshed { user, session, version })
                .await
        }
    }
}

async fn find(transaction: &Transaction, digest: &Digest) -> Result<Option<refresh_tokens::Model>, DbErr> {
    let find = refresh_tokens::Entity::find_by_id(digest.0.to_vec()).one(&transaction.connection);
    Kind::SELECT_REFRESH_TOKENS.traced(transaction.engine, find).await
}

/// Whether a session's user is not deleted. Whoever deletes them ends this session, too, and waits for its lock, so theirs is not
/// needed.
async fn may_use_sessions(transaction: &Transaction, user: UserId) -> Result<bool, DbErr> {
    let find = users::Entity::find_by_id(user.0)
        .filter(users::Column::DeletedAt.is_null())
        .one(&transaction.connection);
    Ok(Kind::SELECT_USERS.traced(transaction.engine, find).await?.is_some())
}

async fn update(transaction: &Transaction, session: sessions::ActiveModel) -> Result<(), DbErr> {
    let update = sessions::Entity::update(session).exec(&transaction.connection);
    Kind::UPDATE_SESSIONS.traced(transaction.engine, update).await?;
    Ok(())
}

/// Gives the next token for one. The session is locked.
async fn exchange(
    transaction: &Transaction,
    session: &sessions::Model,
    token: refresh_tokens::Model,
    next: Digest,
    next_expires_at: DateTime<Utc>,
    at: DateTime<Utc>,
) -> Result<(), DbErr> {
    let (engine, connection) = (transaction.engine, &transaction.connection);
    if token.used_at.is_none() {
        let used = refresh_tokens::ActiveModel {
            digest: Unchanged(token.digest),
            session_id: NotSet,
            expires_at: NotSet,
            used_at: Set(Some(at)),
        };
        let update = refresh_tokens::Entity::update(used).exec(connection);
        Kind::UPDATE_REFRESH_TOKENS.traced(engine, update).await?;
    }
    // Nobody can tell an expired token from one that never was, so a session that is used for years does not grow.
    let expired = refresh_tokens::Entity::delete_many()
        .filter(refresh_tokens::Column::SessionId.eq(session.id.as_str()))
        .filter(refresh_tokens::Column::ExpiresAt.lte(at))
        .exec(connection);
    Kind::DELETE_REFRESH_TOKENS.traced(engine, expired).await?;
    let row = refresh_tokens::ActiveModel {
        digest: Set(next.0.to_vec()),
        session_id: Set(session.id.clone()),
        expires_at: Set(next_expires_at),
        used_at: Set(None),
    };
    let insert = refresh_tokens::Entity::insert(row).exec_without_returning(connection);
    Kind::INSERT_REFRESH_TOKENS.traced(engine, insert).await?;
    if next_expires_at > session.expires_at {
        let raised = sessions::ActiveModel {
            id: Unchanged(session.id.clone()),
            expires_at: Set(next_expires_at),
            ..Default::default()
        };
        update(transaction, raised).await?;
    }
    Ok(())
}
