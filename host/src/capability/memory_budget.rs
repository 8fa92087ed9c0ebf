//! The memory of all runs together, of which each has a part for as long as it goes on. Knows not what it is used for.
//!
//! A run is sure of a small share, whatever the others do; what is beyond the shares goes to whoever asks first. So
//! those who hog take it from each other, and not from one that wants little.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::capability::quota::Exceeded;
use crate::run::LimitKind;

/// What there is for all.
pub struct MemoryPool {
    share: usize,
    /// What nobody has of what is beyond the shares.
    left: AtomicUsize,
}

/// What one run has of it, which is given back when that ends.
pub struct Reservation {
    memory: Arc<MemoryPool>,
    /// What it need not take from the rest.
    share: usize,
    has: usize,
}

impl MemoryPool {
    /// So many bytes for as many runs at once.
    pub fn new(total: usize, runs: usize) -> Self {
        /// What a probe that is compiled, and no language's interpreter, has enough of.
        const LARGEST_SHARE: usize = 4 << 20;
        let share = (total / 2 / runs.max(1)).min(LARGEST_SHARE);
        Self { share, left: AtomicUsize::new(total - share * runs) }
    }

    /// What each run is sure of.
    pub fn share(&self) -> usize {
        self.share
    }

    /// A run's part. Of one that is known, what it begins with is not counted: it is mapped, and hardly ever touched.
    pub fn reservation(self: &Arc<Self>, known: bool) -> Reservation {
        /// More than any of the built-in components begins with.
        const UNTOUCHED: usize = 2 << 20;
        Reservation { memory: Arc::clone(self), share: if known { self.share + UNTOUCHED } else { self.share }, has: 0 }
    }
}

impl Reservation {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// When that is more than is left.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let has = self.has.saturating_add(bytes);
        let more = has.saturating_sub(self.share) - self.has.saturating_sub(self.share);
        if more > 0 {
            let taken = self.memory.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(more));
            taken.map_err(|_| Exceeded(LimitKind::TotalMemory))?;
        }
        self.has = has;
        Ok(())
    }

    pub fn release(&mut self, bytes: usize) {
        let has = self.has.saturating_sub(bytes);
        let freed = self.has.saturating_sub(self.share) - has.saturating_sub(self.share);
        self.memory.left.fetch_add(freed, Relaxed);
        self.has = has;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release(self.has);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_takes_beyond_its_share_is_not_there_for_another() {
        // Half of it is five shares.
        let memory = Arc::new(MemoryPool::new(1000, 5));
        let (mut first, mut second) = (memory.reservation(false), memory.reservation(false));
        assert_eq!(memory.share(), 100);
        first.reserve(500).expect("400 of 500 beyond the shares");
        second.reserve(100).expect("its own share");
        second.reserve(101).expect_err("more than is left");
        second.reserve(100).expect("all that is left");
        first.release(50);
        second.reserve(50).expect("what was given back");
        drop(first);
        second.reserve(350).expect("all but the shares of others");
        second.reserve(1).expect_err("nothing is left");
        second.reserve(usize::MAX).expect_err("nothing is left");
    }

    #[test]
    fn what_was_refused_is_not_kept() {
        let memory = Arc::new(MemoryPool::new(1000, 5));
        let mut part = memory.reservation(false);
        part.reserve(601).expect_err("more than there is");
        part.reserve(600).expect("all there is");
        part.release(usize::MAX);
        part.reserve(600).expect("all of it again");
    }

    #[test]
    fn a_share_is_not_without_end() {
        assert_eq!(MemoryPool::new(1 << 40, 10).share(), 4 << 20);
    }
}
