//! Decides on which thread a guest computes. A short computation stays on the worker on which the run started; a long
//! one moves to the guest threads. So a guest that computes endlessly delays only other guests with long computations,
//! and no measurements.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::sandbox::cpu_permits::CpuPermits;
use crate::threads::ensure_available;

/// The guest threads, for guests with long computations: as many as there are processors, and at least two. Dropping
/// this value ends them.
pub struct GuestExecutor {
    /// `None` only while the executor is being dropped.
    runtime: Option<Runtime>,
    /// One permit fewer than there are threads.
    permits: Arc<CpuPermits>,
    /// One permit for each call outside of runs that may be in progress.
    load_permits: Semaphore,
}

/// The runtime on which a run started.
#[derive(Clone)]
pub struct HomeRuntime {
    /// The run's network exchanges take place on this runtime, even while the guest computes elsewhere.
    pub handle: Handle,
    /// True if the guest is to continue on the guest threads.
    migration_requested: Arc<AtomicBool>,
}

impl GuestExecutor {
    /// Starts the guest threads.
    ///
    /// # Errors
    /// Returns an error if the operating system refuses the threads or the runtime's event queue.
    pub fn start() -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        ensure_available(threads)?;
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(threads).thread_name("guest").enable_time().enable_io().build()?;
        let load_permits = Semaphore::new(load_calls_at_once());
        Ok(Self { runtime: Some(runtime), permits: CpuPermits::new(threads - 1), load_permits })
    }

    /// Returns the permits that guests with long computations need.
    pub fn cpu_permits(&self) -> &Arc<CpuPermits> {
        &self.permits
    }

    /// Returns the permits for calls outside of runs: components that are being loaded describe themselves and check
    /// settings.
    pub fn load_permits(&self) -> &Semaphore {
        &self.load_permits
    }

    /// Runs a guest's `work`. If `on_guest_threads` is true, runs it on the guest threads. Otherwise, runs it on the
    /// current runtime until it requests its migration, and then on the guest threads. Dropping the returned future
    /// aborts the work.
    ///
    /// # Errors
    /// Returns an error if the work panics.
    pub async fn run<F>(
        &self,
        on_guest_threads: bool,
        work: impl FnOnce(HomeRuntime) -> F,
    ) -> Result<F::Output, JoinError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let home = HomeRuntime::current();
        let mut work = Box::pin(work(home.clone()));
        if !on_guest_threads {
            let at_home = async move {
                let ended = poll_fn(|task| match work.as_mut().poll(task) {
                    Poll::Ready(done) => Poll::Ready(Some(done)),
                    Poll::Pending if home.migration_requested.load(Relaxed) => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                });
                match ended.await {
                    Some(done) => Ok(done),
                    None => Err(work),
                }
            };
            // The work runs in a task of its own, so that a panic becomes an error.
            match AbortOnDropHandle::new(tokio::spawn(at_home)).await? {
                Ok(done) => return Ok(done),
                Err(unfinished) => work = unfinished,
            }
        }
        let runtime = self.runtime.as_ref().expect("only dropping the executor takes its runtime");
        AbortOnDropHandle::new(runtime.spawn(work)).await
    }
}

/// Returns the number of calls outside of runs that may be in progress at once: one for each processor, but at least 3
/// and at most 16.
pub fn load_calls_at_once() -> usize {
    std::thread::available_parallelism().map_or(3, usize::from).clamp(3, 16)
}

impl HomeRuntime {
    /// Returns the runtime of the current task.
    pub fn current() -> Self {
        Self { handle: Handle::current(), migration_requested: Arc::default() }
    }

    /// Requests that the guest continues on the guest threads once it yields.
    pub fn request_migration(&self) {
        self.migration_requested.store(true, Relaxed);
    }
}

impl Drop for GuestExecutor {
    fn drop(&mut self) {
        // Dropping a runtime blocks until its threads have ended, which panics within a task.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the name of the current thread.
    fn thread_name() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn work_stays_until_it_requests_its_migration() {
        let executor = GuestExecutor::start().expect("the guest threads can be started");
        let here = thread_name();
        assert_eq!(executor.run(false, |_| async { thread_name() }).await.expect("the work does not panic"), here);
        assert_eq!(executor.run(true, |_| async { thread_name() }).await.expect("the work does not panic"), "guest");
        let migrated = executor.run(false, |home| async move {
            let first = thread_name();
            home.request_migration();
            tokio::task::yield_now().await;
            (first, thread_name())
        });
        assert_eq!(migrated.await.expect("the work does not panic"), (here, "guest".to_owned()));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_on_either_runtime() {
        let executor = GuestExecutor::start().expect("the guest threads can be started");
        for on_guest_threads in [false, true] {
            let work = executor.run(on_guest_threads, |_| async { panic!("this is a test") });
            let ended: Result<(), _> = work.await;
            assert!(ended.is_err_and(|error| error.is_panic()));
        }
    }
}
