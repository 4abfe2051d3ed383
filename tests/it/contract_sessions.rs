//! The contract of `SessionRepository`, sentence by sentence, on both engines.

use chrono::{DateTime, TimeDelta, Utc};
use dlc::{
    application::ports::{
        freshness::Freshness,
        passwords::PasswordHash,
        sessions::{
            PasswordChanged, Principal, Proof, RefreshVerdict, SessionRepository, SignInState, SignInVerdict, TypedName,
        },
        users::UserRepository,
    },
    domain::{
        sessions::{FAILURES_FORGOTTEN_AFTER, FREE_FAILURES, LONGEST_WAIT, SessionId},
        users::{User, UserId},
    },
};

use crate::harness::{
    Engine, OnEngine,
    accounts::{Accounts, act, at, given, new_session, secret},
    on_both_engines,
};

/// Later than anything here.
fn far() -> DateTime<Utc> {
    at(3_000_000)
}

fn typed(name: &str) -> TypedName {
    TypedName::new(name)
}

fn session(id: &str) -> SessionId {
    SessionId(id.to_owned())
}

fn hash(text: &str) -> PasswordHash {
    PasswordHash(text.to_owned())
}

impl Accounts {
    async fn fail(&self, name: &str, user: Option<UserId>, seconds: i64) -> SignInVerdict {
        let new = new_session("none", far());
        self.here
            .sessions
            .sign_in(&typed(name), &Proof::Failed(user), &new, &act(at(seconds)))
            .await
            .unwrap()
    }

    async fn refresh(&self, token: &str, next: &str, seconds: i64) -> RefreshVerdict {
        let when = at(seconds);
        self.there
            .sessions
            .refresh(&secret(token), &secret(next), when + TimeDelta::days(30), &act(when))
            .await
            .unwrap()
    }

    /// Whether somebody's token of a session is good.
    async fn is_signed_in(&self, user: &User, id: &str, version: i32) -> bool {
        let principal = self
            .there
            .sessions
            .principal(user.id, &session(id), version)
            .await
            .unwrap();
        principal.is_some()
    }
}

fn refreshed(user: &User, id: &str) -> RefreshVerdict {
    RefreshVerdict::Refreshed {
        user: user.id,
        session: session(id),
        version: 0,
    }
}

