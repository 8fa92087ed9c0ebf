//! Worker threads, each with a single-threaded tokio runtime.
//!
//! A run stays on one worker from its start to its report, and so wakes no other thread, unless its guest computes for
//! so long that it is moved to a guest thread.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::threads::refused;

mod liveness;

pub use liveness::{Liveness, Stalled};

/// The worker threads. Dropping this value ends them.
pub struct Workers {
    workers: Vec<Worker>,
    /// True if the schedule of a worker has ended before the stop.
    has_ended: Arc<AtomicBool>,
}

struct Worker {
    handle: Handle,
    /// Dropping the sender ends the worker's runtime.
    _shutdown: oneshot::Sender<()>,
}

/// Runs per second for each worker; a worker is then about 10 % busy. Measured: bursts of 200 runs/s cost 12 % more on
/// two workers than on one (contention, cold caches).
const RUNS_PER_WORKER: f64 = 250.0;

impl Workers {
    /// Starts one worker per 250 `runs_per_second`: at least one, and at most one for each processor.
    ///
    /// # Errors
    /// Returns an error if the operating system refuses a thread or a runtime's event queue.
    pub fn start(runs_per_second: f64) -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let workers = (0..workers_needed(runs_per_second, processors)).map(|_| Worker::start());
        Ok(Self { workers: workers.collect::<io::Result<_>>()?, has_ended: Arc::default() })
    }

    /// Returns the runtime of the worker for the probe with this index: probes are assigned to the workers round-robin.
    pub fn handle(&self, index: usize) -> &Handle {
        &self.workers[index % self.workers.len()].handle
    }

    /// Returns the runtimes of all workers, in the order in which [`Workers::handle`] assigns probes to them.
    pub fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.workers.iter().map(|worker| &worker.handle)
    }

    /// Returns what finds out whether the workers still run probes.
    pub fn liveness(&self) -> Liveness {
        Liveness::new(self.handles().cloned().collect(), Arc::clone(&self.has_ended))
    }

    /// Records that the schedule of a worker has ended before the stop.
    pub(crate) fn record_end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }
}

fn workers_needed(runs_per_second: f64, processors: usize) -> usize {
    ((runs_per_second / RUNS_PER_WORKER).ceil() as usize).clamp(1, processors)
}

impl Worker {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (shutdown_sender, shutdown) = oneshot::channel::<()>();
        // The thread gets the runtime once it has started. A runtime must not be dropped on a thread of another one.
        let (runtime_sender, runtime_receiver) = mpsc::channel::<Runtime>();
        let started = thread::Builder::new().name("probes".to_owned()).spawn(move || {
            let Ok(runtime) = runtime_receiver.recv() else { return };
            _ = runtime.block_on(shutdown);
            // Name lookups that are still in progress on blocking threads are not waited for.
            runtime.shutdown_background();
        });
        match started {
            Ok(_) => _ = runtime_sender.send(runtime),
            Err(error) => {
                runtime.shutdown_background();
                return Err(refused(&error));
            }
        }
        Ok(Self { handle, _shutdown: shutdown_sender })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_follow_the_rate_of_runs_up_to_the_processors() {
        for (runs, workers) in [(0.0, 1), (0.1, 1), (250.0, 1), (251.0, 2), (999.0, 4), (5000.0, 4), (f64::INFINITY, 4)]
        {
            assert_eq!(workers_needed(runs, 4), workers, "{runs}");
        }
    }

    #[tokio::test]
    async fn a_schedule_that_ended_and_a_worker_that_blocks_are_found() {
        let workers = Workers::start(0.0).unwrap();
        let liveness = workers.liveness();
        assert_eq!(liveness.check().await, Ok(()));
        let (release, released) = mpsc::channel::<()>();
        workers.handle(0).spawn(async move { _ = released.recv() });
        assert_eq!(liveness.check().await, Err(Stalled::Busy));
        drop(release);
        // A machine under load gets more time.
        while liveness.check().await.is_err() {}
        workers.record_end();
        assert_eq!(liveness.check().await, Err(Stalled::Ended));
    }
}
