//! People who have an account of a running server.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{Answer, Server};

/// Everybody's password, unless a test is about passwords.
pub const PASSWORD: &str = "tulip ferry onyx moss";

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: i64,
    pub access_token: String,
    pub refresh_token: String,
}

impl Server {
    /// Makes an account.
    pub async fn register(&self, name: &str) -> Answer {
        let body = json!({"username": name, "password": PASSWORD});
        self.post("/api/v1/auth/register", body).await
    }

    /// Tries to sign in.
    pub async fn login(&self, name: &str, password: &str) -> Answer {
        let body = json!({"username": name, "password": password});
        self.post("/api/v1/auth/login", body).await
    }

    /// Signs somebody in who has an account.
    pub async fn sign_in(&self, id: i64, name: &str) -> Person {
        let tokens = self.login(name, PASSWORD).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        let token = |name: &str| tokens.body[name].as_str().unwrap().to_owned();
        Person {
            id,
            access_token: token("access_token"),
            refresh_token: token("refresh_token"),
        }
    }

    /// Makes an account and signs in.
    pub async fn person(&self, name: &str) -> Person {
        let account = self.register(name).await;
        assert_eq!(account.status, 201, "{account:?}");
        self.sign_in(account.body["id"].as_i64().unwrap(), name).await
    }

    /// The same for somebody who administrates.
    pub async fn administrator(&self, name: &str) -> Person {
        let person = self.person(name).await;
        let promote = format!("UPDATE users SET is_admin = TRUE WHERE id = {}", person.id);
        self.database.execute(&promote).await;
        person
    }

    /// A request of somebody's.
    pub fn request_of(&self, person: &Person, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&person.access_token)
    }

    pub async fn get_as(&self, person: &Person, path: &str) -> Answer {
        self.send(self.request_of(person, Method::GET, path)).await
    }

    pub async fn delete_as(&self, person: &Person, path: &str) -> Answer {
        self.send(self.request_of(person, Method::DELETE, path)).await
    }

    /// A POST without a body.
    pub async fn call_as(&self, person: &Person, path: &str) -> Answer {
        self.send(self.request_of(person, Method::POST, path)).await
    }

    pub async fn post_as(&self, person: &Person, path: &str, body: Value) -> Answer {
        self.send(self.request_of(person, Method::POST, path).json(&body)).await
    }

    pub async fn put_as(&self, person: &Person, path: &str, body: Value) -> Answer {
        self.send(self.request_of(person, Method::PUT, path).json(&body)).await
    }

    /// Changes what stands at a path, as it is now.
    pub async fn patch_as(&self, person: &Person, path: &str, body: Value) -> Answer {
        let etag = self.get_as(person, path).await.header("etag").to_owned();
        let request = self.request_of(person, Method::PATCH, path);
        self.send(request.header("if-match", etag).json(&body)).await
    }

    /// Exchanges a refresh token.
    pub async fn refresh(&self, token: &str) -> Answer {
        self.post("/api/v1/auth/refresh", json!({"refresh_token": token})).await
    }

    /// What was written down about an account, the oldest first: who did what.
    pub async fn audit_of(&self, id: i64) -> Vec<(String, String)> {
        let rows = self
            .database
            .rows(&format!(
                "SELECT actor, action FROM audit_events WHERE subject_id = {id} ORDER BY id"
            ))
            .await;
        rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
    }
}
