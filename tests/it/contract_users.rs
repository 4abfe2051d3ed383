//! The contract of `UserRepository`, sentence by sentence, on both engines.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta};
use dlc::{
    application::ports::{
        audit::{Act, Action, Actor, Caller},
        freshness::Freshness,
        greetings::{GreetingRepository, NewGreeting},
        idempotency::{Keyed, KeyedRequest},
        sessions::{SessionRepository, SignInVerdict, TypedName},
        users::{NewUser, UserChanged, UserCreation, UserFilter, UserRepository},
    },
    domain::{
        greetings::Greeting,
        sessions::SessionId,
        users::{ProfileText, User, UserChange, UserId, Username},
    },
};

use crate::harness::{
    accounts::{Accounts, act, at, new_user, secret},
    on_both_engines,
};

fn goal(text: &str) -> UserChange {
    UserChange {
        current_goal: Some(Some(ProfileText::parse(text).unwrap())),
        ..UserChange::default()
    }
}

fn administrates(is_admin: bool) -> UserChange {
    UserChange {
        is_admin: Some(is_admin),
        ..UserChange::default()
    }
}

/// The account after a change that must have been made.
fn changed(outcome: UserChanged) -> User {
    match outcome {
        UserChanged::Changed(user) => user,
        other => panic!("{other:?}"),
    }
}

fn is_changed(outcome: &UserChanged) -> bool {
    matches!(outcome, UserChanged::Changed(_))
}

fn ids(users: &[User]) -> Vec<UserId> {
    users.iter().map(|user| user.id).collect()
}

