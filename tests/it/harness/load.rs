//! People who come one after another, claim, ask again until they hear the truth, and do not stop coming: a sale that accidents
//! happen to. Not here: the accidents.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::sales::{Shop, Tills, Wish};

/// Nobody waits longer for the sale to go on.
const LIMIT: Duration = Duration::from_secs(60);

/// Nobody comes in vain: the ledger wants everybody to have a piece in the end.
pub const ENDLESS: usize = 1_000_000;

/// The people.
pub struct Load {
    tills: Tills,
    people: JoinSet<()>,
    is_over: Arc<AtomicBool>,
}

impl Load {
    /// So many at a time claim a coupon without end, a third of them under a key.
    pub async fn on(shop: &Shop, at_once: usize) -> Self {
        shop.offer("c", ENDLESS).await;
        let (is_over, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut people = JoinSet::new();
        for _ in 0..at_once {
            let (tills, is_over, next) = (shop.tills.clone(), Arc::clone(&is_over), Arc::clone(&next));
            people.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let wish = Wish::of(number, "c");
                    let wish = if number.is_multiple_of(3) { wish.keyed() } else { wish };
                    tills.learn(&wish, number).await;
                }
            });
        }
        let load = Self {
            tills: shop.tills.clone(),
            people,
            is_over,
        };
        load.goes_on().await;
        load
    }

    /// Waits until a hundred more have heard the truth.
    pub async fn goes_on(&self) {
        let (started, before) = (Instant::now(), self.tills.ledger.judged());
        while self.tills.ledger.judged() < before + 100 {
            assert!(started.elapsed() < LIMIT, "nothing is sold any more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Nobody comes any more; waits until everybody has heard the truth. A panic of theirs is one here.
    pub async fn ends(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.people.join_all().await;
    }
}
