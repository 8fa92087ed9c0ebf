//! Reading and writing the files that settings name, on threads of their own: a disk or a network file system that does
//! not answer delays no other probe.

use std::io;

use crate::capability::blocking_pool::{BlockingCalls, BlockingPool, MayBlock, PoolSize};
use crate::capability::quota::Quota;

/// The numbers of calls at once, each of which can have an open file.
const SIZE: PoolSize = PoolSize { built_in: 32, first_calls: 32, further_calls: 16 };

/// Returns the threads for the files of all probes.
pub fn pool() -> BlockingPool {
    BlockingPool::new("files", SIZE)
}

/// The calls about files of one attempt of a probe. Clones share the bounds.
#[derive(Clone)]
pub struct FileCalls(pub BlockingCalls);

impl FileCalls {
    /// Makes a call that reads or writes files. Waits while as many calls as allowed are in progress, as
    /// [`BlockingCalls::run`] does.
    ///
    /// If the future is dropped before the call has ended, as at a timeout, the attempt ends with
    /// [`LimitKind::Files`](crate::run::LimitKind::Files): it is not the target that took long.
    ///
    /// # Errors
    /// Returns the errors of [`BlockingCalls::run`].
    pub async fn run<T: Send + 'static>(&self, call: impl FnOnce(&MayBlock) -> T + Send + 'static) -> io::Result<T> {
        let in_progress = InProgress::begin(self.0.quota());
        let result = self.0.run(call).await;
        in_progress.end();
        result
    }
}

/// A call in progress. Dropping it without [`InProgress::end`] ends the attempt.
struct InProgress<'a>(Option<&'a Quota>);

impl<'a> InProgress<'a> {
    fn begin(quota: &'a Quota) -> Self {
        quota.begin_file_call();
        Self(Some(quota))
    }

    fn end(mut self) {
        if let Some(quota) = self.0.take() {
            quota.end_file_call();
        }
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        if let Some(quota) = self.0.take() {
            _ = quota.check_file_calls();
            quota.end_file_call();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::capability::connection_budget::ConnectionBudget;
    use crate::capability::memory_budget::MemoryPool;
    use crate::capability::quota::Exceeded;
    use crate::config::Limits;
    use crate::run::LimitKind;

    fn calls() -> FileCalls {
        let connections = Arc::new(ConnectionBudget::default()).for_run(false);
        let reservation = Arc::new(MemoryPool::new(1 << 20, 1)).reservation(false);
        FileCalls(pool().for_run(None, Quota::new(Limits::default(), reservation, connections)))
    }

    #[tokio::test]
    async fn a_file_that_is_not_read_in_time_ends_the_attempt() {
        let calls = calls();
        calls.run(|_| ()).await.expect("the call is made");
        assert_eq!(calls.0.quota().check_file_calls(), Ok(()));
        let (sender, receiver) = mpsc::channel::<()>();
        let reading = calls.run(move |_| receiver.recv().is_err());
        assert!(tokio::time::timeout(Duration::from_millis(1), reading).await.is_err());
        assert_eq!(calls.0.quota().check(), Err(Exceeded(LimitKind::Files)));
        drop(sender);
    }
}
