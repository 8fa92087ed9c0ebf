//! The reasons by which the failures of a probe are grouped into Issues. A guest chooses them.

use std::collections::{HashMap, HashSet};

use super::outage_tracker::ProbeKey;
use crate::run::{Outcome, Run};

/// The reasons of each probe's errors so far.
#[derive(Default)]
pub struct ReasonTracker(HashMap<ProbeKey, HashSet<String>>);

/// The number of different reasons of one probe by which its errors are grouped.
const MAX_REASONS: usize = 20;

impl ReasonTracker {
    /// Records the error of a run. Returns true if errors with its reason form a group of their own: the reason is a
    /// word, and one of the first [`MAX_REASONS`] of the probe. Returns false if the error belongs to the group of all
    /// other reasons. The reason of a broken run comes from the host, and always forms a group.
    pub fn record(&mut self, run: &Run) -> bool {
        let Outcome::Failed(failure) = &run.outcome else { return true };
        if !is_word(&failure.reason) {
            return false;
        }
        let known = self.0.entry(ProbeKey::of(&run.probe)).or_default();
        if known.contains(&failure.reason) {
            return true;
        }
        let has_space = known.len() < MAX_REASONS;
        if has_space {
            known.insert(failure.reason.clone());
        }
        has_space
    }
}

/// Returns true if a reason is a word as the contract asks for, or empty.
fn is_word(reason: &str) -> bool {
    const MAX_BYTES: usize = 64;
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    reason.len() <= MAX_BYTES && reason.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::assessment::tests::simulation;
    use crate::run::{Failure, Identity};

    fn record(reasons: &mut ReasonTracker, identity: &Arc<Identity>, reason: &str) -> bool {
        let failure = Failure { reason: reason.to_owned(), message: String::new(), mismatches: Vec::new() };
        reasons.record(&simulation::run(identity, Outcome::Failed(failure), Vec::new()))
    }

    #[test]
    fn the_first_reasons_of_a_probe_group_and_others_do_not() {
        let mut reasons = ReasonTracker::default();
        let [first, second] = [(); 2].map(|()| Arc::new(Identity::default()));
        for number in 0..1000 {
            assert_eq!(record(&mut reasons, &first, &format!("r{number}")), number < MAX_REASONS, "{number}");
        }
        assert!(record(&mut reasons, &first, "r7"), "a known reason still groups");
        assert!(record(&mut reasons, &second, "r999"), "each probe has reasons of its own");
        assert!(reasons.record(&simulation::run(&first, simulation::broken(), Vec::new())));
        assert_eq!(reasons.0.values().map(HashSet::len).sum::<usize>(), MAX_REASONS + 1);
    }

    #[test]
    fn a_reason_is_a_word() {
        let mut reasons = ReasonTracker::default();
        let identity = Arc::new(Identity::default());
        for reason in ["", "status", "exit-status", "http_503", "a.b"] {
            assert!(record(&mut reasons, &identity, reason), "{reason}");
        }
        let long = "x".repeat(65);
        for reason in ["Offline", "Broken: trap", "at 12:07", "caf\u{e9}", "a\nb", "\u{1b}[31m", &long] {
            assert!(!record(&mut reasons, &identity, reason), "{reason}");
        }
    }
}
