//! What attackers try: guessing, stealing, forging, finding out who has an account. (How long answers take is measured elsewhere.)

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use chrono::{TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Answer, Database, Engine, OnEngine, PASSWORD, Person, Server, on_both_engines};

const NEW: &str = "heron slate 7 kiosks";
const SECRET: &str = "tulip-ferry-onyx-moss-copper-lantern";

/// A server whose secret is known, as it is to itself.
struct Known(Server);

impl OnEngine for Known {
    async fn on(engine: Engine) -> Self {
        let database = Database::migrated(engine).await;
        let dlc = database.dlc().env("DLC_AUTH__SECRET", SECRET);
        Self(Server::start_as(database, dlc, &[]).await)
    }
}

/// What everybody may read of an answer, without what is the request's own.
fn told(answer: &Answer) -> (u16, Value, String) {
    let mut body = answer.body.clone();
    body.as_object_mut().unwrap().remove("request_id");
    let mut names: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["date", "retry-after", "x-request-id"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    names.sort();
    (answer.status, body, names.join("\n"))
}

/// Lets everybody who waits after failures wait until so many seconds from now: a second passes quickly on a busy machine.
async fn wait_until(server: &Server, seconds: i64) {
    let until = (Utc::now() + TimeDelta::seconds(seconds)).to_rfc3339();
    let wait = format!("UPDATE sign_in_failures SET locked_until = '{until}' WHERE locked_until IS NOT NULL");
    server.database.execute(&wait).await;
}

/// The parts of a token, read.
fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.');
    let mut part = || serde_json::from_slice(&BASE64.decode(parts.next().unwrap()).unwrap()).unwrap();
    (part(), part())
}

async fn me(server: &Server, token: &str) -> Answer {
    server
        .send(server.request(Method::GET, "/api/v1/users/me").bearer_auth(token))
        .await
}

async fn code_for(server: &Server, root: &Person, id: i64) -> String {
    let allowed = server
        .call_as(root, &format!("/api/v1/admin/users/{id}/password-reset"))
        .await;
    allowed.body["code"].as_str().unwrap().to_owned()
}

