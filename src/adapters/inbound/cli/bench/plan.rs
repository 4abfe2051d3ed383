//! Who claims which coupon, and in which bytes: all of it follows from a claim's number, so that connections take numbers and
//! agree on nothing else.

use super::service::Service;

/// Digits of a number in a request; always as many, so that a request's length is known beforehand.
const DIGITS: usize = 10;

/// What is claimed, or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Number of the coupon.
    pub(super) coupon: usize,
    /// Number of the person.
    pub(super) person: u64,
}

/// How turns follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// How many coupons there are.
    pub(super) coupons: u64,
    /// Percent of all turns that are the first coupon's; the others share the rest evenly.
    pub(super) hot_share: Option<u8>,
    /// Every so many turns the one before is taken again.
    pub(super) same_user_every: Option<u64>,
}

impl Plan {
    /// What is done at a turn.
    pub(super) fn turn(&self, number: u64) -> Turn {
        // Persons are numbered without gaps, so that those who come again are nobody's share.
        let person = self.same_user_every.map_or(number, |every| {
            let again = number % every == every - 1;
            number - number / every - u64::from(again)
        });
        Turn {
            coupon: usize::try_from(self.coupon(person)).unwrap_or_default(),
            person,
        }
    }

    fn coupon(&self, number: u64) -> u64 {
        let Some(share) = self.hot_share.filter(|_| self.coupons > 1) else {
            return number % self.coupons;
        };
        // The hot one's turns lie as far apart as they can.
        let hot_before = |number: u64| number * u64::from(share) / 100;
        let hot = hot_before(number);
        if hot_before(number + 1) > hot {
            0
        } else {
            1 + (number - hot) % (self.coupons - 1)
        }
    }
}

/// Requests, ready but for their numbers.
#[derive(Debug)]
pub(super) struct Requests(Vec<Template>);

#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    /// Where the number of the turn goes.
    key: Option<usize>,
    /// Where the number of the person goes.
    person: Option<usize>,
}

impl Requests {
    /// Claims; names of persons and keys begin with the run's.
    pub(super) fn claims(service: &Service, coupons: &[String], run: &str, keyed: bool) -> Self {
        let number = "0".repeat(DIGITS);
        let body = format!("{{\"user_id\":\"{run}-{number}\"}}");
        let template = |name: &String| {
            let mut head = service.head("POST", &format!("{}/claims", Service::coupon(name)));
            head.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            ));
            let key = keyed.then(|| {
                head.push_str(&format!("Idempotency-Key: {run}-{number}\r\n"));
                head.len() - 2 - DIGITS
            });
            let bytes = format!("{head}\r\n{body}").into_bytes();
            let person = Some(bytes.len() - 2 - DIGITS);
            Template { bytes, key, person }
        };
        Self(coupons.iter().map(template).collect())
    }

    /// Reads.
    pub(super) fn reads(service: &Service, coupons: &[String]) -> Self {
        let template = |name: &String| Template {
            bytes: format!("{}\r\n", service.head("GET", &Service::coupon(name))).into_bytes(),
            key: None,
            person: None,
        };
        Self(coupons.iter().map(template).collect())
    }

    /// The request of a turn, instead of whatever is there.
    pub(super) fn write(&self, number: u64, turn: Turn, request: &mut Vec<u8>) {
        let template = &self.0[turn.coupon];
        request.clear();
        request.extend_from_slice(&template.bytes);
        for (place, number) in [(template.key, number), (template.person, turn.person)] {
            if let Some(place) = place {
                put(number, &mut request[place..place + DIGITS]);
            }
        }
    }
}

fn put(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(plan: Plan, count: u64) -> Vec<Turn> {
        (0..count).map(|number| plan.turn(number)).collect()
    }

    #[test]
    fn without_a_hot_coupon_all_get_the_same_and_everybody_is_new() {
        let plan = Plan {
            coupons: 4,
            hot_share: None,
            same_user_every: None,
        };
        let turns = turns(plan, 400);
        for coupon in 0..4 {
            assert_eq!(turns.iter().filter(|turn| turn.coupon == coupon).count(), 100);
        }
        assert!(turns.iter().zip(0..).all(|(turn, number)| turn.person == number));
    }

    #[test]
    fn a_hot_coupon_gets_its_share_exactly_and_the_others_the_rest_evenly() {
        for share in [0, 1, 30, 50, 99, 100] {
            let plan = Plan {
                coupons: 11,
                hot_share: Some(share),
                same_user_every: None,
            };
            let turns = turns(plan, 10_000);
            let of = |coupon: usize| turns.iter().filter(|turn| turn.coupon == coupon).count();
            let hot = 100 * usize::from(share);
            assert_eq!(of(0), hot);
            assert!((1..11).all(|coupon| of(coupon).abs_diff((10_000 - hot) / 10) <= 1));
        }
    }

    #[test]
    fn every_third_claim_is_the_one_before_again() {
        let plan = Plan {
            coupons: 2,
            hot_share: None,
            same_user_every: Some(3),
        };
        let told: Vec<(usize, u64)> = turns(plan, 6).iter().map(|turn| (turn.coupon, turn.person)).collect();
        assert_eq!(told, [(0, 0), (1, 1), (1, 1), (0, 2), (1, 3), (1, 3)]);
    }

    #[test]
    fn a_request_has_its_numbers_at_their_places() {
        let service = Service::named("http://[::1]:7/base/").unwrap();
        let requests = Requests::claims(&service, &["a b".to_owned()], "run", true);
        let mut request = b"something".to_vec();
        let turn = Turn { coupon: 0, person: 41 };
        requests.write(42, turn, &mut request);
        let expected = "POST /base/api/v1/coupons/a%20b/claims HTTP/1.1\r\nHost: [::1]:7\r\nContent-Type: application/json\r\n\
                        Content-Length: 28\r\nIdempotency-Key: run-0000000042\r\n\r\n{\"user_id\":\"run-0000000041\"}";
        assert_eq!(String::from_utf8(request).unwrap(), expected);
    }
}
