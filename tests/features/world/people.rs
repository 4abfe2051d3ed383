//! The people of a scenario: what they ask of the service, and what it has given them.

use reqwest::Method;
use serde_json::{Value, json};

use super::World;
use crate::harness::Answer;

/// The password of everybody of whom no other is told.
pub(super) const PASSWORD: &str = "tulip ferry onyx";

/// Somebody's way of being known to the service.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) refresh: String,
}

impl Tokens {
    pub(super) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = |name: &str| answer.body[name].as_str().expect(name).to_owned();
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
        }
    }
}

impl World {
    pub(super) fn answer(&self) -> &Answer {
        self.answer.as_ref().expect("somebody has asked for something")
    }

    pub(super) fn tokens(&self, who: &str) -> &Tokens {
        &self.people[&who.to_lowercase()]
    }

    pub(super) async fn post(&mut self, path: &str, body: Value) -> &Answer {
        let answer = self.server().post(path, body).await;
        self.answer.insert(answer)
    }

    /// A request by somebody who is signed in.
    pub(super) fn by(&self, who: &str, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.server()
            .request(method, path)
            .bearer_auth(&self.tokens(who).access)
    }

    pub(super) async fn send(&mut self, request: reqwest::RequestBuilder) -> &Answer {
        let answer = self.server().send(request).await;
        self.answer.insert(answer)
    }

    pub(super) async fn register(&mut self, name: &str, password: &str) -> &Answer {
        let body = json!({"username": name, "password": password});
        self.post("/api/v1/auth/register", body).await
    }

    pub(super) async fn sign_in(&mut self, name: &str, password: &str) -> &Answer {
        let body = json!({"username": name, "password": password});
        self.post("/api/v1/auth/login", body).await
    }

    pub(super) async fn has_signed_in(&mut self, who: &str) {
        let name = who.to_lowercase();
        let tokens = Tokens::of(self.sign_in(&name, PASSWORD).await);
        self.people.insert(name, tokens);
    }

    pub(super) async fn refresh(&mut self, refresh_token: &str) -> &Answer {
        let body = json!({"refresh_token": refresh_token});
        self.post("/api/v1/auth/refresh", body).await
    }

    /// What somebody with such an access token is answered about themself.
    pub(super) async fn status_of(&self, access_token: &str) -> u16 {
        let request = self.server().request(Method::GET, "/api/v1/users/me");
        self.server().send(request.bearer_auth(access_token)).await.status
    }

    pub(super) async fn greeting(&self, request: reqwest::RequestBuilder) -> String {
        let answer = self.server().send(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["message"].as_str().unwrap().to_owned()
    }

    /// Sets a goal, knowing the profile as it was when it had this tag.
    pub(super) async fn set_goal(&mut self, who: &str, tag: &str, goal: Option<&str>) -> &Answer {
        let request = self.by(who, Method::PATCH, "/api/v1/users/me").header("if-match", tag);
        self.send(request.json(&json!({"current_goal": goal}))).await
    }

    pub(super) async fn profile_tag(&self, who: &str) -> String {
        let profile = self.server().send(self.by(who, Method::GET, "/api/v1/users/me")).await;
        assert_eq!(profile.status, 200, "{profile:?}");
        profile.header("etag").to_owned()
    }

    /// Somebody's number.
    pub(super) async fn id(&self, who: &str) -> i64 {
        let sql = format!("SELECT id FROM users WHERE username = '{}'", who.to_lowercase());
        self.server().database.number(&sql).await
    }

    pub(super) async fn record_greeting(&mut self, who: &str, body: Value) {
        let request = self.by(who, Method::POST, "/api/v1/greetings").json(&body);
        let answer = self.send(request).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}
