//! Where guests compute: on the thread that their run has begun on, for as long as that is brief; else on threads of
//! their own, so that a guest which computes without end takes the time of other such guests alone, and nobody's
//! measurements.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::sandbox::cpu_permits::CpuPermits;

/// Threads for guests that compute for long: as many as there are processors, and two at least; they end with this
/// value.
pub struct GuestExecutor {
    runtime: Option<Runtime>,
    /// All but one, for those that compute for very long.
    turns: Arc<CpuPermits>,
}

/// Where a run has begun.
#[derive(Clone)]
pub struct HomeRuntime {
    /// Where its targets are waited for.
    pub exchanges: Handle,
    /// Its guest has computed until somebody else wanted to go on there.
    interrupted: Arc<AtomicBool>,
}

impl GuestExecutor {
    pub fn start() -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(threads).thread_name("guest").enable_time().enable_io().build()?;
        Ok(Self { runtime: Some(runtime), turns: CpuPermits::new(threads - 1) })
    }

    pub fn cpu_permits(&self) -> &Arc<CpuPermits> {
        &self.turns
    }

    /// Does a guest's `work` on the current thread until it is interrupted there; then, and from the start if it is
    /// `long`, on these. It ends with whoever waits for it.
    ///
    /// # Errors
    /// When it panics.
    pub async fn run<F>(&self, long: bool, work: impl FnOnce(HomeRuntime) -> F) -> Result<F::Output, JoinError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let place = HomeRuntime::current();
        let mut work = Box::pin(work(place.clone()));
        if !long {
            let begun = async move {
                let ended = poll_fn(|task| match work.as_mut().poll(task) {
                    Poll::Ready(done) => Poll::Ready(Some(done)),
                    Poll::Pending if place.interrupted.load(Relaxed) => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                });
                match ended.await {
                    Some(done) => Ok(done),
                    None => Err(work),
                }
            };
            // In a task, which a panic does not leave.
            match AbortOnDropHandle::new(tokio::spawn(begun)).await? {
                Ok(done) => return Ok(done),
                Err(rest) => work = rest,
            }
        }
        let runtime = self.runtime.as_ref().expect("the threads are there until they are dropped");
        AbortOnDropHandle::new(runtime.spawn(work)).await
    }
}

impl HomeRuntime {
    /// The runtime of the current task.
    pub fn current() -> Self {
        Self { exchanges: Handle::current(), interrupted: Arc::default() }
    }

    pub fn interrupt(&self) {
        self.interrupted.store(true, Relaxed);
    }
}

impl Drop for GuestExecutor {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which is not allowed among tasks.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of the thread that it is polled on.
    fn thread() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn brief_work_stays_and_long_work_goes() {
        let threads = GuestExecutor::start().expect("threads");
        let here = thread();
        assert_eq!(threads.run(false, |_| async { thread() }).await.expect("no panic"), here);
        assert_eq!(threads.run(true, |_| async { thread() }).await.expect("no panic"), "guest");
        let interrupted = threads.run(false, |place| async move {
            let begun = thread();
            place.interrupt();
            tokio::task::yield_now().await;
            (begun, thread())
        });
        assert_eq!(interrupted.await.expect("no panic"), (here, "guest".to_owned()));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_wherever_it_happens() {
        let threads = GuestExecutor::start().expect("threads");
        for long in [false, true] {
            let work = threads.run(long, |_| async { panic!("this is a test") });
            let ended: Result<(), _> = work.await;
            assert!(ended.is_err_and(|error| error.is_panic()));
        }
    }
}
