//! Coupons that are sold out, and who has them: whoever comes too late is told so without a question to the database.
//!
//! Nobody gives a piece back and nobody adds any, so who has one of a sold-out coupon is final, whichever instance sold it. It is
//! believed for [`BELIEVED_FOR`] all the same, in case somebody has changed the tables by hand. Only coupons with up to
//! [`MOST_CLAIMANTS`] claimants are kept; the others are asked for, together and without a lock.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use dlc_domain::coupons::{Claim, ClaimRefused, CouponName};
use sha2::{Digest, Sha256};
use sqlx::Row;
use tokio::sync::mpsc;

use crate::held::{Connection, Source};

/// How long the list of a sold-out coupon's claimants is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(2);
/// Most claimants of one coupon that is kept: reading so many takes some milliseconds, each time.
const MOST_CLAIMANTS: usize = 20_000;
/// Most claimants in all: 16 bytes each and what a set needs around them, some 8 MB beside the coupons' names.
const MOST_IN_ALL: usize = 200_000;

/// Most coupons that are asked for in [`BELIEVED_FOR`].
const MOST_WANTED: usize = 1_024;

/// Those who have a piece and the coupon's name, in one statement, hence at one moment; nobody while there is one left.
const SOLD: &str = "SELECT l.user_id FROM coupons c JOIN claims l ON l.coupon_name = c.name \
     WHERE c.name = $1 AND c.remaining_amount = 0 AND c.amount <= $2";

/// What is left of a claimant's id: 128 bits of its SHA-256, so that long ones take no more room than others.
type Mark = [u8; 16];

fn mark(claimant: &str) -> Mark {
    let digest: [u8; 32] = Sha256::digest(claimant).into();
    let mut mark = [0; 16];
    mark.copy_from_slice(&digest[..16]);
    mark
}

struct Coupon {
    claimants: HashSet<Mark>,
    until: Instant,
}

/// What is known.
#[derive(Default)]
pub(super) struct SoldOut(RwLock<HashMap<CouponName, Coupon>>);

impl std::fmt::Debug for SoldOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SoldOut")
    }
}

impl SoldOut {
    /// Why a claim is refused, where that is known.
    pub(super) fn verdict(&self, claim: &Claim) -> Option<ClaimRefused> {
        let coupons = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let coupon = coupons.get(&claim.coupon)?;
        if coupon.until <= Instant::now() {
            return None;
        }
        Some(if coupon.claimants.contains(&mark(claim.claimant.as_str())) {
            ClaimRefused::AlreadyClaimed
        } else {
            ClaimRefused::OutOfStock
        })
    }

    fn keep(&self, name: CouponName, claimants: HashSet<Mark>, now: Instant) {
        let mut coupons = self.0.write().unwrap_or_else(PoisonError::into_inner);
        coupons.retain(|_, coupon| coupon.until > now);
        let kept: usize = coupons.values().map(|coupon| coupon.claimants.len()).sum();
        if kept + claimants.len() <= MOST_IN_ALL {
            let until = now + BELIEVED_FOR;
            coupons.insert(name, Coupon { claimants, until });
        }
    }
}

/// Finds out who has a sold-out coupon: one coupon at a time, on one connection.
#[derive(Clone)]
pub(super) struct Loader {
    wanted: mpsc::Sender<CouponName>,
    /// When each was asked for.
    asked: Arc<Mutex<HashMap<CouponName, Instant>>>,
}

impl Loader {
    /// Its work is done by a task on the current runtime, which ends with the last loader.
    pub(super) fn start(sold_out: &Arc<SoldOut>, source: Source) -> Self {
        let (wanted, mut names) = mpsc::channel::<CouponName>(MOST_WANTED);
        let sold_out = Arc::clone(sold_out);
        tokio::spawn(async move {
            while let Some(name) = names.recv().await {
                // Taken before the question: what is found is as old as that.
                let now = Instant::now();
                match tokio::time::timeout(source.limit, claimants(&source, &name)).await {
                    Ok(Ok(claimants)) if !claimants.is_empty() => sold_out.keep(name, claimants, now),
                    // Too many, or not any more, or no answer: the next loser asks again, later.
                    _ => {}
                }
            }
        });
        Self::to(wanted)
    }

    fn to(wanted: mpsc::Sender<CouponName>) -> Self {
        Self {
            wanted,
            asked: Arc::default(),
        }
    }

