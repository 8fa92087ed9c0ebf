//! The sampling of runs. Does no I/O.

use crate::assessment::Assessment;
use crate::config::{Sample, SampleRate};
use crate::propagation::is_sampled;
use crate::run::{Outcome, Run};

/// Returns the sample rate of runs like this one, from which Sentry extrapolates, or `None` if this run is sampled out.
pub fn sample_rate(run: &Run, assessment: &Assessment, sample: &Sample) -> Option<SampleRate> {
    let rate = if is_always_sent(run, assessment, sample) { SampleRate::ALL } else { sample.rate };
    is_sampled(run.trace.id, rate).then_some(rate)
}

/// Returns true for runs that are sent at every sample rate: all but those that passed at the first attempt, were not
/// too slow, ended no outage, and have no warning that is reported.
fn is_always_sent(run: &Run, assessment: &Assessment, sample: &Sample) -> bool {
    run.outcome != Outcome::Passed
        || assessment.recovery.is_some()
        || assessment.has_due_warning()
        || sample.slower_than.is_some_and(|limit| run.trace.duration() > limit)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::assessment::AssessedRun;
    use crate::sink::fixtures;
    use crate::trace::TraceId;

    fn sample_of(share: f64) -> Sample {
        Sample { rate: SampleRate::from_share(share).unwrap(), slower_than: None }
    }

    /// Returns the sample rate of the first run of a probe.
    fn sample_rate(run: &Run, sample: &Sample) -> Option<SampleRate> {
        super::sample_rate(run, &fixtures::assessment(run), sample)
    }

    /// Returns the run with another trace id.
    fn with_trace(mut run: Run, trace: u128) -> Run {
        run.trace.id = TraceId(trace.to_be_bytes());
        run
    }

    #[test]
    fn passed_runs_are_sampled_at_the_rate() {
        let sample = sample_of(0.1);
        let runs =
            (0..1_000_000_u128).step_by(997).map(|trace| sample_rate(&with_trace(fixtures::passed(), trace), &sample));
        let (sent, sampled_out): (Vec<_>, Vec<_>) = runs.partition(Option::is_some);
        assert_eq!((sent.len(), sampled_out.len()), (101, 903), "a tenth, since the traces are evenly spread");
        assert!(sent.iter().all(|rate| *rate == Some(sample.rate)));
        assert_eq!(sample_rate(&fixtures::passed(), &sample_of(1.0)), Some(SampleRate::ALL));
        assert_eq!(sample_rate(&with_trace(fixtures::passed(), 0), &sample_of(0.0)), None);
    }

    #[test]
    fn runs_that_did_not_simply_pass_are_always_sent() {
        for run in [fixtures::failed(), fixtures::broken(), fixtures::passed_after_retry(), fixtures::warned()] {
            assert_eq!(sample_rate(&with_trace(run, 999_999), &sample_of(0.0)), Some(SampleRate::ALL));
        }
        let AssessedRun { run, assessment } = fixtures::recovered();
        assert_eq!(super::sample_rate(&with_trace(run, 999_999), &assessment, &sample_of(0.0)), Some(SampleRate::ALL));
    }

    #[test]
    fn slow_runs_are_always_sent() {
        let run = with_trace(fixtures::passed(), 999_999);
        let slower_than = |milliseconds| {
            let slower_than = Some(Duration::from_secs_f64(milliseconds / 1e3));
            sample_rate(&run, &Sample { slower_than, ..sample_of(0.1) })
        };
        assert_eq!(slower_than(482.2), Some(SampleRate::ALL));
        assert_eq!(slower_than(482.3), None);
    }

    #[test]
    fn a_sent_run_is_sampled_by_its_trace_id() {
        for run in [fixtures::passed(), fixtures::failed(), fixtures::broken(), fixtures::passed_after_retry()] {
            for trace in (0..1_000_000).step_by(9973) {
                let rate = sample_rate(&with_trace(run.clone(), trace), &sample_of(0.5));
                assert!(rate.is_none_or(|rate| is_sampled(TraceId(trace.to_be_bytes()), rate)));
            }
        }
    }
}
