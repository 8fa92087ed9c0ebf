//! Formats times as text: in UTC for programs, since the host and its targets may be in different time zones, and in
//! the zone of this host for a person.

use std::sync::LazyLock;
use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// The time zone of this host: that of the environment variable `TZ`, else of `/etc/localtime`, else UTC. It is read
/// once.
static LOCAL: LazyLock<Zone> = LazyLock::new(|| Zone(TimeZone::try_system().unwrap_or(TimeZone::UTC)));

/// A time zone.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Zone {
    /// Returns the time zone of this host.
    pub fn local() -> &'static Self {
        &LOCAL
    }

    /// Returns UTC.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Formats the time of day with its offset from UTC: `23:45:01+01:00`, or `22:45:01Z` in UTC.
    pub fn time_of_day(&self, time: SystemTime) -> String {
        let time = self.at(time);
        format!("{}{}", time.strftime("%H:%M:%S"), offset(&time))
    }

    /// Formats the date with the day of the week: `2026-11-23 Monday`.
    pub fn date(&self, time: SystemTime) -> String {
        self.at(time).strftime("%Y-%m-%d %A").to_string()
    }

    /// Returns the name of the zone: `Europe/Berlin`, or the abbreviation that it has at this time if it has no name.
    pub fn name(&self, time: SystemTime) -> String {
        let name = self.0.iana_name().map(str::to_owned);
        name.unwrap_or_else(|| self.at(time).strftime("%Z").to_string())
    }

    /// Formats a time per RFC 3339 with microseconds: `2026-11-23T23:45:01.000250+01:00`.
    pub fn rfc3339(&self, time: SystemTime) -> String {
        let time = self.at(time);
        format!("{}{}", time.strftime("%Y-%m-%dT%H:%M:%S%.6f"), offset(&time))
    }

    fn at(&self, time: SystemTime) -> ZonedDateTime {
        timestamp(time).to_zoned_datetime(self.0.clone())
    }
}

/// Formats a time per RFC 3339 in UTC, with microseconds: `2026-11-23T22:45:01.000250Z`.
pub fn rfc3339(time: SystemTime) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Formats UNIX seconds per RFC 3339 in UTC: `2026-11-23T22:45:01Z`. Returns the plain number of seconds if the year
/// is beyond the range of `jiff` (±9999).
pub fn rfc3339_seconds(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds);
    time.map_or_else(|_| seconds.to_string(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Returns a time of the clock. A clock that is set beyond the year 9999 counts as 1970.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Returns the offset from UTC: `+01:00`, or `Z` for UTC.
fn offset(time: &ZonedDateTime) -> String {
    if time.offset().is_zero() { "Z".to_owned() } else { time.strftime("%:z").to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_formatted() {
        let at = SystemTime::UNIX_EPOCH + Duration::new(1_795_473_901, 250_999);
        assert_eq!(rfc3339(at), "2026-11-23T22:45:01.000250Z");
        assert_eq!(rfc3339_seconds(1_795_473_901), "2026-11-23T22:45:01Z");
        assert_eq!(rfc3339_seconds(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn local_times_have_the_offset_of_their_zone() {
        #[track_caller]
        fn check(zone: &str, seconds: u64, expected: &[&str; 4]) {
            let zone = Zone(TimeZone::posix(zone).unwrap());
            let at = SystemTime::UNIX_EPOCH + Duration::new(seconds, 250_999);
            let formatted = [zone.date(at), zone.time_of_day(at), zone.name(at), zone.rfc3339(at)];
            assert_eq!(formatted, expected.map(str::to_owned));
        }
        const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
        let summer = ["2026-07-15 Wednesday", "00:30:00+02:00", "CEST", "2026-07-15T00:30:00.000250+02:00"];
        check(BERLIN, 1_784_068_200, &summer);
        let winter = ["2026-11-23 Monday", "23:45:01+01:00", "CET", "2026-11-23T23:45:01.000250+01:00"];
        check(BERLIN, 1_795_473_901, &winter);
        let india = ["2026-11-24 Tuesday", "04:15:01+05:30", "IST", "2026-11-24T04:15:01.000250+05:30"];
        check("IST-5:30", 1_795_473_901, &india);
        let utc = ["2026-11-23 Monday", "22:45:01Z", "UTC", "2026-11-23T22:45:01.000250Z"];
        check("UTC0", 1_795_473_901, &utc);
    }
}
