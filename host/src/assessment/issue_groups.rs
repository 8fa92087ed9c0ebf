//! The groups of a probe's failures and warnings, each of which is an Issue. A guest chooses the reasons and subjects
//! that groups are made of, so that their number is bounded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Grouping;
use super::outage_tracker::ProbeKey;
use crate::run::{Failure, Identity};

/// The groups of each probe so far.
#[derive(Default)]
pub struct IssueGroups(HashMap<ProbeKey, Groups>);

/// The groups of one probe so far.
#[derive(Default)]
struct Groups {
    reasons: HashSet<String>,
    /// Each is a reason and the subjects of failed checks.
    checks: HashSet<Vec<String>>,
}

/// The number of different reasons of one probe by which its failures are grouped.
const MAX_REASONS: usize = 20;
/// The number of different groups of failed checks of a third-party probe.
const MAX_CHECK_GROUPS: usize = 20;
/// The number of different groups of failed checks of a built-in probe. The subjects are those of its configuration,
/// but any of them can fail together.
const MAX_CHECK_GROUPS_OF_BUILT_IN: usize = 200;

impl IssueGroups {
    /// Records a failure of a probe, or a warning, and returns what groups it. A reason has to be a word, and one of
    /// the first [`MAX_REASONS`] of the probe.
    pub fn record(&mut self, probe: &Arc<Identity>, failure: &Failure) -> Grouping {
        if !is_word(&failure.reason) {
            return Grouping::Other;
        }
        let Groups { reasons, checks } = self.0.entry(ProbeKey::of(probe)).or_default();
        if !insert_within(reasons, &failure.reason, MAX_REASONS, String::clone) {
            return Grouping::Other;
        }
        let subjects = failure.subjects();
        if subjects.is_empty() {
            return Grouping::Reason;
        }
        let group: Vec<_> = [failure.reason.as_str()].into_iter().chain(subjects).map(str::to_owned).collect();
        let max = if probe.built_in { MAX_CHECK_GROUPS_OF_BUILT_IN } else { MAX_CHECK_GROUPS };
        if insert_within(checks, &group, max, Vec::clone) { Grouping::Checks } else { Grouping::Reason }
    }

    /// Forgets probes that no longer exist.
    pub fn forget_ended(&mut self) {
        self.0.retain(|probe, _| probe.exists());
    }
}

/// Inserts a value unless the set has it already, or has `max` values. Returns true if the set has it now.
fn insert_within<T: Eq + std::hash::Hash>(set: &mut HashSet<T>, value: &T, max: usize, own: fn(&T) -> T) -> bool {
    if set.contains(value) {
        return true;
    }
    let has_space = set.len() < max;
    if has_space {
        set.insert(own(value));
    }
    has_space
}

/// Returns true if a reason is a word as the contract asks for, or empty.
fn is_word(reason: &str) -> bool {
    const MAX_BYTES: usize = 64;
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    reason.len() <= MAX_BYTES && reason.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Mismatch;

    fn failure(reason: &str, subjects: &[&str]) -> Failure {
        let mismatch = |subject: &&str| Mismatch {
            subject: (*subject).to_owned(),
            expected: String::new(),
            actual: String::new(),
        };
        let mismatches = subjects.iter().map(mismatch).collect();
        Failure { reason: reason.to_owned(), message: String::new(), mismatches }
    }

    fn record(groups: &mut IssueGroups, identity: &Arc<Identity>, reason: &str) -> bool {
        groups.record(identity, &failure(reason, &[])) == Grouping::Reason
    }

    fn identities(built_in: bool) -> [Arc<Identity>; 2] {
        [(); 2].map(|()| Arc::new(Identity { built_in, ..Identity::default() }))
    }

    #[test]
    fn the_first_reasons_of_a_probe_group_and_others_do_not() {
        let mut groups = IssueGroups::default();
        let [first, second] = identities(true);
        for number in 0..1000 {
            assert_eq!(record(&mut groups, &first, &format!("r{number}")), number < MAX_REASONS, "{number}");
        }
        assert!(record(&mut groups, &first, "r7"), "a known reason still groups");
        assert!(record(&mut groups, &second, "r999"), "each probe has reasons of its own");
        assert_eq!(groups.0.values().map(|groups| groups.reasons.len()).sum::<usize>(), MAX_REASONS + 1);
        let checks = groups.record(&first, &failure("r999", &["status"]));
        assert_eq!(checks, Grouping::Other, "a reason that does not group has no subjects either");
    }

    #[test]
    fn the_first_groups_of_failed_checks_group_and_others_belong_to_their_reason() {
        for (built_in, max) in [(false, MAX_CHECK_GROUPS), (true, MAX_CHECK_GROUPS_OF_BUILT_IN)] {
            let mut groups = IssueGroups::default();
            let [first, second] = identities(built_in);
            for number in 0..1000 {
                let grouping = groups.record(&first, &failure("assertion", &["status", &format!("$.n{number}")]));
                let expected = if number < max { Grouping::Checks } else { Grouping::Reason };
                assert_eq!(grouping, expected, "{number}");
            }
            let mut check = |probe, reason, subjects: &[&str], expected| {
                assert_eq!(groups.record(probe, &failure(reason, subjects)), expected, "{subjects:?}");
            };
            check(&first, "assertion", &["$.n3", "status", "$.n3"], Grouping::Checks);
            check(&first, "assertion", &["$.n3"], Grouping::Reason);
            check(&second, "assertion", &["$.n3"], Grouping::Checks);
        }
    }

    #[test]
    fn a_reason_is_a_word() {
        let mut groups = IssueGroups::default();
        let identity = Arc::new(Identity::default());
        for reason in ["", "status", "exit-status", "http_503", "a.b"] {
            assert!(record(&mut groups, &identity, reason), "{reason}");
        }
        let long = "x".repeat(65);
        for reason in ["Offline", "Broken: trap", "at 12:07", "caf\u{e9}", "a\nb", "\u{1b}[31m", &long] {
            assert!(!record(&mut groups, &identity, reason), "{reason}");
        }
    }
}
