//! Accounts in SQL: the port, what is one statement of it, and deleting for good.
//!
//! Not here: signing in (`sessions`).

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use dlc_application::ports::{
    StorageError,
    audit::{Act, Action},
    freshness::Freshness,
    tokens::Digest,
    users::{NewUser, UserChanged, UserCreation, UserFilter, UserRepository},
};
use dlc_domain::users::{User, UserChange, UserId, Username};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use crate::{
    accounts, audit,
    connection::Database,
    entity::{greet_history, idempotency_keys, users},
    error,
    statements::Statement as Kind,
    statistics::Operation,
    transaction::{Transaction, write},
};

mod administrators;
mod changes;

/// Rows that one statement names: databases have a limit for values.
const NAMED_AT_ONCE: usize = 1_000;

/// [`UserRepository`] on both engines.
#[derive(Debug)]
pub struct SeaOrmUserRepository {
    database: Database,
}

impl SeaOrmUserRepository {
    /// A repository over connected pools.
    #[must_use]
    pub fn new(database: Database) -> Arc<Self> {
        Arc::new(Self { database })
    }

    async fn one(
        &self,
        operation: Operation,
        user: Select<users::Entity>,
        freshness: Freshness,
    ) -> Result<Option<User>, StorageError> {
        let find = self.database.read_one(freshness, |reader| {
            let user = user.clone();
            async move {
                let find = user.one(&reader.connection);
                let row = Kind::SELECT_USERS.traced(self.database.engine(), find).await;
                row.and_then(|row| row.map(accounts::restore).transpose())
                    .map_err(error::storage)
            }
        });
        self.database.counters().observe(operation, find).await
    }

    /// A transaction about accounts.
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

/// Accounts that were deleted before a time.
fn purgeable(before: DateTime<Utc>) -> Select<users::Entity> {
    users::Entity::find().filter(users::Column::DeletedAt.lt(before))
}

async fn purge(transaction: Transaction, before: DateTime<Utc>, limit: u32, act: Act) -> Result<u64, DbErr> {
    let (engine, connection) = (transaction.engine, &transaction.connection);
    let find = purgeable(before)
        .select_only()
        .column(users::Column::Id)
        .order_by_asc(users::Column::Id)
        .limit(u64::from(limit));
    let find = transaction.locking(find).into_tuple::<i32>().all(connection);
    let ids = Kind::SELECT_USERS.traced(engine, find).await?;
    for ids in ids.chunks(NAMED_AT_ONCE) {
        let delete = greet_history::Entity::delete_many()
            .filter(greet_history::Column::UserId.is_in(ids.iter().copied()))
            .exec(connection);
        Kind::DELETE_GREET_HISTORY.traced(engine, delete).await?;
        // Answers that are kept for a retry tell names and greetings again.
        let delete = idempotency_keys::Entity::delete_many()
            .filter(idempotency_keys::Column::Principal.is_in(ids.iter().map(ToString::to_string)))
            .exec(connection);
        Kind::DELETE_KEYS.traced(engine, delete).await?;
        // What is beside the accounts goes with them.
        let delete = users::Entity::delete_many()
            .filter(users::Column::Id.is_in(ids.iter().copied()))
            .exec(connection);
        Kind::DELETE_USERS.traced(engine, delete).await?;
        for id in ids {
            audit::record(&transaction, &act, Action::Purged, Some(UserId(*id))).await?;
        }
    }
    let purged = u64::try_from(ids.len()).unwrap_or(u64::MAX);
    transaction.commit(purged).await
}

#[async_trait]
impl UserRepository for SeaOrmUserRepository {
    async fn create(&self, user: &NewUser, act: &Act) -> Result<UserCreation, StorageError> {
        let (user, act) = (user.clone(), act.clone());
        self.write(Operation::CreateUser, |transaction| {
            changes::create(transaction, user, act)
        })
        .await
    }

    async fn find(&self, id: UserId, freshness: Freshness) -> Result<Option<User>, StorageError> {
        let user = users::Entity::find_by_id(id.0);
        self.one(Operation::FindUser, user, freshness).await
    }

    async fn find_by_name(&self, name: &Username) -> Result<Option<User>, StorageError> {
        let user = users::Entity::find().filter(accounts::is_called(&name.folded()));
        self.one(Operation::FindUserByName, user, Freshness::Current).await
    }

    async fn page(
        &self,
        filter: UserFilter,
        after: Option<UserId>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<Vec<User>, StorageError> {
        let users = users::Entity::find();
        let users = match filter {
            UserFilter::Active => users.filter(users::Column::DeletedAt.is_null()),
            UserFilter::Deleted => users.filter(users::Column::DeletedAt.is_not_null()),
            UserFilter::All => users,
        };
        let users = match after {
            Some(after) => users.filter(users::Column::Id.gt(after.0)),
            None => users,
        };
        let users = users.order_by_asc(users::Column::Id).limit(u64::from(limit));
        let page = self.database.read(freshness, |reader| {
            let users = users.clone();
            async move {
                let rows = users.all(&reader.connection);
                let rows = Kind::SELECT_USERS.traced(self.database.engine(), rows).await;
                rows.and_then(|rows| rows.into_iter().map(accounts::restore).collect())
                    .map_err(error::storage)
            }
        });
        self.database.counters().observe(Operation::PageUsers, page).await
    }

    async fn change(
        &self,
        id: UserId,
        expected: Option<DateTime<Utc>>,
        change: &UserChange,
        act: &Act,
    ) -> Result<UserChanged, StorageError> {
        let (change, act) = (change.clone(), act.clone());
        self.write(Operation::ChangeUser, move |transaction| {
            changes::change(transaction, id, expected, change, act)
        })
        .await
    }

    async fn delete(&self, id: UserId, act: &Act) -> Result<UserChanged, StorageError> {
        let act = act.clone();
        self.write(Operation::DeleteUser, move |transaction| {
            changes::delete(transaction, id, act)
        })
        .await
    }

    async fn restore(&self, id: UserId, act: &Act) -> Result<UserChanged, StorageError> {
        let act = act.clone();
        self.write(Operation::RestoreUser, move |transaction| {
            changes::restore(transaction, id, act)
        })
        .await
    }

    async fn allow_reset(
        &self,
        id: UserId,
        code: &Digest,
        expires_at: DateTime<Utc>,
        act: &Act,
    ) -> Result<UserChanged, StorageError> {
        let (code, act) = (*code, act.clone());
        self.write(Operation::AllowReset, move |transaction| {
            changes::allow_reset(transaction, id, code, expires_at, act)
        })
        .await
    }

    async fn purge(&self, deleted_before: DateTime<Utc>, limit: u32, act: &Act) -> Result<u64, StorageError> {
        let act = act.clone();
        self.write(Operation::PurgeUsers, move |transaction| {
            purge(transaction, deleted_before, limit, act)
        })
        .await
    }

    async fn count_purgeable(&self, deleted_before: DateTime<Utc>) -> Result<u64, StorageError> {
        let count = async {
            let _turn = self.database.turn_to_read().await.map_err(error::storage)?;
            let count = purgeable(deleted_before).count(self.database.ro());
            let count = Kind::SELECT_USERS.traced(self.database.engine(), count).await;
            count.map_err(error::storage)
        };
        self.database.counters().observe(Operation::CountPurgeable, count).await
    }
}
