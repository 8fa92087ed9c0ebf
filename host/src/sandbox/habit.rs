//! How long a probe's runs compute, by which it is decided where the next one begins.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::sandbox::computing::BRIEF;

/// Who computes no longer than this is in nobody's way: the built-in probes take a tenth of it.
const UNNOTICED: Duration = Duration::from_millis(1);

/// What to expect of a probe's next run, in nanoseconds: as much as the last, or not much less than the longest of late.
pub struct Habit(AtomicU64);

impl Habit {
    /// That of a component that we know, or of one that has yet to show.
    pub fn new(known: bool) -> Self {
        Self(AtomicU64::new(if known { 0 } else { nanos(BRIEF) - 1 }))
    }

    /// Notes how long a run has computed.
    pub fn note(&self, used: Duration) {
        let expected = self.0.load(Relaxed);
        self.0.store(nanos(used).max(expected - expected / 8), Relaxed);
    }

    /// Whether it may be in somebody's way, so that it had better not compute where targets are waited for.
    pub fn is_long(&self) -> bool {
        self.0.load(Relaxed) >= nanos(UNNOTICED)
    }

    /// Whether it has to wait for a turn from the start.
    pub fn is_very_long(&self) -> bool {
        self.0.load(Relaxed) >= nanos(BRIEF)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_has_to_show_that_it_is_brief() {
        let habit = Habit::new(false);
        let mut runs = 0;
        while habit.is_long() {
            assert!(!habit.is_very_long());
            habit.note(Duration::from_micros(50));
            runs += 1;
        }
        assert!((10..30).contains(&runs), "{runs}");
    }

    #[test]
    fn one_long_run_is_remembered_for_a_while() {
        let habit = Habit::new(true);
        habit.note(Duration::from_micros(50));
        assert!(!habit.is_long());
        habit.note(Duration::from_secs(1));
        habit.note(Duration::from_micros(50));
        assert!(habit.is_long() && habit.is_very_long());
        for _ in 0..100 {
            habit.note(Duration::from_micros(50));
        }
        assert!(!habit.is_long());
        habit.note(Duration::MAX);
        assert!(habit.is_very_long());
    }
}
