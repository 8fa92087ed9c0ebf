//! A probe's runs in a row that have failed. Knows how runs ended, and not why.

use std::time::{Instant, SystemTime};

use parking_lot::Mutex;

use crate::run::{Outage, Outcome};

/// The outage that a probe's runs are in, if they are in one: most are not.
#[derive(Default)]
pub struct OutageTracker(Mutex<Option<Box<OngoingOutage>>>);

struct OngoingOutage {
    began: SystemTime,
    /// The same, by a clock that nobody sets.
    since: Instant,
    runs: u32,
}

/// When a run started, by both clocks.
#[derive(Clone, Copy)]
pub struct Start {
    pub at: SystemTime,
    pub instant: Instant,
}

impl OutageTracker {
    /// The outage that a run is part of or has ended, as it stands at the run's end, `now`.
    pub fn record(&self, outcome: &Outcome, start: Start, now: Instant) -> Option<Outage> {
        let mut current = self.0.lock();
        match outcome {
            Outcome::Passed | Outcome::PassedAfterRetry(_) => current.take().map(|ended| ended.summary(now)),
            Outcome::Failed(_) => {
                let new = || Box::new(OngoingOutage { began: start.at, since: start.instant, runs: 0 });
                let current = current.get_or_insert_with(new);
                current.runs = current.runs.saturating_add(1);
                Some(current.summary(now))
            }
            // Ours says nothing of the target.
            Outcome::Broken(_) => None,
        }
    }
}

impl OngoingOutage {
    fn summary(&self, now: Instant) -> Outage {
        Outage { began: self.began, runs: self.runs, lasted: now.saturating_duration_since(self.since) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::run::{Failure, Fault, FaultKind};

    fn failure() -> Failure {
        Failure { reason: "status".to_owned(), message: String::new(), mismatches: Vec::new() }
    }

    fn broken() -> Outcome {
        Outcome::Broken(Fault { kind: FaultKind::Trap, message: String::new(), backtrace: Vec::new() })
    }

    /// What is said of runs a minute apart, each of which takes a second: when the outage began, in minutes, its runs
    /// and its seconds.
    #[track_caller]
    fn check(outcomes: &[Outcome], expected: &[Option<(u64, u32, u64)>]) {
        let (outages, instant, at) = (OutageTracker::default(), Instant::now(), SystemTime::now());
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let said = (0..).zip(outcomes).map(|(minute, outcome)| {
            let start = Start { at: at + minutes(minute), instant: instant + minutes(minute) };
            let outage = outages.record(outcome, start, start.instant + Duration::from_secs(1))?;
            let began = outage.began.duration_since(at).expect("it began after the first run");
            Some((began.as_secs() / 60, outage.runs, outage.lasted.as_secs()))
        });
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_outage_is_counted_from_its_first_run_to_the_one_that_ends_it() {
        use Outcome::{Failed, Passed, PassedAfterRetry};
        let failed = || Failed(failure());
        check(&[Passed, failed(), Passed, Passed], &[None, Some((1, 1, 1)), Some((1, 1, 61)), None]);
        let runs = [failed(), failed(), PassedAfterRetry(failure()), failed()];
        check(&runs, &[Some((0, 1, 1)), Some((0, 2, 61)), Some((0, 2, 121)), Some((3, 1, 1))]);
        check(&[failed(), broken(), failed()], &[Some((0, 1, 1)), None, Some((0, 2, 121))]);
        check(&[broken(), Passed], &[None, None]);
    }
}
