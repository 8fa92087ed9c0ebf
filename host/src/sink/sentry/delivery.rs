//! Tracks whether anything gets through to a server, for the operator's log and for commands that end. Does no I/O.

use std::time::{Duration, Instant, SystemTime};

use super::queue::SendResult;
use crate::time_format::rfc3339_seconds;

/// The recent results of sending to one server.
#[derive(Debug, Default)]
pub struct Delivery {
    /// `None` while the server accepts envelopes, and before the first result.
    failing: Option<Failing>,
    /// The latest explanation of an envelope that did not get through.
    last_cause: Option<String>,
}

/// A period in which no envelope gets through.
#[derive(Debug)]
struct Failing {
    began: SystemTime,
    since: Instant,
    /// The number of envelopes that the server has rejected since then. They are dropped.
    rejected: u64,
    /// The time for which this process has run since then: the sum of the times between calls of
    /// [`Delivery::take_warning`], at most [`MAX_STEP`] for each.
    running: Duration,
    /// The time of the latest of these calls.
    checked: Instant,
    /// The value of `running` at the latest warning.
    warned: Option<Duration>,
}

/// A line of the log about a server to which nothing gets through.
#[derive(Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The time since which nothing gets through, per RFC 3339.
    pub since: String,
    /// The latest explanation.
    pub cause: String,
    /// The number of envelopes that were rejected since then.
    pub rejected: u64,
}

/// The time from the first failure to the first warning. A server that is back sooner has its own lines in the log.
const FIRST_WARNING_AFTER: Duration = Duration::from_secs(10);
/// The time from one warning to the next.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// The greatest time between two calls, about a second apart, that counts: in a longer one, this process was stopped,
/// and nothing could get through.
const MAX_STEP: Duration = Duration::from_secs(2);

impl Delivery {
    /// Records the result of sending one envelope. `detail` explains it, unless the envelope was accepted. Returns the
    /// length of the period that it ends, if there was a warning in it.
    pub fn record(&mut self, result: &SendResult, detail: &str, now: Instant) -> Option<Duration> {
        let is_rejected = match result {
            SendResult::Accepted(_) => {
                let ended = self.failing.take()?;
                return ended.warned.map(|_| now.saturating_duration_since(ended.since));
            }
            // The server was not asked.
            SendResult::Unreadable => return None,
            SendResult::Rejected(_) => true,
            SendResult::RateLimited(_) | SendResult::Failed(_) => false,
        };
        let began = SystemTime::now();
        let failing =
            || Failing { began, since: now, rejected: 0, running: Duration::ZERO, checked: now, warned: None };
        let failing = self.failing.get_or_insert_with(failing);
        failing.rejected += u64::from(is_rejected);
        self.last_cause = Some(detail.to_owned());
        None
    }

    /// Returns the warning that is due at `now`, if there is one. Must be called about once a second.
    pub fn take_warning(&mut self, now: Instant) -> Option<Blocked> {
        let failing = self.failing.as_mut()?;
        failing.running += now.saturating_duration_since(failing.checked).min(MAX_STEP);
        failing.checked = now;
        let due = failing.warned.map_or(FIRST_WARNING_AFTER, |warned| warned + WARNING_INTERVAL);
        if failing.running < due {
            return None;
        }
        failing.warned = Some(failing.running);
        let began = failing.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let since = rfc3339_seconds(i64::try_from(began.as_secs()).unwrap_or(i64::MAX));
        Some(Blocked { since, cause: self.last_cause.clone().unwrap_or_default(), rejected: failing.rejected })
    }

    /// Returns the latest explanation of an envelope that did not get through, if there was one.
    pub fn last_cause(&self) -> Option<&str> {
        self.last_cause.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rate_limits::RateLimitHeaders;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn warnings_come_once_a_minute_until_an_envelope_is_accepted() {
        let (mut delivery, start) = (Delivery::default(), Instant::now());
        let accepted = || SendResult::Accepted(RateLimitHeaders::default());
        let rejected = || SendResult::Rejected(RateLimitHeaders::default());
        assert_eq!(delivery.record(&accepted(), "", start), None);
        assert_eq!(delivery.take_warning(start + 100 * SECOND), None);
        assert_eq!(delivery.record(&rejected(), "403 Forbidden", start), None);
        delivery.record(&SendResult::Failed(RateLimitHeaders::default()), "502 Bad Gateway", start + SECOND);
        delivery.record(&SendResult::Unreadable, "no such file", start + SECOND);
        delivery.record(&rejected(), "401 Unauthorized", start + 2 * SECOND);
        assert_eq!(warnings(&mut delivery, start, 0..10), [0; 0]);
        let warning = delivery.take_warning(start + 10 * SECOND).expect("a warning is due");
        assert_eq!((warning.cause.as_str(), warning.rejected), ("401 Unauthorized", 2));
        assert_eq!(warnings(&mut delivery, start, 11..71), [70]);
        assert_eq!(delivery.record(&accepted(), "", start + 75 * SECOND), Some(75 * SECOND));
        assert_eq!(delivery.take_warning(start + 200 * SECOND), None);
        assert_eq!(delivery.last_cause(), Some("401 Unauthorized"));
    }

    /// Returns the seconds after `start` in which a warning is due.
    fn warnings(delivery: &mut Delivery, start: Instant, seconds: std::ops::Range<u32>) -> Vec<u32> {
        seconds.filter(|second| delivery.take_warning(start + *second * SECOND).is_some()).collect()
    }

    #[test]
    fn time_in_which_the_process_was_stopped_does_not_count() {
        let (mut delivery, start) = (Delivery::default(), Instant::now());
        delivery.record(&SendResult::Failed(RateLimitHeaders::default()), "timed out", start);
        assert_eq!(warnings(&mut delivery, start, 0..5), [0; 0]);
        assert_eq!(warnings(&mut delivery, start, 3600..3604), [0; 0]);
        assert_eq!(warnings(&mut delivery, start, 3604..3700), [3604, 3664]);
    }

    #[test]
    fn a_short_failure_has_no_warning_and_no_end() {
        let (mut delivery, start) = (Delivery::default(), Instant::now());
        delivery.record(&SendResult::Failed(RateLimitHeaders::default()), "reset", start);
        assert_eq!(delivery.take_warning(start + SECOND), None);
        assert_eq!(delivery.record(&SendResult::Accepted(RateLimitHeaders::default()), "", start + SECOND), None);
    }
}
