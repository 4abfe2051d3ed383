//! The explorer at `/docs`, in a real browser.

use serde_json::json;

use crate::harness::{Browser, Database, Engine, Server};

/// The part of the page that is about one call.
fn operation(id: &str) -> String {
    format!("//div[contains(@class,'opblock ') and contains(@id,'-{id}')]")
}

/// Opens a call's part of the page, and its form.
async fn try_out(browser: &Browser, operation: &str) {
    let summary = format!("{operation}//button[contains(@class,'opblock-summary-control')]");
    browser.click(&summary).await;
    browser
        .click(&format!("{operation}//button[contains(@class,'try-out__btn')]"))
        .await;
}

/// The answer's status and body, once it has that status.
async fn answered(browser: &Browser, operation: &str, status: u16) -> String {
    browser
        .click(&format!("{operation}//button[contains(@class,'execute')]"))
        .await;
    let live = format!("{operation}//table[contains(@class,'live-responses-table')]");
    let cell =
        format!("{live}//td[contains(@class,'response-col_status')][starts-with(normalize-space(.),'{status}')]");
    browser.read(&cell).await;
    browser
        .read(&format!("{live}//td[contains(@class,'response-col_description')]//pre"))
        .await
}

/// The page has asked nobody but the service, and has complained of nothing but the statuses that were asked for.
async fn assert_at_peace(browser: &Browser, site: &str, expected: &str) {
    let requests = browser.requests().await;
    assert!(requests.iter().any(|url| url.starts_with(site)), "{requests:?}");
    let is_elsewhere = |url: &&String| !url.starts_with(site) && !url.starts_with("data:") && !url.starts_with("blob:");
    let elsewhere: Vec<_> = requests.iter().filter(is_elsewhere).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    // What the policy for contents forbids stands among the complaints.
    let complaints = browser.complaints().await;
    let unexpected: Vec<_> = complaints
        .iter()
        .filter(|complaint| !complaint.contains(expected))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_explorer_tries_calls_out_and_asks_nobody_else() {
    let server = Server::start(Database::migrated(Engine::Sqlite).await).await;
    let site = format!("http://{}", server.address());
    let browser = Browser::start().await;
    browser.open(&format!("{site}/docs")).await;
    let create = operation("createCoupon");
    try_out(&browser, &create).await;
    let body = format!("{create}//textarea[contains(@class,'body-param__text')]");
    browser
        .write(&body, &json!({"name": "salsa-10", "amount": 50}).to_string())
        .await;
    let answer = answered(&browser, &create, 201).await;
    assert!(answer.contains("\"remaining_amount\": 50"), "{answer}");
    assert_at_peace(&browser, &site, "no complaint at all").await;
    browser.picture("explorer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_from_the_login_call_opens_the_calls_that_want_one() {
    let server = Server::start(Database::migrated(Engine::Sqlite).await).await;
    let ada = json!({"username": "ada", "password": "tulip ferry onyx"});
    assert_eq!(server.post("/api/v1/auth/register", ada.clone()).await.status, 201);
    let site = format!("http://{}", server.address());
    let browser = Browser::start().await;
    browser.open(&format!("{site}/docs")).await;

    // Signing in, as somebody does who has nothing but this page.
    let login = operation("login");
    try_out(&browser, &login).await;
    let body = format!("{login}//textarea[contains(@class,'body-param__text')]");
    browser.write(&body, &ada.to_string()).await;
    let answer = answered(&browser, &login, 200).await;
    let token = answer
        .split("\"access_token\": \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let token = token.unwrap_or_else(|| panic!("{answer}"));

    let me = operation("getMe");
    try_out(&browser, &me).await;
    let refused = answered(&browser, &me, 401).await;
    assert!(refused.contains("authentication_required"), "{refused}");

    browser
        .click("//button[contains(@class,'authorize') and contains(@class,'btn')]")
        .await;
    let dialog = "//div[contains(@class,'modal-ux')]";
    browser.write(&format!("{dialog}//input[@type='text']"), token).await;
    browser.picture("authorize").await;
    browser
        .click(&format!("{dialog}//button[contains(@class,'authorize')]"))
        .await;
    browser
        .click(&format!("{dialog}//button[contains(@class,'btn-done')]"))
        .await;

    let profile = answered(&browser, &me, 200).await;
    assert!(profile.contains("\"username\": \"ada\""), "{profile}");
    browser.picture("authorized").await;
    assert_at_peace(&browser, &site, "401").await;
}
