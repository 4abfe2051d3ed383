//! A group of claims on PostgreSQL: one statement, which is a transaction of its own where no request has a key. PostgreSQL is kept
//! from knowing how many claims there are when it plans it, or it would plan it anew for each small group.
//!
//! The statement looks at everything in one snapshot, locks the coupons that have something left, inserts what is not claimed yet
//! for as long as there are pieces, and takes as many off. What it may say, it says; what it may not is asked again:
//!
//! - *claimed*: the row is inserted. `ON CONFLICT` looks at what is committed now, so nobody claims twice, whatever the snapshot
//!   shows; and the decrement counts the rows that were inserted, never those that were wanted (I8).
//! - *already claimed*, *unknown*: the snapshot shows it, and neither ever changes back.
//! - *out of stock*: the snapshot shows a coupon without pieces that this person has none of; that is final, too. It is not
//!   said because the pieces ended within this group: between snapshot and lock somebody else may have claimed for this very person.
//!
//! Whoever has claimed already is left out before the insertion, since a row that conflicts takes a number of `claims.id`'s
//! sequence all the same, which ends at 2,147,483,647 (WRP002). Coupons are locked in the order of their names, and not at all
//! where that would mean to wait for somebody (but for a group of one coupon), so no two groups wait for each other.
//!
//! PostgreSQL plans a statement once per connection, by how large it believes the tables to be, and a sale begins with tables that
//! it believes to be empty. So a row is looked for as the first one that is not before it, in the order of the one index that can
//! tell: looked for as equal, it was searched among all claims for the coupon, by another index (540 ms instead of 1.2 for a
//! group of 64, at 100,000 claims). That no table is read whole is the connection's to see to (`postgres_of_a_service`).
//!
//! The answer to a statement is complete only when the server is ready for the next one: it has committed then. So rows are read
//! to the end before anything is said.

use chrono::{DateTime, Utc};
use dlc_application::ports::{
    coupons::ClaimVerdict,
    idempotency::{KeyRefused, Keyed, Repeat},
    inspection::Engine,
};
use dlc_domain::coupons::{Claim, ClaimRefused};
use sqlx::{Connection, PgConnection, Row};
use tracing::Span;

use super::group::{Failed, Judged, Lock, Waiting};
use crate::{error, idempotency, statements::Statement as Kind};

macro_rules! group_sql {
    ($lock:literal) => {
        concat!(
            "WITH wanted AS MATERIALIZED (
    SELECT w.place, w.user_id, w.coupon_name, w.at, c.seen,
        coalesce(l.user_id = w.user_id AND l.coupon_name = w.coupon_name, false) AS held
    FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::timestamptz[]))
        WITH ORDINALITY AS w (user_id, coupon_name, at, place)
    LEFT JOIN LATERAL (SELECT remaining_amount AS seen FROM coupons WHERE name = w.coupon_name LIMIT 1) c ON true
    LEFT JOIN LATERAL (
        SELECT user_id, coupon_name FROM claims WHERE (user_id, coupon_name) >= (w.user_id, w.coupon_name)
        ORDER BY user_id, coupon_name LIMIT 1
    ) l ON true
), stock AS MATERIALIZED (
    SELECT name, remaining_amount FROM coupons
    WHERE name = ANY((SELECT $4::text[])::text[]) AND remaining_amount > 0 ORDER BY name FOR NO KEY UPDATE",
            $lock,
            "
), granted AS (
    INSERT INTO claims (user_id, coupon_name, created_at)
    SELECT user_id, coupon_name, at FROM (
        SELECT w.*, s.remaining_amount, row_number() OVER (PARTITION BY w.coupon_name ORDER BY w.place) AS turn
        FROM wanted w JOIN stock s ON s.name = w.coupon_name WHERE NOT w.held
    ) AS queue WHERE turn <= remaining_amount ORDER BY place
    ON CONFLICT (user_id, coupon_name) DO NOTHING
    RETURNING user_id, coupon_name
), sold AS (
    UPDATE coupons SET remaining_amount = remaining_amount - g.pieces
    FROM (SELECT coupon_name, count(*) AS pieces FROM granted GROUP BY coupon_name) AS g WHERE name = g.coupon_name
)
SELECT array_agg(CASE
    WHEN g.user_id IS NOT NULL THEN 1
    WHEN w.seen IS NULL THEN 2
    WHEN w.held THEN 3
    WHEN w.seen <= 0 THEN 4
    WHEN s.name IS NULL THEN 5
    ELSE 6 END::smallint ORDER BY w.place)
