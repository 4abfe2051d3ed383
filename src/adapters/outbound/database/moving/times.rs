//! Timestamps: SQLite's text and PostgreSQL's number, microseconds since 2000-01-01 00:00 UTC. By hand, because a million rows
//! have several each.

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;
/// Days between 0000-03-01 and 2000-01-01, in the calendar that goes on backwards as it is now.
const DAYS_TO_2000: i64 = 730_425;

/// Why a text is no timestamp that can be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeFault {
    NoTimestamp,
    Finer,
}

/// Days since 2000-01-01 of a date that exists.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - DAYS_TO_2000)
}

/// Reads so many digits at a place.
fn digits(text: &[u8], at: usize, count: usize) -> Option<i64> {
    let text = text.get(at..at + count)?;
    text.iter().try_fold(0, |number, c| {
        c.is_ascii_digit().then(|| number * 10 + i64::from(c - b'0'))
    })
}

/// Reads what the service reads: RFC 3339, with a blank for the `T`, too, without seconds, and without an offset (that is UTC).
pub(super) fn parse(text: &[u8]) -> Result<i64, TimeFault> {
    let none = TimeFault::NoTimestamp;
    let is = |at: usize, wanted: &[u8]| text.get(at).is_some_and(|c| wanted.contains(c));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":")) {
        return Err(none);
    }
    let number = |at, count| digits(text, at, count).ok_or(none);
    let day = days(number(0, 4)?, number(5, 2)?, number(8, 2)?).ok_or(none)?;
    let (hour, minute) = (number(11, 2)?, number(14, 2)?);
    let mut at = 16;
    let mut second = 0;
    if is(at, b":") {
        second = number(at + 1, 2)?;
        at += 3;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err(none);
    }
    let mut fraction = 0;
    if is(at, b".") {
        at += 1;
        let begin = at;
        let mut unit = 100_000;
        while let Some(digit) = text.get(at).filter(|c| c.is_ascii_digit()) {
            if unit == 0 && *digit != b'0' {
                return Err(TimeFault::Finer);
            }
            fraction += i64::from(digit - b'0') * unit;
            unit /= 10;
            at += 1;
        }
        if at == begin {
            return Err(none);
        }
    }
    let offset = match text.get(at..) {
        Some(b"" | b"Z" | b"z" | b"+00:00") => 0,
        Some([sign @ (b'+' | b'-'), rest @ ..]) if rest.len() == 5 && rest[2] == b':' => {
            let (hours, minutes) = (digits(rest, 0, 2).ok_or(none)?, digits(rest, 3, 2).ok_or(none)?);
            if hours > 23 || minutes > 59 {
                return Err(none);
            }
            let minutes = hours * 60 + minutes;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return Err(none),
    };
    let minutes = hour * 60 + minute - offset;
    Ok(day * MICROSECONDS_PER_DAY + (minutes * 60 + second) * 1_000_000 + fraction)
}

/// Writes it as the service does, because SQLite compares text: `2026-11-22T10:00:00.123456+00:00`, the fraction left out, or in
/// three digits, where that is all of it. `None`: PostgreSQL's infinity, or a year that has no four digits.
pub(super) fn write(microseconds: i64, out: &mut Vec<u8>) -> Option<()> {
    let day = microseconds
        .div_euclid(MICROSECONDS_PER_DAY)
        .checked_add(DAYS_TO_2000)?;
    let rest = microseconds.rem_euclid(MICROSECONDS_PER_DAY);
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let seconds = rest / 1_000_000;
    let fraction = rest % 1_000_000;
    put(out, year, 4, b'-');
    put(out, month, 2, b'-');
    put(out, day_of_month, 2, b'T');
    put(out, seconds / 3600, 2, b':');
    put(out, seconds / 60 % 60, 2, b':');
    let after = if fraction == 0 { b'+' } else { b'.' };
    put(out, seconds % 60, 2, after);
    if fraction % 1000 != 0 {
        put(out, fraction, 6, b'+');
    } else if fraction != 0 {
        put(out, fraction / 1000, 3, b'+');
    }
    out.extend_from_slice(b"00:00");
    Some(())
}

/// A number in so many digits, and what stands behind it.
fn put(out: &mut Vec<u8>, mut number: i64, count: usize, after: u8) {
    let begin = out.len();
    out.resize(begin + count, b'0');
    for place in out[begin..].iter_mut().rev() {
        // One digit of a number that is not negative.
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    out.push(after);
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
    use proptest::prelude::*;

    use super::*;

    fn epoch() -> DateTime<Utc> {
        "2000-01-01T00:00:00Z".parse().unwrap()
    }

    fn written(microseconds: i64) -> Option<String> {
        let mut out = Vec::new();
        write(microseconds, &mut out)?;
        Some(String::from_utf8(out).unwrap())
    }

    proptest! {
        #[test]
        fn times_are_read_and_written_as_the_service_does(
            seconds in -63_113_904_000_i64..=252_455_615_999,
            microseconds in prop_oneof![Just(0), Just(1), Just(999_999), Just(123_000), 0..1_000_000_i64],
            offset in -1439..=1439_i32,
        ) {
            let number = seconds * 1_000_000 + microseconds;
            let time = epoch() + TimeDelta::microseconds(number);
            let text = time.to_rfc3339_opts(SecondsFormat::AutoSi, false);
            prop_assert_eq!(written(number), Some(text.clone()));
            prop_assert_eq!(parse(text.as_bytes()), Ok(number));
            let zone = chrono::FixedOffset::east_opt(offset * 60).unwrap();
            let elsewhere = time.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Micros, false);
            if elsewhere.len() == "2026-11-22T10:00:00.000000+00:00".len() {
                prop_assert_eq!(parse(elsewhere.as_bytes()), Ok(number));
            }
        }
    }

    #[test]
    fn what_the_service_does_not_read_is_no_timestamp() {
        for text in [
            "",
            "now",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01",
            "2026-01-01T24:00:00Z",
            "2026-01-01T10:60:00Z",
            "2026-01-01T10:00:60Z",
            "2026-01-01T10:00:00.Z",
            "2026-01-01T10:00:00+1",
            "2026-01-01T10:00:00+24:00",
            "+2026-01-01T10:00:00Z",
            "2026-01-01T10:00:00Z ",
            "1767225600",
            "2026-01-01T10:00:00é",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(TimeFault::NoTimestamp), "{text}");
        }
        let finer = b"2026-01-01T10:00:00.0000001Z";
        assert_eq!(parse(finer), Err(TimeFault::Finer));
        assert_eq!(
            parse(b"2026-01-01T10:00:00.100000000Z"),
            parse(b"2026-01-01 10:00:00.1")
        );
        assert_eq!(parse(b"2024-02-29 00:00"), parse(b"2024-02-28T23:00:00-01:00"));
    }

    #[test]
    fn infinity_and_years_of_five_digits_have_no_text() {
        assert_eq!(written(i64::MAX), None);
        assert_eq!(written(i64::MIN), None);
        let last = parse(b"9999-12-31T23:59:59.999999+00:00").unwrap();
        assert_eq!(written(last).unwrap(), "9999-12-31T23:59:59.999999+00:00");
        assert_eq!(written(last + 1), None);
        let first = parse(b"0000-01-01T00:00:00+00:00").unwrap();
        assert_eq!(written(first).unwrap(), "0000-01-01T00:00:00+00:00");
        assert_eq!(written(first - 1), None);
    }
}
