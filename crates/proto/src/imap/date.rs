//! IMAP's date-time, and the calendar it needs.
//!
//! Invariant: pure arithmetic on the proleptic Gregorian calendar; no clock, no zone database.
//! Refs: RFC 9051 §9 (`date-time`).

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const DAY_SECONDS: u64 = 86_400;

/// `"dd-Mon-yyyy hh:mm:ss +0000"` with its quotes, in UTC.
#[must_use]
pub fn date_time(unix_seconds: u64) -> String {
    let (year, month, day) = civil(unix_seconds / DAY_SECONDS);
    let name = MONTHS.get(month.wrapping_sub(1)).copied().unwrap_or("Jan");
    let second = unix_seconds % DAY_SECONDS;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("\"{day:2}-{name}-{year:04} {hour:02}:{minute:02}:{:02} +0000\"", second % 60)
}

/// Year, month (from 1) and day (from 1) of a day counted from 1970-01-01.
fn civil(day: u64) -> (u64, usize, u64) {
    // Days are counted from 0000-03-01, so that the leap day ends the year.
    let shifted = day + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, usize::try_from(month).unwrap_or(1), of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_print_as_they_should() {
        assert_eq!(date_time(0), "\" 1-Jan-1970 00:00:00 +0000\"");
        assert_eq!(date_time(951_827_696), "\"29-Feb-2000 12:34:56 +0000\"");
        assert_eq!(date_time(1_795_219_199), "\"20-Nov-2026 23:59:59 +0000\"");
        assert_eq!(date_time(4_107_542_400), "\" 1-Mar-2100 00:00:00 +0000\"");
    }
}
