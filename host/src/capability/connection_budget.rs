//! The connections that the runs of all probes may have open together: each takes an open file, of which the kernel
//! allows a limited number.
//!
//! Each run is guaranteed one connection, whatever the other runs use. Further connections come from a budget that all
//! runs share. Third-party probes together get at most half of the budget, so that the rest is left for built-in
//! probes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// The number of connections that all runs together may have open beyond the first connection of each run.
pub struct ConnectionBudget {
    /// The number of connections that runs may still open.
    left: AtomicUsize,
    /// The number of connections that third-party probes may still open, unless `left` is smaller.
    left_for_third_party: AtomicUsize,
}

/// The connections of one attempt.
pub struct RunConnections {
    budget: Arc<ConnectionBudget>,
    is_built_in: bool,
    /// True while the guaranteed connection is open.
    has_guaranteed: AtomicBool,
}

/// A permit for the open file of one connection. The connection counts against the budget until the permit is dropped.
pub struct FilePermit {
    connections: Arc<RunConnections>,
    is_guaranteed: bool,
}

impl ConnectionBudget {
    /// Returns a budget of `connections` beyond the first of each run.
    pub fn new(connections: usize) -> Self {
        Self { left: AtomicUsize::new(connections), left_for_third_party: AtomicUsize::new(connections / 2) }
    }

    /// Returns the connections of an attempt, of which none is open yet.
    pub fn for_run(self: &Arc<Self>, is_built_in: bool) -> Arc<RunConnections> {
        Arc::new(RunConnections { budget: Arc::clone(self), is_built_in, has_guaranteed: AtomicBool::new(false) })
    }
}

/// A budget that is never used up, for tests.
impl Default for ConnectionBudget {
    fn default() -> Self {
        Self::new(usize::MAX / 2)
    }
}

impl RunConnections {
    /// Returns true if [`RunConnections::acquire`] would return a permit now.
    pub fn may_acquire(&self) -> bool {
        let ConnectionBudget { left, left_for_third_party } = &*self.budget;
        let is_left = left.load(Relaxed) > 0 && (self.is_built_in || left_for_third_party.load(Relaxed) > 0);
        is_left || !self.has_guaranteed.load(Relaxed)
    }

    /// Returns a permit for another connection, or `None` if no connection is left for the run.
    pub fn acquire(self: &Arc<Self>) -> Option<FilePermit> {
        let permit = |is_guaranteed| FilePermit { connections: Arc::clone(self), is_guaranteed };
        if !self.has_guaranteed.swap(true, Relaxed) {
            return Some(permit(true));
        }
        let take = |left: &AtomicUsize| left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        if !self.is_built_in && !take(&self.budget.left_for_third_party) {
            return None;
        }
        if !take(&self.budget.left) {
            if !self.is_built_in {
                self.budget.left_for_third_party.fetch_add(1, Relaxed);
            }
            return None;
        }
        Some(permit(false))
    }
}

impl Drop for FilePermit {
    fn drop(&mut self) {
        let RunConnections { budget, is_built_in, has_guaranteed } = &*self.connections;
        if self.is_guaranteed {
            has_guaranteed.store(false, Relaxed);
            return;
        }
        budget.left.fetch_add(1, Relaxed);
        if !is_built_in {
            budget.left_for_third_party.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acquire(run: &Arc<RunConnections>, count: usize) -> Vec<FilePermit> {
        std::iter::from_fn(|| run.acquire()).take(count).collect()
    }

    #[test]
    fn third_party_probes_leave_connections_for_built_in_probes() {
        let budget = Arc::new(ConnectionBudget::new(10));
        let [first, second] = [budget.for_run(false), budget.for_run(false)];
        let of_first = acquire(&first, 100);
        assert_eq!(of_first.len(), 1 + 5, "the guaranteed connection, and half of the others");
        let of_second = acquire(&second, 100);
        assert_eq!(of_second.len(), 1, "the guaranteed connection");
        let built_in = budget.for_run(true);
        let of_built_in = acquire(&built_in, 100);
        assert_eq!(of_built_in.len(), 1 + 5);
        assert_eq!(acquire(&budget.for_run(true), 100).len(), 1);
        drop(of_first);
        assert_eq!(acquire(&second, 100).len(), 5);
        drop(of_built_in);
        assert_eq!(acquire(&built_in, 100).len(), 1 + 10, "built-in probes may have all");
    }

    #[test]
    fn dropped_permits_can_be_acquired_again() {
        let budget = Arc::new(ConnectionBudget::new(4));
        for is_built_in in [false, true, false, true] {
            let run = budget.for_run(is_built_in);
            let expected = if is_built_in { 5 } else { 3 };
            for _ in 0..3 {
                assert_eq!(acquire(&run, 100).len(), expected);
            }
        }
        // A permit outlives its run.
        let lingering = acquire(&budget.for_run(false), 100);
        assert_eq!(acquire(&budget.for_run(true), 100).len(), 1 + 2);
        drop(lingering);
        assert_eq!(acquire(&budget.for_run(true), 100).len(), 1 + 4);
    }

    #[test]
    fn a_third_party_probe_takes_nothing_if_built_in_probes_have_all() {
        let budget = Arc::new(ConnectionBudget::new(4));
        let built_in = acquire(&budget.for_run(true), 100);
        assert_eq!(acquire(&budget.for_run(false), 100).len(), 1);
        drop(built_in);
        assert_eq!(acquire(&budget.for_run(false), 100).len(), 1 + 2);
    }
}
