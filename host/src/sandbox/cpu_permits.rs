//! Turns at computing, fewer than there are threads, so that one is always free for guests that compute briefly.
//!
//! Whoever has computed least goes next: a guest that computes without end waits for all others, and none for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

pub struct CpuPermits(Mutex<Waiting>);

struct Waiting {
    free: usize,
    /// By how long each has computed, and then in the order in which they came.
    next: BTreeMap<(Duration, u64), oneshot::Sender<CpuPermit>>,
    came: u64,
}

/// The right to compute on, for as long as it is kept.
pub struct CpuPermit(Option<Arc<CpuPermits>>);

impl CpuPermits {
    pub fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Waiting { free: at_once, next: BTreeMap::new(), came: 0 })))
    }

    /// A turn for somebody who has computed for so long.
    pub async fn acquire(self: &Arc<Self>, computed: Duration) -> CpuPermit {
        loop {
            let turn = {
                let mut waiting = self.lock();
                if waiting.free > 0 {
                    waiting.free -= 1;
                    return CpuPermit(Some(Arc::clone(self)));
                }
                let (given, turn) = oneshot::channel();
                let came = waiting.came;
                waiting.came += 1;
                waiting.next.insert((computed, came), given);
                turn
            };
            if let Ok(turn) = turn.await {
                return turn;
            }
        }
    }

    fn release(self: &Arc<Self>) {
        loop {
            let next = {
                let mut waiting = self.lock();
                let Some((_, next)) = waiting.next.pop_first() else {
                    waiting.free += 1;
                    return;
                };
                next
            };
            match next.send(CpuPermit(Some(Arc::clone(self)))) {
                Ok(()) => return,
                // Who has given up waiting has nothing to give back.
                Err(mut turn) => turn.0 = None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock()
    }
}

impl Drop for CpuPermit {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.release();
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
        let Poll::Ready(ready) = polled else { panic!("it has to wait") };
        ready
    }

    #[test]
    fn whoever_has_computed_least_goes_next() {
        let turns = CpuPermits::new(1);
        let turn = ready(poll(pin!(turns.acquire(Duration::ZERO))));
        let mut long = pin!(turns.acquire(Duration::from_secs(5)));
        let mut brief = pin!(turns.acquire(Duration::from_secs(1)));
        let mut second = pin!(turns.acquire(Duration::from_secs(1)));
        assert!(poll(long.as_mut()).is_pending() && poll(brief.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        drop(turn);
        assert!(poll(long.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        drop(ready(poll(brief)));
        assert!(poll(long.as_mut()).is_pending());
        drop(ready(poll(second)));
        drop(ready(poll(long)));
    }

    #[test]
    fn there_are_as_many_as_there_are() {
        let turns = CpuPermits::new(2);
        let [first, second] = [(), ()].map(|()| ready(poll(pin!(turns.acquire(Duration::ZERO)))));
        let mut third = pin!(turns.acquire(Duration::ZERO));
        assert!(poll(third.as_mut()).is_pending());
        drop(second);
        let third = ready(poll(third));
        drop((first, third));
        assert_eq!(turns.lock().free, 2);
    }

    #[test]
    fn who_gives_up_takes_no_turn_along() {
        let turns = CpuPermits::new(1);
        let turn = ready(poll(pin!(turns.acquire(Duration::ZERO))));
        {
            // One before it is given, the other after.
            let mut early = pin!(turns.acquire(Duration::ZERO));
            assert!(poll(early.as_mut()).is_pending());
        }
        {
            let mut late = pin!(turns.acquire(Duration::ZERO));
            assert!(poll(late.as_mut()).is_pending());
            drop(turn);
            assert_eq!(turns.lock().free, 0);
        }
        assert_eq!(turns.lock().free, 1);
    }
}
