//! Decides what a finished run means, before the sinks report it: whether it is part of an outage or ends one, whether
//! it is an error, and whether the target or the network of this host is down.
//!
//! The module is pure: it has no clock, reads and writes nothing, and logs nothing. Time is an argument, and the result
//! is data. [`Sinks`](crate::sink::Sinks) calls it and passes the result on to every sink.

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::issue_groups::IssueGroups;
use self::offline_detector::{Cause, OfflineDetector};
use self::outage_tracker::OutageTracker;
use self::warning_tracker::WarningTracker;
use crate::run::{Outcome, Run};

mod issue_groups;
mod offline_detector;
mod outage_tracker;
mod types;
mod warning_tracker;

pub use types::{
    AssessedRun, Assessment, ConnectivityChange, Decision, ErrorAction, Grouping, HeldErrors, OfflineFinding, Recovery,
    SilentHost, WarningAssessment,
};

/// Assesses the runs of all probes, in the order in which they end.
pub struct Assessor {
    outages: OutageTracker,
    groups: IssueGroups,
    warnings: WarningTracker,
    detector: OfflineDetector,
    /// The time of the last call of [`Assessor::advance`].
    advanced: Option<Instant>,
}

/// The time between two calls of [`Assessor::advance`] above which it counts as time in which this process did not run.
const MAX_GAP: Duration = Duration::from_secs(2);

impl Assessor {
    /// Creates an assessor for this number of built-in probes, which say whether this host has a network, and any
    /// number of others.
    pub fn new(built_in_probes: usize) -> Self {
        Self {
            outages: OutageTracker::default(),
            groups: IssueGroups::default(),
            warnings: WarningTracker::default(),
            detector: OfflineDetector::new(built_in_probes),
            advanced: None,
        }
    }

    /// Goes on after the probes have changed, with this number of built-in ones. The state of a probe is kept for as
    /// long as its [`Identity`](crate::run::Identity) exists.
    pub fn set_built_in_probes(&mut self, built_in_probes: usize) {
        self.outages.forget_ended();
        self.groups.forget_ended();
        self.warnings.forget_ended();
        self.detector.set_built_in_probes(built_in_probes);
    }

    /// Says that this process runs. Must be called about once a second, and before every other call with the same
    /// `now`.
    ///
    /// After a longer time without a call, the process was stopped or had no processor. Nothing is concluded from that
    /// time: errors are held for longer, and hosts that have not answered get the time to do so.
    pub fn advance(&mut self, now: Instant) {
        let gap = self.advanced.map(|last| now.saturating_duration_since(last)).filter(|gap| *gap > MAX_GAP);
        if let Some(gap) = gap {
            self.detector.exclude(gap);
        }
        self.advanced = Some(now);
    }

    /// Assesses a run that ended at `now`. The caller must carry out the decision, if there is one, before it reports
    /// this run, since the decision concerns earlier runs.
    pub fn assess(&mut self, run: Run, now: Instant) -> (Arc<AssessedRun>, Option<Decision>) {
        let mut decision = Decision::default();
        let cause = self.detector.attribute(&run, now, &mut decision);
        self.outages.mark_reported_by(&decision);
        let threshold = run.probe.failures_before_error;
        let recorded = self.outages.record(&run, now);
        let is_long = recorded.is_some_and(|recorded| recorded.outage.runs >= threshold);
        let is_error = match run.outcome {
            Outcome::Passed | Outcome::PassedAfterRetry(_) => false,
            Outcome::Failed(_) => is_long,
            Outcome::Broken(_) => true,
        };
        let recovery = recorded
            .filter(|_| is_long && run.outcome.passed())
            .map(|ended| if ended.is_reported { Recovery::Reported } else { Recovery::Unreported });
        let error = is_error.then(|| self.detector.action(cause));
        let is_offline = cause == Cause::OwnNetwork;
        let assessment = Assessment {
            outage: recorded.map(|recorded| recorded.outage),
            recovery,
            error,
            is_offline,
            grouping: match &run.outcome {
                Outcome::Failed(failure) if is_error => self.groups.record(&run.probe, failure),
                _ => Grouping::Reason,
            },
            warnings: if is_offline { WarningTracker::ignore(&run) } else { self.warnings.record(&run, now) },
        };
        let assessed = Arc::new(AssessedRun { run, assessment });
        match error {
            Some(ErrorAction::Report) => self.outages.mark_reported(&assessed),
            Some(ErrorAction::Hold) => self.detector.hold(&assessed, now),
            Some(ErrorAction::Suppress) => self.detector.count_suppressed(&mut decision),
            None => {}
        }
        (assessed, decision.into_option())
    }

    /// Makes the decisions that follow from elapsed time alone. Must be called about once a second.
    pub fn tick(&mut self, now: Instant) -> Option<Decision> {
        let decision = self.detector.tick(now);
        self.outages.mark_reported_by(&decision);
        decision.into_option()
    }

    /// Decides about all held errors at once, from the runs that have ended by `now`.
    pub fn decide_now(&mut self, now: Instant) -> Option<Decision> {
        let decision = self.detector.decide_now(now);
        self.outages.mark_reported_by(&decision);
        decision.into_option()
    }
}

#[cfg(test)]
mod tests;
