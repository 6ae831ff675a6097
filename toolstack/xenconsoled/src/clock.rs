//! The date and time of log lines.

use std::time::{SystemTime, UNIX_EPOCH};

/// `[2026-11-21 02:15:56Z] `: as Xen's console daemon writes it, but in UTC, as the Z says: lines then sort, also over
/// a change to summer time.
pub fn stamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86400, seconds % 86400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("[{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z] ")
}

/// The Gregorian date so many days after 1 January 1970. Years are counted from 1 March of the year 0, so that the day
/// which leap years add is their last; 146097 days are 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_the_calendar() {
        let at = |seconds| stamp(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "[1970-01-01 00:00:00Z] ");
        assert_eq!(at(951_827_696), "[2000-02-29 12:34:56Z] ");
        assert_eq!(at(1_709_251_199), "[2024-02-29 23:59:59Z] ");
        assert_eq!(at(4_107_542_400), "[2100-03-01 00:00:00Z] ");
        assert_eq!(stamp(UNIX_EPOCH - Duration::from_secs(1)), "[1970-01-01 00:00:00Z] ");
    }

    #[test]
    fn every_day_follows_the_day_before() {
        let mut last = date(0);
        for days in 1..200_000 {
            let (year, month, day) = date(days);
            let follows = (year, month) == (last.0, last.1) && day == last.2 + 1
                || day == 1 && last.2 >= 28 && (year * 12 + month == last.0 * 12 + last.1 + 1);
            assert!(follows, "{last:?} {year} {month} {day}");
            last = (year, month, day);
        }
    }
}
