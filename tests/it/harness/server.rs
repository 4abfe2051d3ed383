//! The real binary, serving on a port of its own.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder, Response};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Child,
    sync::watch,
};

use super::{Database, Dlc, Engine, Finished, OnEngine, PgBouncer};

/// No server of a test takes longer to start or to stop.
const LIMIT: Duration = Duration::from_secs(30);

/// A running server and its database.
pub struct Server {
    pub database: Database,
    pub client: Client,
    address: String,
    child: Child,
    stderr: Arc<Mutex<String>>,
    closed: watch::Receiver<bool>,
    _dlc: Dlc,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    async fn read(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Self {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that this is problem+json with that status and code.
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.body["code"], code, "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
        assert_eq!(self.body["error"], self.body["detail"], "{self:?}");
        assert_eq!(self.body["request_id"], self.header("x-request-id"), "{self:?}");
        for member in ["type", "title", "detail", "instance"] {
            assert!(self.body[member].is_string(), "{member} of {self:?}");
        }
    }
}

impl Server {
    /// Serves a database, ready for requests.
    pub async fn start(database: Database) -> Self {
        let dlc = database.dlc();
        Self::start_as(database, dlc, &[]).await
    }

    /// Serves with arguments and an environment of the test's choice, ready for requests.
    pub async fn start_as(database: Database, dlc: Dlc, arguments: &[&str]) -> Self {
        let server = Self::start_unready(database, dlc, arguments).await;
        server.until_ready().await;
        // The probe is quicker than the log, and a test may want to read that.
        server.until_logged("ready in ").await;
        server
    }

    /// Serves, and returns as soon as the port is open.
    pub async fn start_unready(database: Database, dlc: Dlc, arguments: &[&str]) -> Self {
        let dlc = PgBouncer::in_front_of(&database, dlc).await;
        let arguments: Vec<&str> = ["serve", "--port", "0"].iter().chain(arguments).copied().collect();
        let mut child = dlc.command(&arguments).spawn().unwrap();
        drop(child.stdin.take());
        let stderr = Arc::new(Mutex::new(String::new()));
        let (address_found, mut address) = watch::channel(None::<String>);
        let (close, closed) = watch::channel(false);
        let log = collect(child.stderr.take().unwrap(), Arc::clone(&stderr), address_found);
        tokio::spawn(async move {
            log.await;
            let _ = close.send(true);
        });
        let found = tokio::time::timeout(LIMIT, address.wait_for(Option::is_some)).await;
        let address = match found {
            Ok(Ok(address)) => address.clone().unwrap(),
            _ => panic!("the server opened no port: {}", stderr.lock().unwrap()),
        };
        let client = Client::builder()
            .timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            database,
            client,
            address,
            child,
            stderr,
            closed,
            _dlc: dlc,
        }
    }

    /// Waits until that many database operations are held up, each by a connection that it has or waits for. What others have for a
    /// moment, a probe or a request before that is being given back, does not count.
    pub async fn until_busy_with(&self, operations: u64) {
        let started = Instant::now();
        let mut since = None;
        loop {
            let pool = self.get("/api/metrics/db").await.body["pool"].clone();
            if pool["in_use"].as_u64().unwrap() + pool["waiting"].as_u64().unwrap() < operations {
                since = None;
            } else if since.get_or_insert_with(Instant::now).elapsed() > Duration::from_millis(100) {
                return;
            }
            assert!(started.elapsed() < LIMIT, "{pool}");
        }
    }

    /// Waits until that many requests are under way, the one that asks included.
    pub async fn until_at_work(&self, requests: usize) {
        let started = Instant::now();
        let figure = format!("\nhttp_server_active_requests {requests}\n");
        while !self.get("/metrics").await.text.contains(&figure) {
            assert!(started.elapsed() < LIMIT, "never {requests} requests at a time");
        }
    }

    /// Waits until `/readyz` says so.
    pub async fn until_ready(&self) {
        let started = Instant::now();
        while self.get("/readyz").await.status != 200 {
            assert!(
                started.elapsed() < LIMIT,
                "the server does not become ready: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a path answers with a status.
    pub async fn until(&self, path: &str, status: u16) -> Answer {
        let started = Instant::now();
        loop {
            let answer = self.get(path).await;
            if answer.status == status {
                return answer;
            }
            assert!(
                started.elapsed() < LIMIT,
                "{path} does not answer {status} but {answer:?}: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `host:port`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A request to be changed before it is sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// Sends a request.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::read(
            request
                .send()
                .await
                .unwrap_or_else(|error| panic!("{error:?}: {}", self.log())),
        )
        .await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// The same, for whoever outlives a reference to it.
    pub fn log_as_it_comes(&self) -> impl Fn() -> String + Send + use<> {
        let stderr = Arc::clone(&self.stderr);
        move || stderr.lock().unwrap().clone()
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a running server")
    }

    /// Waits until a word is logged.
    pub async fn until_logged(&self, word: &str) {
        let started = Instant::now();
        while !self.log().contains(word) {
            assert!(started.elapsed() < LIMIT, "{word:?} is not logged: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for the end.
    pub async fn finished(self) -> Finished {
        self.ended().await.0
    }

    /// The same, and gives its database back.
    pub async fn ended(mut self) -> (Finished, Database) {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        let status = ended
            .unwrap_or_else(|_| panic!("the server does not end: {}", self.log()))
            .unwrap();
        // Its last words may still be on their way through the pipe.
        let _ = self.closed.wait_for(|closed| *closed).await;
        let finished = Finished {
            code: status.code().unwrap_or(-1),
            stdout: String::new(),
            stderr: self.log(),
        };
        (finished, self.database)
    }

    /// Asks it to stop, and gives its database back.
    pub async fn stopped(self) -> Database {
        self.signal(Signal::TERM);
        let Self {
            database, mut child, ..
        } = self;
        let ended = tokio::time::timeout(LIMIT, child.wait()).await;
        assert!(ended.is_ok(), "the server does not end");
        database
    }

    /// Asks it to stop, and waits for the end.
    pub async fn stop(self) -> Finished {
        self.signal(Signal::TERM);
        self.finished().await
    }
}

/// Sends a signal to a process.
pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Keeps what is logged, and finds the address in it, in either format.
async fn collect(pipe: impl AsyncRead + Unpin, log: Arc<Mutex<String>>, found: watch::Sender<Option<String>>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some((_, rest)) = line.split_once("listening") {
            let start = rest.find(|c: char| c.is_ascii_digit());
            let address = start.map(|start| rest[start..].split('"').next().unwrap_or_default().to_owned());
            let _ = found.send(address);
        }
        log.lock().unwrap().push_str(&format!("{line}\n"));
    }
}

impl OnEngine for Server {
    async fn on(engine: Engine) -> Self {
        Self::start(Database::migrated(engine).await).await
    }
}
