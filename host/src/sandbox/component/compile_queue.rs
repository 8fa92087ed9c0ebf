//! The order in which components are compiled: a few at once, earlier attempts before later ones, and small files
//! before large ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::compiler_limits::ATTEMPTS;

/// Permits to compile components, and the attempts that wait for one.
#[derive(Debug)]
pub struct CompileQueue(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The number of free permits.
    free: usize,
    /// The number of free permits that last attempts may take. If there are several permits, one is kept for earlier
    /// attempts.
    free_for_last_attempts: usize,
    waiting: BTreeMap<Rank, oneshot::Sender<CompilePermit>>,
    /// The number of those that have waited.
    count: u64,
}

/// The order among those that wait: the smallest is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    attempt: usize,
    file_bytes: u64,
    /// The order in which they came.
    number: u64,
}

/// The right to compile one component, which the next one gets when this value is dropped.
#[derive(Debug)]
pub struct CompilePermit {
    queue: Arc<CompileQueue>,
    is_last_attempt: bool,
}

fn is_last(attempt: usize) -> bool {
    attempt + 1 == ATTEMPTS
}

impl CompileQueue {
    /// Creates permits for this number of components at once, at least one.
    pub fn new(at_once: usize) -> Arc<Self> {
        let at_once = at_once.max(1);
        let free_for_last_attempts = (at_once - 1).max(1);
        Arc::new(Self(Mutex::new(State { free: at_once, free_for_last_attempts, waiting: BTreeMap::new(), count: 0 })))
    }

    /// Waits for a permit to make an attempt (0 is the first) to compile a file of this size. Returns `None` if there
    /// are no permits any more, which does not happen while this value lives.
    pub async fn take(self: &Arc<Self>, attempt: usize, file_bytes: u64) -> Option<CompilePermit> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.0.lock();
            state.count += 1;
            let rank = Rank { attempt, file_bytes, number: state.count };
            state.waiting.insert(rank, sender);
        }
        self.hand_out();
        receiver.await.ok()
    }

    /// Gives the free permits to those that are next.
    fn hand_out(self: &Arc<Self>) {
        while let Some((is_last_attempt, sender)) = self.next() {
            // A permit that nobody waits for any more is free again when it is dropped.
            _ = sender.send(CompilePermit { queue: Arc::clone(self), is_last_attempt });
        }
    }

    /// Takes a free permit for the one that is next, if there are both.
    fn next(&self) -> Option<(bool, oneshot::Sender<CompilePermit>)> {
        let mut state = self.0.lock();
        loop {
            let (rank, sender) = state.waiting.first_key_value()?;
            let is_last_attempt = is_last(rank.attempt);
            let is_given_up = sender.is_closed();
            if !is_given_up && (state.free == 0 || is_last_attempt && state.free_for_last_attempts == 0) {
                return None;
            }
            let (_, sender) = state.waiting.pop_first()?;
            if !is_given_up {
                state.free -= 1;
                state.free_for_last_attempts -= usize::from(is_last_attempt);
                return Some((is_last_attempt, sender));
            }
        }
    }
}

impl Drop for CompilePermit {
    fn drop(&mut self) {
        {
            let mut state = self.queue.0.lock();
            state.free += 1;
            state.free_for_last_attempts += usize::from(self.is_last_attempt);
        }
        self.queue.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use polling::{PollOnce, poll_once};

    use super::*;

    /// Polls futures without a runtime.
    mod polling {
        use std::pin::Pin;
        use std::task::{Context, Poll, Waker};

        pub type PollOnce<T> = Pin<Box<dyn Future<Output = T>>>;

        pub fn poll_once<T>(future: &mut PollOnce<T>) -> Poll<T> {
            future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }
    }

    const LAST: usize = ATTEMPTS - 1;

    fn wait(queue: &Arc<CompileQueue>, attempt: usize, file_bytes: u64) -> PollOnce<Option<CompilePermit>> {
        let queue = Arc::clone(queue);
        let mut waiting: PollOnce<_> = Box::pin(async move { queue.take(attempt, file_bytes).await });
        // The first poll puts it into the queue, and leaves a permit for the next poll.
        if let Poll::Ready(permit) = poll_once(&mut waiting) {
            return Box::pin(std::future::ready(permit));
        }
        waiting
    }

    fn get(waiting: &mut PollOnce<Option<CompilePermit>>) -> Option<CompilePermit> {
        match poll_once(waiting) {
            Poll::Ready(permit) => permit,
            Poll::Pending => None,
        }
    }

    #[test]
    fn first_attempts_go_before_all_others_and_small_files_before_large_ones() {
        let queue = CompileQueue::new(1);
        let first = get(&mut wait(&queue, LAST, 1)).expect("a permit is free");
        let ranks = [(1, 5), (0, 900), (LAST, 1), (0, 10), (0, 10), (1, 5)];
        let mut waiting = ranks.map(|(attempt, bytes)| Some(wait(&queue, attempt, bytes)));
        drop(first);
        let mut order = Vec::new();
        while let Some((index, permit)) =
            waiting.iter_mut().enumerate().find_map(|(index, it)| Some((index, get(it.as_mut()?)?)))
        {
            order.push(index);
            waiting[index] = None;
            drop(permit);
        }
        assert_eq!(order, [3, 4, 1, 0, 5, 2]);
    }

    #[test]
    fn last_attempts_leave_a_permit_for_others() {
        let queue = CompileQueue::new(2);
        let mut long = [wait(&queue, LAST, 1), wait(&queue, LAST, 1)];
        let permit = get(&mut long[0]).expect("a permit is free");
        assert!(get(&mut long[1]).is_none(), "the other permit is for earlier attempts");
        let short = get(&mut wait(&queue, 0, 1)).expect("a permit is free");
        drop(short);
        assert!(get(&mut long[1]).is_none());
        drop(permit);
        assert!(get(&mut long[1]).is_some());
    }

    #[test]
    fn those_that_gave_up_are_passed_over() {
        let queue = CompileQueue::new(1);
        let permit = get(&mut wait(&queue, 0, 1)).expect("a permit is free");
        let given_up = wait(&queue, 0, 1);
        let received = wait(&queue, 0, 2);
        let mut waiting = wait(&queue, 0, 3);
        drop(given_up);
        drop(permit);
        assert!(get(&mut waiting).is_none(), "another one has it");
        // A caller that was given a permit is dropped before it has received the permit.
        drop(received);
        assert!(get(&mut waiting).is_some());
    }
}