on_both_engines! {
    async fn whoever_signs_in_has_a_session_and_no_secret_is_kept(accounts: Accounts) {
        let ada = accounts.user("Ada").await;
        let state = accounts.there.sessions.sign_in_state(&typed("aDA"), at(1)).await.unwrap();
        assert_eq!(state, SignInState { account: Some((ada.id, hash("hash"))), locked_until: None });
        assert_eq!(accounts.here.sign_in(&ada, "s", at(5)).await, SignInVerdict::SignedIn(0));
        let principal = accounts.there.sessions.principal(ada.id, &session("s"), 0).await.unwrap().unwrap();
        let expected = Principal {
            id: ada.id,
            username: ada.username.clone(),
            current_goal: None,
            is_admin: false,
            session: session("s"),
        };
        assert_eq!(principal, expected);
        let now = accounts.here.users.find(ada.id, Freshness::Current).await.unwrap().unwrap();
        assert_eq!(now, User { last_login: Some(at(5)), ..ada }, "signing in is no change");
        assert_eq!(accounts.events().await, ["anonymous session.signed_in 1"]);
        assert_eq!(accounts.count("sign_in_failures").await, 0);
    }

    async fn a_token_of_another_user_session_or_version_is_nobodys(accounts: Accounts) {
        let (ada, bob) = (accounts.user("ada").await, accounts.user("bob").await);
        accounts.here.sign_in(&ada, "a", at(1)).await;
        accounts.here.sign_in(&bob, "b", at(1)).await;
        assert!(accounts.is_signed_in(&ada, "a", 0).await);
        assert!(!accounts.is_signed_in(&ada, "b", 0).await);
        assert!(!accounts.is_signed_in(&ada, "a", 1).await);
        assert!(!accounts.is_signed_in(&ada, "none", 0).await);
    }

    async fn nobody_and_somebody_deleted_look_the_same(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        accounts.here.users.delete(ada.id, &act(at(1))).await.unwrap();
        let long = "x".repeat(5_000);
        // Some of these cannot be names at all; that must not show in an error.
        for name in ["ada", "eve", "", "a\0b", "'; DROP TABLE users; --", "İ💃", &long] {
            let state = accounts.here.sessions.sign_in_state(&typed(name), at(2)).await.unwrap();
            assert_eq!(state, SignInState::default(), "{name:?}");
            assert_eq!(accounts.fail(name, None, 2).await, SignInVerdict::Failed, "{name:?}");
            assert!(!accounts.here.sessions.may_reset(&typed(name), &secret("c"), at(2)).await.unwrap());
            let reset = accounts.here.sessions.reset_password(&typed(name), &secret("c"), &hash("x"), &act(at(2))).await.unwrap();
            assert!(!reset, "{name:?}");
        }
        assert_eq!(accounts.events().await[1..], vec!["anonymous session.sign_in_failed -"; 7]);
        // A name that is typed may be a password: nothing of it is kept.
        assert_eq!(accounts.count("sign_in_failures WHERE length(name_digest) <> 32").await, 0);
    }

    async fn after_so_many_failures_whoever_tries_has_to_wait_ever_longer(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        for name in ["ada", "nobody"] {
            let user = (name == "ada").then_some(ada.id);
            for _ in 0..FREE_FAILURES {
                assert_eq!(accounts.fail(name, user, 100).await, SignInVerdict::Failed);
            }
            let mut now = 100;
            for wait in [1, 2, 4, 8] {
                let locked = SignInVerdict::Locked(at(now + wait));
                let state = accounts.here.sessions.sign_in_state(&typed(name), at(now)).await.unwrap();
                assert_eq!(state.locked_until, Some(at(now + wait)));
                assert_eq!(accounts.fail(&name.to_uppercase(), user, now).await, locked);
                if name == "ada" {
                    assert_eq!(accounts.here.sign_in(&ada, "s", at(now + wait) - TimeDelta::microseconds(1)).await, locked);
                }
                now += wait;
                let state = accounts.here.sessions.sign_in_state(&typed(name), at(now)).await.unwrap();
                assert_eq!(state.locked_until, None);
                assert_eq!(accounts.fail(name, user, now).await, SignInVerdict::Failed);
            }
            let until = SignInVerdict::Locked(at(now + 16));
            assert_eq!(accounts.fail(name, user, now + 15).await, until, "whoever is refused waits no longer for it");
        }
        let failed = |who: &str| vec![format!("anonymous session.sign_in_failed {who}"); 9];
        assert_eq!(accounts.events().await, [failed("1"), failed("-")].concat());
    }

    async fn failures_are_forgotten_by_a_sign_in_and_after_a_day(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        for _ in 0..20 {
            let state = accounts.here.sessions.sign_in_state(&typed("ada"), at(0)).await.unwrap();
            let now = state.locked_until.map_or(0, |until| (until - at(0)).num_seconds());
            assert_eq!(accounts.fail("ada", Some(ada.id), now).await, SignInVerdict::Failed);
        }
        let state = accounts.here.sessions.sign_in_state(&typed("ada"), at(0)).await.unwrap();
        let until = state.locked_until.unwrap();
        let failed_at = until - LONGEST_WAIT;
        assert_eq!(accounts.here.sign_in(&ada, "s", until).await, SignInVerdict::SignedIn(0));
        for _ in 0..FREE_FAILURES {
            assert_eq!(accounts.fail("ada", Some(ada.id), (failed_at - at(0)).num_seconds()).await, SignInVerdict::Failed);
        }
        // A day later the next one is the first again.
        let tomorrow = (failed_at + FAILURES_FORGOTTEN_AFTER - at(0)).num_seconds();
        for _ in 0..FREE_FAILURES {
            assert_eq!(accounts.fail("ada", Some(ada.id), tomorrow).await, SignInVerdict::Failed);
        }
        assert!(matches!(accounts.fail("ada", Some(ada.id), tomorrow).await, SignInVerdict::Locked(_)));
    }

    async fn of_many_wrong_passwords_at_once_only_so_many_are_judged(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        for (name, user) in [("ada", Some(ada.id)), ("nobody", None)] {
            let tries: Vec<_> = (0..40)
                .map(|number| {
                    let sessions = accounts.instance(number).sessions;
                    tokio::spawn(async move {
                        let new = new_session("none", far());
                        sessions.sign_in(&typed(name), &Proof::Failed(user), &new, &act(at(1))).await.unwrap()
                    })
                })
                .collect();
            let mut judged = 0;
            for one in tries {
                match one.await.unwrap() {
                    SignInVerdict::Failed => judged += 1,
                    other => assert_eq!(other, SignInVerdict::Locked(at(2))),
                }
            }
            assert_eq!(judged, FREE_FAILURES, "{name}");
        }
        assert_eq!(accounts.events().await.len(), 2 * FREE_FAILURES as usize, "who is locked out leaves no event");
    }

    async fn of_many_tries_at_once_the_right_one_is_not_told_from_wrong_ones_once_they_are_too_many(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        for _ in 0..FREE_FAILURES {
            accounts.fail("ada", Some(ada.id), 1).await;
        }
        assert_eq!(accounts.here.sign_in(&ada, "s", at(1)).await, SignInVerdict::Locked(at(2)));
        assert_eq!((accounts.count("sessions").await, accounts.events().await.len()), (0, FREE_FAILURES as usize));
    }

    async fn all_who_sign_in_at_once_are_signed_in(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        // One failure, so that there is a row to be deleted by whoever comes first.
        accounts.fail("ada", Some(ada.id), 1).await;
        let tries: Vec<_> = (0..40)
            .map(|number| {
                let (instance, ada) = (accounts.instance(number), ada.clone());
                tokio::spawn(async move { instance.sign_in(&ada, &format!("s{number}"), at(2)).await })
            })
            .collect();
        for one in tries {
            assert_eq!(one.await.unwrap(), SignInVerdict::SignedIn(0));
        }
        assert_eq!((accounts.count("sessions").await, accounts.count("refresh_tokens").await), (40, 40));
    }

    async fn a_password_that_was_changed_since_it_was_looked_at_is_wrong(accounts: Accounts) {
        let (ada, bob) = (accounts.user("ada").await, accounts.user("bob").await);
        let change = accounts.here.sessions.change_password(&typed("ada"), &given(&ada, "hash"), &hash("new"), &act(at(1))).await.unwrap();
        assert_eq!(change, PasswordChanged::Changed);
        assert_eq!(accounts.here.sign_in(&ada, "s", at(2)).await, SignInVerdict::Failed);
        accounts.here.users.delete(bob.id, &act(at(1))).await.unwrap();
        assert_eq!(accounts.here.sign_in(&bob, "s", at(2)).await, SignInVerdict::Failed);
        assert_eq!(accounts.database.number("SELECT sum(failures) FROM sign_in_failures").await, 2, "counted");
        let events = accounts.events().await;
        let failed: Vec<&str> = events.iter().filter_map(|event| event.strip_prefix("anonymous session.sign_in_failed ")).collect();
        assert_eq!(failed, ["1", "2"]);
    }

    async fn a_hash_that_was_made_with_more_effort_is_kept(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        let proof = Proof::Given { user: ada.id, verified: hash("hash"), rehashed: Some(hash("slower")) };
        let signed_in = accounts.here.sessions.sign_in(&typed("ada"), &proof, &new_session("s", far()), &act(at(1))).await.unwrap();
        assert_eq!(signed_in, SignInVerdict::SignedIn(0));
        let state = accounts.here.sessions.sign_in_state(&typed("ada"), at(2)).await.unwrap();
        assert_eq!(state.account, Some((ada.id, hash("slower"))));
        assert!(accounts.is_signed_in(&ada, "s", 0).await, "it is the same password");
    }

    async fn a_refresh_token_is_exchanged_and_forgiven_for_ten_seconds(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        accounts.here.sign_in(&ada, "s", at(0)).await;
        assert_eq!(accounts.refresh("never given", "t1", 1).await, RefreshVerdict::Useless);
        assert_eq!(accounts.refresh("s", "t1", 100).await, refreshed(&ada, "s"));
        assert_eq!(accounts.refresh("s", "t2", 105).await, refreshed(&ada, "s"));
        assert_eq!(accounts.refresh("s", "t3", 110).await, refreshed(&ada, "s"));
        assert_eq!(accounts.refresh("t1", "t4", 2_000_000).await, refreshed(&ada, "s"));
        let good_until = accounts.database.rows("SELECT CAST(expires_at AS text) FROM sessions").await.concat().concat();
        let raised = at(2_000_000 + 30 * 86_400).format("%Y-%m-%d").to_string();
        assert!(good_until.starts_with(&raised), "{good_until}");
        assert_eq!(accounts.events().await, ["anonymous session.signed_in 1"]);
    }

    async fn a_replayed_token_ends_its_session(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        accounts.here.sign_in(&ada, "s", at(0)).await;
        accounts.here.sign_in(&ada, "other", at(0)).await;
        assert_eq!(accounts.refresh("s", "t1", 100).await, refreshed(&ada, "s"));
        assert_eq!(accounts.refresh("t1", "t2", 101).await, refreshed(&ada, "s"));
        // Forgiven, but the first use is what counts.
        assert_eq!(accounts.refresh("s", "t5", 109).await, refreshed(&ada, "s"));
        assert_eq!(accounts.refresh("s", "t3", 111).await, RefreshVerdict::Replayed);
        for token in ["s", "t1", "t2", "t3", "t5"] {
            assert_eq!(accounts.refresh(token, "t4", 112).await, RefreshVerdict::Useless, "{token}");
        }
        assert!(!accounts.is_signed_in(&ada, "s", 0).await);
        assert!(accounts.is_signed_in(&ada, "other", 0).await);
        assert_eq!(accounts.refresh("other", "o1", 112).await, refreshed(&ada, "other"));
        assert_eq!(accounts.events().await[2..], ["anonymous session.refresh_replayed 1"]);
    }

    async fn all_who_use_a_fresh_token_at_once_are_refreshed(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        accounts.here.sign_in(&ada, "s", at(0)).await;
        let outcomes = accounts.at_once("sessions", |number, instance| async move {
            // Their clocks are not quite the same.
            let now = at(100 + i64::try_from(number % 5).unwrap());
            let next = secret(&format!("t{number}"));
            instance.sessions.refresh(&secret("s"), &next, far(), &act(now)).await.unwrap()
        });
        assert_eq!(outcomes.await, vec![refreshed(&ada, "s"); 20]);
        assert_eq!(accounts.count("refresh_tokens").await, 21);
        assert_eq!(accounts.count("refresh_tokens WHERE used_at IS NOT NULL").await, 1);
    }

    async fn of_many_replays_at_once_one_is_written_down(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        accounts.here.sign_in(&ada, "s", at(0)).await;
        accounts.refresh("s", "t", 1).await;
        let outcomes = accounts.at_once("sessions", |number, instance| async move {
            let next = secret(&format!("t{number}"));
            instance.sessions.refresh(&secret("s"), &next, far(), &act(at(12))).await.unwrap()
        });
        let (replays, others): (Vec<_>, Vec<_>) = outcomes.await.into_iter().partition(|o| *o == RefreshVerdict::Replayed);
        assert_eq!((replays.len(), accounts.events().await.len()), (1, 2));
        assert_eq!(others, vec![RefreshVerdict::Useless; 19]);
    }

    async fn no_token_is_good_that_comes_of_a_session_that_ends_meanwhile(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        accounts.here.sign_in(&ada, "s", at(0)).await;
        let outcomes = accounts.at_once("sessions", |number, instance| async move {
            if number == 0 {
                instance.users.delete(ada.id, &act(at(1))).await.unwrap();
                return None;
            }
            let next = secret(&format!("t{number}"));
            Some(instance.sessions.refresh(&secret("s"), &next, far(), &act(at(1))).await.unwrap())
        });
        outcomes.await;
        for number in 1..20 {
            assert_eq!(accounts.refresh(&format!("t{number}"), "next", 2).await, RefreshVerdict::Useless);
        }
    }

    async fn an_expired_token_is_useless_and_is_not_kept_for_ever(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        accounts.here.sign_in(&ada, "s", at(0)).await;
        let month = 30 * 86_400;
        assert_eq!(accounts.refresh("s", "t1", month).await, RefreshVerdict::Useless);
        assert_eq!(accounts.refresh("s", "t1", month - 1).await, refreshed(&ada, "s"));
        assert_eq!(accounts.refresh("t1", "t2", month + 1).await, refreshed(&ada, "s"));
        assert_eq!(accounts.count("refresh_tokens").await, 2, "the first one is gone");
    }

    async fn the_tokens_of_a_deleted_user_are_useless(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        accounts.here.sign_in(&ada, "s", at(0)).await;
        accounts.here.users.delete(ada.id, &act(at(1))).await.unwrap();
        assert_eq!(accounts.refresh("s", "t", 2).await, RefreshVerdict::Useless);
        accounts.here.users.restore(ada.id, &act(at(3))).await.unwrap();
        assert_eq!(accounts.refresh("s", "t", 4).await, RefreshVerdict::Useless, "it does not come to life again");
    }

    async fn a_session_ends_alone_or_with_all_others(accounts: Accounts) {
        let (ada, bob) = (accounts.user("ada").await, accounts.user("bob").await);
        for id in ["a", "b", "c"] {
            accounts.here.sign_in(&ada, id, at(0)).await;
        }
        accounts.here.sign_in(&bob, "bob", at(0)).await;
        let sessions = &accounts.here.sessions;
        // Not somebody else's.
        sessions.end(bob.id, &session("a"), &act(at(1))).await.unwrap();
        assert!(accounts.is_signed_in(&ada, "a", 0).await);
        for _ in 0..2 {
            sessions.end(ada.id, &session("a"), &act(at(1))).await.unwrap();
        }
        assert!(!accounts.is_signed_in(&ada, "a", 0).await && accounts.is_signed_in(&ada, "b", 0).await);
        assert_eq!(accounts.refresh("a", "t", 2).await, RefreshVerdict::Useless);
        for _ in 0..2 {
            sessions.end_all(ada.id, &act(at(2))).await.unwrap();
        }
        assert!(!accounts.is_signed_in(&ada, "b", 0).await && !accounts.is_signed_in(&ada, "c", 0).await);
        assert!(accounts.is_signed_in(&bob, "bob", 0).await);
        let ended = ["anonymous session.signed_out 1", "anonymous session.signed_out_everywhere 1"];
        assert_eq!(accounts.events().await[4..], ended, "what has no effect leaves no event");
    }

    async fn a_changed_password_ends_everything_that_the_old_one_began(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        accounts.here.sign_in(&ada, "s", at(0)).await;
        accounts.here.users.allow_reset(ada.id, &secret("code"), far(), &act(at(1))).await.unwrap();
        let change = |proof: Proof, seconds| {
            let sessions = accounts.here.sessions.clone();
            async move { sessions.change_password(&typed("Ada"), &proof, &hash("new"), &act(at(seconds))).await.unwrap() }
        };
        assert_eq!(change(Proof::Failed(Some(ada.id)), 2).await, PasswordChanged::Failed);
        assert_eq!(change(given(&ada, "another"), 2).await, PasswordChanged::Failed);
        assert!(accounts.is_signed_in(&ada, "s", 0).await);
        assert_eq!(change(given(&ada, "hash"), 3).await, PasswordChanged::Changed);
        assert!(!accounts.is_signed_in(&ada, "s", 0).await && !accounts.is_signed_in(&ada, "s", 1).await);
        assert_eq!(accounts.refresh("s", "t", 4).await, RefreshVerdict::Useless);
        assert!(!accounts.here.sessions.may_reset(&typed("ada"), &secret("code"), at(4)).await.unwrap());
        let now = accounts.here.users.find(ada.id, Freshness::Current).await.unwrap().unwrap();
        assert_eq!((now.allow_password_reset, now.updated_at), (false, at(3)));
        let state = accounts.here.sessions.sign_in_state(&typed("ada"), at(4)).await.unwrap();
        assert_eq!(state.account, Some((ada.id, hash("new"))));
        assert_eq!(accounts.count("sign_in_failures").await, 0, "they are forgotten");
        let told = ["change_failed", "change_failed", "changed"].map(|what| format!("anonymous password.{what} 1"));
        assert_eq!(accounts.events().await[2..], told);
        // Failures count like those of a sign-in, and with them.
        for _ in 0..3 {
            change(Proof::Failed(Some(ada.id)), 5).await;
        }
        for _ in 0..2 {
            accounts.fail("ada", Some(ada.id), 5).await;
        }
        assert_eq!(change(given(&ada, "new"), 5).await, PasswordChanged::Locked(at(6)));
        assert_eq!(accounts.fail("ada", Some(ada.id), 5).await, SignInVerdict::Locked(at(6)));
    }

    async fn a_code_is_good_with_its_flag_in_its_time_for_its_name_once(accounts: Accounts) {
        let (ada, bob) = (accounts.user("ada").await, accounts.user("bob").await);
        accounts.here.sign_in(&ada, "s", at(0)).await;
        for _ in 0..FREE_FAILURES {
            accounts.fail("ada", Some(ada.id), 1).await;
        }
        accounts.here.users.allow_reset(ada.id, &secret("code"), at(100), &act(at(1))).await.unwrap();
        accounts.here.users.allow_reset(bob.id, &secret("bobs"), at(100), &act(at(1))).await.unwrap();
        let reset = |name: &'static str, code: &'static str, seconds| {
            let sessions = accounts.here.sessions.clone();
            async move {
                let may = sessions.may_reset(&typed(name), &secret(code), at(seconds)).await.unwrap();
                let done = sessions.reset_password(&typed(name), &secret(code), &hash("new"), &act(at(seconds))).await.unwrap();
                assert_eq!(done, may, "{name} {code} {seconds}");
                may
            }
        };
        assert!(!reset("ada", "bobs", 2).await && !reset("eve", "code", 2).await && !reset("ada", "code", 100).await);
        accounts.database.execute("UPDATE users SET allow_password_reset = FALSE WHERE username = 'ada'").await;
        assert!(!reset("ada", "code", 2).await, "a code without its flag");
        accounts.database.execute("UPDATE users SET allow_password_reset = TRUE WHERE username = 'ada'").await;
        accounts.database.execute("UPDATE users SET deleted_at = '2026-01-01T00:00:00+00:00' WHERE username = 'ada'").await;
        assert!(!reset("ada", "code", 2).await, "of a deleted account");
        accounts.database.execute("UPDATE users SET deleted_at = NULL WHERE username = 'ada'").await;
        assert!(accounts.is_signed_in(&ada, "s", 0).await);
        assert!(reset("ADA", "code", 99).await);
        assert!(!reset("ada", "code", 99).await, "once");
        assert!(!accounts.is_signed_in(&ada, "s", 0).await && !accounts.is_signed_in(&ada, "s", 1).await);
        let now = accounts.here.users.find(ada.id, Freshness::Current).await.unwrap().unwrap();
        assert_eq!((now.allow_password_reset, now.updated_at), (false, at(99)));
        let state = accounts.here.sessions.sign_in_state(&typed("ada"), at(1)).await.unwrap();
        assert_eq!(state, SignInState { account: Some((ada.id, hash("new"))), locked_until: None });
        assert_eq!(accounts.count("sign_in_failures").await, 0, "a try with a code leaves none");
        assert_eq!(accounts.events().await.last().unwrap(), "anonymous password.reset 1");
        // A flag without a code lets nobody in.
        accounts.database.execute("UPDATE users SET allow_password_reset = TRUE WHERE username = 'ada'").await;
        assert!(!reset("ada", "code", 99).await);
    }

    async fn of_many_who_use_a_code_at_once_one_sets_the_password(accounts: Accounts) {
        let ada = accounts.user("ada").await;
        accounts.here.users.allow_reset(ada.id, &secret("code"), far(), &act(at(1))).await.unwrap();
        let outcomes = accounts.at_once("users", |number, instance| async move {
            let new = hash(&format!("new {number}"));
            let done = instance.sessions.reset_password(&typed("ada"), &secret("code"), &new, &act(at(2))).await.unwrap();
            done.then_some(new)
        });
        let set: Vec<_> = outcomes.await.into_iter().flatten().collect();
        assert_eq!(set.len(), 1);
        let state = accounts.here.sessions.sign_in_state(&typed("ada"), at(3)).await.unwrap();
        assert_eq!(state.account, Some((ada.id, set[0].clone())));
        assert_eq!(accounts.events().await.len(), 2);
    }

    async fn what_is_out_of_date_is_forgotten_a_few_rows_at_a_time(accounts: Accounts) {
        let (ada, bob) = (accounts.user("ada").await, accounts.user("bob").await);
        for number in 0..120 {
            accounts.here.sign_in(&ada, &format!("s{number}"), at(0)).await;
            accounts.fail(&format!("nobody {number}"), None, 0).await;
        }
        accounts.here.sign_in(&bob, "kept", at(1)).await;
        accounts.fail("kept", None, 1).await;
        accounts.here.users.allow_reset(ada.id, &secret("a"), at(0) + FAILURES_FORGOTTEN_AFTER, &act(at(0))).await.unwrap();
        accounts.here.users.allow_reset(bob.id, &secret("b"), at(1) + FAILURES_FORGOTTEN_AFTER, &act(at(0))).await.unwrap();
        let sessions = &accounts.there.sessions;
        let almost = |whole: DateTime<Utc>| whole - TimeDelta::microseconds(1);
        assert_eq!(sessions.forget(almost(at(0) + FAILURES_FORGOTTEN_AFTER)).await.unwrap(), 0);
        assert_eq!(sessions.forget(at(0) + FAILURES_FORGOTTEN_AFTER).await.unwrap(), 121, "failures and a code");
        assert!(sessions.may_reset(&typed("bob"), &secret("b"), at(2)).await.unwrap());
        assert_eq!(sessions.forget(almost(at(0) + TimeDelta::days(30))).await.unwrap(), 2, "the other failure and code");
        assert_eq!(sessions.forget(at(0) + TimeDelta::days(30)).await.unwrap(), 120);
        assert_eq!((accounts.count("sessions").await, accounts.count("refresh_tokens").await), (1, 1));
        assert!(accounts.is_signed_in(&bob, "kept", 0).await);
        assert_eq!(accounts.count("sign_in_failures").await, 0);
    }

    async fn whatever_is_done_at_once_nobody_waits_for_ever(accounts: Accounts) {
        let mut people = Vec::new();
        for name in ["p-0", "p-1", "p-2", "p-3"] {
            let person = accounts.admin(name).await;
            for number in 0..3 {
                accounts.here.sign_in(&person, &format!("{name} {number}"), at(0)).await;
            }
            people.push(person);
        }
        for round in 0..4 {
            let tasks: Vec<_> = (0..72)
                .map(|number: usize| {
                    let (instance, person) = (accounts.instance(number / 9), people[number % 4].clone());
                    let (name, now) = (typed(person.username.as_str()), act(at(round)));
                    let id = format!("{round} {number}");
                    tokio::spawn(async move {
                        let (users, sessions) = (instance.users, instance.sessions);
                        match number % 9 {
                            0 => drop(users.delete(person.id, &now).await.unwrap()),
                            1 => drop(users.restore(person.id, &now).await.unwrap()),
                            2 => {
                                let new = new_session(&id, far());
                                sessions.sign_in(&name, &given(&person, "hash"), &new, &now).await.map(drop).unwrap();
                            }
                            3 => {
                                let token = format!("{} {}", person.username, number % 3);
                                drop(sessions.refresh(&secret(&token), &secret(&id), far(), &now).await.unwrap());
                            }
                            4 => sessions.end_all(person.id, &now).await.unwrap(),
                            5 => {
                                let proof = given(&person, "hash");
                                sessions.change_password(&name, &proof, &hash("hash"), &now).await.map(drop).unwrap();
                            }
                            6 => {
                                users.allow_reset(person.id, &secret("code"), far(), &now).await.unwrap();
                                sessions.reset_password(&name, &secret("code"), &hash("hash"), &now).await.unwrap();
                            }
                            7 => drop(sessions.forget(far() + TimeDelta::days(60)).await.unwrap()),
                            _ => drop(users.purge(at(-1), 5, &now).await.unwrap()),
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        }
        assert!(accounts.count("users WHERE is_admin AND deleted_at IS NULL").await >= 1);
    }
}

#[tokio::test]
async fn whoever_forgets_takes_only_rows_that_are_free() {
    let accounts = Accounts::on(Engine::Postgres).await;
    let ada = accounts.user("ada").await;
    accounts.here.sign_in(&ada, "s", at(0)).await;
    accounts.fail("nobody", None, 0).await;
    let holder = accounts.database.hold("sessions").await;
    assert_eq!(accounts.there.sessions.forget(far()).await.unwrap(), 1, "the failure");
    holder.release().await;
    assert_eq!(accounts.there.sessions.forget(far()).await.unwrap(), 1);
}

#[tokio::test]
async fn whoever_ends_all_sessions_locks_their_user_first() {
    let accounts = Accounts::on(Engine::Postgres).await;
    let ada = accounts.user("ada").await;
    accounts.here.sign_in(&ada, "s", at(0)).await;
    let done = accounts.at_once("users", |_, instance| async move {
        instance.sessions.end_all(ada.id, &act(at(1))).await.unwrap();
    });
    done.await;
    assert_eq!(accounts.events().await.len(), 2);
}
