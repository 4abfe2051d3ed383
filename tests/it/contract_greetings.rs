//! The contract of `GreetingRepository`, sentence by sentence, on both engines.

use std::collections::{BTreeMap, BTreeSet};

use dlc::{
    application::ports::{
        freshness::Freshness,
        greetings::{GreetingRepository, HistoryPosition, NewGreeting, Recorded},
        idempotency::{KeyRefused, Keyed, KeyedRequest, Repeat},
    },
    domain::{
        greetings::{Greeting, GreetingContext, GreetingId},
        users::{User, UserId},
    },
};

use crate::harness::{
    accounts::{Accounts, Instance, at},
    on_both_engines,
};

fn greeting(user: Option<UserId>, message: &str, seconds: i64) -> NewGreeting {
    NewGreeting {
        user,
        message: message.to_owned(),
        context: None,
        created_at: at(seconds),
    }
}

fn keyed(content: &str) -> Keyed<Greeting> {
    Keyed {
        request: KeyedRequest {
            principal: "1".to_owned(),
            route: "POST /greetings",
            key: "k".to_owned(),
            content: content.to_owned(),
        },
        answer: |greeting| format!("{} {}", greeting.id, greeting.message),
    }
}

impl Instance {
    async fn record(&self, greeting: &NewGreeting) -> Greeting {
        match self.greetings.record(greeting, None).await.unwrap() {
            Recorded::Recorded(greeting) => greeting,
            repeated @ Recorded::Repeated(_) => panic!("{repeated:?}"),
        }
    }
}

fn position(last: &Greeting) -> HistoryPosition {
    HistoryPosition {
        created_at: last.created_at,
        id: last.id,
    }
}

/// All pages of a history; what is done between two of them is done `between`.
async fn pages(accounts: &Accounts, owner: &User, size: u32, mut between: impl AsyncFnMut()) -> Vec<Greeting> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = accounts
            .here
            .greetings
            .page(owner.id, before, size, Freshness::Current)
            .await
            .unwrap();
        assert!(page.len() <= size as usize);
        let Some(last) = page.last() else { return all };
        before = Some(position(last));
        all.extend(page);
        between().await;
    }
}