FROM wanted w LEFT JOIN granted g ON g.user_id = w.user_id AND g.coupon_name = w.coupon_name
LEFT JOIN stock s ON s.name = w.coupon_name"
        )
    };
}

const GROUP: &str = group_sql!(" SKIP LOCKED");
const GROUP_THAT_WAITS: &str = group_sql!("");

macro_rules! lone_sql {
    ($lock:literal) => {
        concat!(
            "WITH stock AS (
    SELECT name FROM coupons WHERE name = $2 AND remaining_amount > 0 AND NOT coalesce((
        SELECT user_id = $1 AND coupon_name = $2 FROM claims WHERE (user_id, coupon_name) >= ($1, $2)
        ORDER BY user_id, coupon_name LIMIT 1
    ), false) FOR NO KEY UPDATE",
            $lock,
            "
), granted AS (
    INSERT INTO claims (user_id, coupon_name, created_at) SELECT $1, name, $3 FROM stock
    ON CONFLICT (user_id, coupon_name) DO NOTHING RETURNING coupon_name
), sold AS (
    UPDATE coupons SET remaining_amount = remaining_amount - 1 FROM granted WHERE name = granted.coupon_name
)
SELECT count(*) FROM granted"
        )
    };
}

/// The same for one claim, which says no more than whether it was granted. Measured: the other one takes a third longer for one,
/// because it is planned for ten.
const LONE: &str = lone_sql!(" SKIP LOCKED");
const LONE_THAT_WAITS: &str = lone_sql!("");

const LOCK_KEYS: &str = "SELECT array_agg(pg_try_advisory_xact_lock(number) ORDER BY place)
FROM unnest($1::bigint[]) WITH ORDINALITY AS w (number, place)";

const KEPT_ANSWERS: &str = "SELECT w.place, k.fingerprint, k.answer, k.created_at
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w (principal, route, key, place)
JOIN LATERAL (
    SELECT * FROM idempotency_keys WHERE (principal, route, key) >= (w.principal, w.route, w.key)
    ORDER BY principal, route, key LIMIT 1
) k ON k.principal = w.principal AND k.route = w.route AND k.key = w.key";

const KEEP_ANSWERS: &str = "INSERT INTO idempotency_keys (principal, route, key, fingerprint, answer, created_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::timestamptz[])
ON CONFLICT (principal, route, key) DO UPDATE
SET fingerprint = EXCLUDED.fingerprint, answer = EXCLUDED.answer, created_at = EXCLUDED.created_at";

/// What the statement says about a claim.
fn judged(code: i16) -> Judged {
    match code {
        1 => Judged::Verdict(ClaimVerdict::Claimed),
        2 => Judged::Verdict(ClaimVerdict::UnknownCoupon),
        3 => Judged::Verdict(ClaimVerdict::Refused(ClaimRefused::AlreadyClaimed)),
        4 => Judged::Verdict(ClaimVerdict::Refused(ClaimRefused::OutOfStock)),
        5 => Judged::Locked,
        _ => Judged::Again,
    }
}

/// A statement or a commit that the server has refused is rolled back for certain; whatever else went wrong, it may have been
/// carried out.
fn failed(error: sqlx::Error) -> Failed {
    let kind = error::storage_kind(&error);
    if error::is_refusal(&error) {
        Failed::certain(kind, error)
    } else {
        Failed::unknown(kind, error)
    }
}

