//! Predicts a probe's CPU time from its earlier runs, to decide where its next run starts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::sandbox::cpu_timer::{MIGRATE_AFTER, PERMIT_AFTER};

/// The predicted CPU time of a probe's next run, in nanoseconds: `max(last, 7/8 × previous prediction)`.
pub struct CpuEstimate(AtomicU64);

impl CpuEstimate {
    /// Creates the prediction for a probe's first run. It is zero for built-in components. For others it is just below
    /// [`PERMIT_AFTER`], so that an unknown component starts on the guest threads, without a permit.
    pub fn new(built_in: bool) -> Self {
        Self(AtomicU64::new(if built_in { 0 } else { nanos(PERMIT_AFTER) - 1 }))
    }

    /// Updates the prediction with the CPU time of a run.
    pub fn record(&self, used: Duration) {
        let predicted = self.0.load(Relaxed);
        self.0.store(nanos(used).max(predicted - predicted / 8), Relaxed);
    }

    /// Returns true if the next run should start on the guest threads, since it may take so long that it delays other
    /// runs on its worker. Runs of built-in probes take about a tenth of [`MIGRATE_AFTER`].
    pub fn starts_on_guest_threads(&self) -> bool {
        self.0.load(Relaxed) >= nanos(MIGRATE_AFTER)
    }

    /// Returns true if the next run should wait for a CPU permit before it starts to compute.
    pub fn starts_with_permit(&self) -> bool {
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
    fn an_unknown_component_leaves_the_guest_threads_after_some_short_runs() {
        let estimate = CpuEstimate::new(false);
        let mut runs = 0;
        while estimate.starts_on_guest_threads() {
            assert!(!estimate.starts_with_permit());
            estimate.record(Duration::from_micros(50));
            runs += 1;
        }
        assert!((10..30).contains(&runs), "{runs}");
    }

    #[test]
    fn one_long_run_is_remembered_for_a_while() {
        let estimate = CpuEstimate::new(true);
        estimate.record(Duration::from_micros(50));
        assert!(!estimate.starts_on_guest_threads());
        estimate.record(Duration::from_secs(1));
        estimate.record(Duration::from_micros(50));
        assert!(estimate.starts_on_guest_threads() && estimate.starts_with_permit());
        for _ in 0..100 {
            estimate.record(Duration::from_micros(50));
        }
        assert!(!estimate.starts_on_guest_threads());
        estimate.record(Duration::MAX);
        assert!(estimate.starts_with_permit());
    }
}