    /// One that finds nothing out.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self::to(mpsc::channel(1).0)
    }

    /// Somebody was told that a coupon is sold out. It is asked for once in the time that an answer is believed, whatever the
    /// answer was.
    pub(super) fn sold_out(&self, name: &CouponName) {
        let now = Instant::now();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.get(name).is_some_and(|at| now - *at < BELIEVED_FOR) {
            return;
        }
        if asked.len() >= MOST_WANTED {
            asked.retain(|_, at| now - *at < BELIEVED_FOR);
        }
        // Where there is no room, its losers are told by the database for a while longer.
        if asked.len() < MOST_WANTED && self.wanted.try_send(name.clone()).is_ok() {
            asked.insert(name.clone(), now);
        }
    }
}

async fn claimants(source: &Source, name: &CouponName) -> Result<HashSet<Mark>, sqlx::Error> {
    let mut held = source.hold().await?;
    let most = i64::try_from(MOST_CLAIMANTS).unwrap_or(i64::MAX);
    match &mut held.connection {
        Connection::Postgres(connection) => {
            let rows = sqlx::query(SOLD).bind(name.as_str()).bind(most);
            let rows = rows.fetch_all(&mut **connection).await?;
            rows.iter().map(|row| Ok(mark(row.try_get(0)?))).collect()
        }
        Connection::Sqlite(connection) => {
            let rows = sqlx::query(SOLD).bind(name.as_str()).bind(most);
            let rows = rows.fetch_all(&mut **connection).await?;
            rows.iter().map(|row| Ok(mark(row.try_get(0)?))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use dlc_domain::coupons::ClaimantId;

    use super::*;

    fn claim(coupon: &str, claimant: &str) -> Claim {
        Claim {
            coupon: CouponName::parse(coupon).unwrap(),
            claimant: ClaimantId::parse(claimant).unwrap(),
            at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn whoever_has_a_piece_is_told_so_and_everybody_else_that_there_are_none() {
        let sold_out = SoldOut::default();
        let name = CouponName::parse("c").unwrap();
        sold_out.keep(name, HashSet::from([mark("ann")]), Instant::now());
        assert_eq!(sold_out.verdict(&claim("c", "ann")), Some(ClaimRefused::AlreadyClaimed));
        assert_eq!(sold_out.verdict(&claim("c", "bob")), Some(ClaimRefused::OutOfStock));
        assert_eq!(sold_out.verdict(&claim("d", "bob")), None);
    }

    #[test]
    fn what_was_found_out_too_long_ago_is_believed_no_more_and_takes_no_room() {
        let sold_out = SoldOut::default();
        let now = Instant::now();
        let old = now.checked_sub(BELIEVED_FOR).unwrap();
        sold_out.keep(CouponName::parse("old").unwrap(), HashSet::from([mark("ann")]), old);
        assert_eq!(sold_out.verdict(&claim("old", "ann")), None);
        sold_out.keep(CouponName::parse("new").unwrap(), HashSet::from([mark("ann")]), now);
        assert_eq!(sold_out.0.read().unwrap().len(), 1);
    }

    #[test]
    fn a_coupon_is_asked_for_once_in_a_while_and_only_so_many_are() {
        let (wanted, mut names) = mpsc::channel(MOST_WANTED);
        let loader = Loader::to(wanted);
        let name = |n: usize| CouponName::parse(format!("c{n}")).unwrap();
        for _ in 0..3 {
            loader.sold_out(&name(0));
        }
        assert_eq!(names.try_recv().ok(), Some(name(0)));
        assert!(names.try_recv().is_err());
        (0..2 * MOST_WANTED).for_each(|n| loader.sold_out(&name(n)));
        assert_eq!(loader.asked.lock().unwrap().len(), MOST_WANTED);
    }

    #[test]
    fn there_is_a_bound_to_what_is_kept() {
        let sold_out = SoldOut::default();
        let now = Instant::now();
        let many: HashSet<Mark> = (0..MOST_IN_ALL).map(|n| mark(&n.to_string())).collect();
        sold_out.keep(CouponName::parse("a").unwrap(), many, now);
        sold_out.keep(CouponName::parse("b").unwrap(), HashSet::from([mark("ann")]), now);
        assert_eq!(sold_out.verdict(&claim("b", "ann")), None);
        assert_eq!(sold_out.verdict(&claim("a", "1")), Some(ClaimRefused::AlreadyClaimed));
    }
}
