//! The time that one connection may take.

use std::time::{Duration, Instant};

use crate::capability::ssh::error::Error;
use crate::capability::timeout::Timeout;

/// A timeout that has begun to run. All phases of a connection share it.
#[derive(Debug, Clone, Copy)]
pub struct TimeBudget {
    started: Instant,
    timeout: Timeout,
}

impl TimeBudget {
    /// Starts a timeout now.
    pub fn start(timeout: Timeout) -> Self {
        Self { started: Instant::now(), timeout }
    }

    /// Returns the time that is left, or zero if it is used up.
    pub fn remaining(&self) -> Duration {
        self.timeout.duration().saturating_sub(self.started.elapsed())
    }

    /// Waits for `work` during the time that is left. `doing` describes the work for the error.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the time is used up. The work is then dropped.
    pub async fn wait_for<T>(&self, work: impl Future<Output = T>, doing: impl FnOnce() -> String) -> Result<T, Error> {
        tokio::time::timeout(self.remaining(), work).await.map_err(|_| self.timed_out(&doing()))
    }

    /// Returns the error of a timeout. `doing` describes what was going on.
    pub fn timed_out(&self, doing: &str) -> Error {
        Error::Timeout(self.timeout.message(doing))
    }
}
