//! The threads that guests compute on: others than those that wait for targets, so that a guest which computes without
//! end takes the time of other guests alone, and nobody's measurements.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

use crate::sandbox::turns::Turns;

/// As many as there are processors, and two at least; they end with this value.
pub struct Threads {
    runtime: Option<Runtime>,
    /// All but one, for those that compute for long.
    turns: Arc<Turns>,
}

impl Threads {
    pub fn start() -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(threads).thread_name("guest").enable_time().enable_io().build()?;
        Ok(Self { runtime: Some(runtime), turns: Turns::new(threads - 1) })
    }

    pub fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// Does `work` on these threads. It ends with whoever waits for it.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> AbortOnDropHandle<T> {
        let runtime = self.runtime.as_ref().expect("the threads are there until they are dropped");
        AbortOnDropHandle::new(runtime.spawn(work))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which is not allowed among tasks.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
