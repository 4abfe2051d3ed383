//! A row, as PostgreSQL's binary COPY has it: the count of its fields, then each one's length (-1 is NULL) and bytes. It is what
//! goes to PostgreSQL and comes from it, and, with its JSON in one form, what is hashed on either side. So SQLite's values are
//! turned into it and back, here, and each is looked at on the way.

use std::borrow::Cow;

use rusqlite::types::ValueRef;

use super::{
    json,
    structure::{Column, Kind, Table},
    times::{self, TimeFault},
};

/// What a binary COPY begins with: signature, flags, length of the extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// And what it ends with: no row has so many fields.
pub(super) const TRAILER: &[u8] = &[0xff, 0xff];
/// Version of jsonb's binary form, before the text.
const JSONB: u8 = 1;

/// What a tuple is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For PostgreSQL.
    Wire,
    /// For hashing.
    Canonical,
}

/// Why a value cannot be moved.
pub(super) type Fault = Cow<'static, str>;

pub(super) fn begin(table: &Table, out: &mut Vec<u8>) {
    // PostgreSQL has 1600 columns at most.
    let count = u16::try_from(table.columns.len()).unwrap_or_default();
    out.extend_from_slice(&count.to_be_bytes());
}

fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i32).to_be_bytes());
}

fn field(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Fault> {
    let length = i32::try_from(bytes.len()).ok().filter(|length| *length < 0x3fff_ffff);
    let length = length.ok_or(Fault::Borrowed("is larger than PostgreSQL takes"))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends a value of SQLite as a field. A value with a fault is NULL there.
pub(super) fn encode(column: &Column, value: ValueRef<'_>, form: Form, out: &mut Vec<u8>) -> Result<(), Fault> {
    let begin = out.len();
    let done = encode_as(column, value, form, out);
    if done.is_err() {
        out.truncate(begin);
        null(out);
    }
    done
}

fn encode_as(column: &Column, value: ValueRef<'_>, form: Form, out: &mut Vec<u8>) -> Result<(), Fault> {
    match (column.kind, value) {
        (_, ValueRef::Null) if column.required => Err("is NULL, which the target does not take here".into()),
        (_, ValueRef::Null) => {
            null(out);
            Ok(())
        }
        (Kind::Integer, ValueRef::Integer(number)) => match i32::try_from(number) {
            Ok(number) => field(out, &number.to_be_bytes()),
            Err(_) => Err("is beyond an integer of 32 bits".into()),
        },
        (Kind::BigInt, ValueRef::Integer(number)) => field(out, &number.to_be_bytes()),
        (Kind::Boolean, ValueRef::Integer(number @ (0 | 1))) => field(out, &[u8::from(number == 1)]),
        (Kind::Boolean, ValueRef::Integer(_)) => Err("is neither 0 nor 1".into()),
        (Kind::Bytes, ValueRef::Blob(bytes)) => field(out, bytes),
        (Kind::Text(limit), ValueRef::Text(text)) => {
            look_at_text(text, limit)?;
            field(out, text)
        }
        (Kind::Time, ValueRef::Text(text)) => match times::parse(text) {
            Ok(microseconds) => field(out, &microseconds.to_be_bytes()),
            Err(TimeFault::Finer) => Err("is finer than a microsecond".into()),
            Err(TimeFault::NoTimestamp) => Err("is no timestamp".into()),
        },
        (Kind::Json, ValueRef::Text(text)) => match form {
            Form::Canonical => append_json(text, out),
            Form::Wire => {
                let length =
                    i32::try_from(text.len() + 1).map_err(|_| Fault::Borrowed("is larger than PostgreSQL takes"))?;
                out.extend_from_slice(&length.to_be_bytes());
                out.push(JSONB);
                out.extend_from_slice(text);
                Ok(())
            }
        },
        (kind, value) => Err(format!("is {} instead of {}", stored_as(value), wanted(kind)).into()),
    }
}

fn stored_as(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "NULL",
        ValueRef::Integer(_) => "a whole number",
        ValueRef::Real(_) => "a number with a point",
        ValueRef::Text(_) => "a text",
        ValueRef::Blob(_) => "a blob",
    }
}

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer | Kind::BigInt => "a whole number",
        Kind::Text(_) => "a text",
        Kind::Boolean => "0 or 1",
        Kind::Bytes => "a blob",
        Kind::Time => "a timestamp",
        Kind::Json => "JSON",
    }
}

