//! Claims on their way, and what is said about them.

use std::{
    collections::{HashMap, hash_map::Entry},
    error::Error,
    sync::Arc,
};

use dlc_application::ports::{StorageError, StorageErrorKind, coupons::ClaimVerdict, idempotency::Keyed};
use dlc_domain::coupons::{Claim, ClaimRefused};
use tokio::sync::oneshot;
use tracing::Span;

use crate::{keys::KeyAtWork, statements};

/// What a caller is told.
pub(super) type Answer = Result<ClaimVerdict, Failed>;

/// A claim whose caller waits.
pub(super) struct Waiting {
    pub(super) claim: Claim,
    pub(super) keyed: Option<Keyed<Claim>>,
    /// Which one it is in the order of coming; given by the queue.
    pub(super) number: u64,
    /// Who asks, where that is recorded.
    pub(super) span: Option<Span>,
    answer: oneshot::Sender<Answer>,
    at_work: Option<KeyAtWork>,
}

impl Waiting {
    pub(super) fn new(
        claim: Claim,
        keyed: Option<Keyed<Claim>>,
        at_work: Option<KeyAtWork>,
        answer: oneshot::Sender<Answer>,
    ) -> Self {
        Self {
            claim,
            keyed,
            number: 0,
            span: statements::recorded(),
            answer,
            at_work,
        }
    }

    /// Whether its caller has gone away.
    pub(super) fn is_given_up(&self) -> bool {
        self.answer.is_closed()
    }

    pub(super) fn answer(self, answer: Answer) {
        // Before the answer: whoever has it may ask again at once.
        drop(self.at_work);
        // Whoever hung up meanwhile wants none.
        let _ = self.answer.send(answer);
    }
}

/// What became of one claim of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// This; a claim that was granted is durable.
    Verdict(ClaimVerdict),
    /// Nothing: the coupon's row is locked by somebody else. It has to be asked again in a transaction that waits for the lock.
    Locked,
    /// Nothing: between the look and the lock somebody else was quicker, or the pieces ended within the group. It has to be asked
    /// again, and then it shows.
    Again,
}

/// What a group does about a row that somebody else has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// Leaves it out, so that nobody else's claim waits for it, and nobody waits for each other.
    IfFree,
    /// Waits for it. A group that waits is of one coupon.
    Wait,
}

/// Why a group was not judged; all of it shares it.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) kind: StorageErrorKind,
    source: Arc<dyn Error + Send + Sync>,
    /// Whether nothing was done, for certain. Else the commit may yet have taken place.
    is_certain: bool,
}

impl Failed {
    /// Nothing was done.
    pub(super) fn certain(kind: StorageErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: Arc::from(source.into()),
            is_certain: true,
        }
    }

    /// What was done is not known.
    pub(super) fn unknown(kind: StorageErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            is_certain: false,
            ..Self::certain(kind, source)
        }
    }

    /// Whether it may have been one of the group that spoiled it for the others, which can be found out without doing anything
    /// twice. A time that ran out, or a database that is not there, is nobody's fault, and would only be waited for again.
    pub(super) fn may_be_ones_own(&self) -> bool {
        self.is_certain && matches!(self.kind, StorageErrorKind::Other | StorageErrorKind::Conflict)
    }

    pub(super) fn into_storage_error(self) -> StorageError {
        let kind = match self.kind {
            // It may be done, whatever it was: asking again tells (I5).
            StorageErrorKind::Other if !self.is_certain => StorageErrorKind::Unavailable,
            kind => kind,
        };
        StorageError::new(kind, self.source)
    }
}

/// A claim, and those that are the same one.
pub(super) struct Member {
    pub(super) first: Waiting,
    /// The same person's for the same coupon: whatever the first one hears tells what they do.
    followers: Vec<Waiting>,
}

/// Folds what is the same claim into one. Those that cannot be told before the others are known, because they have a key,
/// are left for the next group; whoever has gone away is dropped.
pub(super) fn fold(claims: Vec<Waiting>) -> (Vec<Member>, Vec<Waiting>) {
    let mut members: Vec<Member> = Vec::with_capacity(claims.len());
    let mut later = Vec::new();
    let mut places = HashMap::with_capacity(claims.len());
    for waiting in claims {
        if waiting.is_given_up() {
            continue;
        }
        let whose = (waiting.claim.coupon.clone(), waiting.claim.claimant.clone());
        match places.entry(whose) {
            Entry::Vacant(place) => {
                place.insert(members.len());
                members.push(Member {
                    first: waiting,
                    followers: Vec::new(),
                });
            }
            Entry::Occupied(_) if waiting.keyed.is_some() => later.push(waiting),
            Entry::Occupied(place) => match members.get_mut(*place.get()) {
                Some(member) => member.followers.push(waiting),
                None => later.push(waiting),
            },
        }
    }
    (members, later)
}

impl Member {
    /// Tells everybody. Returns those to whom nothing can be told yet.
    pub(super) fn tell(self, judged: Judged) -> Vec<Waiting> {
        let Self { first, followers } = self;
        let of_followers = match &judged {
            Judged::Verdict(ClaimVerdict::Claimed | ClaimVerdict::Refused(ClaimRefused::AlreadyClaimed)) => {
                Some(ClaimVerdict::Refused(ClaimRefused::AlreadyClaimed))
            }
            Judged::Verdict(ClaimVerdict::UnknownCoupon) => Some(ClaimVerdict::UnknownCoupon),
            Judged::Verdict(ClaimVerdict::Refused(ClaimRefused::OutOfStock)) => {
                Some(ClaimVerdict::Refused(ClaimRefused::OutOfStock))
            }
            // What was answered to the first one's key says nothing about whoever has none.
            Judged::Verdict(ClaimVerdict::Repeated(_)) | Judged::Locked | Judged::Again => None,
        };
        let mut again = Vec::new();
        match judged {
            Judged::Verdict(verdict) => first.answer(Ok(verdict)),
            Judged::Locked | Judged::Again => again.push(first),
        }
        for follower in followers {
            match &of_followers {
                Some(verdict) => follower.answer(Ok(verdict.clone())),
                None => again.push(follower),
            }
        }
        again
    }

    /// Tells everybody that it failed.
    pub(super) fn refuse(self, failed: &Failed) {
        self.first.answer(Err(failed.clone()));
        for follower in self.followers {
            follower.answer(Err(failed.clone()));
        }
    }
}
