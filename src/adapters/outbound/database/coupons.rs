//! Coupons in SQL. Not here: how they are claimed (`claims`), how reads of one travel together (`reads`), lists (`lists`).

mod lists;

use std::sync::Arc;

use async_trait::async_trait;
use dlc_application::ports::{
    StorageError, StorageErrorKind,
    coupons::{ClaimPosition, ClaimVerdict, CouponRepository, Creation, ListedClaim},
    freshness::Freshness,
    idempotency::{KeyRefused, Keyed, Repeat},
    inspection::Engine,
};
use dlc_domain::coupons::{Claim, ClaimantId, Coupon, CouponName};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, Statement, TryInsertResult};

use crate::{
    claims::{ClaimEngineMode, Claims},
    connection::Database,
    entity::coupons,
    error, idempotency,
    reads::CouponReads,
    replica::Link,
    statements::Statement as Kind,
    statistics::Operation,
    transaction::{Transaction, write},
};

/// [`CouponRepository`] on both engines.
#[derive(Debug)]
pub struct SeaOrmCouponRepository {
    database: Database,
    reads: CouponReads,
    claims: Claims,
}

/// Ids of one statement's rows: a LEFT JOIN is one statement, hence one snapshot, on either engine (I2).
const FIND_WITH_CLAIMANTS: &str = "SELECT c.name, c.amount, c.remaining_amount, c.created_at, l.user_id \
     FROM coupons c LEFT JOIN claims l ON l.coupon_name = c.name WHERE c.name = $1 ORDER BY l.id";

impl SeaOrmCouponRepository {
    /// A repository over connected pools; its reads and its claims run on the current runtime.
    #[must_use]
    pub fn new(database: Database, mode: ClaimEngineMode) -> Arc<Self> {
        let reads = CouponReads::start(&database.read_source());
        let claims = Claims::start(database.clone(), mode);
        Arc::new(Self {
            database,
            reads,
            claims,
        })
    }
}

/// Creates a coupon under a key: looked at, created and kept in one transaction.
async fn create(transaction: Transaction, coupon: Coupon, keyed: Keyed<Coupon>) -> Result<Creation, DbErr> {
    let (engine, connection) = (transaction.engine, &transaction.connection);
    let creation = match idempotency::seek(connection, engine, &keyed.request, coupon.created_at()).await? {
        Some(repeat) => Creation::Repeated(repeat),
        None => insert(connection, engine, &coupon).await?,
    };
    if creation != Creation::Created {
        return transaction.roll_back(creation).await;
    }
    let answer = (keyed.answer)(&coupon);
    idempotency::keep(connection, engine, &keyed.request, answer, coupon.created_at()).await?;
    transaction.commit(creation).await
}

/// Stores a new coupon, unless its name is taken.
async fn insert(connection: &impl ConnectionTrait, engine: Engine, coupon: &Coupon) -> Result<Creation, DbErr> {
    let row = coupons::ActiveModel {
        name: Set(coupon.name().as_str().to_owned()),
        amount: Set(coupon.amount().get()),
        remaining_amount: Set(coupon.remaining()),
        created_at: Set(coupon.created_at()),
    };
    let insert = coupons::Entity::insert(row)
        .on_conflict_do_nothing_on([coupons::Column::Name])
        .exec_without_returning(connection);
    Ok(match Kind::INSERT_COUPONS.traced(engine, insert).await? {
        TryInsertResult::Inserted(1..) => Creation::Created,
        _ => Creation::NameTaken,
    })
}

fn restore(row: coupons::Model) -> Result<Coupon, StorageError> {
    Coupon::restore(row.name, row.amount, row.remaining_amount, row.created_at)
        .map_err(|corrupt| StorageError::new(StorageErrorKind::Other, corrupt))
}

