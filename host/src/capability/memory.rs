//! The memory of all runs together, of which each has a part for as long as it goes on. Knows not what it is used for.
//!
//! A run is sure of a small share, whatever the others do; what is beyond the shares goes to whoever asks first. So
//! those who hog take it from each other, and not from one that wants little.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::capability::meter::Exceeded;
use crate::run::Ceiling;

/// What there is for all.
pub struct Memory {
    share: usize,
    /// What nobody has of what is beyond the shares.
    left: AtomicUsize,
}

/// What one run has of it, which is given back when that ends.
pub struct Part {
    memory: Arc<Memory>,
    /// What it need not take from the rest.
    share: usize,
    has: usize,
}

impl Memory {
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
    pub fn part(self: &Arc<Self>, known: bool) -> Part {
        /// More than any of the built-in components begins with.
        const UNTOUCHED: usize = 2 << 20;
        Part { memory: Arc::clone(self), share: if known { self.share + UNTOUCHED } else { self.share }, has: 0 }
    }
}

impl Part {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// When that is more than is left.
    pub fn take(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let has = self.has.saturating_add(bytes);
        let more = has.saturating_sub(self.share) - self.has.saturating_sub(self.share);
        if more > 0 {
            let taken = self.memory.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(more));
            taken.map_err(|_| Exceeded(Ceiling::TotalMemory))?;
        }
        self.has = has;
        Ok(())
    }

    pub fn give_back(&mut self, bytes: usize) {
        let has = self.has.saturating_sub(bytes);
        let freed = self.has.saturating_sub(self.share) - has.saturating_sub(self.share);
        self.memory.left.fetch_add(freed, Relaxed);
        self.has = has;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.give_back(self.has);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_takes_beyond_its_share_is_not_there_for_another() {
        // Half of it is five shares.
        let memory = Arc::new(Memory::new(1000, 5));
        let (mut first, mut second) = (memory.part(false), memory.part(false));
        assert_eq!(memory.share(), 100);
        first.take(500).expect("400 of 500 beyond the shares");
        second.take(100).expect("its own share");
        second.take(101).expect_err("more than is left");
        second.take(100).expect("all that is left");
        first.give_back(50);
        second.take(50).expect("what was given back");
        drop(first);
        second.take(350).expect("all but the shares of others");
        second.take(1).expect_err("nothing is left");
        second.take(usize::MAX).expect_err("nothing is left");
    }

    #[test]
    fn what_was_refused_is_not_kept() {
        let memory = Arc::new(Memory::new(1000, 5));
        let mut part = memory.part(false);
        part.take(601).expect_err("more than there is");
        part.take(600).expect("all there is");
        part.give_back(usize::MAX);
        part.take(600).expect("all of it again");
    }

    #[test]
    fn a_share_is_not_without_end() {
        assert_eq!(Memory::new(1 << 40, 10).share(), 4 << 20);
    }
}
