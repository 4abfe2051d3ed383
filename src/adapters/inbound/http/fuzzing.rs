//! What holds for whatever headers, parameters and bodies requests bring (see `crate::fuzzing`).

// A property says that it does not hold by panicking.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::net::IpAddr;

use dlc_application::ports::{
    coupons::ClaimPosition,
    freshness::{Freshness, Position},
    greetings::HistoryPosition,
};
use dlc_domain::{
    coupons::CouponName,
    greetings::{ContextError, GreetingContext},
    users::UserId,
};
use poem::http::{HeaderMap, HeaderName, HeaderValue, header};
use poem_openapi::{
    Object,
    types::{ParseFromParameter, ToJSON},
};
use serde_json::Value;

use super::{
    bearer::{self, Presented},
    body,
    client::TrustedProxies,
    freshness, gzip,
    headers::Said,
    idempotency::Key,
    pages::{PageLimit, Place},
    preconditions,
    problem::Problem,
    scalars::{Amount, ChosenName, ChosenPassword, Id, JsonObject, ShortText, TypedText},
};

/// A header that comes in several lines, as far as hyper would let it through.
fn lines(name: &HeaderName, data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line.trim_ascii()) {
            headers.append(name, value);
        }
    }
    headers
}

fn line(name: &HeaderName, text: &str) -> Option<HeaderMap> {
    let value = HeaderValue::from_str(text).ok()?;
    Some(HeaderMap::from_iter([(name.clone(), value)]))
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

/// A key is one line of 1 to 255 visible ASCII characters, taken as it is; anything else is refused, and is not taken for none.
pub(crate) fn idempotency_key(data: &[u8]) {
    let name = HeaderName::from_static("idempotency-key");
    let headers = lines(&name, data);
    let read = Key::read(&headers);
    let is_key = |value: &[u8]| (1..=255).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    match (values(&headers, &name).as_slice(), read) {
        ([], Ok(key)) => assert_eq!(key, Key(None)),
        ([value], Ok(key)) => {
            assert!(is_key(value), "{value:?} is a key");
            assert_eq!(key, Key(Some(std::str::from_utf8(value).unwrap().to_owned())));
        }
        ([value], Err(_)) => assert!(!is_key(value), "{value:?} is no key"),
        (others, read) => assert!(read.is_err(), "{others:?} is a key"),
    }
}

/// A list of entity tags names each of its tags and no other one, however it is put together; one that is no list names nothing that
/// does not stand in it.
pub(crate) fn preconditions(data: &[u8]) {
    let name = header::IF_MATCH;
    let headers = lines(&name, data);
    let etag = "\"tag\"";
    let [strongly, weakly] = [false, true].map(|weakly| preconditions::names(&headers, name.clone(), etag, weakly));
    assert!(weakly || !strongly, "{headers:?} is strong and not weak");
    let stands =
        |value: &[u8]| value.trim_ascii() == b"*" || value.windows(etag.len()).any(|part| part == etag.as_bytes());
    assert!(
        !weakly || values(&headers, &name).into_iter().any(stands),
        "{headers:?}"
    );

    let mut tags: Vec<(bool, String)> = Vec::new();
    let mut list = String::new();
    for part in data.split(|byte| *byte == b'\n') {
        let [way, text @ ..] = part else { continue };
        let is_etag = |byte: &&u8| **byte == 0x21 || (0x23..=0x7e).contains(*byte);
        let tag: String = text.iter().filter(is_etag).map(|byte| char::from(*byte)).collect();
        let tag = format!("\"{tag}\"");
        list.push_str([",", ", ", " ,\t", ",,"][usize::from(way >> 1) % 4]);
        list.push_str(if way & 1 == 1 { "W/" } else { "" });
        list.push_str(&tag);
        tags.push((way & 1 == 1, tag));
    }
    let Some(headers) = line(&name, &list) else { return };
    let asked = tags.iter().map(|(_, tag)| tag.as_str()).chain([etag, "\"\"", "\"*\""]);
    for asked in asked {
        for weakly in [false, true] {
            let expected = tags.iter().any(|(is_weak, tag)| tag == asked && (weakly || !is_weak));
            let named = preconditions::names(&headers, name.clone(), asked, weakly);
            assert_eq!(named, expected, "{asked} in {list}, weakly: {weakly}");
        }
    }
}

/// A position is said once, and is the one that is written again.
pub(crate) fn read_after(data: &[u8]) {
    let headers = lines(&freshness::NAME, data);
    let read = Freshness::read(&headers);
    match (values(&headers, &freshness::NAME).as_slice(), read) {
        ([], Ok(Freshness::MayLag(own))) => assert_eq!(own.after, None),
        ([value], Ok(Freshness::MayLag(own))) => {
            let position = own.after.expect("what is said is not dropped");
            assert_eq!(position.to_string().parse(), Ok(position));
            let bare = |text: &str| {
                let halves: Vec<String> = text
                    .split('/')
                    .map(|half| half.trim_start_matches('0').to_uppercase())
                    .collect();
                halves.join("/")
            };
            let said = std::str::from_utf8(value).unwrap();
            assert_eq!(bare(&position.to_string()), bare(said), "{said}");
        }
        (said, read) => assert!(read.is_err(), "{said:?}"),
    }
    if let Some(number) = data.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)) {
        assert_eq!(Position(number).to_string().parse(), Ok(Position(number)));
    }
}