on_both_engines! {
    async fn a_recorded_greeting_is_read_back_by_its_owner_alone(accounts: Accounts) {
        let (ada, bob) = (accounts.user("ada").await, accounts.user("bob").await);
        let mut new = greeting(Some(ada.id), "Hello ada! 💃 '; --", 7);
        new.context = Some(GreetingContext::parse(r#"{"place":"Kino","at":{"songs":[1,2.5,null,true,"\u00e4\\u0000"]}}"#).unwrap());
        let recorded = accounts.here.record(&new).await;
        assert_eq!((recorded.user, &recorded.message, recorded.created_at), (Some(ada.id), &new.message, at(7)));
        let json = |context: &Option<GreetingContext>| -> serde_json::Value {
            serde_json::from_str(context.as_ref().unwrap().as_str()).unwrap()
        };
        assert_eq!(json(&recorded.context), json(&new.context));
        let find = |owner: UserId, id| {
            let greetings = accounts.there.greetings.clone();
            async move { greetings.find(owner, id, Freshness::Current).await.unwrap() }
        };
        assert_eq!(find(ada.id, recorded.id).await, Some(recorded.clone()));
        assert_eq!(accounts.there.greetings.page(ada.id, None, 9, Freshness::Current).await.unwrap(), std::slice::from_ref(&recorded));
        assert_eq!(find(bob.id, recorded.id).await, None);
        assert_eq!(find(ada.id, GreetingId(4711)).await, None);
        assert_eq!(accounts.there.greetings.page(bob.id, None, 9, Freshness::Current).await.unwrap(), []);
        // Nobody's greeting is in nobody's history.
        let anonymous = accounts.here.record(&greeting(None, "Hello world!", 8)).await;
        assert_eq!((anonymous.user, anonymous.context), (None, None));
        assert_eq!(find(ada.id, anonymous.id).await, None);
    }

    async fn a_history_has_the_youngest_first_and_those_of_one_moment_by_number(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        for (message, seconds) in [("b", 5), ("a", 3), ("c", 5), ("d", 5), ("e", 4)] {
            accounts.here.record(&greeting(Some(ada.id), message, seconds)).await;
        }
        for size in 1..=6 {
            let all = pages(&accounts, &ada, size, async || {}).await;
            let messages: Vec<&str> = all.iter().map(|greeting| greeting.message.as_str()).collect();
            assert_eq!(messages, ["d", "c", "b", "e", "a"], "{size} at a time");
        }
    }

    async fn each_greeting_is_on_one_page_whatever_is_recorded_meanwhile(accounts: Accounts) {
        let (ada, bob) = (accounts.user("ada").await, accounts.user("bob").await);
        let mut there = BTreeSet::new();
        for number in 0..60 {
            // Many of one moment.
            there.insert(accounts.here.record(&greeting(Some(ada.id), "old", number / 20)).await.id.0);
        }
        let recorders: Vec<_> = (0..4)
            .map(|number| {
                let (instance, owners) = (accounts.instance(number), [ada.id, bob.id]);
                tokio::spawn(async move {
                    for round in 0..50 {
                        // Before, among and after those that were there.
                        let owner = owners[usize::from(round % 5 == 4)];
                        instance.record(&greeting(Some(owner), "new", i64::from(round % 5) - 1)).await;
                    }
                })
            })
            .collect();
        let mut turn = 0;
        let seen = pages(&accounts, &ada, 7, async || {
            // Some for certain between these two pages.
            turn += 1;
            accounts.there.record(&greeting(Some(ada.id), "new", turn % 4)).await;
        })
        .await;
        for one in recorders {
            one.await.unwrap();
        }
        let mut times: BTreeMap<i32, usize> = BTreeMap::new();
        for greeting in &seen {
            assert_eq!(greeting.user, Some(ada.id));
            *times.entry(greeting.id.0).or_default() += 1;
        }
        assert!(times.values().all(|times| *times == 1), "{times:?}");
        assert!(there.iter().all(|id| times.contains_key(id)), "{times:?}");
        let mut sorted = seen.clone();
        sorted.sort_by_key(|greeting| std::cmp::Reverse((greeting.created_at, greeting.id)));
        assert_eq!(seen, sorted);
        assert!(accounts.count("greet_history").await >= 260);
    }

    async fn a_request_that_comes_again_is_answered_again_and_not_recorded_again(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        let new = greeting(Some(ada.id), "hi", 1);
        let tries: Vec<_> = (0..10)
            .map(|number| {
                let (greetings, new) = (accounts.instance(number).greetings, new.clone());
                tokio::spawn(async move { greetings.record(&new, Some(&keyed("a"))).await.unwrap() })
            })
            .collect();
        let mut recorded = 0;
        for one in tries {
            match one.await.unwrap() {
                Recorded::Recorded(_) => recorded += 1,
                Recorded::Repeated(Repeat::Answered(answer)) => assert_eq!(answer, "1 hi"),
                Recorded::Repeated(Repeat::Refused(why)) => assert_eq!(why, KeyRefused::Running),
            }
        }
        assert_eq!((recorded, accounts.count("greet_history").await), (1, 1));
        let again = accounts.there.greetings.record(&new, Some(&keyed("a"))).await.unwrap();
        assert_eq!(again, Recorded::Repeated(Repeat::Answered("1 hi".to_owned())));
        let other = accounts.there.greetings.record(&new, Some(&keyed("b"))).await.unwrap();
        assert_eq!(other, Recorded::Repeated(Repeat::Refused(KeyRefused::Differs)));
        assert_eq!(accounts.count("greet_history").await, 1);
    }

    async fn a_greeting_that_cannot_be_stored_leaves_no_answer(accounts: Accounts) {
        let lost = greeting(Some(UserId(4711)), "hi", 1);
        assert!(accounts.here.greetings.record(&lost, Some(&keyed("a"))).await.is_err());
        assert_eq!(accounts.count("idempotency_keys").await, 0);
        accounts.user("ada").await;
        let recorded = accounts.here.greetings.record(&greeting(None, "hi", 1), Some(&keyed("a"))).await.unwrap();
        assert!(matches!(recorded, Recorded::Recorded(_)), "{recorded:?}");
    }

    async fn old_greetings_are_deleted_so_many_at_most(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        for seconds in 0..10 {
            accounts.here.record(&greeting((seconds % 2 == 0).then_some(ada.id), "x", seconds)).await;
        }
        let greetings = &accounts.there.greetings;
        assert_eq!(greetings.prune(at(7), 5).await.unwrap(), 5);
        let left: Vec<_> = pages(&accounts, &ada, 9, async || {}).await.iter().map(|greeting| greeting.created_at).collect();
        assert_eq!(left, [at(8), at(6)], "the oldest first");
        assert_eq!(greetings.prune(at(7), 5).await.unwrap(), 2, "before, not at");
        assert_eq!(greetings.prune(at(7), 5).await.unwrap(), 0);
        assert_eq!(accounts.count("greet_history").await, 3);
    }
}
