//! How long a probe's runs compute, by which it is decided where the next one begins.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::sandbox::cpu_timer::PERMIT_AFTER;

/// Who computes no longer than this is in nobody's way: the built-in probes take a tenth of it.
const UNNOTICED: Duration = Duration::from_millis(1);

/// What to expect of a probe's next run, in nanoseconds: as much as the last, or not much less than the longest of late.
pub struct CpuEstimate(AtomicU64);

impl CpuEstimate {
    /// That of a component that we know, or of one that has yet to show.
    pub fn new(known: bool) -> Self {
        Self(AtomicU64::new(if known { 0 } else { nanos(PERMIT_AFTER) - 1 }))
    }

    /// Notes how long a run has computed.
    pub fn record(&self, used: Duration) {
        let expected = self.0.load(Relaxed);
        self.0.store(nanos(used).max(expected - expected / 8), Relaxed);
    }

    /// Whether it may be in somebody's way, so that it had better not compute where targets are waited for.
    pub fn is_long(&self) -> bool {
        self.0.load(Relaxed) >= nanos(UNNOTICED)
    }

    /// Whether it has to wait for a turn from the start.
    pub fn is_very_long(&self) -> bool {
        self.0.load(Relaxed) >= nanos(PERMIT_AFTER)
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
        let habit = CpuEstimate::new(false);
        let mut runs = 0;
        while habit.is_long() {
            assert!(!habit.is_very_long());
            habit.record(Duration::from_micros(50));
            runs += 1;
        }
        assert!((10..30).contains(&runs), "{runs}");
    }

    #[test]
    fn one_long_run_is_remembered_for_a_while() {
        let habit = CpuEstimate::new(true);
        habit.record(Duration::from_micros(50));
        assert!(!habit.is_long());
        habit.record(Duration::from_secs(1));
        habit.record(Duration::from_micros(50));
        assert!(habit.is_long() && habit.is_very_long());
        for _ in 0..100 {
            habit.record(Duration::from_micros(50));
        }
        assert!(!habit.is_long());
        habit.record(Duration::MAX);
        assert!(habit.is_very_long());
    }
}
