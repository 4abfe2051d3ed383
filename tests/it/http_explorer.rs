//! The explorer at `/docs`, and where `/swagger` leads, in a real browser: on a desk and on a telephone.

use serde_json::{Value, json};

use crate::harness::{Browser, Database, Engine, Server};

/// Something to look at the page with.
struct Screen {
    /// For the names of pictures.
    name: &'static str,
    width: u32,
    height: u32,
    is_a_phone: bool,
}

const DESK: Screen = Screen {
    name: "desk",
    width: 1280,
    height: 1600,
    is_a_phone: false,
};

const PHONE: Screen = Screen {
    name: "phone",
    width: 390,
    height: 844,
    is_a_phone: true,
};

/// The page, opened on a screen.
struct Page<'a> {
    browser: Browser,
    screen: &'a Screen,
    /// Where everything has to come from.
    site: String,
}

/// One call's part of the page.
struct Call<'a> {
    page: &'a Page<'a>,
    xpath: String,
}

impl<'a> Page<'a> {
    async fn open(server: &Server, path: &str, screen: &'a Screen) -> Self {
        let browser = Browser::start().await;
        browser.resize(screen.width, screen.height, screen.is_a_phone).await;
        let site = format!("http://{}", server.address());
        browser.open(&format!("{site}{path}")).await;
        Self { browser, screen, site }
    }

    async fn picture(&self, name: &str) {
        self.browser.picture(&format!("{name}-{}", self.screen.name)).await;
    }

    /// Opens a call's part of the page, and its form.
    async fn try_out(&'a self, id: &str) -> Call<'a> {
        // The name of another operation may begin with this one's.
        let is_it = format!("substring(@id, string-length(@id) - {}) = '-{id}'", id.len());
        let xpath = format!("//div[contains(@class,'opblock ') and {is_it}]");
        let call = Call { page: self, xpath };
        call.click("//button[contains(@class,'opblock-summary-control')]").await;
        call.click("//button[contains(@class,'try-out__btn')]").await;
        call
    }

    /// Types a token into the dialog behind *Authorize*.
    async fn authorize(&self, token: &str) {
        let button = "//button[contains(@class,'authorize') and contains(@class,'btn')]";
        self.browser.click(button).await;
        let dialog = "//div[contains(@class,'modal-ux')]";
        self.browser
            .write(&format!("{dialog}//input[@type='text']"), token)
            .await;
        self.picture("authorize").await;
        self.browser
            .click(&format!("{dialog}//button[contains(@class,'authorize')]"))
            .await;
        self.browser
            .click(&format!("{dialog}//button[contains(@class,'btn-done')]"))
            .await;
    }

    /// The page has asked nobody but the service, has complained of nothing but the statuses that were asked for, and is no wider than
    /// its screen.
    async fn assert_at_peace(&self, expected: &str) {
        let requests = self.browser.requests().await;
        assert!(requests.iter().any(|url| url.starts_with(&self.site)), "{requests:?}");
        let is_here = |url: &str| {
            url.strip_prefix(&self.site).is_some_and(|path| path.starts_with('/'))
                || url.starts_with("data:")
                || url.starts_with("blob:")
        };
        let elsewhere: Vec<_> = requests.iter().filter(|url| !is_here(url)).collect();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
        // What the policy for contents forbids stands among the complaints.
        let complaints = self.browser.complaints().await;
        let unexpected: Vec<_> = complaints
            .iter()
            .filter(|complaint| !complaint.contains(expected))
            .collect();
        assert!(unexpected.is_empty(), "{unexpected:?}");
        let widths = "[window.innerWidth, document.documentElement.scrollWidth]";
        let widths = self.browser.evaluate(widths).await;
        let [seen, taken] = [0, 1].map(|place| widths[place].as_u64().unwrap());
        assert_eq!(seen, u64::from(self.screen.width), "somebody has zoomed out");
        assert!(taken <= seen, "the page scrolls sideways: {taken} of {seen}");
    }
}

impl Call<'_> {
    async fn click(&self, below: &str) {
        let browser = &self.page.browser;
        browser.click(&format!("{}{below}", self.xpath)).await;
    }

