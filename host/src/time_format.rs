//! Formats times as text, always in UTC, since the host and its targets may be in different time zones.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

/// Formats a time per RFC 3339 in UTC, with microseconds: `2026-11-23T22:45:01.000250Z`.
pub fn rfc3339(time: SystemTime) -> String {
    const FORMAT: StaticFormatDescription =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    format_utc(time.into(), FORMAT)
}

/// Formats UNIX seconds per RFC 3339 in UTC: `2026-11-23T22:45:01Z`. Returns the plain number of seconds if the year
/// is beyond the range of the `time` crate (±9999).
pub fn rfc3339_seconds(seconds: i64) -> String {
    const FORMAT: StaticFormatDescription = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| seconds.to_string(), |time| format_utc(time, FORMAT))
}

/// Formats the time of day in UTC: `22:45:01`.
pub fn time_of_day(time: SystemTime) -> String {
    const FORMAT: StaticFormatDescription = format_description!("[hour]:[minute]:[second]");
    format_utc(time.into(), FORMAT)
}

fn format_utc(time: OffsetDateTime, format: StaticFormatDescription) -> String {
    time.format(format).expect("a UTC date and time has every component that the formats name")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_formatted() {
        let at = SystemTime::UNIX_EPOCH + Duration::new(1_795_473_901, 250_999);
        assert_eq!(rfc3339(at), "2026-11-23T22:45:01.000250Z");
        assert_eq!(time_of_day(at), "22:45:01");
        assert_eq!(rfc3339_seconds(1_795_473_901), "2026-11-23T22:45:01Z");
        assert_eq!(rfc3339_seconds(i64::MAX), i64::MAX.to_string());
    }
}