/// Judges a group and makes what was granted durable.
pub(super) async fn commit(
    connection: &mut PgConnection,
    claims: &[&Waiting],
    lock: Lock,
    others: &[Span],
) -> Result<Vec<Judged>, Failed> {
    let keyed: Vec<_> = claims.iter().filter_map(|waiting| with_key(waiting)).collect();
    if keyed.is_empty() {
        if let [lone] = claims
            && claim_alone(connection, &lone.claim, lock).await.map_err(failed)?
        {
            return Ok(vec![Judged::Verdict(ClaimVerdict::Claimed)]);
        }
        return claim(connection, claims, lock, others).await.map_err(failed);
    }
    let begun = Kind::BEGIN.traced(Engine::Postgres, connection.begin()).await;
    // Nothing was asked for yet.
    let mut transaction = begun.map_err(|e| Failed::certain(error::storage_kind(&e), e))?;
    let judged = claim_with_keys(&mut transaction, claims, &keyed, lock, others).await;
    let judged = match judged {
        Ok(judged) => judged,
        // Without a commit nothing is done, whatever it was.
        Err(e) => {
            // To its end: a key is free again only then, and the next try may be on another connection.
            let _ = Kind::ROLLBACK.traced(Engine::Postgres, transaction.rollback()).await;
            return Err(Failed::certain(error::storage_kind(&e), e));
        }
    };
    let committed = Kind::COMMIT.traced(Engine::Postgres, transaction.commit()).await;
    committed.map_err(failed)?;
    Ok(judged)
}

fn with_key(waiting: &Waiting) -> Option<(&Claim, &Keyed<Claim>)> {
    waiting.keyed.as_ref().map(|keyed| (&waiting.claim, keyed))
}

/// The statement for one claim: whether it is granted.
async fn claim_alone(connection: &mut PgConnection, claim: &Claim, lock: Lock) -> Result<bool, sqlx::Error> {
    let sql = match lock {
        Lock::IfFree => LONE,
        Lock::Wait => LONE_THAT_WAITS,
    };
    let asked = sqlx::query_scalar::<_, i64>(sql)
        .bind(claim.claimant.as_str())
        .bind(claim.coupon.as_str())
        .bind(claim.at)
        .fetch_all(connection);
    let granted = Kind::INSERT_CLAIMS.traced(Engine::Postgres, asked).await?;
    Ok(granted == [1])
}

/// The statement for a group.
async fn claim(
    connection: &mut PgConnection,
    claims: &[&Waiting],
    lock: Lock,
    others: &[Span],
) -> Result<Vec<Judged>, sqlx::Error> {
    let claims = claims.iter().map(|waiting| &waiting.claim);
    let claimants: Vec<&str> = claims.clone().map(|claim| claim.claimant.as_str()).collect();
    let coupons: Vec<&str> = claims.clone().map(|claim| claim.coupon.as_str()).collect();
    let times: Vec<DateTime<Utc>> = claims.map(|claim| claim.at).collect();
    let mut names = coupons.clone();
    names.sort_unstable();
    names.dedup();
    let sql = match lock {
        Lock::IfFree => GROUP,
        Lock::Wait => GROUP_THAT_WAITS,
    };
    let asked = sqlx::query(sql)
        .bind(claimants)
        .bind(coupons)
        .bind(times)
        .bind(names)
        .fetch_all(connection);
    let rows = Kind::INSERT_CLAIMS
        .traced_for(Engine::Postgres, others.iter(), asked)
        .await?;
    let [row] = rows.as_slice() else {
        return Err(sqlx::Error::RowNotFound);
    };
    let codes: Vec<i16> = row.try_get(0)?;
    Ok(codes.into_iter().map(judged).collect())
}

