//! What sentences about coupons mean: putting them on sale, claiming them, one by one and in a crowd, and what is left.

use cucumber::{given, then, when};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

/// The text that a phrase describes.
fn text(phrase: &str) -> String {
    if phrase == "a blank name" {
        return "   ".to_owned();
    }
    let letters = phrase
        .strip_prefix("a name of ")
        .and_then(|rest| rest.split(' ').next())
        .and_then(|number| number.parse().ok());
    "n".repeat(letters.unwrap_or_else(|| panic!("no name is {phrase:?}")))
}

impl World {
    /// Puts a coupon on sale, as somebody who has signed in where they have.
    async fn sell(&mut self, who: &str, amount: i64, coupon: &str) {
        let mut request = self.server().request(Method::POST, "/api/coupons");
        if let Some(tokens) = self.people.get(&who.to_lowercase()) {
            request = request.bearer_auth(&tokens.access);
        }
        self.send(request.json(&json!({"name": coupon, "amount": amount})))
            .await;
    }

    pub(super) async fn claim(&mut self, who: &str, coupon: &str) {
        let body = json!({"user_id": who, "coupon_name": coupon});
        self.post("/api/coupons/claim", body).await;
    }

    /// Everybody's claim at the same time.
    async fn claim_at_once(&mut self, people: Vec<String>, coupon: &str) {
        let under_way: Vec<_> = people
            .into_iter()
            .map(|who| {
                let request = self.server().request(Method::POST, "/api/coupons/claim");
                tokio::spawn(request.json(&json!({"user_id": who, "coupon_name": coupon})).send())
            })
            .collect();
        self.crowd.clear();
        for claim in under_way {
            let answer = claim.await.unwrap().unwrap();
            let status = answer.status().as_u16();
            let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            self.crowd
                .push((status, body["code"].as_str().unwrap_or("").to_owned()));
        }
    }

    fn assert_heard(&self, times: usize, status: u16, code: &str) {
        let heard = self
            .crowd
            .iter()
            .filter(|(its, why)| (*its, why.as_str()) == (status, code));
        assert_eq!(heard.count(), times, "{:?}", self.crowd);
    }

