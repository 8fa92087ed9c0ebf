//! Finds out whether the workers still run probes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// The time within which every worker must run a task. A worker is never busy for long: guests that compute are moved
/// to other threads.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks workers for a sign of life, from any thread.
#[derive(Clone)]
pub struct Liveness {
    workers: Vec<Handle>,
    has_ended: Arc<AtomicBool>,
}

/// The reason why probes do not run as they should.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Stalled {
    /// The schedule of a worker has panicked.
    #[error("the schedule of a worker has panicked, and its probes no longer run")]
    Ended,
    /// A worker has not run a task in time.
    #[error("a worker has run nothing for {} s", PATIENCE.as_secs())]
    Busy,
}

impl Liveness {
    pub(super) fn new(workers: Vec<Handle>, has_ended: Arc<AtomicBool>) -> Self {
        Self { workers, has_ended }
    }

    /// Checks that the schedules of all workers go on, and that each worker runs a task within 3 s.
    ///
    /// # Errors
    /// - [`Stalled::Ended`] if a schedule has ended, which happens only if it has panicked.
    /// - [`Stalled::Busy`] if a worker does not run the task in time.
    pub async fn check(&self) -> Result<(), Stalled> {
        if self.has_ended.load(Ordering::Relaxed) {
            return Err(Stalled::Ended);
        }
        let tasks: Vec<_> = self.workers.iter().map(|worker| AbortOnDropHandle::new(worker.spawn(async {}))).collect();
        let all_run = async {
            for task in tasks {
                task.await.map_err(|_| Stalled::Ended)?;
            }
            Ok(())
        };
        timeout(PATIENCE, all_run).await.unwrap_or(Err(Stalled::Busy))
    }
}
