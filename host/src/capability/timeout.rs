//! Timeouts of the operations that the host performs on a guest's behalf.

use std::time::{Duration, Instant};

/// The time that is reserved before the attempt's deadline, so that the guest can still report a timeout.
const REPORTING_TIME: Duration = Duration::from_millis(20);

/// The duration of a timeout, and where it comes from.
#[derive(Debug, Clone, Copy)]
pub enum Timeout {
    /// The timeout that the guest has set.
    Timeout(Duration),
    /// The time that is left until the attempt's deadline, if it is shorter than the guest's timeout.
    Deadline(Duration),
}

impl Timeout {
    /// Returns the guest's timeout, or, if it is shorter, the time that is left until 20 ms before the attempt's
    /// deadline.
    pub fn new(timeout: Duration, deadline: Instant) -> Self {
        let time_left = deadline.saturating_duration_since(Instant::now()).saturating_sub(REPORTING_TIME);
        if timeout <= time_left { Self::Timeout(timeout) } else { Self::Deadline(time_left) }
    }

    /// Returns the duration.
    pub fn duration(self) -> Duration {
        match self {
            Self::Timeout(time) | Self::Deadline(time) => time,
        }
    }

    /// Returns the time that is left of the timeout after `passed`, or zero.
    pub fn after(self, passed: Duration) -> Self {
        match self {
            Self::Timeout(time) => Self::Timeout(time.saturating_sub(passed)),
            Self::Deadline(time) => Self::Deadline(time.saturating_sub(passed)),
        }
    }

    /// Returns the message of a timeout. `doing` is the interrupted operation, such as `connecting to 192.0.2.1:80`.
    pub fn message(self, doing: &str) -> String {
        match self {
            Self::Timeout(time) => format!("timed out after {}, {doing}", seconds(time)),
            Self::Deadline(time) => format!("timed out at the run's deadline after {}, {doing}", seconds(time)),
        }
    }
}

fn seconds(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        millis if millis % 1000 == 0 => format!("{} s", millis / 1000),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_messages_have_units() {
        assert_eq!(seconds(Duration::from_millis(250)), "250 ms");
        assert_eq!(seconds(Duration::from_secs(2)), "2 s");
        assert_eq!(seconds(Duration::from_millis(2500)), "2.50 s");
    }

    #[test]
    fn a_deadline_that_is_nearer_replaces_the_timeout() {
        let message = |timeout, left| {
            let limit = Timeout::new(Duration::from_secs(timeout), Instant::now() + Duration::from_secs(left));
            limit.message("waiting").replace(char::is_numeric, "")
        };
        assert_eq!(message(1, 60), "timed out after  s, waiting");
        assert_eq!(message(60, 2), "timed out at the run's deadline after . s, waiting");
    }
}
