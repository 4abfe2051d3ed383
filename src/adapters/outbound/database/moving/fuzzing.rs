//! What holds for whatever bytes `db move` reads: documents, times, rows and the stream that they come in (see `fuzzing`).

// A property says that it does not hold by panicking.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use rusqlite::types::ValueRef;
use serde_json::Value;

use super::{
    json::{JsonFault, canonical},
    structure::{Column, Kind},
    times::{self, TimeFault},
    tuple::{self, Cutter, Fields, Form, HEADER},
};

/// Whether a document has nothing but numbers that serde_json keeps as they are.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        _ => true,
    }
}

fn form(text: &[u8]) -> Result<Vec<u8>, JsonFault> {
    let mut out = Vec::new();
    canonical(text, &mut out).map(|()| out)
}

/// A document is one where serde_json says so, but for what PostgreSQL does not take; it has one form however it is written, and
/// another document has another one.
pub(crate) fn json(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == 0xff);
    let (one, other) = (halves.next().unwrap_or_default(), halves.next());
    let (made, read) = (form(one), serde_json::from_slice::<Value>(one));
    match (&made, &read) {
        (Ok(made), Ok(value)) if is_exact(value) => {
            let rewritten = form(value.to_string().as_bytes());
            assert_eq!(rewritten.as_ref(), Ok(made), "{value}");
            let indented = form(format!("\r\n{value:#}\t").as_bytes());
            assert_eq!(indented.as_ref(), Ok(made), "{value}");
        }
        (Err(JsonFault::Invalid), Ok(value)) => panic!("{value} is a document"),
        (Ok(_), Err(error)) => {
            let words = error.to_string();
            let is_a_limit = words.starts_with("recursion limit") || words.starts_with("number out of range");
            assert!(is_a_limit, "it is no document: {words}");
        }
        _ => {}
    }
    if let (Ok(made), Ok(read), Some(other)) = (made, read, other)
        && let (Ok(made_of_other), Ok(read_of_other)) = (form(other), serde_json::from_slice::<Value>(other))
        && is_exact(&read)
        && is_exact(&read_of_other)
    {
        assert_eq!(made == made_of_other, read == read_of_other, "{read} {read_of_other}");
    }
}

fn epoch() -> DateTime<Utc> {
    "2000-01-01T00:00:00Z".parse().unwrap()
}

/// A time is the one that chrono reads, and is read again as it was written.
pub(crate) fn time(data: &[u8]) {
    let written = |number: i64| {
        let mut out = Vec::new();
        times::write(number, &mut out).map(|()| String::from_utf8(out).expect("digits"))
    };
    let parsed = times::parse(data);
    let by_chrono = std::str::from_utf8(data)
        .ok()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    match (parsed, by_chrono) {
        (Ok(number), Some(time)) => {
            assert_eq!(epoch() + TimeDelta::microseconds(number), time, "{time}");
        }
        // A leap second has no place in either database, and a fraction of seven digits none in PostgreSQL.
        (Err(TimeFault::NoTimestamp), Some(time)) => assert!(time.nanosecond() >= 1_000_000_000, "{time}"),
        // chrono leaves out what is finer than nanoseconds.
        (Err(TimeFault::Finer), Some(time)) => {
            let mut after = data.split(|byte| *byte == b'.').nth(1).unwrap_or_default().iter();
            let is_cut = after.by_ref().take_while(|byte| byte.is_ascii_digit()).count() > 9;
            assert!(is_cut || time.nanosecond() % 1000 != 0, "{time}");
        }
        _ => {}
    }
    if let Ok(number) = parsed
        && let Some(text) = written(number)
    {
        assert_eq!(times::parse(text.as_bytes()), Ok(number), "{text}");
    }
    let Some(number) = data.first_chunk().map(|bytes| i64::from_be_bytes(*bytes)) else {
        return;
    };
    // As it is, and where most times are.
    for number in [number, number % 252_455_616_000_000_000] {
        if let Some(text) = written(number) {
            assert_eq!(times::parse(text.as_bytes()), Ok(number), "{text}");
            let read = DateTime::parse_from_rfc3339(&text).expect("it is RFC 3339");
            assert_eq!(epoch() + TimeDelta::microseconds(number), read, "{text}");
        }
    }
}

/// A value of SQLite is one field on its way to PostgreSQL, and what is hashed of it is the same on both sides.
pub(crate) fn row(data: &[u8]) {
    let [kind, value, data @ ..] = data else { return };
    let kinds = [
        Kind::Integer,
        Kind::BigInt,
        Kind::Text(None),
        Kind::Text(Some(3)),
        Kind::Boolean,
        Kind::Bytes,
        Kind::Time,
        Kind::Json,
    ];
    let column = Column {
        name: "c".to_owned(),
        kind: kinds[usize::from(*kind) % kinds.len()],
        required: kind & 0x80 != 0,
        serial: false,
    };
    let number = data
        .first_chunk()
        .map(|bytes| i64::from_be_bytes(*bytes))
        .unwrap_or_default();
    let value = match value % 6 {
        0 => ValueRef::Null,
        1 => ValueRef::Integer(number),
        2 => ValueRef::Integer(number % 3),
        3 => ValueRef::Real(f64::from_bits(number.cast_unsigned())),
        4 => ValueRef::Text(data),
        _ => ValueRef::Blob(data),
    };
    let (mut wire, mut canonical) = (vec![0, 1], vec![0, 1]);
    let on_the_wire = tuple::encode(&column, value, Form::Wire, &mut wire);
    let hashed = tuple::encode(&column, value, Form::Canonical, &mut canonical);
    let fields: Vec<Option<&[u8]>> = Fields::of(&wire).collect();
    let [field] = fields[..] else {
        panic!("{} fields of one value", fields.len())
    };
    assert_eq!(Fields::of(&canonical).count(), 1);
    if on_the_wire.is_err() {
        assert_eq!(field, None, "a value with a fault");
        assert!(hashed.is_err());
    }
    if hashed.is_ok() {
        let (mut scratch, mut again) = (Vec::new(), vec![0, 1]);
        let rewritten = tuple::rewrite(&column, field, &mut scratch, &mut again);
        // What SQLite has is what SQLite takes, but for a time that an offset moves out of the years with four digits.
        assert!(rewritten.is_ok() || column.kind == Kind::Time, "{rewritten:?}");
        assert_eq!(again, canonical, "the same row has two sums");
    }
    // What the other side sends need not be what was expected.
    let mut out = Vec::new();
    let _ = tuple::rewrite(&column, Some(data), &mut Vec::new(), &mut out);
    assert!(!out.is_empty());
    let _ = tuple::key_of_sqlite(value);
}

/// Tuples are the same ones however the stream is chunked, and nothing of it is lost or told twice.
pub(crate) fn stream(data: &[u8]) {
    let [size, data @ ..] = data else { return };
    let stream = [HEADER, data].concat();
    let cut = |size: usize| {
        let mut cutter = Cutter::default();
        let mut tuples = Vec::new();
        for chunk in stream.chunks(size) {
            cutter.feed(chunk);
            while let Some(tuple) = cutter.next() {
                tuples.push(tuple.to_vec());
            }
        }
        (tuples, cutter.is_complete())
    };
    let whole = cut(stream.len());
    assert_eq!(cut(usize::from(*size).max(1)), whole);
    let (tuples, _) = whole;
    assert!(data.starts_with(&tuples.concat()), "tuples are not what was sent");
    for tuple in tuples {
        let count = u16::from_be_bytes([tuple[0], tuple[1]]);
        assert_eq!(Fields::of(&tuple).count(), usize::from(count), "{tuple:?}");
    }
}
