//! Times as people read them.
//!
//! Invariant: nothing here reads a clock.
//! Refs: specs/production.md §2.3.

use vocab::Timestamp;

/// A time as `2026-11-21 14:00:00 UTC`.
#[must_use]
pub fn utc(at: Timestamp) -> String {
    let (days, second) = (at.0 / 86_400, at.0 % 86_400);
    // Days from 0000-03-01, in cycles of 400 years (Hinnant, "chrono-compatible low-level date
    // algorithms", civil_from_days).
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_date_prints_them() {
        for (at, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_795_219_200, "2026-11-21 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(Timestamp(at)), text);
        }
    }
}
