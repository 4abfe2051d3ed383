//! A group of claims on SQLite: one transaction of the one writer.
//!
//! It has the whole database to itself from its beginning, so what it reads is how things are.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};
use dlc_application::ports::{
    coupons::ClaimVerdict,
    idempotency::{Keyed, Repeat},
    inspection::Engine,
};
use dlc_domain::coupons::{Claim, ClaimRefused};
use sqlx::{Connection, Row, SqliteConnection, types::Json};
use tracing::Span;

use super::group::{Failed, Judged, Waiting};
use crate::{error, idempotency, statements::Statement as Kind};

/// The coupon's pieces that are left, and whether this person has one.
const LOOK: &str = "SELECT c.remaining_amount, l.id IS NOT NULL FROM json_each($1) AS w \
     LEFT JOIN coupons c ON c.name = w.value ->> 1 \
     LEFT JOIN claims l ON l.user_id = w.value ->> 0 AND l.coupon_name = w.value ->> 1 ORDER BY w.key";

const CLAIM: &str = "INSERT INTO claims (user_id, coupon_name, created_at) \
     SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1) ORDER BY key";

const SELL: &str = "UPDATE coupons SET remaining_amount = remaining_amount - w.pieces \
     FROM (SELECT value ->> 0 AS name, value ->> 1 AS pieces FROM json_each($1)) AS w WHERE coupons.name = w.name";

/// CROSS JOIN keeps the order: the list, then the index.
const KEPT_ANSWERS: &str = "SELECT w.key, k.fingerprint, k.answer, k.created_at FROM json_each($1) AS w \
     CROSS JOIN idempotency_keys k ON k.principal = w.value ->> 0 AND k.route = w.value ->> 1 AND k.key = w.value ->> 2";

const KEEP_ANSWER: &str = "INSERT INTO idempotency_keys (principal, route, key, fingerprint, answer, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (principal, route, key) DO UPDATE \
     SET fingerprint = excluded.fingerprint, answer = excluded.answer, created_at = excluded.created_at";

/// Judges a group and makes what was granted durable.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    claims: &[&Waiting],
    others: &[Span],
) -> Result<Vec<Judged>, Failed> {
    let certain = |e: sqlx::Error| Failed::certain(error::storage_kind(&e), e);
    let begun = connection.begin_with("BEGIN IMMEDIATE");
    let mut transaction = Kind::BEGIN.traced(Engine::Sqlite, begun).await.map_err(certain)?;
    // Without a commit nothing is done, whatever it was.
    let judged = judge(&mut transaction, claims, others).await.map_err(certain)?;
    let granted = granted(claims, &judged);
    if granted.is_empty() {
        let rolled_back = Kind::ROLLBACK.traced(Engine::Sqlite, transaction.rollback()).await;
        rolled_back.map_err(certain)?;
        return Ok(verdicts(judged));
    }
    write(&mut transaction, &granted, others).await.map_err(certain)?;
    let committed = Kind::COMMIT.traced(Engine::Sqlite, transaction.commit()).await;
    committed.map_err(|e| Failed::unknown(error::storage_kind(&e), e))?;
    Ok(verdicts(judged))
}

fn verdicts(judged: Vec<ClaimVerdict>) -> Vec<Judged> {
    judged.into_iter().map(Judged::Verdict).collect()
}

fn granted<'a>(claims: &[&'a Waiting], judged: &[ClaimVerdict]) -> Vec<&'a Waiting> {
    let granted = claims
        .iter()
        .zip(judged)
        .filter(|(_, verdict)| **verdict == ClaimVerdict::Claimed);
    granted.map(|(waiting, _)| *waiting).collect()
}

