//! The CPU time that the redaction of one run may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// The CPU time that the redaction of one run may take. Clones share it.
#[derive(Clone)]
pub struct Allowance(Arc<State>);

struct State {
    clock: fn() -> Duration,
    end: Duration,
    is_used_up: AtomicBool,
}

/// The error that the redaction of a run takes longer than allowed. The texts that were not searched are replaced as a
/// whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the texts of the run take too long to redact")]
pub struct AllowanceUsedUp;

impl Allowance {
    /// Starts an allowance of `time`, measured by `clock`: the CPU time of the current thread.
    pub fn start(clock: fn() -> Duration, time: Duration) -> Self {
        Self(Arc::new(State { clock, end: clock().saturating_add(time), is_used_up: AtomicBool::new(false) }))
    }

    /// Returns true if the time is used up. It stays used up, so that the result is the same for all later texts.
    pub fn is_used_up(&self) -> bool {
        let State { clock, end, is_used_up } = &*self.0;
        if !is_used_up.load(Relaxed) && clock() > *end {
            is_used_up.store(true, Relaxed);
        }
        is_used_up.load(Relaxed)
    }
}
