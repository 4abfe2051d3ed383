//! Greetings in SQL.
//!
//! A history is paged by key, the youngest first: what was there when the first page was read is where it was, whatever is
//! recorded meanwhile. Not here: what is said.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use dlc_application::ports::{
    StorageError,
    freshness::Freshness,
    greetings::{GreetingRepository, HistoryPosition, NewGreeting, Recorded},
    idempotency::{KeyRefused, Keyed, Repeat},
};
use dlc_domain::{
    greetings::{Greeting, GreetingContext, GreetingId},
    users::UserId,
};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};

use crate::{
    cleaning::Old,
    connection::Database,
    entity::greet_history::{self, Column},
    error, idempotency,
    statements::Statement as Kind,
    statistics::Operation,
    transaction::{Transaction, write},
};

const GREETINGS: Old = Old {
    kind: Kind::DELETE_GREET_HISTORY,
    table: "greet_history",
    key: "id",
    time: "created_at",
};

/// [`GreetingRepository`] on both engines.
#[derive(Debug)]
pub struct SeaOrmGreetingRepository {
    database: Database,
}

impl SeaOrmGreetingRepository {
    /// A repository over connected pools.
    #[must_use]
    pub fn new(database: Database) -> Arc<Self> {
        Arc::new(Self { database })
    }
}

/// A row as a greeting. PostgreSQL keeps what a context means, not how it was written, so it is read back from what is stored.
fn restore(row: greet_history::Model) -> Greeting {
    Greeting {
        id: GreetingId(row.id),
        user: row.user_id.map(UserId),
        message: row.message,
        context: row.context.map(|context| GreetingContext::restore(context.to_string())),
        created_at: row.created_at.unwrap_or_default(),
    }
}

async fn record(
    transaction: Transaction,
    greeting: NewGreeting,
    keyed: Option<Keyed<Greeting>>,
) -> Result<Recorded, DbErr> {
    let (engine, connection, at) = (transaction.engine, &transaction.connection, greeting.created_at);
    if let Some(keyed) = &keyed
        && let Some(repeat) = idempotency::seek(connection, engine, &keyed.request, at).await?
    {
        return transaction.roll_back(Recorded::Repeated(repeat)).await;
    }
    let context = greeting.context.map(|context| serde_json::from_str(context.as_str()));
    let row = greet_history::ActiveModel {
        id: NotSet,
        created_at: Set(Some(at)),
        user_id: Set(greeting.user.map(|user| user.0)),
        message: Set(greeting.message),
        context: Set(context.transpose().map_err(|error| DbErr::Json(error.to_string()))?),
    };
    let insert = greet_history::Entity::insert(row).exec_with_returning(connection);
    let recorded = restore(Kind::INSERT_GREET_HISTORY.traced(engine, insert).await?);
    if let Some(keyed) = keyed {
        let answer = (keyed.answer)(&recorded);
        idempotency::keep(connection, engine, &keyed.request, answer, at).await?;
    }
    transaction.commit(Recorded::Recorded(recorded)).await
}

#[async_trait]
impl GreetingRepository for SeaOrmGreetingRepository {
    async fn record(&self, greeting: &NewGreeting, keyed: Option<&Keyed<Greeting>>) -> Result<Recorded, StorageError> {
        let recorded = async {
            // Before a turn is waited for: that a key is in use is known at once.
            let at_work = keyed.map(|keyed| self.database.keys().take(&keyed.request));
            if matches!(at_work, Some(None)) {
                return Ok(Recorded::Repeated(Repeat::Refused(KeyRefused::Running)));
            }
            let (greeting, keyed) = (greeting.clone(), keyed.cloned());
            write(&self.database, at_work, move |transaction| {
                record(transaction, greeting, keyed)
            })
            .await
        };
        self.database
            .counters()
            .observe(Operation::RecordGreeting, recorded)
            .await
    }

    async fn find(
        &self,
        owner: UserId,
        id: GreetingId,
        freshness: Freshness,
    ) -> Result<Option<Greeting>, StorageError> {
        let find = self.database.read_one(freshness, |reader| async move {
            let find = greet_history::Entity::find_by_id(id.0)
                .filter(Column::UserId.eq(owner.0))
                .one(&reader.connection);
            let row = Kind::SELECT_GREET_HISTORY.traced(self.database.engine(), find).await;
            Ok(row.map_err(error::storage)?.map(restore))
        });
        self.database.counters().observe(Operation::FindGreeting, find).await
    }

    async fn page(
        &self,
        owner: UserId,
        before: Option<HistoryPosition>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<Vec<Greeting>, StorageError> {
        // A row without a time has no place in a history; only whoever writes around the service could make one.
        let page = greet_history::Entity::find()
            .filter(Column::UserId.eq(owner.0))
            .filter(Column::CreatedAt.is_not_null());
        let page = match before {
            Some(HistoryPosition { created_at, id }) => {
                let place = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::Id)]);
                page.filter(place.lt(Expr::tuple([Expr::value(created_at), Expr::value(id.0)])))
            }
            None => page,
        };
        let page = page
            .order_by_desc(Column::CreatedAt)
            .order_by_desc(Column::Id)
            .limit(u64::from(limit));
        let rows = self.database.read(freshness, |reader| {
            let page = page.clone();
            async move {
                let rows = page.all(&reader.connection);
                let rows = Kind::SELECT_GREET_HISTORY.traced(self.database.engine(), rows).await;
                Ok(rows.map_err(error::storage)?.into_iter().map(restore).collect())
            }
        });
        self.database.counters().observe(Operation::PageGreetings, rows).await
    }

    async fn prune(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
        let prune = GREETINGS.delete(&self.database, before, limit);
        self.database.counters().observe(Operation::PruneGreetings, prune).await
    }
}
