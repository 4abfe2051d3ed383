//! JSON in one form, so that what both engines keep of the same document is equal: SQLite keeps the text, PostgreSQL's jsonb
//! sorts keys, keeps the last of those that come twice, and writes numbers out.
//!
//! Keys are sorted by their bytes, the last of equals counts, numbers are digits and a power of ten without zeros at either end
//! (so 1.0, 1 and 10e-1 are one number), texts are unescaped and preceded by their length. It is read by hashing alone.

/// SQLite's own limit (`JSON_MAX_DEPTH`); jsonb's depends on the server's stack, and is beyond it.
const DEEPEST: usize = 1000;
/// What jsonb takes in one document (`JENTRY_OFFLENMASK`).
const LONGEST: usize = 0x0FFF_FFFF;
/// Digits of a jsonb number before the decimal point, and behind it (PostgreSQL's `numeric`).
const MOST_DIGITS: (i64, i64) = (131_072, 16_383);

/// Why a document cannot be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonFault {
    Invalid,
    Nul,
    LoneSurrogate,
    TooDeep,
    NumberTooLarge,
    TooLong,
}

impl JsonFault {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Invalid => "is not valid JSON",
            Self::Nul => "has a \\u0000 in its JSON, which PostgreSQL does not take",
            Self::LoneSurrogate => "has half of a surrogate pair in its JSON, which is no character",
            Self::TooDeep => "has JSON that is nested deeper than 1000 levels",
            Self::NumberTooLarge => "has a number in its JSON with more digits than PostgreSQL takes",
            Self::TooLong => "has more JSON than PostgreSQL takes",
        }
    }
}

