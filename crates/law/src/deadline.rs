//! Deadlines: pure arithmetic on civil dates and fixed offsets.
//!
//! Invariant: nothing here reads a clock or a time-zone table; the moment of service is
//! handed in with its offset. Two clocks are kept, the raw one (policy) and the legal
//! limit (outer). Where a pack lists no holidays for a year only weekends are counted,
//! which can only make a deadline earlier.
//! Refs: Regulation (EEC, Euratom) 1182/71 art. 3(1), (4).

use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::Offset;
use jiff::{SignedDuration, ToSpan, Unit};
use serde::{Deserialize, Serialize};

/// A civil date and time at a fixed offset from UTC: RFC 3339, whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment {
    civil: DateTime,
    offset: Offset,
}

/// A text that is not an RFC 3339 date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a moment is an RFC 3339 date and time with its offset, such as `2026-09-07T09:12:00+02:00`"
)]
pub struct ParseMomentError;

impl Moment {
    /// A moment from seconds since 1970 and an offset in seconds east of UTC. `None` outside
    /// the years -9999 to 9999, or for an offset beyond a day.
    #[must_use]
    pub fn from_timestamp(at: vocab::Timestamp, offset_seconds: i32) -> Option<Self> {
        let offset = Offset::from_seconds(offset_seconds).ok()?;
        let at = jiff::Timestamp::from_second(i64::try_from(at.0).ok()?).ok()?;
        Some(Self { civil: offset.to_datetime(at), offset })
    }

    /// Midnight UTC at the start of a day, for demands recorded by date alone.
    #[must_use]
    pub fn start_of(day: Date) -> Self {
        Self { civil: day.to_datetime(Time::midnight()), offset: Offset::UTC }
    }

    /// The civil date at the moment's own offset: the day a deadline in days starts from.
    #[must_use]
    pub fn date(self) -> Date {
        self.civil.date()
    }

    /// Seconds since 1970; `None` before it.
    #[must_use]
    pub fn timestamp(self) -> Option<vocab::Timestamp> {
        let at = self.offset.to_timestamp(self.civil).ok()?;
        u64::try_from(at.as_second()).ok().map(vocab::Timestamp)
    }

    /// This many hours later, at the same offset.
    pub(crate) fn plus_hours(self, hours: u16) -> Option<Self> {
        let civil = self.civil.checked_add(SignedDuration::from_hours(i64::from(hours))).ok()?;
        Some(Self { civil, ..self })
    }

    /// The start of the next full hour: the hour of the event is not counted.
    // Regulation 1182/71 art. 3(1)
    pub(crate) fn next_full_hour(self) -> Option<Self> {
        let floor =
            jiff::civil::DateTimeRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Trunc);
        let civil = self.civil.round(floor).ok()?;
        Self { civil, ..self }.plus_hours(1)
    }
}

impl FromStr for Moment {
    type Err = ParseMomentError;

    fn from_str(text: &str) -> Result<Self, ParseMomentError> {
        if text.len() > 40 {
            return Err(ParseMomentError);
        }
        let at: jiff::Timestamp = text.parse().map_err(|_| ParseMomentError)?;
        let at = jiff::Timestamp::from_second(at.as_second()).map_err(|_| ParseMomentError)?;
        let offset = parse_offset(text).ok_or(ParseMomentError)?;
        Ok(Self { civil: offset.to_datetime(at), offset })
    }
}

/// The offset at the end of an RFC 3339 text whose instant has already been read.
fn parse_offset(text: &str) -> Option<Offset> {
    if text.ends_with(['Z', 'z']) {
        return Some(Offset::UTC);
    }
    let (_, tail) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, clock) = tail.split_at_checked(1)?;
    let (hours, minutes) = clock.split_once(':')?;
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    match sign {
        "+" => Offset::from_seconds(seconds).ok(),
        "-" => Offset::from_seconds(-seconds).ok(),
        _ => None,
    }
}

impl TryFrom<String> for Moment {
    type Error = ParseMomentError;

    fn try_from(text: String) -> Result<Self, ParseMomentError> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.offset.seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.abs() / 60;
        write!(f, "{}", self.civil.strftime("%Y-%m-%dT%H:%M:%S"))?;
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moment({self})")
    }
}

/// The end of a time limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The end of this day.
    Day(Date),
    /// This moment.
    At(Moment),
    /// What the law says in words, without a number.
    Words(String),
}

