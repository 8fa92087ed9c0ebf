//! The CPU clock of a thread.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Returns the CPU time of the current thread.
pub fn thread_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