on_both_engines! {
    async fn an_answer_does_not_tell_whether_there_is_such_an_account(server: Server) {
        for name in ["ada", "grace", "gone"] {
            assert_eq!(server.register(name).await.status, 201);
        }
        server.database.execute("UPDATE users SET deleted_at = updated_at WHERE username = 'gone'").await;
        let wrong = told(&server.login("ada", "not the one it is").await);
        assert_eq!(wrong.0, 401);
        assert_eq!(wrong.1["code"], "invalid_credentials");
        let deleted = server.login("gone", PASSWORD).await;
        assert_eq!(told(&deleted), wrong);
        // Nor does one whose hash came from elsewhere.
        server.register("import").await;
        server.database.execute("UPDATE users SET password_hash = '$2b$12$of-another-kind' WHERE username = 'import'").await;
        assert_eq!(told(&server.login("import", PASSWORD).await), wrong);
        assert!(server.log().contains("password_hash_unusable") && !server.log().contains("$2b$"), "{}", server.log());
        for nobody in ["nobody", "", "a b", "ＡＤＡ", "аda", "ada\u{200f}", &"x".repeat(5_000), "' OR 1=1 --"] {
            assert_eq!(told(&server.login(nobody, PASSWORD).await), wrong, "{nobody}");
        }
        // Too many failures are told of names that nobody has as well.
        for name in ["grace", "nobody-at-all"] {
            for _ in 0..5 {
                server.login(name, "not the one it is").await.assert_problem(401, "invalid_credentials");
            }
        }
        wait_until(&server, 100).await;
        let locked = server.login("grace", PASSWORD).await;
        assert!(!locked.header("retry-after").is_empty(), "{locked:?}");
        let locked = told(&locked);
        assert_eq!(locked.0, 429, "{locked:?}");
        assert_eq!(told(&server.login("nobody-at-all", PASSWORD).await), locked);

        let reset = |name: &str| {
            server.post("/api/v1/auth/password-reset", json!({"username": name, "code": "x", "new_password": NEW}))
        };
        let refused = told(&reset("ada").await);
        assert_eq!((refused.0, &refused.1["code"]), (400, &json!("reset_refused")));
        for nobody in ["nobody", "gone", "", "a b"] {
            assert_eq!(told(&reset(nobody).await), refused, "{nobody}");
        }
    }

    async fn whoever_guesses_has_to_wait_whatever_they_guess_then_and_is_let_in_again(server: Server) {
        server.register("ada").await;
        for _ in 0..5 {
            server.login("ada", "not the one it is").await.assert_problem(401, "invalid_credentials");
        }
        let waits = "SELECT count(*) FROM sign_in_failures WHERE failures = 5 AND locked_until IS NOT NULL";
        assert_eq!(server.database.number(waits).await, 1);
        wait_until(&server, 100).await;
        for password in [PASSWORD, "not the one it is"] {
            let locked = server.login("ADA", password).await;
            locked.assert_problem(429, "too_many_failures");
            let after: u32 = locked.header("retry-after").parse().unwrap();
            assert!((60..=100).contains(&after), "{locked:?}");
        }
        wait_until(&server, -1).await;
        assert_eq!(server.login("ada", PASSWORD).await.status, 200);
        // And is forgiven.
        server.login("ada", "not the one it is").await.assert_problem(401, "invalid_credentials");
        assert_eq!(server.login("ada", PASSWORD).await.status, 200);
    }

    async fn whoever_is_signed_in_cannot_guess_the_password_more_often_than_others(server: Server) {
        let ada = server.person("ada").await;
        let guess = || {
            let body = json!({"current_password": "not the one it is", "new_password": NEW});
            server.put_as(&ada, "/api/v1/users/me/password", body)
        };
        for _ in 0..5 {
            guess().await.assert_problem(403, "wrong_password");
        }
        wait_until(&server, 100).await;
        let locked = guess().await;
        locked.assert_problem(429, "too_many_failures");
        assert!(!locked.header("retry-after").is_empty());
        server.login("ada", PASSWORD).await.assert_problem(429, "too_many_failures");
    }

    async fn a_refresh_token_that_is_used_long_after_it_was_exchanged_ends_its_session(server: Server) {
        let ada = server.person("ada").await;
        let elsewhere = server.sign_in(ada.id, "ada").await;
        let thief = server.refresh(&ada.refresh_token).await;
        let stolen = thief.body["refresh_token"].as_str().unwrap();
        server.database.execute("UPDATE refresh_tokens SET used_at = '2020-01-01T00:00:00+00:00' WHERE used_at IS NOT NULL").await;
        server.refresh(&ada.refresh_token).await.assert_problem(401, "invalid_refresh_token");
        // Whatever came of it is worthless; another session of the same person is not.
        server.refresh(stolen).await.assert_problem(401, "invalid_refresh_token");
        me(&server, thief.body["access_token"].as_str().unwrap()).await.assert_problem(401, "invalid_token");
        assert_eq!(me(&server, &elsewhere.access_token).await.status, 200);
        let audited = server.audit_of(ada.id).await;
        assert_eq!(audited.last().unwrap().1, "session.refresh_replayed", "{audited:?}");
        server.until_logged("refresh_token_replayed").await;
        assert!(!server.log().contains(&ada.refresh_token), "{}", server.log());
    }

    async fn a_stolen_access_token_is_worth_nothing_once_its_owner_is_gone_or_is_somebody_less(server: Server) {
        let (root, ada, eve) = (server.administrator("root").await, server.administrator("ada").await, server.person("eve").await);
        assert_eq!(server.get_as(&ada, "/api/v1/admin/users").await.status, 200);
        let demoted = server.patch_as(&root, &format!("/api/v1/admin/users/{}", ada.id), json!({"is_admin": false})).await;
        assert_eq!((demoted.status, &demoted.body["is_admin"]), (200, &json!(false)), "{demoted:?}");
        server.get_as(&ada, "/api/v1/admin/users").await.assert_problem(401, "invalid_token");
        // She is still somebody, and no more than that.
        let ada = server.sign_in(ada.id, "ada").await;
        server.get_as(&ada, "/api/v1/admin/users").await.assert_problem(403, "not_allowed");

        assert_eq!(server.delete_as(&root, &format!("/api/v1/admin/users/{}", eve.id)).await.status, 204);
        me(&server, &eve.access_token).await.assert_problem(401, "invalid_token");
        server.refresh(&eve.refresh_token).await.assert_problem(401, "invalid_refresh_token");
        // Restoring somebody does not bring their sessions back.
        assert_eq!(server.call_as(&root, &format!("/api/v1/admin/users/{}/restore", eve.id)).await.status, 200);
        me(&server, &eve.access_token).await.assert_problem(401, "invalid_token");
    }

    async fn a_forged_token_is_nobody_s(server: Known) {
        let server = server.0;
        let (ada, root) = (server.person("ada").await, server.administrator("root").await);
        let (header, claims) = parts(&ada.access_token);
        assert_eq!((&header["alg"], claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()), (&json!("HS256"), 900));
        for claim in ["iss", "aud", "sub", "iat", "exp", "jti"] {
            assert!(!claims[claim].is_null(), "{claim}");
        }
        let kid = header["kid"].as_str().unwrap();
        let signed = |algorithm: Algorithm, kid: Option<&str>, claims: &Value, secret: &str| {
            let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
            encode(&header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
        };
        // The forger's tools work.
        assert_eq!(me(&server, &signed(Algorithm::HS256, Some(kid), &claims, SECRET)).await.status, 200);

        let with = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            claims
        };
        let unsigned = |algorithm: &str| {
            let header = json!({"alg": algorithm, "typ": "JWT", "kid": kid}).to_string();
            format!("{}.{}.", BASE64.encode(header), BASE64.encode(claims.to_string()))
        };
        let [header, payload, signature] = ada.access_token.split('.').collect::<Vec<_>>().try_into().unwrap();
        let admins = BASE64.encode(with("sub", json!(root.id.to_string())).to_string());
        let forged = [
            unsigned("none"),
            unsigned("None"),
            unsigned("HS256"),
            format!("{header}.{payload}."),
            format!("{header}.{payload}"),
            format!("{header}.{admins}.{signature}"),
            format!("{}.{payload}.{signature}", BASE64.encode(format!(r#"{{"alg":"none","kid":"{kid}"}}"#))),
            signed(Algorithm::HS512, Some(kid), &claims, SECRET),
            signed(Algorithm::HS384, Some(kid), &claims, SECRET),
            signed(Algorithm::HS256, None, &claims, SECRET),
            signed(Algorithm::HS256, Some("0123456789abcdef"), &claims, SECRET),
            signed(Algorithm::HS256, Some("../../../dev/null"), &claims, SECRET),
            signed(Algorithm::HS256, Some(kid), &claims, "another-secret-that-is-as-long-as-the-one"),
            signed(Algorithm::HS256, Some(kid), &claims, ""),
            signed(Algorithm::HS256, Some(kid), &with("iss", json!("elsewhere")), SECRET),
            signed(Algorithm::HS256, Some(kid), &with("aud", json!("elsewhere")), SECRET),
            signed(Algorithm::HS256, Some(kid), &with("exp", claims["iat"].clone()), SECRET),
            // Somebody else's session, another version, a session that never was.
            signed(Algorithm::HS256, Some(kid), &with("sub", json!(root.id.to_string())), SECRET),
            signed(Algorithm::HS256, Some(kid), &with("ver", json!(claims["ver"].as_i64().unwrap() + 1)), SECRET),
            signed(Algorithm::HS256, Some(kid), &with("sid", json!("x")), SECRET),
            signed(Algorithm::HS256, Some(kid), &with("sub", json!("99999999999")), SECRET),
            // Other things of ours.
            ada.refresh_token.clone(),
            SECRET.to_owned(),
            "x".repeat(20_000),
        ];
        for token in forged {
            me(&server, &token).await.assert_problem(401, "invalid_token");
        }
        assert_eq!(me(&server, &ada.access_token).await.status, 200);
    }

    async fn a_flag_without_its_code_opens_nothing(server: Server) {
        let (root, ada, eve) = (server.administrator("root").await, server.person("ada").await, server.person("eve").await);
        let reset = |name: &str, code: String| {
            server.post("/api/v1/auth/password-reset", json!({"username": name, "code": code, "new_password": NEW}))
        };
        reset("ada", String::new()).await.assert_problem(400, "reset_refused");
        let first = code_for(&server, &root, ada.id).await;
        let second = code_for(&server, &root, ada.id).await;
        assert_ne!(first, second);
        // Wrong, somebody else's, and one that a later one has replaced.
        reset("ada", "0000-0000-0000-0000-0000-0000-00".to_owned()).await.assert_problem(400, "reset_refused");
        reset("ada", String::new()).await.assert_problem(400, "reset_refused");
        reset("eve", second.clone()).await.assert_problem(400, "reset_refused");
        reset("ada", first).await.assert_problem(400, "reset_refused");
        reset("ada", format!("{second}\u{0}")).await.assert_problem(400, "validation_failed");
        // Expired.
        let eves = code_for(&server, &root, eve.id).await;
        let expire = format!("UPDATE password_resets SET expires_at = '2020-01-01T00:00:00+00:00' WHERE user_id = {}", eve.id);
        server.database.execute(&expire).await;
        reset("eve", eves).await.assert_problem(400, "reset_refused");
        // Nobody was signed out by any of it, and the code is still good, once.
        assert_eq!(me(&server, &ada.access_token).await.status, 200);
        assert_eq!(reset("ada", second.clone()).await.status, 204);
        reset("ada", second).await.assert_problem(400, "reset_refused");
    }

    async fn nobody_makes_themself_an_administrator(server: Server) {
        let refused = |answer: Answer, field: &str| {
            answer.assert_problem(400, "validation_failed");
            assert_eq!(answer.body["errors"], json!([{"field": field, "message": "is not known here"}]), "{answer:?}");
        };
        for field in ["is_admin", "id", "allow_password_reset", "password_hash", "deleted_at"] {
            let mut body = json!({"username": "eve", "password": PASSWORD});
            body[field] = json!(true);
            refused(server.post("/api/v1/auth/register", body).await, field);
        }
        let ada = server.person("ada").await;
        for field in ["is_admin", "id", "username", "password", "password_hash", "updated_at", "allow_password_reset"] {
            let mut body = json!({"description": "me"});
            body[field] = json!(true);
            refused(server.patch_as(&ada, "/api/v1/users/me", body).await, field);
        }
        let me = server.get_as(&ada, "/api/v1/users/me").await;
        assert_eq!((&me.body["is_admin"], &me.body["description"]), (&json!(false), &Value::Null));
        for (method, path) in [
            (Method::GET, "/api/v1/admin/users"),
            (Method::GET, "/api/v1/admin/users/1"),
            (Method::PATCH, "/api/v1/admin/users/1"),
            (Method::DELETE, "/api/v1/admin/users/1"),
            (Method::POST, "/api/v1/admin/users/1/restore"),
            (Method::POST, "/api/v1/admin/users/1/password-reset"),
        ] {
            server.send(server.request_of(&ada, method, path)).await.assert_problem(403, "not_allowed");
        }
    }

    async fn a_nul_is_refused_wherever_there_is_a_text(server: Server) {
        let ada = server.person("ada").await;
        for (path, body, field) in [
            ("/api/v1/auth/login", json!({"username": "a\u{0}", "password": PASSWORD}), "username"),
            ("/api/v1/auth/login", json!({"username": "ada", "password": "a\u{0}"}), "password"),
            ("/api/v1/auth/refresh", json!({"refresh_token": "\u{0}"}), "refresh_token"),
            ("/api/v1/auth/password-reset", json!({"username": "\u{0}", "code": "x", "new_password": NEW}), "username"),
            ("/api/v1/auth/password-reset", json!({"username": "ada", "code": "\u{0}", "new_password": NEW}), "code"),
            ("/api/v1/auth/password-reset", json!({"username": "ada", "code": "x", "new_password": "heron slate\u{0} kiosks"}), "new_password"),
            ("/api/v1/greetings", json!({"name": "a\u{0}"}), "name"),
            ("/api/v1/greetings", json!({"context": {"a": "\u{0}"}}), "context"),
            ("/api/v1/greetings", json!({"context": {"a\u{0}": 1}}), "context"),
        ] {
            let refused = server.post(path, body).await;
            refused.assert_problem(400, "validation_failed");
            assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
        }
        for field in ["description", "current_goal"] {
            let refused = server.patch_as(&ada, "/api/v1/users/me", json!({field: "a\u{0}"})).await;
            refused.assert_problem(400, "validation_failed");
            assert_eq!(refused.body["errors"][0]["field"], field);
        }
        for field in ["current_password", "new_password"] {
            let mut body = json!({"current_password": PASSWORD, "new_password": NEW});
            body[field] = json!("heron slate\u{0} kiosks");
            let refused = server.put_as(&ada, "/api/v1/users/me/password", body).await;
            assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
        }
        for cursor in ["%00", "a%00b"] {
            server.get_as(&ada, &format!("/api/v1/greetings?cursor={cursor}")).await.assert_problem(400, "invalid_cursor");
        }
    }

    async fn a_password_of_any_length_costs_no_more_than_a_long_one(server: Server) {
        server.register("ada").await;
        let refused = server.login("ada", &"x".repeat(129)).await;
        refused.assert_problem(400, "validation_failed");
        assert_eq!(refused.body["errors"][0]["field"], "password");
        server.login("ada", &"x".repeat(128)).await.assert_problem(401, "invalid_credentials");
        // Of one that is far longer the end is not waited for.
        let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10485760\r\n\r\n";
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let said = format!("{head}{{\"username\":\"ada\",\"password\":\"{}", "x".repeat(1_000));
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *b"HTTP/1.1 413");
    }
}

#[tokio::test]
async fn a_crowd_of_passwords_takes_no_more_than_its_share_of_the_service() {
    let database = Database::migrated(Engine::Sqlite).await;
    // Those that are let in take their time on a busy machine.
    let dlc = database.dlc().env("DLC_SERVER__REQUEST_TIMEOUT", "60s");
    let server = Server::start_as(database, dlc, &[]).await;
    let tries = (0..200).map(|n| {
        let body = json!({"username": format!("nobody-{n}"), "password": PASSWORD});
        let login = server.request(Method::POST, "/api/v1/auth/login").json(&body);
        tokio::spawn(login.send())
    });
    let tries: Vec<_> = tries.collect();
    // Nobody else waits for them.
    assert_eq!(server.get("/api/v1/greet").await.status, 200);
    let mut turned_away = 0;
    for one in tries {
        let answer = one.await.unwrap().unwrap();
        match answer.status().as_u16() {
            401 => {}
            503 => {
                assert_eq!(answer.headers()["retry-after"], "1");
                assert_eq!(answer.json::<Value>().await.unwrap()["code"], "overloaded");
                turned_away += 1;
            }
            status => panic!("{status}"),
        }
    }
    assert!((1..200).contains(&turned_away), "{turned_away}");
    // And all is well afterwards.
    server
        .login("nobody", PASSWORD)
        .await
        .assert_problem(401, "invalid_credentials");
}

/// Signs in, with this said of where the request comes from; the address that was written down for it.
async fn address_kept(server: &Server, forwarded: &[u8]) -> String {
    let body = json!({"username": "ada", "password": PASSWORD});
    let request = server.request(Method::POST, "/api/v1/auth/login").json(&body);
    let tokens = server.send(request.header("x-forwarded-for", forwarded)).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    let last = "SELECT address, request_id FROM audit_events ORDER BY id DESC LIMIT 1";
    let [address, id] = server.database.rows(last).await.remove(0).try_into().unwrap();
    assert_eq!(id, tokens.header("x-request-id"));
    address
}

#[tokio::test]
async fn what_is_written_down_of_where_a_request_comes_from_is_an_address() {
    let database = Database::migrated(Engine::Sqlite).await;
    let dlc = database.dlc().env("DLC_SERVER__TRUSTED_PROXIES", "127.0.0.0/8");
    let server = Server::start_as(database, dlc, &[]).await;
    server.register("ada").await;
    assert_eq!(address_kept(&server, b"203.0.113.7").await, "203.0.113.7");
    assert_eq!(address_kept(&server, b"[2001:db8::7]:4711").await, "2001:db8::7");
    for nonsense in [
        b"'; DROP TABLE users; --".as_slice(),
        b"203.0.113.7<script>",
        b"203.0.113.7\tx",
        b"\xff\xfe",
        &[b'9'; 4_000],
    ] {
        assert_eq!(address_kept(&server, nonsense).await, "127.0.0.1");
    }
    let untrusting = Server::start(Database::migrated(Engine::Sqlite).await).await;
    untrusting.register("ada").await;
    assert_eq!(address_kept(&untrusting, b"203.0.113.7").await, "127.0.0.1");
}

#[tokio::test]
async fn an_address_has_so_many_tries_at_all_that_takes_a_password_or_a_code() {
    let database = Database::migrated(Engine::Sqlite).await;
    let dlc = database
        .dlc()
        .env("DLC_AUTH__RATE_LIMIT", "6/1h")
        .env("DLC_SERVER__RATE_LIMIT", "1000/1h")
        .env("DLC_SERVER__TRUSTED_PROXIES", "127.0.0.0/8");
    let server = Server::start_as(database, dlc, &[]).await;
    let ada = server.person("ada").await;
    let none = server.get_as(&ada, "/api/v1/users/me").await;
    assert_eq!(none.headers.get_all("ratelimit").iter().count(), 1, "{none:?}");
    let body = json!({"current_password": "x", "new_password": NEW});
    server
        .put_as(&ada, "/api/v1/users/me/password", body.clone())
        .await
        .assert_problem(403, "wrong_password");
    // Whatever is wrong with a try, it is one.
    let empty = server.post("/api/v1/auth/password-reset", json!({})).await;
    empty.assert_problem(400, "validation_failed");
    server.register("x").await.assert_problem(400, "validation_failed");
    let last = server.login("ada", "x").await;
    last.assert_problem(401, "invalid_credentials");
    let policies: Vec<&str> = last
        .headers
        .get_all("ratelimit-policy")
        .iter()
        .map(|v| v.to_str().unwrap())
        .collect();
    assert_eq!(policies, ["\"address\";q=1000;w=3600", "\"credentials\";q=6;w=3600"]);
    let states: Vec<&str> = last
        .headers
        .get_all("ratelimit")
        .iter()
        .map(|v| v.to_str().unwrap())
        .collect();
    assert!(states[1].starts_with("\"credentials\";r=0;t="), "{states:?}");

    for refused in [
        server.login("ada", PASSWORD).await,
        server.register("eve").await,
        server
            .post(
                "/api/v1/auth/password-reset",
                json!({"username": "ada", "code": "x", "new_password": NEW}),
            )
            .await,
        server.put_as(&ada, "/api/v1/users/me/password", body).await,
    ] {
        refused.assert_problem(429, "rate_limited");
        assert!(
            refused.header("retry-after").parse::<u32>().unwrap() > 500,
            "{refused:?}"
        );
        assert!(refused.headers.get_all("ratelimit").iter().count() == 2, "{refused:?}");
    }
    // Nothing else is held up, and nobody else.
    assert_eq!(server.get_as(&ada, "/api/v1/users/me").await.status, 200);
    assert_eq!(server.refresh(&ada.refresh_token).await.status, 200);
    let elsewhere = |address: &str, port: u16| {
        let body = json!({"username": "ada", "password": PASSWORD});
        let request = server.request(Method::POST, "/api/v1/auth/login").json(&body);
        server.send(request.header("x-forwarded-for", format!("[{address}]:{port}")))
    };
    assert_eq!(elsewhere("2001:db8::1", 1).await.status, 200);
    // A household is one address.
    for last in 2..=6_u16 {
        assert_eq!(elsewhere(&format!("2001:db8::{last}"), last).await.status, 200);
    }
    elsewhere("2001:db8::ffff", 9).await.assert_problem(429, "rate_limited");
    assert_eq!(elsewhere("2001:db8:0:1::1", 9).await.status, 200);
}

#[tokio::test]
async fn not_even_the_most_talkative_log_has_a_password_a_token_or_a_code() {
    let database = Database::migrated(Engine::Sqlite).await;
    let dlc = database
        .dlc()
        .env("DLC_LOG__LEVEL", "trace")
        .env("RUST_LOG", "trace")
        .env("DLC_AUTH__SECRET", SECRET);
    let server = Server::start_as(database, dlc, &[]).await;
    let root = server.administrator("root").await;
    let ada = server.person("ada").await;
    let code = code_for(&server, &root, ada.id).await;
    server.login("in-the-wrong-field-canary", "not-the-one-canary").await;
    server
        .put_as(
            &ada,
            "/api/v1/users/me/password",
            json!({"current_password": "not-the-one-canary", "new_password": NEW}),
        )
        .await;
    let body = json!({"username": "ada", "code": code, "new_password": NEW});
    server.post("/api/v1/auth/password-reset", body).await;
    let refreshed = server.refresh(&root.refresh_token).await;
    me(&server, "forged-canary.b.c").await;
    let finished = server.stop().await;
    for secret in [
        PASSWORD,
        NEW,
        SECRET,
        "canary",
        "argon2",
        &code,
        &ada.access_token,
        &ada.refresh_token,
        refreshed.body["access_token"].as_str().unwrap(),
        refreshed.body["refresh_token"].as_str().unwrap(),
        // Not in parts, either.
        ada.access_token.rsplit('.').next().unwrap(),
    ] {
        let line = finished.stderr.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
    assert!(
        finished.stderr.contains("/api/v1/auth/login"),
        "the log is not talkative"
    );
}
