//! Registering, signing in and out, refreshing, and new passwords with a code. What attackers try is in `http_auth_attacks`.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Database, Engine, OnEngine, PASSWORD, Server, on_both_engines};

const NEW: &str = "heron slate 7 kiosks";

/// A server with a setting.
async fn with(engine: Engine, setting: &str, value: &str) -> Server {
    let database = Database::migrated(engine).await;
    let dlc = database.dlc().env(setting, value);
    Server::start_as(database, dlc, &[]).await
}

/// A server whose accounts administrators make.
struct Invited(Server);

impl OnEngine for Invited {
    async fn on(engine: Engine) -> Self {
        let server = with(engine, "DLC_AUTH__REGISTRATION", "open").await;
        server.administrator("root").await;
        let database = server.stopped().await;
        let dlc = database.dlc().env("DLC_AUTH__REGISTRATION", "admin");
        Self(Server::start_as(database, dlc, &[]).await)
    }
}

on_both_engines! {
    async fn an_account_is_made_and_its_owner_signs_in_and_is_known(server: Server) {
        let made = server.register("Ada.L").await;
        assert_eq!((made.status, made.header("location")), (201, "/api/v1/users/me"), "{made:?}");
        assert_eq!(made.header("cache-control"), "no-store");
        let body = made.body.as_object().unwrap();
        let fields: Vec<&str> = body.keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            ["id", "username", "description", "current_goal", "is_admin", "created_at", "updated_at", "last_login"]
        );
        assert_eq!((&body["username"], &body["is_admin"], &body["last_login"]), (&json!("Ada.L"), &json!(false), &Value::Null));

        // Names are compared without case.
        let tokens = server.login("ada.l", PASSWORD).await;
        assert_eq!((tokens.status, tokens.header("cache-control")), (200, "no-store"), "{tokens:?}");
        assert_eq!((&tokens.body["token_type"], &tokens.body["expires_in"]), (&json!("Bearer"), &json!(900)));
        let ada = server.sign_in(made.body["id"].as_i64().unwrap(), "ADA.L").await;
        let me = server.get_as(&ada, "/api/v1/users/me").await;
        assert_eq!((me.status, &me.body["id"]), (200, &made.body["id"]), "{me:?}");
        let age = Utc::now() - me.body["last_login"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        assert!(age < TimeDelta::minutes(1), "{me:?}");
        assert_eq!(me.body["updated_at"], made.body["updated_at"]);
    }

    async fn a_name_belongs_to_one_account_in_whatever_case(server: Server) {
        assert_eq!(server.register("ada").await.status, 201);
        for name in ["ada", "ADA", "Ada"] {
            server.register(name).await.assert_problem(409, "username_taken");
        }
    }

    async fn names_and_passwords_that_break_the_rules_are_named_and_not_repeated(server: Server) {
        let register = |name: Value, password: Value| {
            server.post("/api/v1/auth/register", json!({"username": name, "password": password}))
        };
        for name in ["ad", &"a".repeat(51), "a b", "ädä", "ada\u{0}", "ada\u{200f}", "\u{212a}ate"] {
            let refused = register(json!(name), json!(PASSWORD)).await;
            refused.assert_problem(400, "validation_failed");
            assert_eq!(refused.body["errors"][0]["field"], "username", "{refused:?}");
        }
        for password in ["short onyx!", "Password1234", "grace.hopper1", "tulip\u{0}ferry onyx moss", &"x".repeat(129)] {
            let refused = register(json!("grace.hopper"), json!(password)).await;
            refused.assert_problem(400, "validation_failed");
            assert_eq!(refused.body["errors"][0]["field"], "password", "{refused:?}");
            assert!(!refused.text.contains(password), "{refused:?}");
        }
        let both = register(json!("a"), json!("tulip\u{0}")).await;
        assert_eq!(both.body["errors"].as_array().map(Vec::len), Some(2), "{both:?}");
        for (name, password) in [(json!(7), json!(PASSWORD)), (json!("ada"), json!(1234567890123_i64)), (json!("ada"), Value::Null)] {
            let refused = register(name, password).await;
            refused.assert_problem(400, "validation_failed");
            assert!(!refused.text.contains("1234567890123"), "{refused:?}");
        }
        assert_eq!(server.database.number("SELECT count(*) FROM users").await, 0);
    }

    async fn accounts_are_made_by_administrators_where_that_is_configured(server: Invited) {
        let server = server.0;
        server.register("eve").await.assert_problem(403, "registration_closed");
        let root = server.sign_in(1, "root").await;
        let body = json!({"username": "ada", "password": PASSWORD});
        let made = server.post_as(&root, "/api/v1/auth/register", body.clone()).await;
        let place = format!("/api/v1/admin/users/{}", made.body["id"]);
        assert_eq!((made.status, made.header("location")), (201, place.as_str()), "{made:?}");
        let ada = server.sign_in(made.body["id"].as_i64().unwrap(), "ada").await;
        let made = server.post_as(&ada, "/api/v1/auth/register", json!({"username": "eve", "password": PASSWORD})).await;
        made.assert_problem(403, "registration_closed");
        let audited = server.audit_of(ada.id).await;
        assert_eq!(audited[0].1, "user.created", "{audited:?}");
        assert!(audited[0].0.contains(&root.id.to_string()), "{audited:?}");
    }

    async fn a_refresh_token_is_exchanged_for_the_next_ones(server: Server) {
        let ada = server.person("ada").await;
        let next = server.refresh(&ada.refresh_token).await;
        assert_eq!((next.status, next.header("cache-control")), (200, "no-store"), "{next:?}");
        assert_ne!(next.body["refresh_token"], ada.refresh_token);
        let again = server.refresh(next.body["refresh_token"].as_str().unwrap()).await;
        assert_eq!(again.status, 200, "{again:?}");
        // A lost answer: the second use within 10 seconds.
        assert_eq!(server.refresh(&ada.refresh_token).await.status, 200);
        for nonsense in ["", "x", "dlc_refresh", &"x".repeat(10_000)] {
            server.refresh(nonsense).await.assert_problem(401, "invalid_refresh_token");
        }
        server.refresh("a\u{0}b").await.assert_problem(400, "validation_failed");
    }

    async fn whoever_signs_out_is_signed_out_there_and_nowhere_else(server: Server) {
        let ada = server.person("ada").await;
        let elsewhere = server.sign_in(ada.id, "ada").await;
        let done = server.call_as(&ada, "/api/v1/auth/logout").await;
        assert_eq!((done.status, done.text.as_str(), done.header("cache-control")), (204, "", "no-store"), "{done:?}");
        server.get_as(&ada, "/api/v1/users/me").await.assert_problem(401, "invalid_token");
        server.refresh(&ada.refresh_token).await.assert_problem(401, "invalid_refresh_token");
        assert_eq!(server.get_as(&elsewhere, "/api/v1/users/me").await.status, 200);

        let third = server.sign_in(ada.id, "ada").await;
        assert_eq!(server.call_as(&third, "/api/v1/auth/logout-all").await.status, 204);
        for gone in [&elsewhere, &third] {
            server.get_as(gone, "/api/v1/users/me").await.assert_problem(401, "invalid_token");
            server.refresh(&gone.refresh_token).await.assert_problem(401, "invalid_refresh_token");
        }
    }

    async fn a_password_is_set_with_a_code_once_and_everybody_is_signed_out(server: Server) {
        let (root, ada) = (server.administrator("root").await, server.person("ada").await);
        let allow = format!("/api/v1/admin/users/{}/password-reset", ada.id);
        let allowed = server.call_as(&root, &allow).await;
        assert_eq!((allowed.status, allowed.header("cache-control")), (200, "no-store"), "{allowed:?}");
        let code = allowed.body["code"].as_str().unwrap().to_owned();
        let left = allowed.body["expires_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap() - Utc::now();
        assert!(left > TimeDelta::hours(23) && left <= TimeDelta::hours(24), "{allowed:?}");
        let reset = |code: String, new: &'static str| {
            server.post("/api/v1/auth/password-reset", json!({"username": "Ada", "code": code, "new_password": new}))
        };
        // A password that is not good enough is one whatever the code, and costs it nothing.
        for code in [code.clone(), "nonsense".to_owned()] {
            let refused = reset(code, "short").await;
            refused.assert_problem(400, "validation_failed");
            assert_eq!(refused.body["errors"][0]["field"], "new_password");
        }
        // As a person types it.
        let done = reset(format!(" {} ", code.to_lowercase().replace('-', " ")), NEW).await;
        assert_eq!((done.status, done.text.as_str()), (204, ""), "{done:?}");
        reset(code, NEW).await.assert_problem(400, "reset_refused");
        server.get_as(&ada, "/api/v1/users/me").await.assert_problem(401, "invalid_token");
        server.refresh(&ada.refresh_token).await.assert_problem(401, "invalid_refresh_token");
        server.login("ada", PASSWORD).await.assert_problem(401, "invalid_credentials");
        assert_eq!(server.login("ada", NEW).await.status, 200);
        let account = server.get_as(&root, &format!("/api/v1/admin/users/{}", ada.id)).await;
        assert_eq!(account.body["allow_password_reset"], false);
    }

    async fn a_password_that_is_changed_ends_every_session(server: Server) {
        let ada = server.person("ada").await;
        let elsewhere = server.sign_in(ada.id, "ada").await;
        let change = |current: &str, new: &str| {
            server.put_as(&ada, "/api/v1/users/me/password", json!({"current_password": current, "new_password": new}))
        };
        change("not the one it is", NEW).await.assert_problem(403, "wrong_password");
        let refused = change(PASSWORD, "short").await;
        refused.assert_problem(400, "validation_failed");
        assert_eq!(refused.body["errors"][0]["field"], "new_password");
        let done = change(PASSWORD, NEW).await;
        assert_eq!((done.status, done.text.as_str()), (204, ""), "{done:?}");
        for gone in [&ada, &elsewhere] {
            server.get_as(gone, "/api/v1/users/me").await.assert_problem(401, "invalid_token");
            server.refresh(&gone.refresh_token).await.assert_problem(401, "invalid_refresh_token");
        }
        server.login("ada", PASSWORD).await.assert_problem(401, "invalid_credentials");
        assert_eq!(server.login("ada", NEW).await.status, 200);
        let actions: Vec<String> = server.audit_of(ada.id).await.into_iter().map(|(_, action)| action).collect();
        for action in ["user.registered", "session.signed_in", "password.change_failed", "password.changed", "session.sign_in_failed"] {
            assert!(actions.iter().any(|done| done == action), "{action} in {actions:?}");
        }
    }

    async fn a_token_that_is_not_good_is_401_wherever_one_is_looked_at_and_says_so(server: Server) {
        let calls = [
            (Method::GET, "/api/v1/users/me"),
            (Method::PATCH, "/api/v1/users/me"),
            (Method::DELETE, "/api/v1/users/me"),
            (Method::PUT, "/api/v1/users/me/password"),
            (Method::POST, "/api/v1/auth/logout"),
            (Method::POST, "/api/v1/auth/logout-all"),
            (Method::GET, "/api/v1/admin/users"),
            (Method::GET, "/api/v1/admin/users/1"),
            (Method::PATCH, "/api/v1/admin/users/1"),
            (Method::DELETE, "/api/v1/admin/users/1"),
            (Method::POST, "/api/v1/admin/users/1/restore"),
            (Method::POST, "/api/v1/admin/users/1/password-reset"),
            (Method::GET, "/api/v1/greetings"),
            (Method::GET, "/api/v1/greetings/1"),
        ];
        for (method, path) in calls {
            // Whatever else is wrong with the request.
            let nobody = server.send(server.request(method.clone(), path)).await;
            nobody.assert_problem(401, "authentication_required");
            assert_eq!(nobody.header("www-authenticate"), "Bearer realm=\"dlc\"", "{method} {path}");
            let stranger = server.send(server.request(method.clone(), path).bearer_auth("a.b.c")).await;
            stranger.assert_problem(401, "invalid_token");
            let challenge = "Bearer realm=\"dlc\", error=\"invalid_token\"";
            assert_eq!(stranger.header("www-authenticate"), challenge, "{method} {path}");
            assert_eq!(stranger.header("cache-control"), "no-store");
        }
        // Where nobody has to sign in, a bad token is not nobody's.
        for (method, path) in [
            (Method::GET, "/api/v1/greet"),
            (Method::POST, "/api/v1/greetings"),
            (Method::POST, "/api/v1/coupons"),
            (Method::POST, "/api/coupons/claim"),
            (Method::POST, "/api/v1/auth/register"),
        ] {
            let stranger = server.request(method.clone(), path).bearer_auth("a.b.c");
            server.send(stranger).await.assert_problem(401, "invalid_token");
            let other_scheme = server.request(method.clone(), path).basic_auth("ada", Some(PASSWORD));
            server.send(other_scheme).await.assert_problem(401, "authentication_required");
        }
        let ada = server.person("ada").await;
        let twice = server.request_of(&ada, Method::GET, "/api/v1/users/me").bearer_auth(&ada.access_token);
        server.send(twice).await.assert_problem(401, "authentication_required");
        let lower = server.request(Method::GET, "/api/v1/users/me").header("authorization", format!("bearer {}", ada.access_token));
        assert_eq!(server.send(lower).await.status, 200);
    }

    async fn a_key_on_a_session_s_call_is_no_key(server: Server) {
        server.register("ada").await;
        let body = json!({"username": "ada", "password": PASSWORD});
        let login = || server.request(Method::POST, "/api/v1/auth/login").header("idempotency-key", "k").json(&body);
        let (first, second) = (server.send(login()).await, server.send(login()).await);
        assert_eq!((first.status, second.status), (200, 200));
        assert_ne!(first.body["refresh_token"], second.body["refresh_token"]);
        assert_eq!(server.database.number("SELECT count(*) FROM idempotency_keys").await, 0);
    }
}

