//! The engine against a model of the sale: claims, the same ones again, unknown coupons, the end of the stock, commits that fail in
//! every way, locked rows and callers that go away, in any order; and every caller hears what the model says.
//!
//! The store is one in memory that does as it is told. The model judges one claim after the other and knows nothing of groups.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use dlc_application::ports::{StorageErrorKind, coupons::ClaimVerdict};
use dlc_domain::coupons::{Claim, ClaimRefused, ClaimantId, CouponName};
use proptest::prelude::*;
use tokio::sync::{Notify, oneshot};

use super::{
    group::{Answer, Failed, Judged, Lock, Waiting},
    lane::lane,
    queue::{Limits, Queue},
    sold_out::Loader,
    store::Store,
};

/// What a commit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Succeeds,
    /// Somebody else has the row of the group's first coupon locked.
    FindsALock,
    /// Fails, and nothing was done.
    Fails,
    /// Takes too long, and nothing was done.
    IsLate,
    /// Its outcome is not known; it was done.
    IsLostAndDone,
    /// Its outcome is not known; it was not done.
    IsLostAndUndone,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Claim { coupon: usize, claimant: usize },
    GoAway(usize),
    Commit(Fate),
}

/// Pieces of each coupon; whichever is not here is not known.
const STOCK: [i32; 3] = [1, 3, 100];
const COUPONS: usize = STOCK.len() + 1;
const CLAIMANTS: usize = 7;
/// The one that no group can be committed with.
const BAD: usize = CLAIMANTS - 1;

type Pair = (usize, usize);

/// Who has what.
#[derive(Clone, Debug, Default)]
struct Books {
    claims: BTreeSet<Pair>,
    taken: BTreeMap<usize, i32>,
}

impl Books {
    fn left(&self, coupon: usize) -> Option<i32> {
        let stock = STOCK.get(coupon)?;
        Some(stock - self.taken.get(&coupon).unwrap_or(&0))
    }

    /// The one rule, for one claim.
    fn claim(&mut self, pair: Pair) -> ClaimVerdict {
        let verdict = self.look(pair);
        if verdict == ClaimVerdict::Claimed {
            self.claims.insert(pair);
            *self.taken.entry(pair.0).or_default() += 1;
        }
        verdict
    }

    fn look(&self, pair: Pair) -> ClaimVerdict {
        match self.left(pair.0) {
            None => ClaimVerdict::UnknownCoupon,
            Some(_) if self.claims.contains(&pair) => ClaimVerdict::Refused(ClaimRefused::AlreadyClaimed),
            Some(0) => ClaimVerdict::Refused(ClaimRefused::OutOfStock),
            Some(_) => ClaimVerdict::Claimed,
        }
    }
}

#[derive(Default)]
struct World {
    books: Books,
    fates: VecDeque<Fate>,
    /// Numbers of the claims that were granted.
    granted: HashSet<u64>,
    /// Those whose callers may be told of a failure.
    may_fail: HashSet<Pair>,
    /// Claims of groups that failed: when one of them, tried alone, meets with what is nobody's own, the others are not tried.
    tried_alone: HashSet<Pair>,
    /// Numbers that no commit may hold again.
    lost: HashSet<u64>,
}

#[derive(Clone, Default)]
struct Told {
    world: Arc<Mutex<World>>,
    changed: Arc<Notify>,
}

impl Told {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    async fn fate(&self) -> Fate {
        loop {
            if let Some(fate) = self.world().fates.pop_front() {
                return fate;
            }
            self.changed.notified().await;
        }
    }
}

fn pair_of(claim: &Claim) -> Pair {
    let number = |text: &str| text[1..].parse().unwrap();
    (number(claim.coupon.as_str()), number(claim.claimant.as_str()))
}

impl Store for Told {
    async fn commit(&mut self, claims: &[&Waiting], lock: Lock) -> Result<Vec<Judged>, Failed> {
        let fate = self.fate().await;
        let mut world = self.world();
        if !world.fates.is_empty() {
            self.changed.notify_one();
        }
        let pairs: Vec<Pair> = claims.iter().map(|waiting| pair_of(&waiting.claim)).collect();
        assert_eq!(
            pairs.iter().collect::<HashSet<_>>().len(),
            pairs.len(),
            "twice in a group: {pairs:?}"
        );
        assert!(
            claims.iter().all(|waiting| !world.lost.contains(&waiting.number)),
            "committed twice"
        );
        if lock == Lock::Wait {
            assert!(
                pairs.iter().all(|(coupon, _)| *coupon == pairs[0].0),
                "waits with others"
            );
        }
        let failed = |kind| Failed::certain(kind, "told to");
        let is_bad = pairs.iter().any(|(_, claimant)| *claimant == BAD);
        if fate == Fate::Fails || is_bad {
            if let [pair] = pairs.as_slice() {
                world.may_fail.insert(*pair);
            } else {
                world.tried_alone.extend(pairs);
            }
            return Err(failed(StorageErrorKind::Other));
        }
        if !matches!(fate, Fate::Succeeds | Fate::FindsALock) && pairs.len() == 1 {
            let others = world.tried_alone.clone();
            world.may_fail.extend(others);
        }
        if fate == Fate::IsLate {
            // And whoever waits behind them.
            let group = pairs.iter().chain(&world.tried_alone);
            let lines: Vec<Pair> = group
                .flat_map(|(coupon, _)| (0..CLAIMANTS).map(|claimant| (*coupon, claimant)))
                .collect();
            world.may_fail.extend(lines);
            return Err(failed(StorageErrorKind::Timeout));
        }
        let lost = matches!(fate, Fate::IsLostAndDone | Fate::IsLostAndUndone);
        if lost {
            world.may_fail.extend(&pairs);
            world.lost.extend(claims.iter().map(|waiting| waiting.number));
        }
        let mut judged = Vec::new();
        // As PostgreSQL does: everything is looked at first, and what ends within the group is asked again.
        let before = world.books.clone();
        for (waiting, pair) in claims.iter().zip(pairs.iter().copied()) {
            let is_locked = fate == Fate::FindsALock && lock == Lock::IfFree && pair.0 == pairs[0].0;
            judged.push(match before.look(pair) {
                ClaimVerdict::Claimed if is_locked => Judged::Locked,
                ClaimVerdict::Claimed if world.books.left(pair.0) == Some(0) => Judged::Again,
                ClaimVerdict::Claimed => {
                    if fate != Fate::IsLostAndUndone {
                        world.books.claim(pair);
                    }
                    if !lost {
                        world.granted.insert(waiting.number);
                    }
                    Judged::Verdict(ClaimVerdict::Claimed)
                }
                other => Judged::Verdict(other),
            });
        }
        if lost {
            return Err(Failed::unknown(StorageErrorKind::Unavailable, "told to"));
        }
        Ok(judged)
    }

