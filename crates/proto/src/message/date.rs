//! The Date field.
//!
//! Invariant: a date that is read is one the calendar has.
//! Refs: RFC 5322 §3.3, §4.3.

use super::view::SentDate;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Octets of a Date field that are read.
const MAX_DATE_OCTETS: usize = 256;

/// Reads an RFC 5322 date, obsolete forms included. A date without a zone is taken for UTC.
#[must_use]
pub fn parse_date(raw: &[u8]) -> Option<SentDate> {
    let text = without_comments(raw.get(..raw.len().min(MAX_DATE_OCTETS))?);
    let text = core::str::from_utf8(&text).ok()?;
    let mut words =
        text.split(|c: char| c.is_ascii_whitespace() || c == ',').filter(|w| !w.is_empty());
    let mut word = words.next()?;
    if !word.starts_with(|c: char| c.is_ascii_digit()) {
        // The day of the week; that it is the right one is nobody's concern.
        word = words.next()?;
    }
    let day: i64 = number(word, 2)?;
    let month_name = words.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|name| month_name.starts_with(name))?;
    let month = i64::try_from(month).ok()?.checked_add(1)?;
    let year = full_year(words.next()?)?;
    let seconds = time_of_day(words.next()?)?;
    let offset_minutes = words.next().map_or(Some(0), zone)?;
    if !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let local = days_since_1970(year, month, day) * 86_400 + seconds;
    Some(SentDate { unix_seconds: local - i64::from(offset_minutes) * 60, offset_minutes })
}

/// RFC 5322 §4.3 lets comments stand anywhere; each counts as a space.
fn without_comments(raw: &[u8]) -> Vec<u8> {
    let mut depth = 0_usize;
    let mut out = Vec::with_capacity(raw.len());
    for &octet in raw {
        match octet {
            b'(' => depth = depth.saturating_add(1),
            b')' if depth > 0 => {
                depth = depth.saturating_sub(1);
                out.push(b' ');
            }
            _ if depth > 0 => {}
            _ => out.push(octet),
        }
    }
    out
}

fn number(text: &str, digits_max: usize) -> Option<i64> {
    let ok = (1..=digits_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if ok { text.parse().ok() } else { None }
}

/// RFC 5322 §4.3: two digits below 50 are of this century, other short years of the last.
fn full_year(text: &str) -> Option<i64> {
    let year = number(text, 4)?;
    match (text.len(), year) {
        (2, 0..50) => Some(year + 2000),
        (2 | 3, _) => Some(year + 1900),
        (4, 1..) => Some(year),
        _ => None,
    }
}

fn time_of_day(text: &str) -> Option<i64> {
    let mut fields = text.split(':');
    let hour = number(fields.next()?, 2)?;
    let minute = number(fields.next()?, 2)?;
    let second = fields.next().map_or(Some(0), |field| number(field, 2))?;
    // A leap second is the first of the next minute.
    let ok = hour < 24 && minute < 60 && second <= 60 && fields.next().is_none();
    ok.then_some(hour * 3600 + minute * 60 + second)
}

/// RFC 5322 §3.3 `zone`, §4.3 `obs-zone`: minutes east of Greenwich. Names nobody can know
/// count as UTC, as §4.3 says of the military ones.
fn zone(text: &str) -> Option<i16> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return Some(named_zone(text)),
    };
    let digits = text.get(1..)?;
    let value = i16::try_from(number(digits, 4)?).ok()?;
    let minutes = value / 100 * 60 + value % 100;
    (digits.len() == 4 && value % 100 < 60).then_some(sign * minutes)
}

fn named_zone(name: &str) -> i16 {
    match name.to_ascii_uppercase().as_str() {
        "EDT" => -4 * 60,
        "EST" | "CDT" => -5 * 60,
        "CST" | "MDT" => -6 * 60,
        "MST" | "PDT" => -7 * 60,
        "PST" => -8 * 60,
        _ => 0,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar; the year begins in March, so that a leap day ends it.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}