impl When {
    /// Which of two limits a careful person keeps first. Words come last: they set no date.
    pub(crate) fn sooner(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }

    fn key(&self) -> (u8, Date, Time) {
        match self {
            Self::Day(day) => (0, *day, Time::MAX),
            Self::At(moment) => (0, moment.civil.date(), moment.civil.time()),
            Self::Words(_) => (1, Date::MAX, Time::MAX),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => write!(f, "{day}"),
            Self::At(moment) => write!(f, "{moment}"),
            Self::Words(words) => f.write_str(words),
        }
    }
}

/// A pack's working days. At most 2,000 holidays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendar {
    /// Days on which offices are closed besides Saturday and Sunday, sorted.
    pub(crate) holidays: Vec<Date>,
}

impl Calendar {
    /// Whether a day is neither Saturday, Sunday nor a listed holiday.
    #[must_use]
    pub fn is_working_day(&self, day: Date) -> bool {
        !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
            && self.holidays.binary_search(&day).is_err()
    }

    /// The day itself, or the next working day after it.
    // Regulation 1182/71 art. 3(4): a period in days ending on a public holiday, Sunday or
    // Saturday ends with the last hour of the following working day.
    #[must_use]
    pub fn roll(&self, day: Date) -> Option<Date> {
        let mut day = day;
        // No calendar closes for a month; the bound keeps a bad pack from looping.
        for _ in 0..31 {
            if self.is_working_day(day) {
                return Some(day);
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    /// Whether any holiday of a year is listed.
    pub(crate) fn lists(&self, year: i16) -> bool {
        self.holidays.iter().any(|day| day.year() == year)
    }
}

/// The day this many days after another: the day of the event is not counted.
// Regulation 1182/71 art. 3(1)
pub(crate) fn days_after(day: Date, days: u16) -> Option<Date> {
    day.checked_add(i64::from(days).days()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn a_moment_prints_as_it_was_read() {
        for text in
            ["2026-10-10T22:40:10+02:00", "2024-05-14T18:00:00-04:00", "2022-03-20T03:10:00+00:00"]
        {
            assert_eq!(text.parse::<Moment>().unwrap().to_string(), text);
        }
        assert_eq!(
            "2022-03-20T03:10:00Z".parse::<Moment>().unwrap().to_string(),
            "2022-03-20T03:10:00+00:00"
        );
    }

    #[test]
    fn what_is_not_a_moment_is_refused() {
        for text in
            ["", "2026-10-10", "2026-10-10T22:40", "yesterday", &"2".repeat(1000), "é+00:00"]
        {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_and_its_timestamp_agree() {
        let moment: Moment = "2026-10-10T22:40:10+02:00".parse().unwrap();
        let at = moment.timestamp().unwrap();
        assert_eq!(Moment::from_timestamp(at, 7200), Some(moment));
    }

    #[test]
    fn the_hour_of_the_event_is_not_counted() {
        let served: Moment = "2026-10-10T22:40:10+02:00".parse().unwrap();
        assert_eq!(
            served.next_full_hour().unwrap().plus_hours(8).unwrap().to_string(),
            "2026-10-11T07:00:00+02:00"
        );
        let sharp: Moment = "2026-10-10T22:00:00+02:00".parse().unwrap();
        assert_eq!(sharp.next_full_hour().unwrap().to_string(), "2026-10-10T23:00:00+02:00");
    }

    #[test]
    fn a_limit_ending_on_a_weekend_or_holiday_ends_on_the_next_working_day() {
        let calendar = Calendar { holidays: vec![day("2026-10-26")] };
        assert_eq!(calendar.roll(day("2026-09-19")), Some(day("2026-09-21")));
        assert_eq!(calendar.roll(day("2026-10-24")), Some(day("2026-10-27")));
        assert_eq!(calendar.roll(day("2026-10-23")), Some(day("2026-10-23")));
    }

    #[test]
    fn the_end_of_the_calendar_is_not_a_panic() {
        assert_eq!(days_after(Date::MAX, 1), None);
        assert_eq!(Moment::start_of(Date::MAX).plus_hours(48), None);
        let closed = (0..40).map(|n| days_after(day("2026-01-01"), n).unwrap()).collect();
        assert_eq!(Calendar { holidays: closed }.roll(day("2026-01-01")), None);
    }
}
