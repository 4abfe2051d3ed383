//! Sessions in SQL: the port, and what is one statement of it.
//!
//! Whatever decides about a name, an account or a session locks its row first (the order is `transaction`'s) and judges what it
//! reads then: of many at once, each sees what the one before has done.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use dlc_application::ports::{
    StorageError,
    audit::{Act, Action},
    passwords::PasswordHash,
    sessions::{
        NewSession, PasswordChanged, Principal, Proof, RefreshVerdict, SessionRepository, SignInState, SignInVerdict,
        TypedName,
    },
    tokens::Digest,
};
use dlc_domain::{
    sessions::SessionId,
    users::{ProfileText, UserId, Username},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryResult, Statement, Value, sea_query::Expr,
};

use crate::{
    accounts, audit,
    connection::Database,
    entity::sessions,
    error,
    statements::Statement as Kind,
    statistics::Operation,
    transaction::{Transaction, write},
};

mod failures;
mod forgetting;
mod refresh;
mod reset;
mod sign_in;

/// [`SessionRepository`] on both engines.
#[derive(Debug)]
pub struct SeaOrmSessionRepository {
    database: Database,
}

/// Whose a token is, if it is good for anything.
const PRINCIPAL: &str = "SELECT u.username, u.current_goal, u.is_admin \
     FROM users u JOIN sessions s ON s.user_id = u.id LEFT JOIN token_versions v ON v.user_id = u.id \
     WHERE u.id = $1 AND u.deleted_at IS NULL AND s.id = $2 AND s.ended_at IS NULL AND coalesce(v.version, 0) = $3";

impl SeaOrmSessionRepository {
    /// A repository over connected pools.
    #[must_use]
    pub fn new(database: Database) -> Arc<Self> {
        Arc::new(Self { database })
    }

    /// Asks one thing that needs no lock; at most one row.
    async fn ask<T>(
        &self,
        (operation, kind): (Operation, Kind),
        sql: &str,
        values: impl IntoIterator<Item = Value>,
        answer: impl FnOnce(Option<QueryResult>) -> Result<T, DbErr>,
    ) -> Result<T, StorageError> {
        let connection = self.database.ro();
        let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
        let asked = async {
            let _turn = self.database.turn_to_read().await.map_err(error::storage)?;
            let row = connection.query_one_raw(statement);
            let row = kind.traced(self.database.engine(), row).await;
            row.and_then(answer).map_err(error::storage)
        };
        self.database.counters().observe(operation, asked).await
    }

    /// A transaction about sessions.
    async fn write<T, F>(
        &self,
        operation: Operation,
        work: impl FnOnce(Transaction) -> F + Send + 'static,
    ) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DbErr>> + Send,
    {
        let written = write(&self.database, (), work);
        self.database.counters().observe(operation, written).await
    }
}

async fn end(transaction: Transaction, user: UserId, session: SessionId, act: Act) -> Result<(), DbErr> {
    let end = sessions::Entity::update_many()
        .col_expr(sessions::Column::EndedAt, Expr::value(act.at))
        .filter(sessions::Column::Id.eq(session.0))
        .filter(sessions::Column::UserId.eq(user.0))
        .filter(sessions::Column::EndedAt.is_null())
        .exec(&transaction.connection);
    let ended = Kind::UPDATE_SESSIONS.traced(transaction.engine, end).await?;
    if ended.rows_affected == 0 {
        return transaction.roll_back(()).await;
    }
    audit::record(&transaction, &act, Action::SignedOut, Some(user)).await?;
    transaction.commit(()).await
}

async fn end_all(transaction: Transaction, user: UserId, act: Act) -> Result<(), DbErr> {
    accounts::lock(&transaction, user).await?;
    if accounts::end_sessions(&transaction, user, act.at).await? == 0 {
        return transaction.roll_back(()).await;
    }
    audit::record(&transaction, &act, Action::SignedOutEverywhere, Some(user)).await?;
    transaction.commit(()).await
}