    async fn write(&self, body: &Value) {
        let field = format!("{}//textarea[contains(@class,'body-param__text')]", self.xpath);
        self.page.browser.write(&field, &body.to_string()).await;
    }

    /// The answer's body, once it has that status.
    async fn answered(&self, status: u16) -> String {
        self.click("//button[contains(@class,'execute')]").await;
        let browser = &self.page.browser;
        let live = format!("{}//table[contains(@class,'live-responses-table')]", self.xpath);
        let cell =
            format!("{live}//td[contains(@class,'response-col_status')][starts-with(normalize-space(.),'{status}')]");
        browser.read(&cell).await;
        browser
            .read(&format!("{live}//td[contains(@class,'response-col_description')]//pre"))
            .await
    }
}

/// Puts a coupon on sale and claims a piece of it, with what stands on the page alone.
async fn sell_a_coupon(page: &Page<'_>, claimant: &str) {
    let create = page.try_out("createCoupon").await;
    create.write(&json!({"name": "salsa-10", "amount": 50})).await;
    let answer = create.answered(201).await;
    assert!(answer.contains("\"remaining_amount\": 50"), "{answer}");
    page.picture("created").await;
    // Out of the way, as somebody does who goes on to the next one.
    create
        .click("//button[contains(@class,'opblock-summary-control')]")
        .await;

    let claim = page.try_out("claimCoupon").await;
    let name = format!("{}//tr[@data-param-name='name']//input", claim.xpath);
    page.browser.write(&name, "salsa-10").await;
    claim.write(&json!({"user_id": claimant})).await;
    let answer = claim.answered(201).await;
    assert!(answer.contains("salsa-10") && answer.contains(claimant), "{answer}");
    page.picture("claimed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coupon_is_created_and_claimed_in_the_explorer_which_asks_nobody_else() {
    for (path, screen) in [("/docs", DESK), ("/swagger", PHONE)] {
        let server = Server::start(Database::migrated(Engine::Sqlite).await).await;
        let page = Page::open(&server, path, &screen).await;
        let at = page.browser.evaluate("location.pathname").await;
        assert_eq!(at, "/docs", "{path}");
        page.browser.read("//h2[contains(@class,'title')]").await;
        page.picture("explorer").await;
        sell_a_coupon(&page, "ann").await;
        page.assert_at_peace("no complaint at all").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrators_token_opens_what_is_for_administrators_on_any_screen() {
    for screen in [DESK, PHONE] {
        let database = Database::migrated(Engine::Sqlite).await;
        let dlc = database.dlc().env("DLC_AUTH__COUPONS", "required");
        let server = Server::start_as(database, dlc, &[]).await;
        let ada = server.administrator("ada").await;
        let page = Page::open(&server, "/docs", &screen).await;

        let list = page.try_out("listUsers").await;
        let refused = list.answered(401).await;
        assert!(refused.contains("authentication_required"), "{refused}");
        page.authorize(&ada.access_token).await;
        let accounts = list.answered(200).await;
        assert!(accounts.contains("\"username\": \"ada\""), "{accounts}");
        // People who have signed in claim by their number.
        sell_a_coupon(&page, &ada.id.to_string()).await;
        page.assert_at_peace("401").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_from_the_login_call_opens_the_calls_that_want_one() {
    let server = Server::start(Database::migrated(Engine::Sqlite).await).await;
    let ada = json!({"username": "ada", "password": "tulip ferry onyx"});
    assert_eq!(server.post("/api/v1/auth/register", ada.clone()).await.status, 201);
    let page = Page::open(&server, "/docs", &DESK).await;

    // Signing in, as somebody does who has nothing but this page.
    let login = page.try_out("login").await;
    login.write(&ada).await;
    let answer = login.answered(200).await;
    let token = answer
        .split("\"access_token\": \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let token = token.unwrap_or_else(|| panic!("{answer}"));

    let me = page.try_out("getMe").await;
    let refused = me.answered(401).await;
    assert!(refused.contains("authentication_required"), "{refused}");
    page.authorize(token).await;
    let profile = me.answered(200).await;
    assert!(profile.contains("\"username\": \"ada\""), "{profile}");
    page.picture("authorized").await;
    page.assert_at_peace("401").await;
}
