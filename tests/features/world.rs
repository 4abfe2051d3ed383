//! A scenario's world: a server with a database of its own, and the people in it.

mod steps;

use std::collections::HashMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Database, Engine, Server};

/// The password of everybody of whom no other is told.
const PASSWORD: &str = "tulip ferry onyx";

/// Somebody's way of being known to the service.
#[derive(Clone, Debug, Default)]
struct Tokens {
    access: String,
    refresh: String,
}

impl Tokens {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = |name: &str| answer.body[name].as_str().expect(name).to_owned();
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
        }
    }
}

#[derive(Default, cucumber::World)]
pub(super) struct World {
    server: Option<Server>,
    /// Who has signed in, by name.
    people: HashMap<String, Tokens>,
    /// The last answer that somebody got.
    answer: Option<Answer>,
    /// What a thief has.
    stolen: Tokens,
    /// A code for a new password.
    code: String,
    /// The profile's tags in windows that are open.
    windows: Vec<String>,
    /// Pages of a history.
    pages: Vec<Vec<Value>>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the last answer: {:?}", self.answer)
    }
}

impl World {
    /// Opens the service.
    pub(super) async fn open(&mut self, engine: Engine) {
        self.server = Some(Server::start(Database::migrated(engine).await).await);
    }

    /// Closes the service and removes its database. Not by dropping it, which would hold up the scenarios beside this one.
    pub(super) async fn close(&mut self) {
        if let Some(server) = self.server.take() {
            tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
        }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the service is open")
    }

    fn answer(&self) -> &Answer {
        self.answer.as_ref().expect("somebody has asked for something")
    }

    fn tokens(&self, who: &str) -> &Tokens {
        &self.people[&who.to_lowercase()]
    }

    async fn post(&mut self, path: &str, body: Value) -> &Answer {
        let answer = self.server().post(path, body).await;
        self.answer.insert(answer)
    }

    /// A request by somebody who is signed in.
    fn by(&self, who: &str, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.server()
            .request(method, path)
            .bearer_auth(&self.tokens(who).access)
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> &Answer {
        let answer = self.server().send(request).await;
        self.answer.insert(answer)
    }

    async fn register(&mut self, name: &str, password: &str) -> &Answer {
        let body = json!({"username": name, "password": password});
        self.post("/api/v1/auth/register", body).await
    }

    async fn sign_in(&mut self, name: &str, password: &str) -> &Answer {
        let body = json!({"username": name, "password": password});
        self.post("/api/v1/auth/login", body).await
    }

    async fn has_signed_in(&mut self, who: &str) {
        let name = who.to_lowercase();
        let tokens = Tokens::of(self.sign_in(&name, PASSWORD).await);
        self.people.insert(name, tokens);
    }

    async fn refresh(&mut self, refresh_token: &str) -> &Answer {
        let body = json!({"refresh_token": refresh_token});
        self.post("/api/v1/auth/refresh", body).await
    }

    /// What somebody with such an access token is answered about themself.
    async fn status_of(&self, access_token: &str) -> u16 {
        let request = self.server().request(Method::GET, "/api/v1/users/me");
        self.server().send(request.bearer_auth(access_token)).await.status
    }

    async fn greeting(&self, request: reqwest::RequestBuilder) -> String {
        let answer = self.server().send(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["message"].as_str().unwrap().to_owned()
    }

    /// Sets a goal, knowing the profile as it was when it had this tag.
    async fn set_goal(&mut self, who: &str, tag: &str, goal: Option<&str>) -> &Answer {
        let request = self.by(who, Method::PATCH, "/api/v1/users/me").header("if-match", tag);
        self.send(request.json(&json!({"current_goal": goal}))).await
    }

    async fn profile_tag(&self, who: &str) -> String {
        let profile = self.server().send(self.by(who, Method::GET, "/api/v1/users/me")).await;
        assert_eq!(profile.status, 200, "{profile:?}");
        profile.header("etag").to_owned()
    }

    /// Somebody's number.
    async fn id(&self, who: &str) -> i64 {
        let sql = format!("SELECT id FROM users WHERE username = '{}'", who.to_lowercase());
        self.server().database.number(&sql).await
    }

    async fn record_greeting(&mut self, who: &str, body: Value) {
        let request = self.by(who, Method::POST, "/api/v1/greetings").json(&body);
        let answer = self.send(request).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}