/// A verdict for each, in the order of I6, as if one came after the other.
async fn judge(
    transaction: &mut SqliteConnection,
    claims: &[&Waiting],
    others: &[Span],
) -> Result<Vec<ClaimVerdict>, sqlx::Error> {
    let repeats = seek(transaction, claims).await?;
    let wanted: Vec<[&str; 2]> = claims
        .iter()
        .map(|waiting| [waiting.claim.claimant.as_str(), waiting.claim.coupon.as_str()])
        .collect();
    let look = sqlx::query(LOOK).bind(Json(wanted)).fetch_all(transaction);
    let rows = Kind::SELECT_COUPONS_CLAIMS
        .traced_for(Engine::Sqlite, others.iter(), look)
        .await?;
    let mut taken: HashMap<&str, i32> = HashMap::new();
    let mut verdicts = Vec::with_capacity(claims.len());
    for ((waiting, repeat), row) in claims.iter().zip(repeats).zip(&rows) {
        let taken = taken.entry(waiting.claim.coupon.as_str()).or_default();
        let verdict = match (repeat, row.try_get::<Option<i32>, _>(0)?, row.try_get::<bool, _>(1)?) {
            (Some(repeat), _, _) => ClaimVerdict::Repeated(repeat),
            (None, None, _) => ClaimVerdict::UnknownCoupon,
            (None, _, true) => ClaimVerdict::Refused(ClaimRefused::AlreadyClaimed),
            (None, Some(remaining), false) if remaining <= *taken => ClaimVerdict::Refused(ClaimRefused::OutOfStock),
            (None, Some(_), false) => {
                *taken += 1;
                ClaimVerdict::Claimed
            }
        };
        verdicts.push(verdict);
    }
    Ok(verdicts)
}

/// Which keys were used before.
async fn seek(transaction: &mut SqliteConnection, claims: &[&Waiting]) -> Result<Vec<Option<Repeat>>, sqlx::Error> {
    let mut repeats: Vec<Option<Repeat>> = claims.iter().map(|_| None).collect();
    if claims.iter().all(|waiting| waiting.keyed.is_none()) {
        return Ok(repeats);
    }
    let keys: Vec<Option<[&str; 3]>> = claims
        .iter()
        .map(|waiting| {
            let request = &waiting.keyed.as_ref()?.request;
            Some([request.principal.as_str(), request.route, request.key.as_str()])
        })
        .collect();
    let find = sqlx::query(KEPT_ANSWERS).bind(Json(keys)).fetch_all(transaction);
    for row in &Kind::SELECT_KEYS.traced(Engine::Sqlite, find).await? {
        let place = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
        let Some(waiting) = claims.get(place) else { continue };
        if let (Some(repeat), Some(keyed)) = (repeats.get_mut(place), &waiting.keyed) {
            let kept = idempotency::Kept {
                fingerprint: row.try_get(1)?,
                answer: row.try_get(2)?,
                created_at: row.try_get(3)?,
            };
            *repeat = kept.repeated_by(&keyed.request, waiting.claim.at);
        }
    }
    Ok(repeats)
}

/// As the driver writes a time.
fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

/// Writes claims, their decrements and the answers to their keys.
async fn write(transaction: &mut SqliteConnection, granted: &[&Waiting], others: &[Span]) -> Result<(), sqlx::Error> {
    let rows: Vec<[String; 3]> = granted
        .iter()
        .map(|Waiting { claim, .. }| [claim.claimant.to_string(), claim.coupon.to_string(), written(claim.at)])
        .collect();
    let insert = sqlx::query(CLAIM).bind(Json(rows)).execute(&mut *transaction);
    Kind::INSERT_CLAIMS
        .traced_for(Engine::Sqlite, others.iter(), insert)
        .await?;
    let mut pieces: HashMap<&str, i32> = HashMap::new();
    for waiting in granted {
        *pieces.entry(waiting.claim.coupon.as_str()).or_default() += 1;
    }
    let pieces: Vec<(&str, i32)> = pieces.into_iter().collect();
    let update = sqlx::query(SELL).bind(Json(pieces)).execute(&mut *transaction);
    Kind::UPDATE_COUPONS
        .traced_for(Engine::Sqlite, others.iter(), update)
        .await?;
    for waiting in granted {
        if let Some(keyed) = &waiting.keyed {
            keep(transaction, &waiting.claim, keyed).await?;
        }
    }
    Ok(())
}