fn look_at_text(text: &[u8], limit: Option<usize>) -> Result<(), Fault> {
    let Ok(valid) = std::str::from_utf8(text) else {
        return Err("is not valid UTF-8".into());
    };
    if text.contains(&0) {
        return Err("has a NUL character, which PostgreSQL does not take".into());
    }
    // No character is shorter than a byte.
    if let Some(limit) = limit.filter(|limit| text.len() > *limit) {
        let length = valid.chars().count();
        if length > limit {
            return Err(format!("has {length} characters, the target takes {limit}").into());
        }
    }
    Ok(())
}

/// A document in its one form, its length before it.
fn append_json(text: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let begin = out.len();
    out.extend_from_slice(&[0; 4]);
    json::canonical(text, out).map_err(|fault| Fault::Borrowed(fault.words()))?;
    let length = u32::try_from(out.len() - begin - 4).unwrap_or(u32::MAX);
    out[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Appends a field of PostgreSQL as it is hashed, and says what SQLite would not take.
pub(super) fn rewrite(
    column: &Column,
    bytes: Option<&[u8]>,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let Some(bytes) = bytes else {
        null(out);
        return Ok(());
    };
    match column.kind {
        Kind::Json => {
            let begin = out.len();
            let done = append_json(bytes.get(1..).unwrap_or_default(), out);
            if done.is_err() {
                out.truncate(begin);
                null(out);
            }
            done
        }
        Kind::Time => {
            scratch.clear();
            let readable = read_i64(bytes).and_then(|at| times::write(at, scratch)).is_some();
            field(out, bytes)?;
            if readable {
                Ok(())
            } else {
                Err("is infinite, or in a year without four digits, which has no text".into())
            }
        }
        _ => field(out, bytes),
    }
}

pub(super) fn read_i64(bytes: &[u8]) -> Option<i64> {
    match *bytes {
        [_, _, _, _] => Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?))),
        _ => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
    }
}

/// The text of a jsonb field.
pub(super) fn json_text(bytes: &[u8]) -> &[u8] {
    bytes.get(1..).unwrap_or_default()
}

/// The fields of a tuple.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(tuple: &'a [u8]) -> Self {
        Self(tuple.get(2..).unwrap_or_default())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.0 = rest;
            return Some(None);
        };
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Some(field))
    }
}

/// Cuts tuples out of a stream, however it is chunked.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    buffer: Vec<u8>,
    at: usize,
    begun: bool,
    ended: bool,
}

impl Cutter {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
        } else if self.at > 1 << 16 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next tuple, when it is there as a whole.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        if !self.begun {
            let head = self.buffer.get(..HEADER.len())?;
            let extension = u32::from_be_bytes(head[HEADER.len() - 4..].try_into().ok()?);
            let begin = HEADER.len() + usize::try_from(extension).ok()?;
            if self.buffer.len() < begin {
                return None;
            }
            self.at = begin;
            self.begun = true;
        }
        let rest = self.buffer.get(self.at..)?;
        let count = i16::from_be_bytes(*rest.first_chunk()?);
        if self.ended || count < 0 {
            self.ended = true;
            return None;
        }
        let mut length = 2;
        for _ in 0..count {
            let field = i32::from_be_bytes(*rest.get(length..)?.first_chunk()?);
            length += 4 + usize::try_from(field).unwrap_or_default();
        }
        if rest.len() < length {
            return None;
        }
        let begin = self.at;
        self.at += length;
        Some(&self.buffer[begin..self.at])
    }

    /// Whether the stream came to its proper end.
    pub(super) fn is_complete(&self) -> bool {
        self.ended
    }
}

