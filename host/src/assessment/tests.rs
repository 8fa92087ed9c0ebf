//! Tests of the assessment of successive runs of one probe.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::{Assessment, Assessor, ErrorAction, Recovery};
use crate::run::{Failure, Identity, Outage, Outcome};
use simulation::{Simulation, broken, failed};

pub mod simulation;
mod votes;

fn passed_after_retry() -> Outcome {
    Outcome::PassedAfterRetry(Failure { reason: "status".to_owned(), message: String::new(), mismatches: Vec::new() })
}

/// Assesses runs of a second each, whose starts are a minute apart.
fn assess(failures_before_error: u32, outcomes: &[Outcome]) -> (SystemTime, Vec<Assessment>) {
    let mut assessor = Assessor::new(1);
    let identity = Arc::new(Identity { failures_before_error, ..Identity::default() });
    let (started, now) = (SystemTime::now(), Instant::now() + Duration::from_secs(1));
    let assessments = (0..).zip(outcomes).map(|(minute, outcome)| {
        let minutes = Duration::from_secs(60 * minute);
        let mut run = simulation::run(&identity, outcome.clone(), Vec::new());
        run.trace.started = started + minutes;
        let (assessed, decision) = assessor.assess(run, now + minutes);
        assert!(decision.is_none(), "{decision:?}");
        assessed.assessment.clone()
    });
    (started, assessments.collect())
}

/// Checks the outage of each run: the minute in which it began, its runs, and its seconds.
#[track_caller]
fn check_outages(outcomes: &[Outcome], expected: &[Option<(u64, u32, u64)>]) {
    let (started, assessments) = assess(1, outcomes);
    let outages = assessments.iter().map(|assessment| {
        let Outage { began, runs, lasted } = assessment.outage?;
        let began = began.duration_since(started).expect("an outage begins at the start of one of the runs");
        Some((began.as_secs() / 60, runs, lasted.as_secs()))
    });
    assert_eq!(outages.collect::<Vec<_>>(), expected);
}

#[test]
fn an_outage_lasts_from_its_first_run_to_the_run_that_ends_it() {
    use Outcome::Passed;
    check_outages(&[Passed, failed(), Passed, Passed], &[None, Some((1, 1, 1)), Some((1, 1, 61)), None]);
    let outcomes = [failed(), failed(), passed_after_retry(), failed()];
    check_outages(&outcomes, &[Some((0, 1, 1)), Some((0, 2, 61)), Some((0, 2, 121)), Some((3, 1, 1))]);
    check_outages(&[failed(), broken(), failed()], &[Some((0, 1, 1)), None, Some((0, 2, 121))]);
    check_outages(&[broken(), Passed], &[None, None]);
}

#[test]
fn errors_and_recoveries_need_enough_consecutive_failures() {
    use Outcome::Passed;
    const REPORT: Option<ErrorAction> = Some(ErrorAction::Report);
    const RECOVERY: Option<Recovery> = Some(Recovery::Reported);
    let check = |failures_before_error, outcomes: &[Outcome], expected: &[(Option<ErrorAction>, Option<Recovery>)]| {
        let (_, assessments) = assess(failures_before_error, outcomes);
        let actual: Vec<_> = assessments.iter().map(|assessment| (assessment.error, assessment.recovery)).collect();
        assert_eq!(actual, expected, "{outcomes:?}");
        assert!(assessments.iter().all(|assessment| !assessment.is_offline));
    };
    check(1, &[Passed, failed(), Passed, Passed], &[(None, None), (REPORT, None), (None, RECOVERY), (None, None)]);
    check(2, &[failed(), Passed, failed()], &[(None, None), (None, None), (None, None)]);
    let outcomes = [failed(), failed(), failed(), passed_after_retry()];
    check(2, &outcomes, &[(None, None), (REPORT, None), (REPORT, None), (None, RECOVERY)]);
    // A broken run is an error whatever `failures_before_error` is, and neither part of an outage nor its end.
    let outcomes = [broken(), failed(), broken(), failed(), Passed];
    check(2, &outcomes, &[(REPORT, None), (None, None), (REPORT, None), (REPORT, None), (None, RECOVERY)]);
    check(1, &[passed_after_retry()], &[(None, None)]);
}

#[test]
fn outages_of_different_probes_are_counted_separately() {
    let mut simulation = Simulation::with_probes(1);
    simulation.failures_before_error = 2;
    for second in [0.0, 1.0] {
        simulation.run_with_wrong_answer("a", second, second + 0.1);
        simulation.run_with_wrong_answer("b", second, second + 0.1);
    }
    assert_eq!(simulation.reported, ["a", "b"]);
}

#[test]
fn an_outage_may_end_before_its_error_is_released() {
    let mut simulation = Simulation::with_probes(4);
    simulation.run_without_answer("a", 0.0, 0.1);
    // A run that passes over loopback says nothing about the network: the error stays held.
    let contact = simulation.contact("localhost", true, 1.0, 1.1);
    let passed = simulation.run("a", Outcome::Passed, vec![contact], 1.1);
    assert_eq!(passed.recovery, Some(Recovery::Unreported));
    // Another outage begins before the error is released.
    simulation.run_without_answer("a", 2.0, 2.1);
    simulation.check(0, 2, 0, 0);
    simulation.run_passing("b", 3.0, 3.1);
    simulation.check(2, 0, 0, 0);
    assert_eq!(simulation.run_passing("a", 4.0, 4.1).recovery, Some(Recovery::Reported));
}
