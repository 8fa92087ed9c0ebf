//! A point in time as RFC 3339 has it, in UTC. Knows the calendar, and nothing else.

use std::time::SystemTime;

/// `2026-11-23T22:45:01.000250Z`; what lies before 1970 reads as its beginning.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = date(since.as_secs() / 86_400);
    let (hour, minute, second) = clock(since.as_secs());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", since.subsec_micros())
}

/// `22:45:01`, in UTC too: the time zone of where we run is not known without reading its tables.
pub fn time_of_day(time: SystemTime) -> String {
    let (hour, minute, second) = clock(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs());
    format!("{hour:02}:{minute:02}:{second:02}")
}

fn clock(seconds: u64) -> (u64, u64, u64) {
    (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// Year, month and day from the days since 1970-01-01. Years are counted from March, so that a leap day comes last and
/// the months before it need no exception (Howard Hinnant, 'chrono-compatible low-level date algorithms').
fn date(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01, in cycles of 400 years.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(seconds: f64, expected: &str) {
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)), expected);
    }

    #[test]
    fn known_times() {
        check(0.0, "1970-01-01T00:00:00.000000Z");
        check(0.25, "1970-01-01T00:00:00.250000Z");
        check(951_782_399.0, "2000-02-28T23:59:59.000000Z");
        check(951_782_400.0, "2000-02-29T00:00:00.000000Z");
        check(951_868_800.0, "2000-03-01T00:00:00.000000Z");
        check(1_709_164_800.0, "2024-02-29T00:00:00.000000Z");
        check(1_735_689_599.0, "2024-12-31T23:59:59.000000Z");
        check(1_735_689_600.0, "2025-01-01T00:00:00.000000Z");
        check(4_107_542_400.0, "2100-03-01T00:00:00.000000Z");
        check(4_107_456_000.0, "2100-02-28T00:00:00.000000Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let length = |year: u64, month| match month {
            2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut expected = (1970, 1, 1);
        for days in 0..200_000 {
            assert_eq!(date(days), expected);
            let (year, month, day) = expected;
            expected = match (month, day == length(year, month)) {
                (_, false) => (year, month, day + 1),
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
            };
        }
    }

    #[test]
    fn before_1970_does_not_panic() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(rfc3339(before), "1970-01-01T00:00:00.000000Z");
        assert_eq!(time_of_day(before), "00:00:00");
    }
}