    async fn claimed_by(&self, coupon: &str) -> Vec<String> {
        let answer = self.server().get(&format!("/api/coupons/{coupon}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let people = answer.body["claimed_by"].as_array().unwrap().iter();
        people.map(|who| who.as_str().unwrap().to_owned()).collect()
    }
}

#[given("coupons are for people with accounts")]
async fn are_for_people_with_accounts(world: &mut World) {
    world.set("DLC_AUTH__COUPONS", "required");
}

#[given(expr = "{int} coupons {string} are on sale")]
async fn are_on_sale(world: &mut World, amount: i64, coupon: String) {
    has_put_on_sale(world, "somebody".to_owned(), amount, coupon).await;
}

#[given(expr = "{word} has put {int} coupons {string} on sale")]
async fn has_put_on_sale(world: &mut World, who: String, amount: i64, coupon: String) {
    world.sell(&who, amount, &coupon).await;
    assert_eq!(world.answer().status, 201, "{world:?}");
}

#[given(expr = "{word} has claimed {string}")]
async fn has_claimed(world: &mut World, who: String, coupon: String) {
    world.claim(&who, &coupon).await;
    assert_eq!(world.answer().status, 201, "{world:?}");
}

#[when(expr = "{word} puts {int} coupons {string} on sale")]
async fn puts_on_sale(world: &mut World, who: String, amount: i64, coupon: String) {
    world.sell(&who, amount, &coupon).await;
}

#[when(expr = "{word} tries to put {int} coupons {string} on sale")]
async fn tries_to_put_on_sale(world: &mut World, who: String, amount: i64, coupon: String) {
    world.sell(&who, amount, &coupon).await;
}

#[when(regex = r"^somebody puts (-?\d+) coupons with (a .+) on sale$")]
async fn puts_a_name_on_sale(world: &mut World, amount: i64, name: String) {
    world.sell("somebody", amount, &text(&name)).await;
}

#[when(expr = "{word} claims {string}")]
async fn claims(world: &mut World, who: String, coupon: String) {
    world.claim(&who, &coupon).await;
}

#[when(regex = r#"^somebody with (a .+) claims "(.+)"$"#)]
async fn a_name_claims(world: &mut World, name: String, coupon: String) {
    world.claim(&text(&name), &coupon).await;
}

#[when(expr = "{word} claims {string} for herself")]
async fn claims_for_herself(world: &mut World, who: String, coupon: String) {
    let request = world.by(&who, Method::POST, &format!("/api/v1/coupons/{coupon}/claims"));
    world.send(request.json(&json!({}))).await;
}

#[when(expr = "{word} tries to claim {string} for somebody else")]
async fn claims_for_somebody_else(world: &mut World, who: String, coupon: String) {
    let request = world.by(&who, Method::POST, &format!("/api/v1/coupons/{coupon}/claims"));
    world.send(request.json(&json!({"user_id": "somebody else"}))).await;
}

#[when(expr = "{int} people claim {string} at once")]
async fn a_crowd_claims(world: &mut World, people: usize, coupon: String) {
    let people = (1..=people).map(|number| format!("person {number}")).collect();
    world.claim_at_once(people, &coupon).await;
}

#[when(expr = "{word} claims {string} {int} times at once")]
async fn claims_many_times(world: &mut World, who: String, coupon: String, times: usize) {
    world.claim_at_once(vec![who; times], &coupon).await;
}

#[when(regex = r"^somebody writes (.+) past the service$")]
async fn writes_past_the_service(world: &mut World, what: String) {
    let sql = match what.as_str() {
        "a coupon with an amount of 0" => "INSERT INTO coupons (name, amount, remaining_amount) VALUES ('TANGO', 0, 0)",
        "a remaining amount below 0" => "UPDATE coupons SET remaining_amount = -1",
        "a second claim of Ann's" => "INSERT INTO claims (user_id, coupon_name) VALUES ('Ann', 'SALSA')",
        "a claim of a coupon that nobody sells" => "INSERT INTO claims (user_id, coupon_name) VALUES ('Bob', 'TANGO')",
        other => panic!("nobody knows how to write {other:?}"),
    };
    world.refusal = Some(world.database().refusal(sql).await);
}

#[then("the database refuses that")]
async fn is_refused_by_the_database(world: &mut World) {
    let refusal = world.refusal.as_deref().expect("something was written");
    assert!(refusal.to_lowercase().contains("constraint"), "{refusal}");
}

#[then(regex = r"^(?:the claim is granted|that is accepted)$")]
async fn is_granted(world: &mut World) {
    assert_eq!(world.answer().status, 201, "{world:?}");
}

#[then(regex = r"^that is refused because of the (\w+)$")]
async fn is_refused_because_of(world: &mut World, field: String) {
    world.answer().assert_problem(400, "validation_failed");
    let errors = world.answer().body["errors"].as_array().unwrap();
    let fields: Vec<_> = errors.iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, [&field]);
}

#[then("they are told that there is such a coupon already")]
async fn there_is_one(world: &mut World) {
    world.answer().assert_problem(409, "coupon_exists");
}

#[then("the claimer is told that they have it already")]
async fn have_it_already(world: &mut World) {
    world.answer().assert_problem(409, "already_claimed");
}

#[then("the claimer is told that it is sold out")]
async fn is_sold_out(world: &mut World) {
    world.answer().assert_problem(409, "out_of_stock");
}

#[then("the claimer is told that there is no such coupon")]
async fn there_is_none(world: &mut World) {
    world.answer().assert_problem(404, "coupon_not_found");
}

#[then("she is told that she may not")]
async fn may_not(world: &mut World) {
    world.answer().assert_problem(403, "not_allowed");
}

#[then("he is told to sign in")]
async fn has_to_sign_in(world: &mut World) {
    world.answer().assert_problem(401, "authentication_required");
}

#[then(expr = "{int} of them have got it")]
async fn have_got_it(world: &mut World, people: usize) {
    world.assert_heard(people, 201, "");
}

#[then(expr = "{int} of them are told that it is sold out")]
async fn heard_that_it_is_sold_out(world: &mut World, people: usize) {
    world.assert_heard(people, 409, "out_of_stock");
}

#[then(expr = "{int} of them are told that they have it already")]
async fn heard_that_they_have_it(world: &mut World, people: usize) {
    world.assert_heard(people, 409, "already_claimed");
}

#[then(expr = "{int} of {int} coupons {string} are left")]
async fn are_left(world: &mut World, left: i64, amount: i64, coupon: String) {
    let answer = world.server().get(&format!("/api/v1/coupons/{coupon}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = ["amount", "remaining_amount", "claims_count"].map(|name| answer.body[name].as_i64().unwrap());
    assert_eq!(told, [amount, left, amount - left], "{answer:?}");
}

#[then(expr = "nobody has claimed {string}")]
async fn nobody_has_claimed(world: &mut World, coupon: String) {
    assert_eq!(world.claimed_by(&coupon).await, [""; 0]);
}

#[then(regex = r#"^"(.+)" has been claimed by (.+) in that order$"#)]
async fn has_been_claimed_by(world: &mut World, coupon: String, people: String) {
    let people: Vec<_> = people.split(", ").collect();
    assert_eq!(world.claimed_by(&coupon).await, people);
}

#[then("the books add up")]
async fn add_up(world: &mut World) {
    let audit = world.dlc().run(&["coupon", "audit"]).await;
    assert_eq!(audit.code, 0, "{audit:?}");
    assert!(
        audit.stdout.contains("every coupon adds up; looked at 1 coupon"),
        "{audit:?}"
    );
}
