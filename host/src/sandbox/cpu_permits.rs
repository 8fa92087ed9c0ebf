//! Permits to compute, one fewer than there are guest threads, so that one thread is always free for guests with short
//! computations.
//!
//! The waiter that has used the least CPU time gets the next permit: a guest that computes endlessly waits for all
//! others, and none waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A semaphore that serves waiters in the order of the CPU time that they have used.
pub struct CpuPermits(Mutex<State>);

struct State {
    free: usize,
    /// Waiters by the CPU time that they have used, and then in order of arrival.
    waiters: BTreeMap<(Duration, u64), oneshot::Sender<CpuPermit>>,
    /// The number of waiters that have arrived so far.
    arrivals: u64,
}

/// A permit to compute. Dropping it passes it to the next waiter.
pub struct CpuPermit(Option<Arc<CpuPermits>>);

impl CpuPermits {
    /// Creates `count` permits.
    pub fn new(count: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { free: count, waiters: BTreeMap::new(), arrivals: 0 })))
    }

    /// Waits for a permit for a guest that has used this much CPU time. If the future is dropped, its permit goes to
    /// the next waiter.
    pub async fn acquire(self: &Arc<Self>, used: Duration) -> CpuPermit {
        loop {
            let receiver = {
                let mut state = self.0.lock();
                if state.free > 0 {
                    state.free -= 1;
                    return CpuPermit(Some(Arc::clone(self)));
                }
                let (sender, receiver) = oneshot::channel();
                let arrival = state.arrivals;
                state.arrivals += 1;
                state.waiters.insert((used, arrival), sender);
                receiver
            };
            if let Ok(permit) = receiver.await {
                return permit;
            }
        }
    }

    /// Passes a permit to the next waiter, or adds it to the free permits if nobody waits.
    fn release(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.0.lock();
                let Some((_, next)) = state.waiters.pop_first() else {
                    state.free += 1;
                    return;
                };
                next
            };
            match next.send(CpuPermit(Some(Arc::clone(self)))) {
                Ok(()) => return,
                // The waiter was dropped. Its permit must not be released again when it is dropped here: the next
                // iteration passes it on.
                Err(mut permit) => permit.0 = None,
            }
        }
    }
}

impl Drop for CpuPermit {
    fn drop(&mut self) {
        if let Some(permits) = self.0.take() {
            permits.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn ready<T>(polled: Poll<T>) -> T {
        let Poll::Ready(ready) = polled else { panic!("no permit is free") };
        ready
    }

    #[test]
    fn the_waiter_with_the_least_cpu_time_is_next() {
        let permits = CpuPermits::new(1);
        let permit = ready(poll(pin!(permits.acquire(Duration::ZERO))));
        let mut long = pin!(permits.acquire(Duration::from_secs(5)));
        let mut first = pin!(permits.acquire(Duration::from_secs(1)));
        let mut second = pin!(permits.acquire(Duration::from_secs(1)));
        assert!(poll(long.as_mut()).is_pending() && poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        drop(permit);
        assert!(poll(long.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        drop(ready(poll(first)));
        assert!(poll(long.as_mut()).is_pending());
        drop(ready(poll(second)));
        drop(ready(poll(long)));
    }

    #[test]
    fn an_acquire_waits_if_all_permits_are_taken() {
        let permits = CpuPermits::new(2);
        let [first, second] = [(), ()].map(|()| ready(poll(pin!(permits.acquire(Duration::ZERO)))));
        let mut third = pin!(permits.acquire(Duration::ZERO));
        assert!(poll(third.as_mut()).is_pending());
        drop(second);
        let third = ready(poll(third));
        drop((first, third));
        assert_eq!(permits.0.lock().free, 2);
    }

    #[test]
    fn the_permit_of_a_dropped_waiter_is_not_lost() {
        let permits = CpuPermits::new(1);
        let permit = ready(poll(pin!(permits.acquire(Duration::ZERO))));
        {
            // Dropped before the permit is sent to it.
            let mut early = pin!(permits.acquire(Duration::ZERO));
            assert!(poll(early.as_mut()).is_pending());
        }
        {
            // Dropped after the permit is sent to it.
            let mut late = pin!(permits.acquire(Duration::ZERO));
            assert!(poll(late.as_mut()).is_pending());
            drop(permit);
            assert_eq!(permits.0.lock().free, 0);
        }
        assert_eq!(permits.0.lock().free, 1);
    }
}