#[async_trait]
impl CouponRepository for SeaOrmCouponRepository {
    async fn create(&self, coupon: &Coupon, keyed: Option<&Keyed<Coupon>>) -> Result<Creation, StorageError> {
        let create = async {
            let Some(keyed) = keyed.cloned() else {
                let _turn = self.database.turn_to_write().await.map_err(error::storage)?;
                let inserted = insert(self.database.rw(), self.database.engine(), coupon);
                return inserted.await.map_err(error::storage);
            };
            // Before the turn is waited for: that a key is in use is known at once.
            let Some(at_work) = self.database.keys().take(&keyed.request) else {
                return Ok(Creation::Repeated(Repeat::Refused(KeyRefused::Running)));
            };
            let coupon = coupon.clone();
            write(&self.database, at_work, move |transaction| {
                create(transaction, coupon, keyed)
            })
            .await
        };
        self.database.counters().observe(Operation::CreateCoupon, create).await
    }

    async fn find(&self, name: &CouponName, freshness: Freshness) -> Result<Option<Coupon>, StorageError> {
        let find = async {
            let on_replica = async |link: Arc<Link>| link.coupons().find(name.clone()).await;
            if let Some(replica) = self.database.attached().get()
                && let Some(found) = replica.read(freshness, Option::is_some, on_replica).await
            {
                return Ok(found);
            }
            self.reads.find(name.clone()).await
        };
        self.database.counters().observe(Operation::FindCoupon, find).await
    }

    async fn find_with_claimants(
        &self,
        name: &CouponName,
        freshness: Freshness,
    ) -> Result<Option<(Coupon, Vec<ClaimantId>)>, StorageError> {
        let find = self.database.read_one(freshness, |reader| async move {
            let statement = Statement::from_sql_and_values(
                reader.connection.get_database_backend(),
                FIND_WITH_CLAIMANTS,
                [name.as_str().into()],
            );
            let (engine, rows) = (self.database.engine(), reader.connection.query_all_raw(statement));
            let rows = Kind::SELECT_COUPONS_CLAIMS.traced(engine, rows).await;
            let rows = rows.map_err(error::storage)?;
            let Some(first) = rows.first() else { return Ok(None) };
            let coupon = coupon_of(first)?;
            let mut claimants = Vec::with_capacity(rows.len());
            for row in &rows {
                if let Some(id) = row.try_get_by_index::<Option<String>>(4).map_err(error::storage)? {
                    let id = ClaimantId::parse(id).map_err(|e| StorageError::new(StorageErrorKind::Other, e))?;
                    claimants.push(id);
                }
            }
            Ok(Some((coupon, claimants)))
        });
        let counters = self.database.counters();
        counters.observe(Operation::FindCouponWithClaimants, find).await
    }

    async fn page(
        &self,
        after: Option<&CouponName>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<Vec<Coupon>, StorageError> {
        let page = lists::page(&self.database, after, limit, freshness);
        self.database.counters().observe(Operation::PageCoupons, page).await
    }

    async fn page_of_claims(
        &self,
        coupon: &CouponName,
        after: Option<ClaimPosition>,
        limit: u32,
        freshness: Freshness,
    ) -> Result<Option<Vec<ListedClaim>>, StorageError> {
        let page = lists::page_of_claims(&self.database, coupon, (after, limit), freshness);
        self.database.counters().observe(Operation::PageClaims, page).await
    }

    async fn claim(&self, wanted: &Claim, keyed: Option<&Keyed<Claim>>) -> Result<ClaimVerdict, StorageError> {
        let claimed = self.claims.claim(wanted, keyed);
        self.database.counters().observe(Operation::Claim, claimed).await
    }
}

fn coupon_of(row: &sea_orm::QueryResult) -> Result<Coupon, StorageError> {
    let model = (|| {
        Ok(coupons::Model {
            name: row.try_get_by_index(0)?,
            amount: row.try_get_by_index(1)?,
            remaining_amount: row.try_get_by_index(2)?,
            created_at: row.try_get_by_index(3)?,
        })
    })();
    restore(model.map_err(error::storage)?)
}
