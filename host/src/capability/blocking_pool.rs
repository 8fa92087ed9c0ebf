//! Threads for calls of the system that block: the resolution of names, and reading and writing files.
//!
//! A call occupies a thread until the system ends the call, even after the caller has given up. The number of calls in
//! progress is therefore bounded:
//!
//! - Built-in probes have one bound for all of them together.
//! - Each third-party probe has a bound of its own. Its first call takes one of the threads that are kept for first
//!   calls. While that is in progress, its further calls take threads that all third-party probes share.
//!
//! So a probe whose calls never end takes no thread from a probe that makes one call at a time, unless there are more
//! such probes than threads for first calls. No more calls of a probe wait for shared threads than its own bound
//! allows, so that probes take turns.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::capability::cpu_clock::thread_cpu_time;
use crate::capability::quota::Quota;
use crate::run::LimitKind;

/// The calls that one third-party probe may have in progress at once.
const MAX_OF_PROBE: usize = 4;

/// The numbers of calls at once.
#[derive(Clone, Copy)]
pub struct PoolSize {
    /// The calls of all built-in probes together.
    pub built_in: usize,
    /// The third-party probes that may have a first call in progress.
    pub first_calls: usize,
    /// The calls of all third-party probes beyond the first of each.
    pub further_calls: usize,
}

/// The calls that all probes may have in progress at once.
pub struct BlockingPool {
    built_in: Arc<Semaphore>,
    third_party: Slots,
    /// The name of the threads.
    thread_name: &'static str,
}

/// The calls that one third-party probe may have in progress at once. All runs of the probe share it.
#[derive(Clone)]
pub struct ProbeCalls(Slots);

/// The first calls and the further ones.
#[derive(Clone)]
struct Slots {
    first: Arc<Semaphore>,
    further: Arc<Semaphore>,
}

/// Proof that the current thread may block: only the threads of a [`BlockingPool`] have it. Functions that read or
/// write files take it, so that none of them can be called on a thread on which probes run.
pub struct MayBlock(());

/// The threads of a pool as one attempt of a probe may use them. Clones share the bounds.
#[derive(Clone)]
pub struct BlockingCalls {
    bounds: Bounds,
    quota: Quota,
    thread_name: &'static str,
}

#[derive(Clone)]
enum Bounds {
    BuiltIn(Arc<Semaphore>),
    ThirdParty { own: Slots, shared: Slots },
}

impl Slots {
    fn new(first: usize, further: usize) -> Self {
        Self { first: Arc::new(Semaphore::new(first)), further: Arc::new(Semaphore::new(further)) }
    }
}

impl Default for ProbeCalls {
    fn default() -> Self {
        Self(Slots::new(1, MAX_OF_PROBE - 1))
    }
}

impl BlockingPool {
    /// Creates a pool whose threads have this name. They are started when they are needed.
    pub fn new(thread_name: &'static str, size: PoolSize) -> Self {
        Self {
            built_in: Arc::new(Semaphore::new(size.built_in)),
            third_party: Slots::new(size.first_calls, size.further_calls),
            thread_name,
        }
    }

    /// Returns the calls of one attempt of a probe. A third-party probe has a bound of its own, a built-in one has
    /// none. The attempt ends at `quota` if one of its calls gets no thread.
    pub fn for_run(&self, third_party: Option<&ProbeCalls>, quota: Quota) -> BlockingCalls {
        let bounds = match third_party {
            Some(ProbeCalls(own)) => Bounds::ThirdParty { own: own.clone(), shared: self.third_party.clone() },
            None => Bounds::BuiltIn(Arc::clone(&self.built_in)),
        };
        BlockingCalls { bounds, quota, thread_name: self.thread_name }
    }
}