on_both_engines! {
    async fn a_new_account_is_read_back_and_its_making_is_written_down(accounts: Accounts) {
        let by_command = Act { caller: Caller::command_line(), at: at(5) };
        let boss = NewUser { is_admin: true, action: Action::Created, ..new_user("Boss-1") };
        let UserCreation::Created(boss) = accounts.here.users.create(&boss, &by_command).await.unwrap() else { panic!() };
        let expected = User {
            id: boss.id,
            username: Username::parse("Boss-1").unwrap(),
            description: None,
            current_goal: None,
            is_admin: true,
            allow_password_reset: false,
            created_at: at(5),
            updated_at: at(5),
            deleted_at: None,
            last_login: None,
        };
        assert_eq!(boss, expected);
        assert_eq!(accounts.there.users.find(boss.id, Freshness::Current).await.unwrap(), Some(boss.clone()));
        let by_name = accounts.there.users.find_by_name(&Username::parse("bOSS-1").unwrap()).await.unwrap();
        assert_eq!(by_name, Some(boss));
        assert_eq!(accounts.here.users.find(UserId(4711), Freshness::Current).await.unwrap(), None);
        let ada = accounts.user("ada").await;
        let written = "SELECT actor, action, CAST(subject_id AS text), address, request_id FROM audit_events ORDER BY id";
        assert_eq!(accounts.database.rows(written).await, [
            ["cli", "user.created", "1", "-", "-"].map(str::to_owned),
            ["anonymous", "user.registered", &ada.id.to_string(), "2001:db8::7", "r-1"].map(str::to_owned),
        ]);
    }

    async fn a_request_id_that_is_too_long_is_cut_off(accounts: Accounts) {
        let mut long = act(at(0));
        long.caller.origin.request_id = "é".repeat(200);
        assert!(matches!(accounts.here.users.create(&new_user("ada"), &long).await.unwrap(), UserCreation::Created(_)));
        let kept = accounts.database.rows("SELECT request_id FROM audit_events").await.concat().concat();
        assert_eq!(kept, "é".repeat(128));
    }

    async fn a_name_is_taken_in_whatever_case_by_deleted_accounts_too(accounts: Accounts) {
        let ada = accounts.user("Ada").await;
        let create = |name: &'static str| {
            let users = accounts.there.users.clone();
            async move { users.create(&new_user(name), &act(at(1))).await.unwrap() }
        };
        assert_eq!(create("Ada").await, UserCreation::NameTaken);
        assert_eq!(create("aDA").await, UserCreation::NameTaken);
        accounts.here.users.delete(ada.id, &act(at(1))).await.unwrap();
        assert_eq!(create("aDA").await, UserCreation::NameTaken);
        assert_eq!(accounts.count("users").await, 1);
        assert_eq!(accounts.count("audit_events").await, 2, "what has no effect leaves no event");
    }

    async fn of_many_who_take_a_name_at_once_one_has_it(accounts: Accounts) {
        let tries: Vec<_> = (0..20)
            .map(|number| {
                let users = accounts.instance(number).users;
                let name = ["grace", "Grace", "GRACE", "gracE"][number % 4];
                tokio::spawn(async move { users.create(&new_user(name), &act(at(0))).await.unwrap() })
            })
            .collect();
        let mut made = 0;
        for one in tries {
            made += usize::from(matches!(one.await.unwrap(), UserCreation::Created(_)));
        }
        assert_eq!((made, accounts.count("users").await, accounts.count("audit_events").await), (1, 1, 1));
    }

    async fn pages_go_in_the_order_of_ids(accounts: Accounts) {
        let mut all = Vec::new();
        for name in ["zoe", "ada", "bob", "eve", "max"] {
            all.push(accounts.user(name).await.id);
        }
        accounts.here.users.delete(all[1], &act(at(1))).await.unwrap();
        let page = |filter, after, limit| {
            let users = accounts.here.users.clone();
            async move { ids(&users.page(filter, after, limit, Freshness::Current).await.unwrap()) }
        };
        assert_eq!(page(UserFilter::All, None, 3).await, all[..3]);
        assert_eq!(page(UserFilter::All, Some(all[2]), 3).await, all[3..]);
        assert_eq!(page(UserFilter::Active, None, 9).await, [all[0], all[2], all[3], all[4]]);
        assert_eq!(page(UserFilter::Deleted, None, 9).await, [all[1]]);
        assert_eq!(page(UserFilter::Deleted, Some(all[1]), 9).await, []);
    }

    async fn each_change_makes_a_state_of_its_own(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        let users = &accounts.here.users;
        let first = changed(users.change(ada.id, Some(ada.updated_at), &goal("a turn"), &act(at(9))).await.unwrap());
        assert_eq!((first.updated_at, first.created_at), (at(9), at(0)));
        assert_eq!(first.current_goal, Some(ProfileText::parse("a turn").unwrap()));
        // A clock that stands still, and one that goes backwards.
        let second = changed(users.change(ada.id, None, &goal("two turns"), &act(at(9))).await.unwrap());
        assert_eq!(second.updated_at, at(9) + TimeDelta::microseconds(1));
        let third = changed(users.change(ada.id, None, &goal("three"), &act(at(3))).await.unwrap());
        assert_eq!(third.updated_at, at(9) + TimeDelta::microseconds(2));
        assert_eq!(users.find(ada.id, Freshness::Current).await.unwrap(), Some(third.clone()));
        let stale = users.change(ada.id, Some(second.updated_at), &goal("four"), &act(at(10))).await.unwrap();
        assert_eq!(stale, UserChanged::Stale);
        // What is so already is no change.
        let same = users.change(ada.id, Some(third.updated_at), &goal("three"), &act(at(10))).await.unwrap();
        assert_eq!(same, UserChanged::Changed(third.clone()));
        let nothing = users.change(ada.id, None, &administrates(false), &act(at(10))).await.unwrap();
        assert_eq!(nothing, UserChanged::Changed(third));
        let away = UserChange { current_goal: Some(None), ..UserChange::default() };
        assert_eq!(changed(users.change(ada.id, None, &away, &act(at(10))).await.unwrap()).current_goal, None);
        assert_eq!(accounts.events().await, vec![format!("anonymous user.changed {}", ada.id); 4]);
    }

    async fn one_change_of_several_things_is_one_event_of_each_kind(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        let both = UserChange {
            description: Some(Some(ProfileText::parse("leads and follows").unwrap())),
            is_admin: Some(true),
            ..goal("a turn")
        };
        let by_admin = Act { caller: Caller { actor: Actor::User(UserId(7)), ..act(at(1)).caller }, at: at(1) };
        let ada = changed(accounts.here.users.change(ada.id, None, &both, &by_admin).await.unwrap());
        assert!(ada.is_admin && ada.description.is_some() && ada.current_goal.is_some());
        let expected = ["user:7 user.changed 1", "user:7 user.promoted 1"];
        assert_eq!(accounts.events().await, expected);
    }

    async fn whoever_is_not_there_or_deleted_is_not_changed(accounts: Accounts) {
        let users = &accounts.here.users;
        let ada = accounts.user("ada").await;
        users.delete(ada.id, &act(at(1))).await.unwrap();
        for id in [ada.id, UserId(4711)] {
            let now = act(at(2));
            assert_eq!(users.change(id, None, &goal("x"), &now).await.unwrap(), UserChanged::Unknown);
            assert_eq!(users.change(id, None, &administrates(false), &now).await.unwrap(), UserChanged::Unknown);
            assert_eq!(users.delete(id, &now).await.unwrap(), UserChanged::Unknown);
            assert_eq!(users.allow_reset(id, &secret("c"), at(9), &now).await.unwrap(), UserChanged::Unknown);
        }
        assert_eq!(users.restore(UserId(4711), &act(at(2))).await.unwrap(), UserChanged::Unknown);
        assert_eq!(accounts.events().await.len(), 1);
    }

    async fn of_many_changes_of_one_state_one_is_made(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        let outcomes = accounts.at_once("users", |number, instance| {
            let (ada, wanted) = (ada.clone(), goal(&format!("goal {number}")));
            async move { instance.users.change(ada.id, Some(ada.updated_at), &wanted, &act(at(1))).await.unwrap() }
        });
        let (made, stale): (Vec<_>, Vec<_>) = outcomes.await.into_iter().partition(is_changed);
        assert_eq!((made.len(), accounts.events().await.len()), (1, 1));
        assert!(stale.iter().all(|outcome| *outcome == UserChanged::Stale), "{stale:?}");
    }

    async fn changes_at_once_happen_one_after_the_other(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        let outcomes = accounts.at_once("users", |number, instance| {
            let wanted = goal(&format!("goal {number}"));
            async move { changed(instance.users.change(ada.id, None, &wanted, &act(at(1))).await.unwrap()) }
        });
        let states: BTreeSet<_> = outcomes.await.iter().map(|user| user.updated_at).collect();
        let expected: BTreeSet<_> = (0..20).map(|micros| at(1) + TimeDelta::microseconds(micros)).collect();
        assert_eq!(states, expected);
    }

    async fn whoever_is_demoted_has_no_access_tokens_any_more_but_stays_signed_in(accounts: Accounts) {
        let (ada, _) = (accounts.admin("ada").await, accounts.admin("bob").await);
        accounts.here.sign_in(&ada, "s", at(1)).await;
        let (session, users) = (SessionId("s".to_owned()), &accounts.here.users);
        let principal = |version| {
            let (sessions, session) = (accounts.there.sessions.clone(), session.clone());
            async move { sessions.principal(ada.id, &session, version).await.unwrap() }
        };
        assert!(principal(0).await.unwrap().is_admin);
        let demoted = changed(users.change(ada.id, None, &administrates(false), &act(at(2))).await.unwrap());
        assert!(!demoted.is_admin);
        assert_eq!(principal(0).await, None);
        assert!(!principal(1).await.unwrap().is_admin);
        // A promotion takes nothing away.
        users.change(ada.id, None, &administrates(true), &act(at(3))).await.unwrap();
        assert!(principal(1).await.unwrap().is_admin);
        users.change(ada.id, None, &administrates(false), &act(at(4))).await.unwrap();
        assert!(principal(1).await.is_none() && principal(2).await.is_some());
        assert_eq!(accounts.events().await[1..], ["demoted", "promoted", "demoted"].map(|what| format!("anonymous user.{what} 1")));
    }

    async fn the_last_administrator_stays_one(accounts: Accounts) {
        let (ada, bob) = (accounts.admin("ada").await, accounts.admin("bob").await);
        let users = &accounts.here.users;
        users.delete(bob.id, &act(at(1))).await.unwrap();
        let both = UserChange { is_admin: Some(false), ..goal("none") };
        assert_eq!(users.change(ada.id, None, &both, &act(at(2))).await.unwrap(), UserChanged::LastAdministrator);
        assert_eq!(users.delete(ada.id, &act(at(2))).await.unwrap(), UserChanged::LastAdministrator);
        assert_eq!(users.find(ada.id, Freshness::Current).await.unwrap(), Some(ada.clone()), "nothing of it is done");
        assert_eq!(accounts.events().await.len(), 1);
        // Who is restored counts again.
        users.restore(bob.id, &act(at(3))).await.unwrap();
        assert!(is_changed(&users.change(ada.id, None, &both, &act(at(4))).await.unwrap()));
        assert_eq!(users.delete(bob.id, &act(at(5))).await.unwrap(), UserChanged::LastAdministrator);
        assert!(is_changed(&users.delete(ada.id, &act(at(5))).await.unwrap()));
    }

    async fn of_two_administrators_who_remove_each_other_one_remains(accounts: Accounts) {
        let (ada, bob) = (accounts.admin("ada").await, accounts.admin("bob").await);
        let mut won = [0, 0];
        for round in 0..60 {
            let remove = |who: usize, id: UserId| {
                let users = accounts.instance(who).users;
                let (when, deletes) = (act(at(1)), (round + who).is_multiple_of(3));
                tokio::spawn(async move {
                    if deletes {
                        users.delete(id, &when).await.unwrap()
                    } else {
                        users.change(id, None, &administrates(false), &when).await.unwrap()
                    }
                })
            };
            // Either may come first.
            let (a, b) = if round % 2 == 0 {
                let a = remove(0, ada.id);
                (a, remove(1, bob.id))
            } else {
                let b = remove(1, bob.id);
                (remove(0, ada.id), b)
            };
            let outcomes = [a.await.unwrap(), b.await.unwrap()];
            assert_eq!(outcomes.iter().filter(|o| is_changed(o)).count(), 1, "round {round}: {outcomes:?}");
            assert_eq!(outcomes.iter().filter(|o| **o == UserChanged::LastAdministrator).count(), 1, "{outcomes:?}");
            won[usize::from(is_changed(&outcomes[1]))] += 1;
            let administrators = "SELECT count(*) FROM users WHERE is_admin AND deleted_at IS NULL";
            assert_eq!(accounts.database.number(administrators).await, 1);
            for id in [ada.id, bob.id] {
                accounts.here.users.restore(id, &act(at(2))).await.unwrap();
                accounts.here.users.change(id, None, &administrates(true), &act(at(2))).await.unwrap();
            }
        }
        assert_eq!(won.iter().sum::<i32>(), 60);
    }

    async fn of_many_administrators_who_are_removed_and_made_at_once_one_remains(accounts: Accounts) {
        let mut admins = Vec::new();
        for name in ["a-1", "a-2", "a-3", "a-4", "a-5"] {
            admins.push(accounts.admin(name).await.id);
        }
        for round in 0..12 {
            let tries: Vec<_> = (0..20)
                .map(|number: usize| {
                    let users = accounts.instance(number).users;
                    let (id, is_admin) = (admins[(number * 3 + round) % 5], number.is_multiple_of(4));
                    tokio::spawn(async move { users.change(id, None, &administrates(is_admin), &act(at(1))).await.unwrap() })
                })
                .collect();
            for one in tries {
                let outcome = one.await.unwrap();
                assert!(is_changed(&outcome) || outcome == UserChanged::LastAdministrator, "{outcome:?}");
            }
            let administrators = accounts.database.number("SELECT count(*) FROM users WHERE is_admin").await;
            assert!(administrators >= 1, "round {round}");
        }
    }

    async fn a_deleted_account_is_signed_out_and_stays_so_when_it_is_restored(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        let (users, sessions) = (&accounts.here.users, &accounts.there.sessions);
        accounts.here.sign_in(&ada, "s", at(1)).await;
        users.allow_reset(ada.id, &secret("code"), at(999), &act(at(1))).await.unwrap();
        let deleted = changed(users.delete(ada.id, &act(at(2))).await.unwrap());
        assert_eq!((deleted.deleted_at, deleted.allow_password_reset), (Some(at(2)), false));
        assert!(deleted.updated_at > at(1));
        let restored = changed(users.restore(ada.id, &act(at(3))).await.unwrap());
        assert_eq!((restored.deleted_at, restored.updated_at), (None, at(3)));
        for version in [0, 1] {
            assert_eq!(sessions.principal(ada.id, &SessionId("s".to_owned()), version).await.unwrap(), None);
        }
        assert!(!sessions.may_reset(&TypedName::new("ada"), &secret("code"), at(4)).await.unwrap());
        // Who is not deleted is left alone.
        assert_eq!(users.restore(ada.id, &act(at(5))).await.unwrap(), UserChanged::Changed(restored));
        assert_eq!(accounts.events().await[2..], ["deleted", "restored"].map(|what| format!("anonymous user.{what} 1")));
        assert_eq!(accounts.here.sign_in(&ada, "t", at(6)).await, SignInVerdict::SignedIn(1));
    }

    async fn a_code_replaces_the_one_before(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        let (users, name) = (&accounts.here.users, TypedName::new("ADA"));
        let first = changed(users.allow_reset(ada.id, &secret("first"), at(99), &act(at(1))).await.unwrap());
        assert_eq!((first.allow_password_reset, first.updated_at), (true, at(1)));
        users.allow_reset(ada.id, &secret("second"), at(99), &act(at(2))).await.unwrap();
        let may = |code: &'static str| {
            let (sessions, name) = (accounts.there.sessions.clone(), name.clone());
            async move { sessions.may_reset(&name, &secret(code), at(3)).await.unwrap() }
        };
        assert!(!may("first").await && may("second").await);
        assert_eq!(accounts.events().await, vec!["anonymous password.reset_allowed 1".to_owned(); 2]);
    }

    async fn purged_accounts_are_gone_with_everything_but_the_events(accounts: Accounts) {
        let mut all = Vec::new();
        for (name, deleted) in [("ada", Some(10)), ("bob", Some(20)), ("eve", Some(30)), ("max", None)] {
            let user = accounts.user(name).await;
            accounts.here.sign_in(&user, name, at(1)).await;
            accounts.here.users.allow_reset(user.id, &secret(name), at(99), &act(at(1))).await.unwrap();
            accounts.here.users.change(user.id, None, &goal("x"), &act(at(1))).await.unwrap();
            for n in 0..3 {
                let greeting = NewGreeting { user: Some(user.id), message: "hi".to_owned(), context: None, created_at: at(2) };
                let request = KeyedRequest { principal: user.id.to_string(), route: "r", key: n.to_string(), content: String::new() };
                let keyed = Keyed { request, answer: |greeting: &Greeting| greeting.message.clone() };
                accounts.here.greetings.record(&greeting, Some(&keyed)).await.unwrap();
            }
            if let Some(seconds) = deleted {
                accounts.here.users.delete(user.id, &act(at(seconds))).await.unwrap();
                // Codes and versions cascade, too.
                let code = format!("INSERT INTO password_resets VALUES ({}, '', '2027-01-01T00:00:00+00:00', '2027-01-01T00:00:00+00:00')", user.id);
                let empty = if accounts.database.engine == crate::harness::Engine::Sqlite { "x''" } else { "''" };
                accounts.database.execute(&code.replace("''", empty)).await;
            }
            all.push(user.id);
        }
        let users = &accounts.here.users;
        assert_eq!(users.count_purgeable(at(30)).await.unwrap(), 2, "before, not at");
        assert_eq!(users.purge(at(30), 1, &act(at(40))).await.unwrap(), 1);
        assert_eq!(users.find(all[0], Freshness::Current).await.unwrap(), None, "the smallest id first");
        let before = accounts.count("audit_events").await;
        assert_eq!(users.purge(at(30), 9, &act(at(40))).await.unwrap(), 1);
        assert_eq!(users.purge(at(30), 9, &act(at(40))).await.unwrap(), 0);
        assert_eq!(users.count_purgeable(at(30)).await.unwrap(), 0);
        assert_eq!(ids(&users.page(UserFilter::All, None, 9, Freshness::Current).await.unwrap()), all[2..]);
        for (table, left) in [("greet_history", 6), ("idempotency_keys", 6), ("sessions", 2), ("refresh_tokens", 2), ("password_resets", 2), ("token_versions", 1)] {
            assert_eq!(accounts.count(table).await, left, "{table}");
        }
        assert_eq!(accounts.count("audit_events").await, before + 1);
        assert_eq!(accounts.events().await.last().unwrap(), &format!("anonymous user.purged {}", all[1]));
        // Their names are free again, their numbers are not.
        let ada = accounts.user("ADA").await;
        assert!(ada.id > all[3]);
    }

    async fn nothing_in_the_seeds_columns_is_read_as_the_least(accounts: Accounts) {
        let odd = "INSERT INTO users (username, password_hash, created_at, updated_at, is_admin, allow_password_reset) \
                   VALUES ('old', 'hash', NULL, NULL, NULL, NULL)";
        accounts.database.execute(odd).await;
        let name = Username::parse("old").unwrap();
        let old = accounts.here.users.find_by_name(&name).await.unwrap().unwrap();
        assert_eq!((old.created_at, old.updated_at), (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH));
        assert!(!old.is_admin && !old.allow_password_reset);
        let state = Some(DateTime::UNIX_EPOCH);
        assert!(is_changed(&accounts.here.users.change(old.id, state, &goal("x"), &act(at(1))).await.unwrap()));
        assert!(is_changed(&accounts.here.users.delete(old.id, &act(at(2))).await.unwrap()));
    }
}