fn is_kept<P: Place + PartialEq + std::fmt::Debug>(text: &str) {
    if let Some(place) = P::read(text) {
        assert_eq!(P::read(&place.write()).as_ref(), Some(&place), "{text:?}");
    }
}

/// A page has 1 to 100 items, and a place in a list is the same when it has been written into a cursor and read again.
pub(crate) fn page(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let limit = PageLimit::parse_from_parameter(text).ok();
    let expected = text.parse::<u64>().ok().filter(|number| (1..=100).contains(number));
    let limit = limit.map(|limit| limit.to_json().unwrap());
    assert_eq!(limit, expected.map(Value::from), "{text:?}");
    is_kept::<HistoryPosition>(text);
    is_kept::<CouponName>(text);
    is_kept::<ClaimPosition>(text);
    is_kept::<UserId>(text);
    let number = Id::parse_from_parameter(text).unwrap_or(Id(None)).0;
    assert_eq!(number, text.parse().ok());
}

/// A token is what follows the word, once, without blanks; whoever sends the header has presented something.
pub(crate) fn bearer(data: &[u8]) {
    let headers = lines(&header::AUTHORIZATION, data);
    let given = values(&headers, &header::AUTHORIZATION);
    match bearer::presented(&headers) {
        Presented::Nothing => assert!(given.is_empty(), "{given:?} is nothing"),
        Presented::Token(token) => {
            let [value] = given[..] else { panic!("one of {given:?}") };
            let (word, rest) = value.split_at(7);
            assert!(word.eq_ignore_ascii_case(b"bearer "), "{value:?}");
            assert_eq!(rest.trim_ascii(), token.as_bytes());
            assert_eq!(token, token.trim());
        }
        Presented::NoToken => assert!(!given.is_empty()),
    }
}

/// Nobody but a trusted proxy says where a request comes from, and what stands left of an address that is not one counts for nothing.
pub(crate) fn forwarded(data: &[u8]) {
    let name = HeaderName::from_static("x-forwarded-for");
    let headers = lines(&name, data);
    let proxies = TrustedProxies(
        ["10.0.0.0/8", "fd00::/8"]
            .map(|network| network.parse().unwrap())
            .to_vec(),
    );
    let is_proxy = |address: IpAddr| proxies.0.iter().any(|network| network.contains(&address));
    let [proxy, stranger] = ["10.0.0.1", "192.0.2.1"].map(|address| address.parse::<IpAddr>().unwrap());
    assert_eq!(proxies.client(stranger, &headers), stranger);
    assert_eq!(TrustedProxies::default().client(proxy, &headers), proxy);
    let client = proxies.client(proxy, &headers);
    assert_eq!(client, client.to_canonical());
    let mut more = HeaderMap::new();
    more.append(&name, HeaderValue::from_static("203.0.113.9"));
    for value in headers.get_all(&name) {
        more.append(&name, value.clone());
    }
    let with_more = proxies.client(proxy, &more);
    if is_proxy(client) {
        // Every address was a proxy's, or what stands before the client is none.
        assert!(
            with_more == client || with_more.to_string() == "203.0.113.9",
            "{headers:?}"
        );
    } else {
        assert_eq!(with_more, client, "{headers:?}");
    }
}