#[tokio::test]
async fn a_lower_floor_for_passwords_can_be_configured() {
    let server = with(Engine::Sqlite, "DLC_AUTH__PASSWORD_MIN_LENGTH", "8").await;
    let register = |name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        server.post("/api/v1/auth/register", body)
    };
    assert_eq!(register("ada", "onyx ferr").await.status, 201);
    register("eve", "onyx fe")
        .await
        .assert_problem(400, "validation_failed");
}

#[tokio::test]
async fn tokens_outlive_a_restart_and_a_new_secret_where_the_old_one_is_kept() {
    let secrets = [
        "tulip-ferry-onyx-moss-copper-lantern",
        "gravel-saffron-beacon-willow-thimble",
    ];
    let database = Database::migrated(Engine::Sqlite).await;
    let dlc = database.dlc().env("DLC_AUTH__SECRET", secrets[0]);
    let server = Server::start_as(database, dlc, &[]).await;
    let ada = server.person("ada").await;

    let database = server.stopped().await;
    let dlc = database
        .dlc()
        .env("DLC_AUTH__SECRET", secrets[1])
        .env("DLC_AUTH__PREVIOUS_SECRET", secrets[0]);
    let server = Server::start_as(database, dlc, &[]).await;
    assert_eq!(server.get_as(&ada, "/api/v1/users/me").await.status, 200);

    let database = server.stopped().await;
    let dlc = database.dlc().env("DLC_AUTH__SECRET", secrets[1]);
    let server = Server::start_as(database, dlc, &[]).await;
    server
        .get_as(&ada, "/api/v1/users/me")
        .await
        .assert_problem(401, "invalid_token");
    // The session itself still stands.
    assert_eq!(server.refresh(&ada.refresh_token).await.status, 200);
}