/// The statement between the look at the keys and the keeping of the answers.
async fn claim_with_keys(
    transaction: &mut PgConnection,
    claims: &[&Waiting],
    keyed: &[(&Claim, &Keyed<Claim>)],
    lock: Lock,
    others: &[Span],
) -> Result<Vec<Judged>, sqlx::Error> {
    let mut repeats = seek(transaction, keyed).await?.into_iter();
    let mut judged: Vec<Option<Judged>> = Vec::with_capacity(claims.len());
    let mut new = Vec::with_capacity(claims.len());
    for waiting in claims {
        let repeat = waiting.keyed.as_ref().and_then(|_| repeats.next().flatten());
        if repeat.is_none() {
            new.push(*waiting);
        }
        judged.push(repeat.map(|repeat| Judged::Verdict(ClaimVerdict::Repeated(repeat))));
    }
    if !new.is_empty() {
        let verdicts = claim(transaction, &new, lock, others).await?;
        let claimed = Judged::Verdict(ClaimVerdict::Claimed);
        let granted = new.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == claimed);
        let kept: Vec<_> = granted.filter_map(|(waiting, _)| with_key(waiting)).collect();
        if !kept.is_empty() {
            keep(transaction, &kept).await?;
        }
        let mut verdicts = verdicts.into_iter();
        for place in judged.iter_mut().filter(|place| place.is_none()) {
            *place = verdicts.next();
        }
    }
    Ok(judged.into_iter().flatten().collect())
}

/// Which keys were used before. Those that were not are this transaction's from here on.
async fn seek(
    transaction: &mut PgConnection,
    keyed: &[(&Claim, &Keyed<Claim>)],
) -> Result<Vec<Option<Repeat>>, sqlx::Error> {
    let requests = keyed.iter().map(|(_, keyed)| &keyed.request);
    let numbers: Vec<i64> = requests.clone().map(idempotency::lock_number).collect();
    let lock = sqlx::query_scalar::<_, Vec<bool>>(LOCK_KEYS)
        .bind(numbers)
        .fetch_all(&mut *transaction);
    let locked = Kind::TRY_LOCK.traced(Engine::Postgres, lock).await?;
    let locked = locked.into_iter().next().unwrap_or_default();
    // A statement of its own, hence a snapshot taken after the locks: whoever had one before has committed.
    let find = sqlx::query(KEPT_ANSWERS)
        .bind(
            requests
                .clone()
                .map(|request| request.principal.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(requests.clone().map(|request| request.route).collect::<Vec<_>>())
        .bind(requests.clone().map(|request| request.key.as_str()).collect::<Vec<_>>())
        .fetch_all(&mut *transaction);
    let rows = Kind::SELECT_KEYS.traced(Engine::Postgres, find).await?;
    let mut repeats: Vec<Option<Repeat>> = (0..keyed.len())
        .map(|place| match locked.get(place) {
            Some(true) => None,
            _ => Some(Repeat::Refused(KeyRefused::Running)),
        })
        .collect();
    for row in &rows {
        let place = usize::try_from(row.try_get::<i64, _>(0)? - 1).unwrap_or(usize::MAX);
        if let (Some(repeat @ None), Some((claim, keyed))) = (repeats.get_mut(place), keyed.get(place)) {
            let kept = idempotency::Kept {
                fingerprint: row.try_get(1)?,
                answer: row.try_get(2)?,
                created_at: row.try_get(3)?,
            };
            *repeat = kept.repeated_by(&keyed.request, claim.at);
        }
    }
    Ok(repeats)
}

/// Keeps the answers to claims that were granted.
async fn keep(transaction: &mut PgConnection, keyed: &[(&Claim, &Keyed<Claim>)]) -> Result<(), sqlx::Error> {
    let requests = keyed.iter().map(|(_, keyed)| &keyed.request);
    let answers = keyed.iter().map(|(claim, keyed)| (keyed.answer)(claim));
    let insert = sqlx::query(KEEP_ANSWERS)
        .bind(
            requests
                .clone()
                .map(|request| request.principal.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(requests.clone().map(|request| request.route).collect::<Vec<_>>())
        .bind(requests.clone().map(|request| request.key.as_str()).collect::<Vec<_>>())
        .bind(requests.map(idempotency::fingerprint).collect::<Vec<_>>())
        .bind(answers.collect::<Vec<_>>())
        .bind(keyed.iter().map(|(claim, _)| claim.at).collect::<Vec<_>>())
        .execute(transaction);
    Kind::INSERT_KEYS.traced(Engine::Postgres, insert).await?;
    Ok(())
}
