//! Timeouts of what the host does on a guest's behalf.

use std::time::{Duration, Instant};

/// Reserved before the run's deadline, so that the guest can still report a timeout.
const REPORTING_TIME: Duration = Duration::from_millis(20);

/// A duration, and where it comes from.
#[derive(Debug, Clone, Copy)]
pub enum Timeout {
    /// The timeout that the guest has set.
    Timeout(Duration),
    /// The time that is left until the run's deadline, which is shorter.
    Deadline(Duration),
}

impl Timeout {
    /// Returns the shorter of the guest's timeout and the time that is left until the run's deadline.
    pub fn new(timeout: Duration, deadline: Instant) -> Self {
        let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(REPORTING_TIME);
        if timeout <= left { Self::Timeout(timeout) } else { Self::Deadline(left) }
    }

    /// Returns the duration.
    pub fn duration(self) -> Duration {
        match self {
            Self::Timeout(time) | Self::Deadline(time) => time,
        }
    }

    /// Returns what is left after some time has passed.
    pub fn after(self, passed: Duration) -> Self {
        match self {
            Self::Timeout(time) => Self::Timeout(time.saturating_sub(passed)),
            Self::Deadline(time) => Self::Deadline(time.saturating_sub(passed)),
        }
    }

    /// Returns the message of a timeout. `doing` says what was under way: `connecting to 192.0.2.1:80`.
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
    fn durations_in_messages() {
        assert_eq!(seconds(Duration::from_millis(250)), "250 ms");
        assert_eq!(seconds(Duration::from_secs(2)), "2 s");
        assert_eq!(seconds(Duration::from_millis(2500)), "2.50 s");
    }

    #[test]
    fn a_near_deadline_goes_before_the_timeout() {
        let message = |timeout, left| {
            let limit = Timeout::new(Duration::from_secs(timeout), Instant::now() + Duration::from_secs(left));
            limit.message("waiting").replace(char::is_numeric, "")
        };
        assert_eq!(message(1, 60), "timed out after  s, waiting");
        assert_eq!(message(60, 2), "timed out at the run's deadline after . s, waiting");
    }
}
