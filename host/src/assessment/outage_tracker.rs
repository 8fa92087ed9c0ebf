//! Tracks ongoing outages: for each probe, its consecutive failed runs.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use super::{AssessedRun, Decision, HeldErrors};
use crate::run::{Identity, Outage, Outcome, Run};

/// The ongoing outages by probe. Most probes have none.
#[derive(Default)]
pub struct OutageTracker(HashMap<ProbeKey, OngoingOutage>);

/// The state of an outage after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedOutage {
    /// The outage, including the run if it failed.
    pub outage: Outage,
    /// True if an error of the outage was reported.
    pub is_reported: bool,
}

/// A probe as a key: the address of its identity. No other identity gets this address while the key exists.
#[derive(Clone)]
pub struct ProbeKey(Weak<Identity>);

struct OngoingOutage {
    began: SystemTime,
    /// The time of `began` by the monotonic clock.
    since: Instant,
    runs: u32,
    is_reported: bool,
}

impl OutageTracker {
    /// Records a run that ended at `now`. Returns the outage that the run is part of or has ended, if there is one.
    pub fn record(&mut self, run: &Run, now: Instant) -> Option<RecordedOutage> {
        let key = ProbeKey::of(&run.probe);
        match run.outcome {
            Outcome::Passed | Outcome::PassedAfterRetry(_) => self.0.remove(&key).map(|ended| ended.recorded(now)),
            Outcome::Failed(_) => {
                let outage = self.0.entry(key).or_insert_with(|| OngoingOutage {
                    began: run.trace.started,
                    since: now.checked_sub(run.trace.duration()).unwrap_or(now),
                    runs: 0,
                    is_reported: false,
                });
                outage.runs = outage.runs.saturating_add(1);
                Some(outage.recorded(now))
            }
            // A fault of the probe or the host says nothing about the target.
            Outcome::Broken(_) => None,
        }
    }

    /// Marks the outage of a run as reported, if it is ongoing.
    pub fn mark_reported(&mut self, assessed: &AssessedRun) {
        let Some(Outage { began, .. }) = assessed.assessment.outage else { return };
        // The outage may have ended in the meantime, and another may have begun.
        let ongoing = self.0.get_mut(&ProbeKey::of(&assessed.run.probe)).filter(|ongoing| ongoing.began == began);
        if let Some(ongoing) = ongoing {
            ongoing.is_reported = true;
        }
    }

    /// Forgets probes that no longer exist.
    pub fn forget_ended(&mut self) {
        self.0.retain(|probe, _| probe.exists());
    }

    /// Marks the outages of all held errors that a decision reports.
    pub fn mark_reported_by(&mut self, decision: &Decision) {
        if let Some(HeldErrors::Report(runs)) = &decision.held_errors {
            for run in runs {
                self.mark_reported(run);
            }
        }
    }
}

impl OngoingOutage {
    fn recorded(&self, now: Instant) -> RecordedOutage {
        let lasted = now.saturating_duration_since(self.since);
        let outage = Outage { began: self.began, runs: self.runs, lasted };
        RecordedOutage { outage, is_reported: self.is_reported }
    }
}

impl ProbeKey {
    /// Returns the key of the probe with this identity.
    pub fn of(identity: &Arc<Identity>) -> Self {
        Self(Arc::downgrade(identity))
    }

    /// Returns true if the probe or a run of it still exists.
    pub fn exists(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Returns the identity, if the probe or a run of it still exists.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.0.upgrade()
    }
}

impl PartialEq for ProbeKey {
    fn eq(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ProbeKey {}

impl Hash for ProbeKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Weak::as_ptr(&self.0).hash(state);
    }
}
