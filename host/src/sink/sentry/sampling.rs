//! Which runs are sent, and how many others each of them speaks for. Pure.

use crate::assessment::Assessment;
use crate::config::{Sample, SampleRate};
use crate::propagation::is_sampled;
use crate::run::{Outcome, Run};

/// The rate at which runs like this one are sent, by which Sentry counts it for those that are not; none where this one
/// is left out.
pub fn sampled(run: &Run, assessment: &Assessment, sample: &Sample) -> Option<SampleRate> {
    let rate = if matters(run, assessment, sample) { SampleRate::ALL } else { sample.rate };
    is_sampled(run.trace.id, rate).then_some(rate)
}

/// What is sent whatever the rate, and so speaks for itself alone: all but a run that passed at once and in time, and
/// ended no outage.
fn matters(run: &Run, assessment: &Assessment, sample: &Sample) -> bool {
    run.outcome != Outcome::Passed
        || assessment.recovery.is_some()
        || sample.slower_than.is_some_and(|limit| run.trace.duration() > limit)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::assessment::AssessedRun;
    use crate::sink::fixtures;
    use crate::trace::TraceId;

    fn at(share: f64) -> Sample {
        Sample { rate: SampleRate::from_share(share).unwrap(), slower_than: None }
    }

    /// The rate of a run that comes first.
    fn sampled(run: &Run, sample: &Sample) -> Option<SampleRate> {
        super::sampled(run, &fixtures::assessment(run), sample)
    }

    /// The run, on another trace.
    fn on(mut run: Run, trace: u128) -> Run {
        run.trace.id = TraceId(trace.to_be_bytes());
        run
    }

    #[test]
    fn a_passing_run_is_sent_at_the_rate_and_says_so() {
        let sample = at(0.1);
        let runs = (0..1_000_000_u128).step_by(997).map(|trace| sampled(&on(fixtures::passed(), trace), &sample));
        let (sent, left): (Vec<_>, Vec<_>) = runs.partition(Option::is_some);
        assert_eq!((sent.len(), left.len()), (101, 903), "a tenth, since the traces are evenly spread");
        assert!(sent.iter().all(|rate| *rate == Some(sample.rate)));
        assert_eq!(sampled(&fixtures::passed(), &at(1.0)), Some(SampleRate::ALL));
        assert_eq!(sampled(&on(fixtures::passed(), 0), &at(0.0)), None);
    }

    #[test]
    fn what_did_not_simply_pass_is_sent_at_no_rate() {
        for run in [fixtures::failed(), fixtures::broken(), fixtures::passed_after_retry()] {
            assert_eq!(sampled(&on(run, 999_999), &at(0.0)), Some(SampleRate::ALL));
        }
        let AssessedRun { run, assessment } = fixtures::recovered();
        assert_eq!(super::sampled(&on(run, 999_999), &assessment, &at(0.0)), Some(SampleRate::ALL));
    }

    #[test]
    fn slow_runs_are_sent() {
        let run = on(fixtures::passed(), 999_999);
        let slower_than = |milliseconds| {
            let slower_than = Some(Duration::from_secs_f64(milliseconds / 1e3));
            sampled(&run, &Sample { slower_than, ..at(0.1) })
        };
        assert_eq!(slower_than(482.2), Some(SampleRate::ALL));
        assert_eq!(slower_than(482.3), None);
    }

    #[test]
    fn what_is_sent_is_sampled() {
        for run in [fixtures::passed(), fixtures::failed(), fixtures::broken(), fixtures::passed_after_retry()] {
            for trace in (0..1_000_000).step_by(9973) {
                let rate = sampled(&on(run.clone(), trace), &at(0.5));
                assert!(rate.is_none_or(|rate| is_sampled(TraceId(trace.to_be_bytes()), rate)));
            }
        }
    }
}
