//! Tests of the runs and decisions that sinks get, with sinks other than Sentry's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Barrier;

use super::Sinks;
use crate::assessment::{AssessedRun, Decision, ErrorAction, HeldErrors};
use crate::run::{Failure, Identity, Outcome, Run};
use crate::sink::{Sink, fixtures};
use crate::trace::HostContact;

/// A minimal sink that raises an alarm for each error.
#[derive(Default)]
struct Alarms(Mutex<Vec<String>>);

impl Alarms {
    fn raise(&self, assessed: &AssessedRun) {
        self.0.lock().push(assessed.run.probe.title.clone());
    }

    fn raised(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

#[async_trait]
impl Sink for Alarms {
    fn report(&self, run: &Arc<AssessedRun>) {
        if run.assessment.error == Some(ErrorAction::Report) {
            self.raise(run);
        }
    }

    fn on_decision(&self, decision: &Decision) {
        if let Some(HeldErrors::Report(runs)) = &decision.held_errors {
            for run in runs {
                self.raise(run);
            }
        }
        if decision.offline_event.is_some() {
            self.0.lock().push("offline".to_owned());
        }
    }

    async fn flush(&self, _: Duration) {}
}

/// Returns sinks for this number of probes, of which the only one raises alarms.
fn alarms(probes: usize) -> (Arc<Alarms>, Sinks) {
    let alarms = Arc::<Alarms>::default();
    (Arc::clone(&alarms), Sinks::new(probes, vec![alarms]))
}

fn identity(title: &str, failures_before_error: u32) -> Arc<Identity> {
    let voting_hosts = [title.to_owned()].into();
    Arc::new(Identity {
        title: title.to_owned(),
        failures_before_error,
        built_in: true,
        voting_hosts,
        ..Identity::default()
    })
}

/// A run that has just ended. If `answered` is `Some`, the run has contacted a host named like the probe, which
/// answered or did not.
fn run(probe: &Arc<Identity>, is_passed: bool, answered: Option<bool>) -> Run {
    let failure = Failure { reason: "timeout".to_owned(), message: String::new(), mismatches: Vec::new() };
    let outcome = if is_passed { Outcome::Passed } else { Outcome::Failed(failure) };
    let mut run = Run { probe: Arc::clone(probe), outcome, ..fixtures::passed() };
    let now = Instant::now();
    let contact = |answered| HostContact { host: probe.title.clone(), loopback: false, answered, from: now, to: now };
    run.trace.contacts = answered.map(contact).into_iter().collect();
    run
}

#[tokio::test]
async fn failures_before_error_apply_to_every_sink() {
    let (alarms, sinks) = alarms(1);
    let probe = identity("shop", 3);
    for is_passed in [false, false, true, false, false] {
        assert!(!sinks.report(run(&probe, is_passed, None)).assessment.is_error());
    }
    assert!(alarms.raised().is_empty());
    sinks.report(run(&probe, false, None));
    assert_eq!(alarms.raised(), ["shop"]);
}

#[tokio::test]
async fn a_host_without_a_network_raises_one_alarm_and_not_one_for_each_target() {
    let (alarms, sinks) = alarms(4);
    for title in ["a", "b", "c", "d"] {
        let assessed = sinks.report(run(&identity(title, 1), false, Some(false)));
        assert_eq!(assessed.assessment.error, Some(ErrorAction::Hold));
    }
    assert!(alarms.raised().is_empty());
    sinks.flush(Duration::from_secs(1)).await;
    assert_eq!(alarms.raised(), ["offline"]);
}

#[tokio::test]
async fn a_held_error_is_reported_once_another_host_answers() {
    let (alarms, sinks) = alarms(4);
    sinks.report(run(&identity("a", 1), false, Some(false)));
    assert!(alarms.raised().is_empty());
    tokio::time::sleep(Duration::from_millis(2)).await;
    sinks.report(run(&identity("b", 1), true, Some(true)));
    assert_eq!(alarms.raised(), ["a"]);
}

#[tokio::test]
async fn a_flush_reports_held_errors_without_waiting() {
    let (alarms, sinks) = alarms(4);
    sinks.report(run(&identity("a", 1), false, Some(false)));
    sinks.flush(Duration::from_secs(1)).await;
    assert_eq!(alarms.raised(), ["a"]);
}

/// A sink that panics, or never ends its flush.
struct Faulty;

#[async_trait]
impl Sink for Faulty {
    fn report(&self, _: &Arc<AssessedRun>) {
        panic!("the test's sink panics on purpose");
    }

    async fn flush(&self, _: Duration) {
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_sink_that_panics_does_not_keep_runs_from_other_sinks() {
    let alarms = Arc::<Alarms>::default();
    let sinks = Sinks::new(1, vec![Arc::new(Faulty), Arc::clone(&alarms) as _]);
    let probe = identity("shop", 1);
    for _ in 0..2 {
        sinks.report(run(&probe, false, None));
    }
    assert_eq!(alarms.raised().len(), 2);
}

/// A sink whose flush ends once as many flushes have begun as the barrier counts.
struct Waiting {
    barrier: Arc<Barrier>,
    is_flushed: AtomicBool,
}

#[async_trait]
impl Sink for Waiting {
    fn report(&self, _: &Arc<AssessedRun>) {}

    async fn flush(&self, _: Duration) {
        self.barrier.wait().await;
        self.is_flushed.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn sinks_are_flushed_concurrently() {
    let barrier = Arc::new(Barrier::new(3));
    let waiting = [(); 3].map(|()| Arc::new(Waiting { barrier: Arc::clone(&barrier), is_flushed: false.into() }));
    let sinks = Sinks::new(1, waiting.iter().map(|sink| Arc::clone(sink) as _).collect());
    sinks.flush(Duration::from_secs(60)).await;
    assert!(waiting.iter().all(|sink| sink.is_flushed.load(Ordering::Relaxed)));
}

#[tokio::test]
async fn a_flush_that_never_ends_is_cancelled() {
    let sinks = Sinks::new(1, vec![Arc::new(Faulty)]);
    let flushed = tokio::time::timeout(Duration::from_secs(60), sinks.flush(Duration::from_millis(1))).await;
    assert!(flushed.is_ok(), "the flush did not end");
}
