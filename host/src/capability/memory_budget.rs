//! The memory that the runs of all probes may use together.
//!
//! Each run is guaranteed a small share, whatever the others use. Memory beyond the shares goes to the runs that
//! reserve it first: runs that use much compete with each other, and not with a run that needs little.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// The memory that all runs may use together.
pub struct MemoryPool {
    /// Bytes that are guaranteed to each run.
    share: usize,
    /// Bytes beyond the shares that no run has reserved.
    unreserved: AtomicUsize,
}

/// The memory that one run has reserved. It is released on drop.
pub struct Reservation {
    pool: Arc<MemoryPool>,
    /// The part of `reserved` that does not count against the pool, in bytes.
    share: usize,
    /// All bytes that the run has reserved.
    reserved: usize,
}

/// The error that the runs of all probes together leave too little memory.
#[derive(Debug, PartialEq, Eq)]
pub struct PoolExhausted;

impl MemoryPool {
    /// Returns a pool of `total` bytes for at most `runs` runs at once.
    pub fn new(total: usize, runs: usize) -> Self {
        /// The maximum share: enough for a compiled probe, though not for a language's interpreter.
        const MAX_SHARE_BYTES: usize = 4 << 20;
        let share = (total / 2 / runs.max(1)).min(MAX_SHARE_BYTES);
        Self { share, unreserved: AtomicUsize::new(total - share * runs) }
    }

    /// Returns the bytes that are guaranteed to each run.
    pub fn share(&self) -> usize {
        self.share
    }

    /// Returns an empty reservation for one run. A built-in probe gets 2 MiB that are not counted: its memory is mapped
    /// when it begins, and hardly ever touched.
    pub fn reservation(self: &Arc<Self>, built_in: bool) -> Reservation {
        /// The bytes that are not counted for a built-in probe: more than the initial memory of any built-in component.
        const UNCOUNTED_BYTES: usize = 2 << 20;
        let share = if built_in { self.share + UNCOUNTED_BYTES } else { self.share };
        Reservation { pool: Arc::clone(self), share, reserved: 0 }
    }
}

impl Reservation {
    /// Reserves more bytes.
    ///
    /// # Errors
    /// [`PoolExhausted`] when the pool has fewer left. Nothing is reserved then.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), PoolExhausted> {
        let reserved = self.reserved.saturating_add(bytes);
        let from_pool = reserved.saturating_sub(self.share) - self.reserved.saturating_sub(self.share);
        if from_pool > 0 {
            let taken = self.pool.unreserved.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(from_pool));
            taken.map_err(|_| PoolExhausted)?;
        }
        self.reserved = reserved;
        Ok(())
    }

    /// Releases reserved bytes. Releases all of them if `bytes` is more than are reserved.
    pub fn release(&mut self, bytes: usize) {
        let reserved = self.reserved.saturating_sub(bytes);
        let freed = self.reserved.saturating_sub(self.share) - reserved.saturating_sub(self.share);
        self.pool.unreserved.fetch_add(freed, Relaxed);
        self.reserved = reserved;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release(self.reserved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_beyond_the_shares_goes_to_the_first_run() {
        // Five shares of 100 bytes, and 500 bytes beyond the shares.
        let pool = Arc::new(MemoryPool::new(1000, 5));
        let (mut first, mut second) = (pool.reservation(false), pool.reservation(false));
        assert_eq!(pool.share(), 100);
        first.reserve(500).expect("the first run may use its share and 400 of the 500 bytes beyond the shares");
        second.reserve(100).expect("the second run's share is guaranteed");
        second.reserve(101).expect_err("only 100 bytes beyond the shares are left");
        second.reserve(100).expect("100 bytes beyond the shares are left");
        first.release(50);
        second.reserve(50).expect("the first run has released 50 bytes");
        drop(first);
        second.reserve(350).expect("the other 350 bytes of the first run beyond its share were released");
        second.reserve(1).expect_err("nothing beyond the shares is left");
        second.reserve(usize::MAX).expect_err("nothing beyond the shares is left");
    }

    #[test]
    fn a_failed_reservation_takes_nothing() {
        let pool = Arc::new(MemoryPool::new(1000, 5));
        let mut reservation = pool.reservation(false);
        reservation.reserve(601).expect_err("a share and everything beyond the shares are 600 bytes");
        reservation.reserve(600).expect("nothing was reserved before");
        reservation.release(usize::MAX);
        reservation.reserve(600).expect("all bytes were released");
    }

    #[test]
    fn a_share_is_bounded() {
        assert_eq!(MemoryPool::new(1 << 40, 10).share(), 4 << 20);
    }
}
