//! How long what is done on a guest's behalf may take, and what is said when it took longer.

use std::time::{Duration, Instant};

/// Of the run's time, what stays with the guest to say why something timed out.
const REPORTING_TIME: Duration = Duration::from_millis(20);

/// A time, and whose it is.
#[derive(Debug, Clone, Copy)]
pub enum Timeout {
    /// As long as the guest said.
    Timeout(Duration),
    /// As long as the run still has, which is less.
    Deadline(Duration),
}

impl Timeout {
    pub fn new(timeout: Duration, deadline: Instant) -> Self {
        let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(REPORTING_TIME);
        if timeout <= left { Self::Timeout(timeout) } else { Self::Deadline(left) }
    }

    pub fn time(self) -> Duration {
        match self {
            Self::Timeout(time) | Self::Deadline(time) => time,
        }
    }

    /// What is left of it when some has gone by.
    pub fn after(self, gone: Duration) -> Self {
        match self {
            Self::Timeout(time) => Self::Timeout(time.saturating_sub(gone)),
            Self::Deadline(time) => Self::Deadline(time.saturating_sub(gone)),
        }
    }

    /// `doing` says in what it was not done in time.
    pub fn timed_out(self, doing: &str) -> String {
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
    fn times_as_they_are_given() {
        assert_eq!(seconds(Duration::from_millis(250)), "250 ms");
        assert_eq!(seconds(Duration::from_secs(2)), "2 s");
        assert_eq!(seconds(Duration::from_millis(2500)), "2.50 s");
    }

    #[test]
    fn the_runs_deadline_comes_first_where_it_is_near() {
        let timed_out = |timeout, left| {
            let limit = Timeout::new(Duration::from_secs(timeout), Instant::now() + Duration::from_secs(left));
            limit.timed_out("waiting").replace(char::is_numeric, "")
        };
        assert_eq!(timed_out(1, 60), "timed out after  s, waiting");
        assert_eq!(timed_out(60, 2), "timed out at the run's deadline after . s, waiting");
    }
}
