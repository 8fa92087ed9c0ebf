//! The warnings that the runs of a probe write to the host's log, bounded in number: a guest or a target can cause them
//! without end.

use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The number of warnings that one probe may write at once.
const MAX_AT_ONCE: u64 = 10;
/// The time after which the probe may write another warning.
const TIME_OF_WARNING: Duration = Duration::from_secs(60);

/// The warnings of one probe. All its runs share it. Refusals of permissions have a bound of their own.
#[derive(Debug)]
pub struct OperatorWarnings(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The number of warnings that may be written now.
    left: u64,
    /// The time from which the next warning is earned.
    since: Instant,
    /// The warnings that were dropped since the last one that was written.
    dropped: u64,
}

/// A warning, with the facts that the log has as fields.
#[derive(Debug, Clone, Copy)]
pub struct Warning<'a> {
    /// The title of the probe.
    pub probe: &'a str,
    /// The host that the warning is about.
    pub host: &'a str,
    /// The file that the warning is about.
    pub file: &'a Path,
    /// The error of the system.
    pub error: &'a str,
    /// A sentence that says what is wrong, and what follows from it: lower case, no full stop.
    pub message: &'static str,
}

impl Default for OperatorWarnings {
    fn default() -> Self {
        Self(Mutex::new(State { left: MAX_AT_ONCE, since: Instant::now(), dropped: 0 }))
    }
}

impl OperatorWarnings {
    /// Writes a warning to the host's log. The probe may write ten at once, and then one a minute; others are counted,
    /// and the next warning that is written has their number.
    pub fn write(&self, warning: &Warning<'_>) {
        let Some(dropped) = self.0.lock().admit(Instant::now()) else { return };
        let Warning { probe, host, file, error, message } = *warning;
        let dropped = (dropped > 0).then_some(dropped);
        tracing::warn!(%probe, %host, file = %file.display(), %error, dropped, "{message}");
    }
}

impl State {
    /// Returns the number of warnings that were dropped before, if another one may be written. Counts it as dropped
    /// otherwise.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        while self.left < MAX_AT_ONCE && now.duration_since(self.since) >= TIME_OF_WARNING {
            self.left += 1;
            self.since += TIME_OF_WARNING;
        }
        if self.left == MAX_AT_ONCE {
            self.since = now;
        }
        if self.left == 0 {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_bounded_and_those_dropped_are_counted() {
        let OperatorWarnings(state) = OperatorWarnings::default();
        let mut state = state.into_inner();
        let start = state.since;
        for _ in 0..MAX_AT_ONCE {
            assert_eq!(state.admit(start), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(state.admit(start + TIME_OF_WARNING / 2), None);
        }
        assert_eq!(state.admit(start + TIME_OF_WARNING), Some(1000));
        assert_eq!(state.admit(start + TIME_OF_WARNING), None);
        // However long a probe writes no warnings, it may then write no more than the number at once.
        let later = start + TIME_OF_WARNING * 10_000;
        let written = (0..1000).filter(|_| state.admit(later).is_some()).count() as u64;
        assert_eq!(written, MAX_AT_ONCE);
    }
}