async fn keep(transaction: &mut SqliteConnection, claim: &Claim, keyed: &Keyed<Claim>) -> Result<(), sqlx::Error> {
    let Keyed { request, answer } = keyed;
    let insert = sqlx::query(KEEP_ANSWER)
        .bind(request.principal.as_str())
        .bind(request.route)
        .bind(request.key.as_str())
        .bind(idempotency::fingerprint(request))
        .bind(answer(claim))
        .bind(claim.at)
        .execute(transaction);
    Kind::INSERT_KEYS.traced(Engine::Sqlite, insert).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use dlc_application::ports::{StorageErrorKind, coupons::CouponRepository, freshness::Freshness};
    use dlc_domain::coupons::{ClaimantId, Coupon, CouponName, Stock};
    use sea_orm::ConnectionTrait;

    use super::{Connection as _, *};
    use crate::{
        ClaimEngineMode, Database, DatabaseOptions, MIGRATIONS, Pooler, SeaOrmCouponRepository, connect,
        held::Connection,
    };

    async fn database(directory: &std::path::Path) -> Database {
        let url = format!("sqlite://{}", directory.join("full.db").display());
        let options = DatabaseOptions {
            url: url.parse().unwrap(),
            application_name: "dlc test".to_owned(),
            max_connections: 1,
            min_connections: 0,
            acquire_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            max_lifetime: Duration::from_secs(60),
            statement_timeout: None,
            lock_timeout: None,
            idle_in_transaction_timeout: None,
            pooler: Pooler::None,
            create_directory: false,
        };
        let database = connect(&options).await.unwrap();
        for statement in MIGRATIONS.iter().flat_map(|migration| migration.up.sqlite) {
            database.rw().execute_unprepared(statement).await.unwrap();
        }
        database
    }

    async fn claim(coupons: &Arc<SeaOrmCouponRepository>, claimant: &str) -> Result<ClaimVerdict, StorageErrorKind> {
        let claim = Claim {
            coupon: CouponName::parse("c").unwrap(),
            claimant: ClaimantId::parse(claimant).unwrap(),
            at: DateTime::UNIX_EPOCH,
        };
        coupons.claim(&claim, None).await.map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn after_a_full_disk_there_is_room_again_and_whatever_is_granted_then_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let database = database(directory.path()).await;
        let coupons = SeaOrmCouponRepository::new(database.clone(), ClaimEngineMode::Group);
        let name = CouponName::parse("c").unwrap();
        let coupon = Coupon::new(name.clone(), Stock::new(100_000).unwrap(), DateTime::UNIX_EPOCH);
        coupons.create(&coupon, None).await.unwrap();
        // As full as a disk, for this connection.
        database
            .rw()
            .execute_unprepared("PRAGMA max_page_count = 1")
            .await
            .unwrap();
        let mut granted = 0;
        let full = loop {
            match claim(&coupons, &format!("{}{granted}", "long ".repeat(40))).await {
                Ok(ClaimVerdict::Claimed) => granted += 1,
                other => break other,
            }
        };
        assert!(full.is_err(), "{full:?}");
        database
            .rw()
            .execute_unprepared("PRAGMA max_page_count = 1000000")
            .await
            .unwrap();
        for late in 0..3 {
            assert_eq!(
                claim(&coupons, &format!("late {late}")).await,
                Ok(ClaimVerdict::Claimed)
            );
        }
        let found = coupons.find(&name, Freshness::Current).await.unwrap().unwrap();
        assert_eq!(found.claimed(), granted + 3, "a reader sees what was granted");
    }
    #[tokio::test]
    async fn a_transaction_that_sqlite_has_ended_by_itself_is_not_gone_on_with() {
        let directory = tempfile::tempdir().unwrap();
        let database = database(directory.path()).await;
        let coupons = SeaOrmCouponRepository::new(database.clone(), ClaimEngineMode::Group);
        let coupon = |name: &str| {
            let name = CouponName::parse(name).unwrap();
            Coupon::new(name, Stock::new(5).unwrap(), DateTime::UNIX_EPOCH)
        };
        coupons.create(&coupon("c"), None).await.unwrap();
        let mut held = database.write_source().hold().await.unwrap();
        if let Connection::Sqlite(connection) = &mut held.connection {
            let mut transaction = connection.begin().await.unwrap();
            // As it does when a disk is full, without the driver's knowledge.
            sqlx::query("ROLLBACK").execute(&mut *transaction).await.unwrap();
        }
        drop(held);
        assert_eq!(claim(&coupons, "ann").await, Ok(ClaimVerdict::Claimed));
        coupons.create(&coupon("d"), None).await.unwrap();
        for (name, claimed) in [("c", 1), ("d", 0)] {
            let name = CouponName::parse(name).unwrap();
            let found = coupons.find(&name, Freshness::Current).await.unwrap();
            assert_eq!(found.map(|coupon| coupon.claimed()), Some(claimed), "a reader sees it");
        }
    }
}
