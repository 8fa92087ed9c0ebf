//! Tracks warnings that last: for each probe, since how many runs it has each of them, and when it was reported last.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::issue_groups::IssueGroups;
use super::outage_tracker::ProbeKey;
use super::{Grouping, WarningAssessment};
use crate::run::{Failure, Outcome, Run};

/// The warnings that last, by probe. Most probes have none.
#[derive(Default)]
pub struct WarningTracker {
    groups: IssueGroups,
    lasting: HashMap<ProbeKey, HashMap<Group, LastingWarning>>,
}

/// The key of a group of warnings: their reason and the subjects of their checks. The subjects, and then the reason
/// too, are left out once a probe has too many groups.
type Group = Vec<String>;

#[derive(Default)]
struct LastingWarning {
    /// The number of runs with the warning.
    runs: u32,
    reported: Option<Instant>,
}

/// The time after which a warning that lasts is reported again.
const REPORT_AGAIN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

impl WarningTracker {
    /// Records a run that ended at `now`, and returns the assessment of each of its warnings.
    ///
    /// A warning lasts until a run passes without it: a run that fails may not have come so far as to look. A broken
    /// run says nothing about the target, and its warnings are not reported.
    pub fn record(&mut self, run: &Run, now: Instant) -> Vec<WarningAssessment> {
        if matches!(run.outcome, Outcome::Broken(_)) {
            return Self::ignore(run);
        }
        let key = ProbeKey::of(&run.probe);
        if run.warnings.is_empty() && !self.lasting.contains_key(&key) {
            return Vec::new();
        }
        let lasting = self.lasting.entry(key.clone()).or_default();
        let mut of_run = HashSet::new();
        let mut assessments = Vec::with_capacity(run.warnings.len());
        for warning in &run.warnings {
            let grouping = self.groups.record(&run.probe, warning);
            let group = group(warning, grouping);
            let is_first = of_run.insert(group.clone());
            let known = lasting.entry(group).or_default();
            if is_first {
                known.runs = known.runs.saturating_add(1);
            }
            let is_new = known.reported.is_none_or(|at| now.saturating_duration_since(at) >= REPORT_AGAIN_AFTER);
            let is_due = is_first && is_new && known.runs >= run.probe.failures_before_error;
            if is_due {
                known.reported = Some(now);
            }
            assessments.push(WarningAssessment { grouping, is_due });
        }
        if run.outcome.passed() {
            lasting.retain(|group, _| of_run.contains(group));
        }
        if lasting.is_empty() {
            self.lasting.remove(&key);
        }
        assessments
    }

    /// Forgets probes that no longer exist.
    pub fn forget_ended(&mut self) {
        self.groups.forget_ended();
        self.lasting.retain(|probe, _| probe.exists());
    }

    /// Returns the assessment of the warnings of a run that says nothing about its target: none is reported.
    pub fn ignore(run: &Run) -> Vec<WarningAssessment> {
        vec![WarningAssessment { grouping: Grouping::Other, is_due: false }; run.warnings.len()]
    }
}

/// Returns the group of a warning. There are as many as [`IssueGroups`] allows for a probe.
fn group(warning: &Failure, grouping: Grouping) -> Group {
    let parts = match grouping {
        Grouping::Checks => [&*warning.reason].into_iter().chain(warning.subjects()).collect(),
        Grouping::Reason => vec![&*warning.reason],
        Grouping::Other => Vec::new(),
    };
    parts.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::assessment::tests::simulation;
    use crate::run::{Identity, Mismatch};

    fn warning(subject: &str) -> Failure {
        let subject = subject.to_owned();
        let mismatch = Mismatch { subject, expected: String::new(), actual: String::new() };
        Failure { reason: "assertion".to_owned(), message: String::new(), mismatches: vec![mismatch] }
    }

    /// Records runs, each with its outcome, its warnings and the hour of its end, and checks which of them are due.
    #[track_caller]
    fn check(failures_before_error: u32, runs: &[(Outcome, &[&str], u64, &[&str])]) {
        let mut tracker = WarningTracker::default();
        let identity = Arc::new(Identity { failures_before_error, built_in: true, ..Identity::default() });
        let start = Instant::now();
        for (number, (outcome, warnings, hour, expected)) in runs.iter().enumerate() {
            let mut run = simulation::run(&identity, outcome.clone(), Vec::new());
            run.warnings = warnings.iter().map(|subject| warning(subject)).collect();
            let assessed = tracker.record(&run, start + Duration::from_secs(hour * 3600));
            assert_eq!(assessed.len(), warnings.len());
            let due = warnings.iter().zip(assessed).filter(|(_, it)| it.is_due).map(|(subject, _)| *subject);
            assert_eq!(due.collect::<Vec<_>>(), *expected, "run {number}");
        }
    }

    #[test]
    fn a_warning_is_due_once_while_it_lasts_and_once_a_day() {
        use Outcome::Passed;
        check(
            1,
            &[
                (Passed, &["days"], 0, &["days"]),
                (Passed, &["days"], 1, &[]),
                (Passed, &["days", "time", "days"], 2, &["time"]),
                (Passed, &["time", "days"], 23, &[]),
                (Passed, &["days", "time"], 24, &["days"]),
                (Passed, &["time"], 25, &[]),
                (Passed, &["days", "time"], 26, &["days", "time"]),
                (Passed, &[], 27, &[]),
                (Passed, &["days"], 28, &["days"]),
            ],
        );
    }

    #[test]
    fn a_warning_needs_as_many_runs_as_an_error() {
        use Outcome::Passed;
        let warned = |due: &'static [&str]| (Passed, &["days"][..], 0, due);
        check(3, &[warned(&[]), warned(&[]), warned(&["days"]), warned(&[])]);
        check(2, &[warned(&[]), (Passed, &[], 0, &[]), warned(&[]), warned(&["days"])]);
    }

    #[test]
    fn only_a_run_that_passes_ends_a_warning() {
        use Outcome::Passed;
        for outcome in [simulation::failed(), simulation::broken()] {
            check(1, &[(Passed, &["days"], 0, &["days"]), (outcome, &[], 0, &[]), (Passed, &["days"], 0, &[])]);
        }
        check(1, &[(simulation::failed(), &["days"], 0, &["days"]), (Passed, &["days"], 0, &[])]);
        check(1, &[(simulation::broken(), &["days"], 0, &[]), (Passed, &["days"], 0, &["days"])]);
    }

    #[test]
    fn the_memory_for_warnings_is_bounded() {
        let mut tracker = WarningTracker::default();
        let identity = Arc::new(Identity { failures_before_error: 1, ..Identity::default() });
        let mut due = 0;
        for number in 0..1000 {
            let mut run = simulation::run(&identity, simulation::failed(), Vec::new());
            run.warnings = vec![warning(&format!("$.n{number}"))];
            due += tracker.record(&run, Instant::now()).iter().filter(|warning| warning.is_due).count();
        }
        assert_eq!(due, 21, "twenty groups, and one for all others");
        assert_eq!(tracker.lasting.values().map(HashMap::len).sum::<usize>(), 21);
        tracker.record(&simulation::run(&identity, Outcome::Passed, Vec::new()), Instant::now());
        assert!(tracker.lasting.is_empty());
    }
}
