//! Coupons and claims in SQL.
//!
//! A claim is one transaction that locks the coupon's row first, so that callers and instances queue on it and each
//! judges what it sees under the lock. Not here: claims that share a transaction (the claim engine, `claims/`).

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use dlc_application::ports::{
    StorageError, StorageErrorKind,
    coupons::{ClaimVerdict, CouponRepository, Creation},
    inspection::Engine,
};
use dlc_domain::coupons::{ClaimRefused, ClaimantId, Coupon, CouponName};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, TryInsertResult,
    sea_query::{Expr, ExprTrait},
};

use crate::{
    connection::Database,
    entity::{claims, coupons},
    error,
    reads::CouponReads,
    statements::Statement as Kind,
    statistics::Operation,
    turnstile::Turn,
};

/// [`CouponRepository`] on both engines.
#[derive(Debug)]
pub struct SeaOrmCouponRepository {
    database: Database,
    reads: CouponReads,
}

/// Ids of one statement's rows: a LEFT JOIN is one statement, hence one snapshot, on either engine (I2).
const FIND_WITH_CLAIMANTS: &str = "SELECT c.name, c.amount, c.remaining_amount, c.created_at, l.user_id \
     FROM coupons c LEFT JOIN claims l ON l.coupon_name = c.name WHERE c.name = $1 ORDER BY l.id";

impl SeaOrmCouponRepository {
    /// A repository over connected pools; its reads run on the current runtime.
    #[must_use]
    pub fn new(database: Database) -> Arc<Self> {
        let reads = CouponReads::start(&database.read_source());
        Arc::new(Self { database, reads })
    }

    /// The turn is kept for as long as the transaction.
    async fn begin(&self) -> Result<(Turn, DatabaseTransaction), DbErr> {
        let turn = self.database.turn_to_write().await?;
        // IMMEDIATE: a transaction that reads first and writes later fails on SQLite as soon as another one wrote between.
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let begun = self.database.rw().begin_with_options(options);
        Ok((turn, Kind::BEGIN.traced(self.database.engine(), begun).await?))
    }

    async fn claim_in_transaction(
        &self,
        coupon: &CouponName,
        claimant: &ClaimantId,
        at: DateTime<Utc>,
    ) -> Result<ClaimVerdict, DbErr> {
        let engine = self.database.engine();
        let (_turn, transaction) = self.begin().await?;
        let verdict = judge(&transaction, engine, coupon, claimant).await?;
        if verdict != ClaimVerdict::Claimed {
            Kind::ROLLBACK.traced(engine, transaction.rollback()).await?;
            return Ok(verdict);
        }
        let claim = claims::ActiveModel {
            id: NotSet,
            user_id: Set(claimant.as_str().to_owned()),
            coupon_name: Set(coupon.as_str().to_owned()),
            created_at: Set(at),
        };
        let insert = claims::Entity::insert(claim).exec_without_returning(&transaction);
        Kind::INSERT_CLAIMS.traced(engine, insert).await?;
        let update = coupons::Entity::update_many()
            .col_expr(
                coupons::Column::RemainingAmount,
                Expr::col(coupons::Column::RemainingAmount).sub(1),
            )
            .filter(coupons::Column::Name.eq(coupon.as_str()))
            .exec(&transaction);
        Kind::UPDATE_COUPONS.traced(engine, update).await?;
        Kind::COMMIT.traced(engine, transaction.commit()).await?;
        Ok(ClaimVerdict::Claimed)
    }
}

/// Judges a claim under the coupon's lock, in the order of I6.
async fn judge(
    transaction: &DatabaseTransaction,
    engine: Engine,
    coupon: &CouponName,
    claimant: &ClaimantId,
) -> Result<ClaimVerdict, DbErr> {
    let mut find = coupons::Entity::find_by_id(coupon.as_str())
        .select_only()
        .column(coupons::Column::RemainingAmount);
    if engine == Engine::Postgres {
        find = find.lock_exclusive();
    }
    let find = find.into_tuple::<i32>().one(transaction);
    let Some(remaining) = Kind::SELECT_COUPONS.traced(engine, find).await? else {
        return Ok(ClaimVerdict::UnknownCoupon);
    };
    let count = claims::Entity::find()
        .filter(claims::Column::CouponName.eq(coupon.as_str()))
        .filter(claims::Column::UserId.eq(claimant.as_str()))
        .count(transaction);
    let claimed_before = Kind::SELECT_CLAIMS.traced(engine, count).await?;
    Ok(if claimed_before > 0 {
        ClaimVerdict::Refused(ClaimRefused::AlreadyClaimed)
    } else if remaining == 0 {
        ClaimVerdict::Refused(ClaimRefused::OutOfStock)
    } else {
        ClaimVerdict::Claimed
    })
}

fn restore(row: coupons::Model) -> Result<Coupon, StorageError> {
    Coupon::restore(row.name, row.amount, row.remaining_amount, row.created_at)
        .map_err(|corrupt| StorageError::new(StorageErrorKind::Other, corrupt))
}

#[async_trait]
impl CouponRepository for SeaOrmCouponRepository {
    async fn create(&self, coupon: &Coupon) -> Result<Creation, StorageError> {
        let row = coupons::ActiveModel {
            name: Set(coupon.name().as_str().to_owned()),
            amount: Set(coupon.amount().get()),
            remaining_amount: Set(coupon.remaining()),
            created_at: Set(coupon.created_at()),
        };
        let inserted = self.database.counters().observe(Operation::CreateCoupon, async {
            let _turn = self.database.turn_to_write().await.map_err(error::storage)?;
            let insert = coupons::Entity::insert(row)
                .on_conflict_do_nothing_on([coupons::Column::Name])
                .exec_without_returning(self.database.rw());
            let engine = self.database.engine();
            Kind::INSERT_COUPONS
                .traced(engine, insert)
                .await
                .map_err(error::storage)
        });
        Ok(match inserted.await? {
            TryInsertResult::Inserted(1..) => Creation::Created,
            _ => Creation::NameTaken,
        })
    }

    async fn find(&self, name: &CouponName) -> Result<Option<Coupon>, StorageError> {
        self.database
            .counters()
            .observe(Operation::FindCoupon, self.reads.find(name.clone()))
            .await
    }

    async fn find_with_claimants(&self, name: &CouponName) -> Result<Option<(Coupon, Vec<ClaimantId>)>, StorageError> {
        let connection = self.database.ro();
        let statement = Statement::from_sql_and_values(
            connection.get_database_backend(),
            FIND_WITH_CLAIMANTS,
            [name.as_str().into()],
        );
        let rows = self
            .database
            .counters()
            .observe(Operation::FindCouponWithClaimants, async {
                let _turn = self.database.turn_to_read().await.map_err(error::storage)?;
                let (engine, rows) = (self.database.engine(), connection.query_all_raw(statement));
                let rows = Kind::SELECT_COUPONS_CLAIMS.traced(engine, rows).await;
                rows.map_err(error::storage)
            })
            .await?;
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
    }

    async fn claim(
        &self,
        coupon: &CouponName,
        claimant: &ClaimantId,
        at: DateTime<Utc>,
    ) -> Result<ClaimVerdict, StorageError> {
        self.database
            .counters()
            .observe(Operation::Claim, async {
                self.claim_in_transaction(coupon, claimant, at)
                    .await
                    .map_err(error::storage)
            })
            .await
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
