//! Points in time as text, in UTC: the time zone of where we run says nothing of the target's.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

/// `2026-11-23T22:45:01.000250Z`.
pub fn rfc3339(at: SystemTime) -> String {
    const FORMAT: StaticFormatDescription =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    written(at.into(), FORMAT)
}

/// `2026-11-23T22:45:01Z`, from UNIX seconds.
pub fn rfc3339_seconds(seconds: i64) -> String {
    const FORMAT: StaticFormatDescription = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| seconds.to_string(), |at| written(at, FORMAT))
}

/// `22:45:01`.
pub fn time_of_day(at: SystemTime) -> String {
    const FORMAT: StaticFormatDescription = format_description!("[hour]:[minute]:[second]");
    written(at.into(), FORMAT)
}

fn written(at: OffsetDateTime, format: StaticFormatDescription) -> String {
    at.format(format).expect("the formats above ask for nothing that a time has not")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn known_times() {
        let at = SystemTime::UNIX_EPOCH + Duration::new(1_795_473_901, 250_999);
        assert_eq!(rfc3339(at), "2026-11-23T22:45:01.000250Z");
        assert_eq!(time_of_day(at), "22:45:01");
        assert_eq!(rfc3339_seconds(1_795_473_901), "2026-11-23T22:45:01Z");
        assert_eq!(rfc3339_seconds(i64::MAX), i64::MAX.to_string());
    }
}
