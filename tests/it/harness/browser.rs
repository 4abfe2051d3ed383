//! A real Chromium without a window, driven through ChromeDriver in the W3C WebDriver protocol.
//!
//! It resolves no name and reaches no address but 127.0.0.1, and tells every request that its pages made.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::Engine as _;
use reqwest::{Client, Method};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest that a page may take to show something.
const LIMIT: Duration = Duration::from_secs(30);

/// The member that names an element (W3C WebDriver §11).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one empty page; ends when dropped.
pub struct Browser {
    client: Client,
    session: String,
    driver: Child,
    _profile: TempDir,
}

impl Browser {
    pub async fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Whatever it starts is in this group, so that nothing is left when it is ended.
            .process_group(0)
            .spawn()
            .expect("chromedriver; scripts/test installs it");
        let mut lines = BufReader::new(driver.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let started = lines.find(|line| line.contains("started successfully on port"));
        let started = started.expect("chromedriver says its port");
        let port = started.trim_end_matches('.').rsplit(' ').next().unwrap().to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::Builder::new().prefix("dlc-test-chromium-").tempdir().unwrap();
        let mut browser = Self {
            client: Client::builder().timeout(LIMIT * 2).build().unwrap(),
            session: format!("http://127.0.0.1:{port}/session"),
            driver,
            _profile: profile,
        };
        let arguments = json!([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            format!("--user-data-dir={}", browser._profile.path().display()),
        ]);
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        });
        let session = browser
            .ask(Method::POST, "", json!({"capabilities": {"alwaysMatch": capabilities}}))
            .await;
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().unwrap());
        // What its own first page asks for is not what is looked at.
        browser.open("about:blank").await;
        browser.requests().await;
        browser
    }

    async fn try_ask(&self, method: Method, path: &str, body: Value) -> Result<Value, Value> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let is_good = answer.status().is_success();
        let mut answer: Value = answer.json().await.unwrap();
        let value = answer["value"].take();
        if is_good { Ok(value) } else { Err(value) }
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.try_ask(method, path, body).await;
        answer.unwrap_or_else(|error| panic!("{path}: {} {}", error["error"], error["message"]))
    }

    /// Makes what is seen of a page so large, as on a screen or, with `phone`, on a telephone.
    pub async fn resize(&self, width: u32, height: u32, phone: bool) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
        self.ask(Method::POST, "/goog/cdp/execute", command).await;
    }

    /// What an expression is worth on the page.
    pub async fn evaluate(&self, expression: &str) -> Value {
        let script = json!({"script": format!("return {expression}"), "args": []});
        self.ask(Method::POST, "/execute/sync", script).await
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", json!({"url": url})).await;
    }

    /// Waits for an element that is shown, and tells its path.
    async fn element(&self, xpath: &str) -> String {
        let started = Instant::now();
        loop {
            let query = json!({"using": "xpath", "value": xpath});
            if let Ok(found) = self.try_ask(Method::POST, "/element", query).await {
                let element = format!("/element/{}", found[ELEMENT].as_str().unwrap());
                if self
                    .try_ask(Method::GET, &format!("{element}/displayed"), Value::Null)
                    .await
                    == Ok(json!(true))
                {
                    return element;
                }
            }
            if started.elapsed() > LIMIT {
                self.picture("not-shown").await;
                panic!("{xpath} is not shown");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for an element, and clicks on it.
    pub async fn click(&self, xpath: &str) {
        let started = Instant::now();
        loop {
            let element = self.element(xpath).await;
            // Something that is being faded in or out may lie over it.
            match self.try_ask(Method::POST, &format!("{element}/click"), json!({})).await {
                Ok(_) => return,
                Err(error) => assert!(started.elapsed() < LIMIT, "{xpath}: {}", error["message"]),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for a field, and types into it.
    pub async fn write(&self, xpath: &str, text: &str) {
        let element = self.element(xpath).await;
        // Ctrl-A takes the place of what is there as it does at a keyboard: a page need not notice that a field was cleared.
        let (control, released) = ('\u{e009}', '\u{e000}');
        let keys = format!("{control}a{released}{text}");
        self.ask(Method::POST, &format!("{element}/value"), json!({"text": keys}))
            .await;
    }

    /// Waits for an element, and reads it.
    pub async fn read(&self, xpath: &str) -> String {
        let element = self.element(xpath).await;
        let text = self.ask(Method::GET, &format!("{element}/text"), Value::Null).await;
        text.as_str().unwrap().to_owned()
    }

    /// URLs that were asked for since the last call.
    pub async fn requests(&self) -> Vec<String> {
        let entries = self.ask(Method::POST, "/se/log", json!({"type": "performance"})).await;
        entries
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|entry| {
                let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
                let message = &message["message"];
                let is_request = message["method"] == "Network.requestWillBeSent";
                is_request.then(|| message["params"]["request"]["url"].as_str().unwrap().to_owned())
            })
            .collect()
    }

    /// What the pages complained about since the last call.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.ask(Method::POST, "/se/log", json!({"type": "browser"})).await;
        let severe = |entry: &&Value| entry["level"] == "SEVERE";
        let entries = entries.as_array().unwrap().iter().filter(severe);
        entries
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Keeps a picture of the window where `DLC_TEST_PICTURES` says, for people who want to look.
    pub async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("DLC_TEST_PICTURES") else {
            return;
        };
        let picture = self.ask(Method::GET, "/screenshot", Value::Null).await;
        let picture = base64::prelude::BASE64_STANDARD
            .decode(picture.as_str().unwrap())
            .unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.driver);
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.driver.wait();
    }
}