/// Longest key that is told whole.
const LONGEST_KEY: usize = 80;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_KEY) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let head: String = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("x'{head}{}'", if bytes.len() > 8 { "…" } else { "" })
}

/// One column of a row's key, as it is told.
pub(super) fn key_of_sqlite(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => shortened(&String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => hexadecimal(bytes),
    }
}

/// The same of PostgreSQL.
pub(super) fn key_of_postgres(table: &Table, tuple: &[u8]) -> String {
    let fields: Vec<Option<&[u8]>> = Fields::of(tuple).collect();
    let told = |place: &usize| match (table.columns[*place].kind, fields.get(*place).copied().flatten()) {
        (_, None) => "NULL".to_owned(),
        (Kind::Integer | Kind::BigInt, Some(bytes)) => {
            read_i64(bytes).map_or_else(String::new, |number| number.to_string())
        }
        (Kind::Text(_), Some(bytes)) => shortened(&String::from_utf8_lossy(bytes)),
        (_, Some(bytes)) => hexadecimal(bytes),
    };
    table.key.iter().map(told).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind) -> Column {
        Column {
            name: "c".into(),
            kind,
            required: false,
            serial: false,
        }
    }

    fn fault(kind: Kind, value: ValueRef<'_>) -> Option<String> {
        let mut out = Vec::new();
        let fault = encode(&column(kind), value, Form::Canonical, &mut out).err();
        if fault.is_some() {
            assert_eq!(out, [0xff; 4]);
        }
        fault.map(Cow::into_owned)
    }

    #[test]
    fn values_that_the_target_refuses_have_a_fault() {
        let long = "🎉".repeat(8);
        for (kind, value, words) in [
            (
                Kind::Integer,
                ValueRef::Integer(1 << 31),
                "is beyond an integer of 32 bits",
            ),
            (Kind::Boolean, ValueRef::Integer(2), "is neither 0 nor 1"),
            (
                Kind::Text(Some(7)),
                ValueRef::Text(long.as_bytes()),
                "has 8 characters, the target takes 7",
            ),
            (
                Kind::Text(None),
                ValueRef::Text(b"a\0b"),
                "has a NUL character, which PostgreSQL does not take",
            ),
            (Kind::Text(None), ValueRef::Text(b"\xff"), "is not valid UTF-8"),
            (Kind::Time, ValueRef::Text(b"yesterday"), "is no timestamp"),
            (Kind::Json, ValueRef::Text(b"{"), "is not valid JSON"),
            (Kind::Bytes, ValueRef::Text(b"a"), "is a text instead of a blob"),
            (
                Kind::Text(None),
                ValueRef::Real(1.5),
                "is a number with a point instead of a text",
            ),
        ] {
            assert_eq!(fault(kind, value).as_deref(), Some(words));
        }
        for (kind, value) in [
            (Kind::Integer, ValueRef::Integer(i64::from(i32::MIN))),
            (Kind::Text(Some(8)), ValueRef::Text(long.as_bytes())),
            (Kind::Json, ValueRef::Null),
        ] {
            assert_eq!(fault(kind, value), None);
        }
    }

    #[test]
    fn tuples_are_cut_out_of_a_stream_however_it_comes() {
        let mut stream = HEADER.to_vec();
        let tuples: [&[u8]; 3] = [
            &[0, 1, 0, 0, 0, 2, 7, 7],
            &[0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
            &[0, 1, 0, 0, 0, 1, 9],
        ];
        for tuple in tuples {
            stream.extend_from_slice(tuple);
        }
        stream.extend_from_slice(TRAILER);
        for size in 1..stream.len() {
            let mut cutter = Cutter::default();
            let mut cut = Vec::new();
            for chunk in stream.chunks(size) {
                cutter.feed(chunk);
                while let Some(tuple) = cutter.next() {
                    cut.push(tuple.to_vec());
                }
            }
            assert_eq!(cut, tuples);
            assert!(cutter.is_complete());
        }
        assert_eq!(Fields::of(tuples[1]).collect::<Vec<_>>(), [None, Some(&[][..])]);
    }
}
