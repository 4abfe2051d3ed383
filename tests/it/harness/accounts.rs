//! Accounts without a server: the repositories of two instances on one database, and what tests do to them again and again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use dlc::{
    application::ports::{
        audit::{Act, Action, Actor, Caller, Origin},
        passwords::PasswordHash,
        sessions::{NewSession, Proof, SessionRepository, SignInVerdict, TypedName},
        tokens::Digest,
        users::{NewUser, UserCreation, UserRepository},
    },
    database::{DatabaseOptions, SeaOrmGreetingRepository, SeaOrmSessionRepository, SeaOrmUserRepository, connect},
    domain::{
        sessions::SessionId,
        users::{User, Username},
    },
};

use super::{Database, Engine, OnEngine};

/// The repositories of one instance. Cloning shares its connections.
#[derive(Clone)]
pub struct Instance {
    pub users: Arc<SeaOrmUserRepository>,
    pub sessions: Arc<SeaOrmSessionRepository>,
    pub greetings: Arc<SeaOrmGreetingRepository>,
}

/// Two instances on one database.
pub struct Accounts {
    pub here: Instance,
    pub there: Instance,
    pub database: Database,
}

impl OnEngine for Accounts {
    async fn on(engine: Engine) -> Self {
        let database = Database::migrated(engine).await;
        let options = DatabaseOptions {
            max_connections: 10,
            acquire_timeout: Duration::from_secs(60),
            statement_timeout: Some(Duration::from_secs(60)),
            ..database.options()
        };
        let here = Instance::of(&options).await;
        let there = Instance::of(&options).await;
        Self { here, there, database }
    }
}

impl Instance {
    async fn of(options: &DatabaseOptions) -> Self {
        let database = connect(options).await.unwrap();
        Self {
            users: SeaOrmUserRepository::new(database.clone()),
            sessions: SeaOrmSessionRepository::new(database.clone()),
            greetings: SeaOrmGreetingRepository::new(database),
        }
    }

    /// Begins a session of somebody whose password is the one that they were made with.
    pub async fn sign_in(&self, user: &User, session: &str, at: DateTime<Utc>) -> SignInVerdict {
        let name = TypedName::new(user.username.as_str());
        let session = new_session(session, at + TimeDelta::days(30));
        self.sessions
            .sign_in(&name, &given(user, "hash"), &session, &act(at))
            .await
            .unwrap()
    }
}

impl Accounts {
    /// The two in turns.
    pub fn instance(&self, number: usize) -> Instance {
        if number.is_multiple_of(2) {
            &self.here
        } else {
            &self.there
        }
        .clone()
    }

    /// Does something twenty times, by both instances, and lets nobody finish before all have come to the rows of a table.
    pub async fn at_once<T, F>(&self, table: &str, task: impl Fn(usize, Instance) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let holder = self.database.hold(table).await;
        let tasks: Vec<_> = (0..20)
            .map(|number| tokio::spawn(task(number, self.instance(number))))
            .collect();
        if self.database.engine == Engine::Postgres {
            let started = Instant::now();
            let waiting =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            while self.database.number(waiting).await < 20 {
                assert!(
                    started.elapsed() < Duration::from_secs(60),
                    "somebody does not come to {table}"
                );
            }
        }
        holder.release().await;
        let mut done = Vec::new();
        for task in tasks {
            done.push(task.await.unwrap());
        }
        done
    }

    /// An account with the hash `hash`.
    pub async fn user(&self, name: &str) -> User {
        self.make(name, false).await
    }

    /// One that administrates.
    pub async fn admin(&self, name: &str) -> User {
        self.make(name, true).await
    }

    async fn make(&self, name: &str, is_admin: bool) -> User {
        let user = NewUser {
            is_admin,
            ..new_user(name)
        };
        match self.here.users.create(&user, &act(at(0))).await.unwrap() {
            UserCreation::Created(user) => user,
            taken => panic!("{name}: {taken:?}"),
        }
    }

    /// What was written down since the accounts were made: who did what to whom.
    pub async fn events(&self) -> Vec<String> {
        let sql = "SELECT actor || ' ' || action || ' ' || coalesce(CAST(subject_id AS text), '-') FROM audit_events \
                   WHERE action <> 'user.registered' ORDER BY id";
        self.database.rows(sql).await.concat()
    }

    pub async fn count(&self, table: &str) -> i64 {
        self.database.number(&format!("SELECT count(*) FROM {table}")).await
    }
}

/// So many seconds after a moment with microseconds.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_795_000_000_123_456).unwrap() + TimeDelta::seconds(seconds)
}

/// Something that somebody does who has not signed in.
pub fn act(at: DateTime<Utc>) -> Act {
    Act {
        caller: Caller {
            actor: Actor::Anonymous,
            origin: Origin {
                address: Some("2001:db8::7".parse().unwrap()),
                request_id: "r-1".to_owned(),
            },
        },
        at,
    }
}

pub fn new_user(name: &str) -> NewUser {
    NewUser {
        username: Username::parse(name).unwrap(),
        password_hash: PasswordHash("hash".to_owned()),
        is_admin: false,
        action: Action::Registered,
    }
}

pub fn new_session(id: &str, expires_at: DateTime<Utc>) -> NewSession {
    NewSession {
        id: SessionId(id.to_owned()),
        refresh_token: secret(id),
        expires_at,
    }
}

/// That somebody gave a password with this hash.
pub fn given(user: &User, hash: &str) -> Proof {
    Proof::Given {
        user: user.id,
        verified: PasswordHash(hash.to_owned()),
        rehashed: None,
    }
}

/// What stands for the digest of a secret here.
pub fn secret(text: &str) -> Digest {
    let mut digest = [0; 32];
    digest[..text.len()].copy_from_slice(text.as_bytes());
    Digest(digest)
}