impl BlockingCalls {
    /// Makes a call on a thread of the pool. Waits while as many calls as allowed are in progress. The CPU time of a
    /// call of a third-party probe counts as that of the attempt.
    ///
    /// If the future is dropped while it waits for a thread that another probe has, as at a timeout, the attempt ends
    /// with [`LimitKind::Threads`]: the target was not asked.
    ///
    /// # Errors
    /// Returns an error if the system refuses a thread, which ends the attempt too, or if the call panics.
    pub async fn run<T: Send + 'static>(&self, call: impl FnOnce(&MayBlock) -> T + Send + 'static) -> io::Result<T> {
        let permits = self.acquire().await.map_err(io::Error::other)?;
        let (sender, receiver) = oneshot::channel();
        let charged = matches!(self.bounds, Bounds::ThirdParty { .. }).then(|| self.quota.clone());
        let thread = std::thread::Builder::new().name(self.thread_name.to_owned()).spawn(move || {
            let result = call(&MayBlock(()));
            if let Some(quota) = charged {
                quota.count_cpu(thread_cpu_time());
            }
            // The permits are kept until here, since the thread is occupied even after the caller has given up.
            drop(permits);
            // An error means that the caller has given up.
            let _ = sender.send(result);
        });
        if let Err(error) = thread {
            self.quota.set_exceeded(LimitKind::Threads);
            return Err(error);
        }
        receiver.await.map_err(|_| io::Error::other("the host failed; this is a bug, please report it"))
    }

    /// Returns the counters of the attempt that makes the calls.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    async fn acquire(&self) -> Result<Permits, tokio::sync::AcquireError> {
        let wait = Wait { quota: &self.quota, is_for_others: AtomicBool::new(false) };
        let permits = match &self.bounds {
            Bounds::BuiltIn(shared) => Permits { _own: None, _shared: wait.acquire(shared).await? },
            Bounds::ThirdParty { own, shared } => tokio::select! {
                biased;
                permits = wait.acquire_both(&own.first, &shared.first) => permits?,
                permits = wait.acquire_both(&own.further, &shared.further) => permits?,
            },
        };
        wait.end();
        Ok(permits)
    }
}

/// The permits of a call in progress.
struct Permits {
    _own: Option<OwnedSemaphorePermit>,
    _shared: OwnedSemaphorePermit,
}

/// The wait of one call for its permits.
struct Wait<'a> {
    quota: &'a Quota,
    /// True once all shared threads of a queue in which the call waits were occupied.
    is_for_others: AtomicBool,
}

impl Wait<'_> {
    /// Acquires a permit of the probe, and then a shared one: a probe with many calls does not fill the queue of the
    /// others.
    async fn acquire_both(
        &self,
        own: &Arc<Semaphore>,
        shared: &Arc<Semaphore>,
    ) -> Result<Permits, tokio::sync::AcquireError> {
        let own = Arc::clone(own).acquire_owned().await?;
        Ok(Permits { _own: Some(own), _shared: self.acquire(shared).await? })
    }

    /// Returns true if the call has waited for other probes and has not ended its wait before.
    fn end(&self) -> bool {
        let has_waited = self.is_for_others.swap(false, Relaxed);
        if has_waited {
            self.quota.end_wait_for_thread();
        }
        has_waited
    }

    async fn acquire(&self, shared: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, tokio::sync::AcquireError> {
        if let Ok(permit) = Arc::clone(shared).try_acquire_owned() {
            return Ok(permit);
        }
        if !self.is_for_others.swap(true, Relaxed) {
            self.quota.begin_wait_for_thread();
        }
        Arc::clone(shared).acquire_owned().await
    }
}