#[async_trait]
impl SessionRepository for SeaOrmSessionRepository {
    async fn sign_in_state(&self, name: &TypedName, now: DateTime<Utc>) -> Result<SignInState, StorageError> {
        let what = (Operation::SignInState, Kind::SELECT_SIGN_IN);
        self.ask(what, sign_in::STATE, sign_in::of(name), |row| sign_in::state(row, now))
            .await
    }

    async fn sign_in(
        &self,
        name: &TypedName,
        proof: &Proof,
        session: &NewSession,
        act: &Act,
    ) -> Result<SignInVerdict, StorageError> {
        let (name, proof, session, act) = (name.clone(), proof.clone(), session.clone(), act.clone());
        self.write(Operation::SignIn, move |transaction| {
            sign_in::sign_in(transaction, name, proof, session, act)
        })
        .await
    }

    async fn refresh(
        &self,
        presented: &Digest,
        next: &Digest,
        next_expires_at: DateTime<Utc>,
        act: &Act,
    ) -> Result<RefreshVerdict, StorageError> {
        let (presented, next, act) = (*presented, *next, act.clone());
        self.write(Operation::Refresh, move |transaction| {
            refresh::refresh(transaction, presented, next, next_expires_at, act)
        })
        .await
    }

    async fn principal(
        &self,
        user: UserId,
        session: &SessionId,
        version: i32,
    ) -> Result<Option<Principal>, StorageError> {
        let what = (Operation::FindPrincipal, Kind::SELECT_PRINCIPAL);
        let values = [user.0.into(), session.0.as_str().into(), version.into()];
        self.ask(what, PRINCIPAL, values, |row| {
            let Some(row) = row else { return Ok(None) };
            let username: String = row.try_get_by_index(0)?;
            Ok(Some(Principal {
                id: user,
                username: Username::parse(username).map_err(|corrupt| DbErr::Type(corrupt.to_string()))?,
                current_goal: row.try_get_by_index::<Option<String>>(1)?.map(ProfileText::restore),
                is_admin: row.try_get_by_index::<Option<bool>>(2)?.unwrap_or_default(),
                session: session.clone(),
            }))
        })
        .await
    }

    async fn end(&self, user: UserId, session: &SessionId, act: &Act) -> Result<(), StorageError> {
        let (session, act) = (session.clone(), act.clone());
        self.write(Operation::EndSession, move |transaction| {
            end(transaction, user, session, act)
        })
        .await
    }

    async fn end_all(&self, user: UserId, act: &Act) -> Result<(), StorageError> {
        let act = act.clone();
        self.write(Operation::EndSessions, move |transaction| {
            end_all(transaction, user, act)
        })
        .await
    }

    async fn change_password(
        &self,
        name: &TypedName,
        proof: &Proof,
        new: &PasswordHash,
        act: &Act,
    ) -> Result<PasswordChanged, StorageError> {
        let (name, proof, new, act) = (name.clone(), proof.clone(), new.clone(), act.clone());
        self.write(Operation::ChangePassword, move |transaction| {
            sign_in::change_password(transaction, name, proof, new, act)
        })
        .await
    }

    async fn may_reset(&self, name: &TypedName, code: &Digest, now: DateTime<Utc>) -> Result<bool, StorageError> {
        let what = (Operation::MayReset, Kind::SELECT_USERS_RESETS);
        self.ask(what, reset::CODE, [accounts::findable(name.folded()).into()], |row| {
            reset::is_good(row, code, now)
        })
        .await
    }

    async fn reset_password(
        &self,
        name: &TypedName,
        code: &Digest,
        new: &PasswordHash,
        act: &Act,
    ) -> Result<bool, StorageError> {
        let (name, code, new, act) = (name.clone(), *code, new.clone(), act.clone());
        self.write(Operation::ResetPassword, move |transaction| {
            reset::reset(transaction, name, code, new, act)
        })
        .await
    }

    async fn forget(&self, now: DateTime<Utc>) -> Result<u64, StorageError> {
        forgetting::forget(&self.database, now).await
    }
}
