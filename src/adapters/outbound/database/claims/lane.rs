//! A lane: takes a group, has it committed, tells everybody, and takes the next.

use std::sync::Arc;

use super::{
    group::{Failed, Judged, Lock, Member, Waiting, fold},
    queue::{Group, Queue},
    sold_out::Loader,
    store::Store,
};
use dlc_application::ports::{StorageErrorKind, coupons::ClaimVerdict};
use dlc_domain::coupons::{ClaimRefused, CouponName};

/// Serves the queue until it is closed and empty.
pub(super) async fn lane<S: Store>(queue: Arc<Queue>, mut store: S, loader: Loader) {
    loop {
        let group = tokio::select! {
            biased;
            group = queue.next() => group,
            () = store.until_idle() => continue,
        };
        let Some(Group { coupons, claims, lock }) = group else {
            return;
        };
        let (members, later) = fold(claims);
        let mut left = Left {
            locked: Vec::new(),
            later,
            timed_out: None,
        };
        serve(&mut store, members, lock, &loader, &mut left).await;
        // Whoever has waited behind those would only wait for the same again, and for longer than a request may take.
        let (failed, behind) = left.timed_out.unzip();
        let sent_away = queue.finish(coupons, lock, left.locked, left.later, &behind.unwrap_or_default());
        if let Some(failed) = failed {
            for waiting in sent_away {
                waiting.answer(Err(failed.clone()));
            }
        }
    }
}

/// Claims that a group leaves for another one.
struct Left {
    /// Because of a lock.
    locked: Vec<Waiting>,
    later: Vec<Waiting>,
    /// That the database did not answer in time, or a lock was not to be had; and the coupons of whoever was told so.
    timed_out: Option<(Failed, Vec<CouponName>)>,
}

impl Left {
    /// Tells members that it failed.
    fn refuse(&mut self, members: impl Iterator<Item = Member>, failed: &Failed) {
        let mut behind = Vec::new();
        for member in members {
            behind.push(member.first.claim.coupon.clone());
            member.refuse(failed);
        }
        if failed.kind == StorageErrorKind::Timeout {
            self.timed_out = Some((failed.clone(), behind));
        }
    }
}

/// Has a group judged and tells everybody.
async fn serve<S: Store>(store: &mut S, members: Vec<Member>, lock: Lock, loader: &Loader, left: &mut Left) {
    if members.is_empty() {
        return;
    }
    let claims: Vec<&Waiting> = members.iter().map(|member| &member.first).collect();
    match judge(store, &claims, lock).await {
        Ok(judged) => tell(members, judged, loader, left),
        Err(failed) if members.len() > 1 && failed.may_be_ones_own() => {
            let mut members = members.into_iter();
            while let Some(member) = members.next() {
                match judge(store, &[&member.first], lock).await {
                    Ok(judged) => tell(vec![member], judged, loader, left),
                    Err(failed) if failed.may_be_ones_own() => member.refuse(&failed),
                    // Now it is nobody's own, and the others would only wait for it in turn.
                    Err(failed) => left.refuse(std::iter::once(member).chain(members.by_ref()), &failed),
                }
            }
        }
        Err(failed) => left.refuse(members.into_iter(), &failed),
    }
}

/// A verdict for each claim, or none.
async fn judge<S: Store>(store: &mut S, claims: &[&Waiting], lock: Lock) -> Result<Vec<Judged>, Failed> {
    let judged = store.commit(claims, lock).await?;
    if judged.len() == claims.len() {
        return Ok(judged);
    }
    let words = format!("{} verdicts for {} claims", judged.len(), claims.len());
    Err(Failed::unknown(StorageErrorKind::Other, words))
}

fn tell(members: Vec<Member>, judged: Vec<Judged>, loader: &Loader, left: &mut Left) {
    for (member, judged) in members.into_iter().zip(judged) {
        if judged == Judged::Verdict(ClaimVerdict::Refused(ClaimRefused::OutOfStock)) {
            loader.sold_out(&member.first.claim.coupon);
        }
        let is_locked = judged == Judged::Locked;
        let again = member.tell(judged);
        if is_locked {
            left.locked.extend(again);
        } else {
            left.later.extend(again);
        }
    }
}
