//! A scenario's world: the service with a database of its own, how it is started and ended, and whatever else a scenario has.

mod people;
mod steps;

use std::{collections::HashMap, net::TcpListener, path::PathBuf};

use reqwest::Response;
use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinHandle;

use self::people::{PASSWORD, Tokens};
use crate::harness::{
    Answer, Database, Dlc, Engine, Finished, Holder, Server,
    postgres::{self, Cluster},
};

/// A request that is under way.
type UnderWay = JoinHandle<reqwest::Result<Response>>;

#[derive(Default, cucumber::World)]
pub(crate) struct World {
    engine: Option<Engine>,
    /// What nobody serves now.
    database: Option<Database>,
    /// Variables of the next start.
    variables: Vec<(String, String)>,
    /// Whether nothing but these is set.
    is_bare: bool,
    /// Where the service has been started.
    directory: PathBuf,
    server: Option<Server>,
    /// Another instance on the same database.
    other: Option<Server>,
    /// How the last command, or the service, has ended.
    finished: Option<Finished>,
    /// A PostgreSQL of the scenario's own.
    cluster: Option<Cluster>,
    /// A port that somebody else has.
    taken: Option<TcpListener>,
    /// Whoever keeps the service from a lock or from rows.
    holder: Option<Held>,
    /// A claim that is under way.
    claim: Option<UnderWay>,
    /// What a crowd was answered: statuses, and codes of refusals.
    crowd: Vec<(u16, String)>,
    /// Why the database has refused something.
    refusal: Option<String>,
    /// Passwords that were generated.
    passwords: Vec<String>,
    /// A role of PostgreSQL that the scenario has made.
    role: Option<String>,
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

/// What somebody holds until it is dropped.
enum Held {
    /// The migration lock of a SQLite file.
    File(std::fs::File),
    /// The same in PostgreSQL.
    Session(sqlx::PgConnection),
    /// Rows that a claim has to change.
    Rows(Holder),
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the last answer: {:?}; the last end: {:?}",
            self.answer, self.finished
        )?;
        match &self.server {
            Some(server) => write!(f, "; the log: {}", server.log()),
            None => Ok(()),
        }
    }
}

impl World {
    /// Nothing runs yet: a scenario says what does.
    pub(super) fn open(&mut self, engine: Engine) {
        self.engine = Some(engine);
    }

    /// Ends whatever runs and removes the databases. Not by dropping them, which would hold up the scenarios beside this one.
    pub(super) async fn close(&mut self) {
        let mut left = std::mem::take(self);
        let role = left.role.take();
        tokio::task::spawn_blocking(move || drop(left)).await.unwrap();
        if let Some(role) = role {
            let sql = format!("DROP ROLE IF EXISTS {role}");
            postgres::cluster().await.execute("postgres", &sql).await;
        }
    }

    fn engine(&self) -> Engine {
        self.engine.expect("an engine")
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the service is running")
    }

    fn finished(&self) -> &Finished {
        self.finished.as_ref().expect("something has ended")
    }

    /// The database, whether or not it is served.
    fn database(&self) -> &Database {
        match &self.server {
            Some(server) => &server.database,
            None => self.database.as_ref().expect("there is a database"),
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The program with the scenario's database and variables.
    fn dlc(&self) -> Dlc {
        let dlc = if self.is_bare {
            Dlc::new()
        } else {
            self.database().dlc()
        };
        let variables = self.variables.iter();
        variables.fold(dlc, |dlc, (name, value)| dlc.env(name, value))
    }

    /// Starts the service, until it is ready.
    async fn start(&mut self) {
        self.start_unready(&[]).await;
        self.server().until_ready().await;
        // The probe is quicker than the log, which a sentence may be about.
        self.server().until_logged("ready in ").await;
    }

    /// The same, until it can be asked how far it is.
    async fn start_unready(&mut self, options: &[&str]) {
        let dlc = self.dlc();
        self.directory = dlc.directory().to_owned();
        let database = self.database.take().expect("a database that nobody serves");
        self.server = Some(Server::start_unready(database, dlc, options).await);
    }

    /// A start that has to fail: to its end.
    async fn try_to_start(&mut self, port: &str) {
        let dlc = self.dlc().env("DLC_LOG__FORMAT", "json");
        self.finished = Some(dlc.run(&["serve", "--wait", "0s", "--port", port]).await);
    }

    /// The error that was logged when the service could not start.
    fn last_words(&self) -> Value {
        let lines = self.finished().stderr.lines().map(serde_json::from_str::<Value>);
        let mut errors = lines.map(Result::unwrap).filter(|line| line["level"] == "ERROR");
        let error = errors.next().expect("an error");
        assert!(errors.next().is_none(), "more than one error: {self:?}");
        error
    }

    /// Sends the service a signal, and has its database when it is gone.
    async fn end_by(&mut self, signal: Signal) {
        self.server().signal(signal);
        self.until_ended().await;
    }

    /// Waits for the end of a service that was asked to end, and has its database then.
    async fn until_ended(&mut self) {
        let server = self.server.take().expect("the service is running");
        let (finished, database) = server.ended().await;
        (self.finished, self.database) = (Some(finished), Some(database));
    }
}
