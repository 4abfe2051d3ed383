//! A lane: takes a group, has it committed, tells everybody, and takes the next.

use std::sync::Arc;

use super::{
    group::{Failed, Judged, Lock, Member, Waiting, fold},
    queue::{Group, Queue},
    sold_out::Loader,
    store::Store,
};
use dlc_application::ports::{StorageErrorKind, coupons::ClaimVerdict};
use dlc_domain::coupons::ClaimRefused;

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
        let again = serve(&mut store, members, lock, &loader).await;
        queue.finish(coupons, lock, again, later);
    }
}

/// Has a group judged and tells everybody. Returns those who have to be asked again.
async fn serve<S: Store>(store: &mut S, members: Vec<Member>, lock: Lock, loader: &Loader) -> Vec<Waiting> {
    if members.is_empty() {
        return Vec::new();
    }
    let claims: Vec<&Waiting> = members.iter().map(|member| &member.first).collect();
    match judge(store, &claims, lock).await {
        Ok(judged) => tell(members, judged, loader),
        Err(failed) if members.len() > 1 && failed.may_be_ones_own() => {
            let mut again = Vec::new();
            for member in members {
                match judge(store, &[&member.first], lock).await {
                    Ok(judged) => again.extend(tell(vec![member], judged, loader)),
                    Err(failed) => member.refuse(&failed),
                }
            }
            again
        }
        Err(failed) => {
            members.into_iter().for_each(|member| member.refuse(&failed));
            Vec::new()
        }
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

fn tell(members: Vec<Member>, judged: Vec<Judged>, loader: &Loader) -> Vec<Waiting> {
    let mut again = Vec::new();
    for (member, judged) in members.into_iter().zip(judged) {
        if judged == Judged::Verdict(ClaimVerdict::Refused(ClaimRefused::OutOfStock)) {
            loader.sold_out(&member.first.claim.coupon);
        }
        again.extend(member.tell(judged));
    }
    again
}