    async fn until_idle(&mut self) {
        std::future::pending::<()>().await;
    }
}

struct Caller {
    pair: Pair,
    number: u64,
    answer: Option<oneshot::Receiver<Answer>>,
}

/// Lets every lane do what it can.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Looks at every answer that has come.
fn check(callers: &mut [Caller], told: &Told, claimed: &mut HashMap<Pair, u64>) {
    let world = told.world();
    for caller in callers {
        let Some(answer) = &mut caller.answer else { continue };
        let Ok(answer) = answer.try_recv() else { continue };
        caller.answer = None;
        match answer {
            Ok(ClaimVerdict::Claimed) => {
                assert!(world.granted.contains(&caller.number), "claimed, and was not granted");
                assert_eq!(claimed.insert(caller.pair, caller.number), None, "claimed twice");
            }
            Ok(verdict) => {
                assert!(
                    !world.granted.contains(&caller.number),
                    "granted, and hears {verdict:?}"
                );
                assert_eq!(verdict, world.books.look(caller.pair), "{:?}", caller.pair);
            }
            Err(failed) => assert!(
                world.may_fail.contains(&caller.pair),
                "{:?} is innocent, and hears {failed:?}",
                caller.pair
            ),
        }
    }
}

async fn play(limits: Limits, steps: Vec<Step>) {
    let told = Told::default();
    let queue = Arc::new(Queue::new(limits));
    let lanes: Vec<_> = (0..limits.lanes())
        .map(|_| tokio::spawn(lane(Arc::clone(&queue), told.clone(), Loader::none())))
        .collect();
    let mut callers: Vec<Caller> = Vec::new();
    let mut claimed = HashMap::new();
    for step in steps {
        match step {
            Step::Claim { coupon, claimant } => {
                let (answer, answered) = oneshot::channel();
                let claim = Claim {
                    coupon: CouponName::parse(format!("c{coupon}")).unwrap(),
                    claimant: ClaimantId::parse(format!("u{claimant}")).unwrap(),
                    at: chrono::DateTime::UNIX_EPOCH,
                };
                queue.push(Waiting::new(claim, None, None, answer)).unwrap();
                callers.push(Caller {
                    pair: (coupon, claimant),
                    number: callers.len() as u64,
                    answer: Some(answered),
                });
            }
            Step::GoAway(_) if callers.is_empty() => {}
            Step::GoAway(which) => {
                let which = which % callers.len();
                callers[which].answer = None;
            }
            Step::Commit(fate) => {
                told.world().fates.push_back(fate);
                told.changed.notify_one();
            }
        }
        settle().await;
        check(&mut callers, &told, &mut claimed);
    }
    // Nobody is forgotten.
    queue.close();
    while lanes.iter().any(|lane| !lane.is_finished()) {
        told.world().fates.push_back(Fate::Succeeds);
        told.changed.notify_one();
        settle().await;
        check(&mut callers, &told, &mut claimed);
    }
    assert!(
        callers.iter().all(|caller| caller.answer.is_none()),
        "somebody was not answered"
    );
    for lane in lanes {
        lane.await.unwrap();
    }
    let world = told.world();
    for (coupon, stock) in STOCK.iter().enumerate() {
        let rows = world.books.claims.iter().filter(|(of, _)| *of == coupon).count();
        assert_eq!(world.books.left(coupon), Some(stock - i32::try_from(rows).unwrap()));
        assert!(world.books.left(coupon) >= Some(0));
    }
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        5 => Just(Fate::Succeeds),
        2 => Just(Fate::FindsALock),
        2 => Just(Fate::Fails),
        1 => Just(Fate::IsLate),
        1 => Just(Fate::IsLostAndDone),
        1 => Just(Fate::IsLostAndUndone),
    ];
    prop_oneof![
        6 => (0..COUPONS, 0..CLAIMANTS).prop_map(|(coupon, claimant)| Step::Claim { coupon, claimant }),
        1 => any::<usize>().prop_map(Step::GoAway),
        3 => fate.prop_map(Step::Commit),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (1_usize..3, 1_usize..3, 0_usize..4, 1_usize..6).prop_map(|(free, waiting, beside, group)| Limits {
        free,
        waiting,
        beside,
        group,
        line: 1_000,
        all: 1_000,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_caller_hears_what_a_sale_one_claim_at_a_time_would_have_told(
        limits in limits(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(play(limits, steps));
    }
}
