//! The threads that guests compute on: others than those that wait for targets, so that a guest which computes without
//! end takes the time of other guests alone, and nobody's measurements.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// As many as there are processors; they end with this value.
pub struct Threads(Option<Runtime>);

impl Threads {
    pub fn start() -> io::Result<Self> {
        Builder::new_multi_thread().thread_name("guest").enable_time().enable_io().build().map(|it| Self(Some(it)))
    }

    /// Does `work` on these threads. It ends with whoever waits for it.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> AbortOnDropHandle<T> {
        let runtime = self.0.as_ref().expect("the threads are there until they are dropped");
        AbortOnDropHandle::new(runtime.spawn(work))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which is not allowed among tasks.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