/// Appends the one form of a document.
pub(super) fn canonical(text: &[u8], out: &mut Vec<u8>) -> Result<(), JsonFault> {
    if text.len() >= LONGEST {
        return Err(JsonFault::TooLong);
    }
    // Strings are cut out of it as bytes.
    if std::str::from_utf8(text).is_err() {
        return Err(JsonFault::Invalid);
    }
    let mut reader = Reader { text, at: 0 };
    reader.value(out, 0)?;
    reader.blanks();
    if reader.at == text.len() {
        Ok(())
    } else {
        Err(JsonFault::Invalid)
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next character that is no blank.
    fn next_mark(&mut self) -> Option<u8> {
        self.blanks();
        let mark = self.peek();
        self.at += 1;
        mark
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonFault> {
        self.blanks();
        match self.peek() {
            Some(b'{') => self.object(out, depth + 1),
            Some(b'[') => self.array(out, depth + 1),
            Some(b'"') => self.string(out),
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => {
                let word = [&b"true"[..], b"false", b"null"]
                    .into_iter()
                    .find(|word| self.text[self.at.min(self.text.len())..].starts_with(word))
                    .ok_or(JsonFault::Invalid)?;
                self.at += word.len();
                out.push(word[0]);
                Ok(())
            }
        }
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonFault> {
        if depth > DEEPEST {
            return Err(JsonFault::TooDeep);
        }
        self.at += 1;
        out.push(b'[');
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                self.value(out, depth)?;
                match self.next_mark() {
                    Some(b',') => {}
                    Some(b']') => break,
                    _ => return Err(JsonFault::Invalid),
                }
            }
        }
        out.push(b']');
        Ok(())
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonFault> {
        if depth > DEEPEST {
            return Err(JsonFault::TooDeep);
        }
        self.at += 1;
        let mut members: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                let (mut key, mut value) = (Vec::new(), Vec::new());
                self.blanks();
                if self.peek() != Some(b'"') {
                    return Err(JsonFault::Invalid);
                }
                self.string(&mut key)?;
                if self.next_mark() != Some(b':') {
                    return Err(JsonFault::Invalid);
                }
                self.value(&mut value, depth)?;
                members.push((key, value));
                match self.next_mark() {
                    Some(b',') => {}
                    Some(b'}') => break,
                    _ => return Err(JsonFault::Invalid),
                }
            }
        }
        // Equal keys stay in their order, and the last one counts.
        members.sort_by(|one, other| one.0.cmp(&other.0));
        out.push(b'{');
        for (index, (key, value)) in members.iter().enumerate() {
            if members.get(index + 1).is_none_or(|(next, _)| next != key) {
                out.extend_from_slice(key);
                out.extend_from_slice(value);
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), JsonFault> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let c = self.peek().ok_or(JsonFault::Invalid)?;
            self.at += 1;
            match c {
                b'"' => break,
                b'\\' => {
                    let escaped = self.peek().ok_or(JsonFault::Invalid)?;
                    self.at += 1;
                    match escaped {
                        b'"' | b'\\' | b'/' => text.push(escaped),
                        b'b' => text.push(8),
                        b'f' => text.push(12),
                        b'n' => text.push(b'\n'),
                        b'r' => text.push(b'\r'),
                        b't' => text.push(b'\t'),
                        b'u' => {
                            let c = self.escaped_character()?;
                            text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                        _ => return Err(JsonFault::Invalid),
                    }
                }
                0..=0x1F => return Err(JsonFault::Invalid),
                c => text.push(c),
            }
        }
        out.push(b's');
        out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        out.extend_from_slice(&text);
        Ok(())
    }

    fn four(&mut self) -> Result<u32, JsonFault> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(JsonFault::Invalid)?;
        self.at += 4;
        digits.iter().try_fold(0, |number, c| {
            let digit = char::from(*c).to_digit(16).ok_or(JsonFault::Invalid)?;
            Ok(number * 16 + digit)
        })
    }

    fn escaped_character(&mut self) -> Result<char, JsonFault> {
        let first = self.four()?;
        let code = match first {
            0 => return Err(JsonFault::Nul),
            0xD800..=0xDBFF => {
                if self.text.get(self.at..self.at + 2) != Some(b"\\u") {
                    return Err(JsonFault::LoneSurrogate);
                }
                self.at += 2;
                let second = self.four()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(JsonFault::LoneSurrogate);
                }
                0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            code => code,
        };
        char::from_u32(code).ok_or(JsonFault::LoneSurrogate)
    }

    /// Takes digits, at least one.
    fn digits(&mut self) -> Result<&[u8], JsonFault> {
        let begin = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == begin {
            Err(JsonFault::Invalid)
        } else {
            Ok(&self.text[begin..self.at])
        }
    }

    fn number(&mut self, out: &mut Vec<u8>) -> Result<(), JsonFault> {
        let is_negative = self.peek() == Some(b'-');
        self.at += usize::from(is_negative);
        let mut digits = self.digits()?.to_vec();
        if digits.len() > 1 && digits[0] == b'0' {
            return Err(JsonFault::Invalid);
        }
        let mut behind = 0_i64;
        if self.peek() == Some(b'.') {
            self.at += 1;
            let fraction = self.digits()?;
            behind = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
            digits.extend_from_slice(fraction);
        }
        let mut exponent = 0_i64;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            let down = self.peek() == Some(b'-');
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            let places = self.digits()?.iter().fold(0_i64, |number, c| {
                number.saturating_mul(10).saturating_add(i64::from(c - b'0'))
            });
            // PostgreSQL reads no exponent beyond, whatever the digits are.
            if places >= i64::from(i32::MAX / 2) {
                return Err(JsonFault::NumberTooLarge);
            }
            exponent = if down { -places } else { places };
        }
        if behind - exponent > MOST_DIGITS.1 {
            return Err(JsonFault::NumberTooLarge);
        }
        let zeros = digits.iter().take_while(|c| **c == b'0').count();
        let mut significant = &digits[zeros..];
        if significant.is_empty() {
            out.extend_from_slice(b"n0;");
            return Ok(());
        }
        let mut power = exponent - behind;
        if i64::try_from(significant.len()).unwrap_or(i64::MAX) + power > MOST_DIGITS.0 {
            return Err(JsonFault::NumberTooLarge);
        }
        while let [rest @ .., b'0'] = significant {
            significant = rest;
            power += 1;
        }
        out.push(if is_negative { b'm' } else { b'n' });
        out.extend_from_slice(significant);
        out.extend_from_slice(format!("e{power};").as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Result<Vec<u8>, JsonFault> {
        let mut out = Vec::new();
        canonical(text.as_bytes(), &mut out).map(|()| out)
    }

    #[test]
    fn what_jsonb_makes_of_a_document_is_the_same_document() {
        for (written, kept) in [
            (r#"{"b": 1, "a": 2}"#, r#"{"a":2,"b":1}"#),
            (r#"{"a": 1, "b": 0, "a": 2}"#, r#"{"a":2,"b":0}"#),
            (
                "[1e3, 1.0, -0, -0.0, 1.50, 12e-1, 100E+2]",
                "[1000,1.0,0,0.0,1.50,1.2,10000]",
            ),
            (r#""\u00e9\ud83d\ude00\n\/""#, "\"é😀\\n/\""),
            (" [ true , false , null , { } , [ ] ] ", "[true,false,null,{},[]]"),
        ] {
            assert_eq!(form(written), form(kept), "{written}");
            assert!(form(written).is_ok(), "{written}");
        }
    }

    #[test]
    fn other_documents_are_others() {
        let documents = [
            "1",
            "10",
            "-1",
            "0.1",
            "\"1\"",
            "\"\"",
            "[]",
            "{}",
            "[[]]",
            "[1,2]",
            "[2,1]",
            "[12]",
            "[1,[2]]",
            "[[1],2]",
            "true",
            "null",
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":1,"b":1}"#,
            r#"["a",1,"b",1]"#,
            "\"s\"",
            "\"e\u{301}\"",
            "\"é\"",
        ];
        for (index, one) in documents.iter().enumerate() {
            for other in &documents[index + 1..] {
                assert_ne!(form(one).unwrap(), form(other).unwrap(), "{one} {other}");
            }
        }
    }

    #[test]
    fn what_jsonb_refuses_is_refused() {
        for (text, fault) in [
            ("\"\\u0000\"".to_owned(), JsonFault::Nul),
            ("\"\\ud800\"".to_owned(), JsonFault::LoneSurrogate),
            ("\"\\udc00\"".to_owned(), JsonFault::LoneSurrogate),
            ("\"\\ud800\\u0041\"".to_owned(), JsonFault::LoneSurrogate),
            ("[".repeat(1001) + &"]".repeat(1001), JsonFault::TooDeep),
            ("1e131072".to_owned(), JsonFault::NumberTooLarge),
            ("1e-16384".to_owned(), JsonFault::NumberTooLarge),
            ("1e99999999999999999999".to_owned(), JsonFault::NumberTooLarge),
        ] {
            assert_eq!(form(&text), Err(fault), "{text:.40}");
        }
        for text in [
            "",
            " ",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "tru",
            "{a:1}",
            "[1,]",
            "{\"a\":1,}",
            "\"\t\"",
            "'a'",
            "1 2",
            "[1",
            "\"a",
        ] {
            assert_eq!(form(text), Err(JsonFault::Invalid), "{text:?}");
        }
        for text in [
            "[".repeat(1000) + &"]".repeat(1000),
            "1e131071".to_owned(),
            "1e-16383".to_owned(),
        ] {
            assert!(form(&text).is_ok(), "{text:.40}");
        }
    }
}