#[cfg(test)]
impl MayBlock {
    /// Returns the proof for a test, whose thread may block.
    pub fn in_test() -> Self {
        Self(())
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.end() {
            self.quota.set_exceeded(LimitKind::Threads);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::capability::connection_budget::ConnectionBudget;
    use crate::capability::memory_budget::MemoryPool;
    use crate::capability::quota::Exceeded;
    use crate::config::Limits;

    const SIZE: PoolSize = PoolSize { built_in: 5, first_calls: 3, further_calls: 2 };

    fn quota() -> Quota {
        let connections = Arc::new(ConnectionBudget::default()).for_run(false);
        Quota::new(Limits::default(), Arc::new(MemoryPool::new(1 << 20, 1)).reservation(false), connections)
    }

    fn third_party(pool: &BlockingPool, of_probe: &ProbeCalls) -> BlockingCalls {
        pool.for_run(Some(of_probe), quota())
    }

    /// Begins calls that last until the returned senders are dropped, and gives up on all of them.
    async fn begin_and_give_up(calls: &BlockingCalls, count: usize) -> Vec<mpsc::Sender<()>> {
        let mut senders = Vec::new();
        for _ in 0..count {
            let (sender, receiver) = mpsc::channel::<()>();
            let (started, has_started) = oneshot::channel();
            let blocked = calls.clone();
            let task = tokio::spawn(async move {
                let call = move |_: &MayBlock| {
                    _ = started.send(());
                    _ = receiver.recv();
                };
                blocked.run(call).await
            });
            has_started.await.expect("the call starts");
            task.abort();
            senders.push(sender);
        }
        senders
    }

    async fn is_blocked(calls: &BlockingCalls) -> bool {
        tokio::time::timeout(Duration::from_millis(50), calls.run(|_| ())).await.is_err()
    }

    #[tokio::test]
    async fn abandoned_calls_count_until_their_threads_are_free() {
        let pool = BlockingPool::new("test", PoolSize { further_calls: 10, ..SIZE });
        let (bounds, other) = (ProbeCalls::default(), ProbeCalls::default());
        let calls = third_party(&pool, &bounds);
        let senders = begin_and_give_up(&calls, MAX_OF_PROBE).await;
        assert!(is_blocked(&calls).await);
        assert_eq!(calls.quota.check(), Ok(()), "the probe waits for itself");
        assert!(is_blocked(&third_party(&pool, &bounds)).await, "another run of the probe shares its bound");
        third_party(&pool, &other).run(|_| ()).await.expect("other probes are not blocked");
        drop(senders);
        calls.run(|_| ()).await.expect("the threads are free");
    }

    #[tokio::test]
    async fn each_probe_is_sure_of_one_call_at_a_time() {
        let pool = BlockingPool::new("test", SIZE);
        let greedy = ProbeCalls::default();
        let _senders = begin_and_give_up(&third_party(&pool, &greedy), 1 + SIZE.further_calls).await;
        let honest = third_party(&pool, &ProbeCalls::default());
        for _ in 0..3 {
            honest.run(|_| ()).await.expect("one call at a time is not blocked");
        }
        let _senders = begin_and_give_up(&honest, 1).await;
        assert!(is_blocked(&honest).await);
        assert_eq!(honest.quota.check(), Err(Exceeded(LimitKind::Threads)), "others have the further threads");
    }

    #[tokio::test]
    async fn a_call_that_waits_for_other_probes_in_vain_ends_the_attempt() {
        let pool = BlockingPool::new("test", SIZE);
        let mut senders = Vec::new();
        for _ in 0..SIZE.first_calls {
            senders.push(begin_and_give_up(&third_party(&pool, &ProbeCalls::default()), 1).await);
        }
        senders.push(begin_and_give_up(&third_party(&pool, &ProbeCalls::default()), SIZE.further_calls).await);
        let calls = third_party(&pool, &ProbeCalls::default());
        assert!(is_blocked(&calls).await);
        assert_eq!(calls.quota.check(), Err(Exceeded(LimitKind::Threads)));
        // Without a timeout, the call waits for its turn, and the attempt goes on.
        let patient = third_party(&pool, &ProbeCalls::default());
        let waiting = tokio::spawn({
            let patient = patient.clone();
            async move { patient.run(|_| ()).await }
        });
        tokio::task::yield_now().await;
        drop(senders);
        waiting.await.expect("the task does not panic").expect("the threads are free");
        assert_eq!(patient.quota.check(), Ok(()));
    }

    #[tokio::test]
    async fn built_in_probes_do_not_wait_for_third_party_probes() {
        let pool = BlockingPool::new("test", SIZE);
        let mut senders = Vec::new();
        for _ in 0..SIZE.first_calls {
            senders.push(begin_and_give_up(&third_party(&pool, &ProbeCalls::default()), 1).await);
        }
        assert_eq!(pool.for_run(None, quota()).run(|_| 7).await.expect("built-in probes are not blocked"), 7);
        let built_in = pool.for_run(None, quota());
        senders.push(begin_and_give_up(&built_in, SIZE.built_in).await);
        assert!(is_blocked(&built_in).await);
        assert_eq!(built_in.quota.check(), Err(Exceeded(LimitKind::Threads)));
    }

    #[tokio::test]
    async fn waiting_calls_of_one_probe_do_not_delay_other_probes() {
        let pool = BlockingPool::new("test", PoolSize { further_calls: 10, ..SIZE });
        let (bounds, other) = (ProbeCalls::default(), ProbeCalls::default());
        let calls = third_party(&pool, &bounds);
        let senders = begin_and_give_up(&calls, MAX_OF_PROBE).await;
        let waiting: Vec<_> = (0..900)
            .map(|_| {
                let calls = calls.clone();
                tokio::spawn(async move { calls.run(|_| ()).await })
            })
            .collect();
        tokio::task::yield_now().await;
        third_party(&pool, &other).run(|_| ()).await.expect("other probes are not blocked");
        assert!(waiting.iter().all(|task| !task.is_finished()));
        drop(senders);
        for task in waiting {
            task.await.expect("the task does not panic").expect("the call ends");
        }
    }

    #[tokio::test]
    async fn a_call_that_panics_is_an_error_and_frees_its_thread() {
        let pool = BlockingPool::new("test", PoolSize { built_in: 1, ..SIZE });
        let calls = pool.for_run(None, quota());
        for _ in 0..2 {
            let ended = calls.run(|_| panic!("this is a test")).await;
            assert!(ended.is_err());
        }
        calls.run(|_| ()).await.expect("the thread is free");
    }
}