/// Who takes gzip does not depend on capitals, on lines, or on what else is taken; whoever says nothing takes nothing.
pub(crate) fn accept_encoding(data: &[u8]) {
    let name = header::ACCEPT_ENCODING;
    let headers = lines(&name, data);
    let is_accepted = gzip::is_accepted(&headers);
    assert!(!headers.is_empty() || !is_accepted);
    let changed = |change: fn(&[u8]) -> Vec<u8>| {
        let mut changed = HeaderMap::new();
        for value in headers.get_all(&name) {
            changed.append(&name, HeaderValue::from_bytes(&change(value.as_bytes())).unwrap());
        }
        gzip::is_accepted(&changed)
    };
    assert_eq!(
        changed(<[u8]>::to_ascii_uppercase),
        is_accepted,
        "{headers:?} in capitals"
    );
    assert_eq!(
        changed(|value| [value, b", identity"].concat()),
        is_accepted,
        "{headers:?} and more"
    );
    let gzip = values(&headers, &name).join(&b", "[..]).to_ascii_lowercase();
    if !gzip.windows(4).any(|word| word == b"gzip") && !gzip.contains(&b'*') {
        assert!(!is_accepted, "{headers:?} names no gzip");
    }
}

/// Every kind of field that bodies have.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
struct Probe {
    name: ShortText,
    amount: Amount,
    username: Option<ChosenName>,
    password: Option<ChosenPassword>,
    token: Option<TypedText>,
    id: Option<Id>,
    context: Option<JsonObject>,
}

/// Stands where a value is a text.
const CANARY: &str = "canary";

fn with_canaries(value: Value) -> Value {
    match value {
        Value::String(_) => Value::from(CANARY),
        Value::Array(items) => items.into_iter().map(with_canaries).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, with_canaries(value)))
            .collect(),
        other => other,
    }
}

fn told(problem: &Problem) -> String {
    format!("{} {:?}", problem.detail, problem.errors)
}

/// A body that is refused is refused with a reason, and without a value of it; one that is taken is taken as it is.
pub(crate) fn body(data: &[u8]) {
    match body::read::<Probe>(data) {
        Ok(mut probe) => {
            // A number that is nobody's is not written again.
            probe.id = probe.id.filter(|id| id.0.is_some());
            let again = body::read::<Probe>(probe.to_json_string().as_bytes());
            assert_eq!(again.ok().as_ref(), Some(&probe));
        }
        Err(problem) => {
            assert!(problem.status.is_client_error());
            assert!(told(&problem).len() > 20, "{problem:?}");
        }
    }
    let Ok(value) = serde_json::from_slice(data) else {
        return;
    };
    let names = String::from_utf8_lossy(data);
    if names.contains(CANARY) || names.contains('\\') {
        return;
    }
    if let Err(problem) = body::read::<Probe>(with_canaries(value).to_string().as_bytes()) {
        assert!(!told(&problem).contains(CANARY), "{problem:?}");
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// What is remembered with a greeting is judged from its text as it would be from the document itself.
pub(crate) fn greeting_context(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let text = value.to_string();
    let is_too_large = text.len() > GreetingContext::MAX_BYTES;
    match GreetingContext::parse(text.clone()) {
        Ok(context) => {
            assert!(value.is_object() && !is_too_large && !has_nul(&value), "{value}");
            assert!(depth(&value) <= GreetingContext::MAX_DEPTH, "{value}");
            assert_eq!(context.as_str(), text);
        }
        Err(ContextError::NoObject) => assert!(!value.is_object(), "{value}"),
        // Numbers with exponents are longer than they look.
        Err(ContextError::TooLarge) => assert!(is_too_large || text.contains('e'), "{value}"),
        Err(ContextError::TooDeep) => assert!(depth(&value) > GreetingContext::MAX_DEPTH, "{value}"),
        Err(ContextError::Nul) => assert!(has_nul(&value), "{value}"),
    }
}
