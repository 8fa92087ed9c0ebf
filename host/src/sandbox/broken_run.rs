//! The runs of probes that could not be run at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::redaction::Secrets;
use crate::run::{Fault, FaultKind, Identity, Outcome, Run};
use crate::sandbox::outcome::span_status;
use crate::trace::{Recorder, Status};

/// Returns a broken run for a fault that prevented the run that was due at `due`. Its trace has only the span of the
/// run.
pub fn broken_run(identity: &Arc<Identity>, fault: Fault, due: Instant, secrets: &Secrets) -> Run {
    let recorder = Recorder::start(identity.probe.clone(), identity.title.clone());
    let outcome = Outcome::Broken(fault);
    let trace = recorder.finish(span_status(&outcome), Status::Cancelled);
    let mut run = Run { lateness: due.elapsed(), ..Run::new(Arc::clone(identity), outcome, trace) };
    secrets.redact_run(&mut run, Vec::new());
    run
}

/// Ends a run as broken for a fault that prevented its report: removes all that the component or a target may have
/// written. What is left are the times of the run and the probe's identity.
pub fn discard_report(run: &mut Run, fault: Fault) {
    run.outcome = Outcome::Broken(fault);
    run.earlier.clear();
    run.warnings.clear();
    run.evidence = None;
    run.tags.clear();
    run.log.clear();
    run.trace.contacts.clear();
    run.trace.dropped += run.trace.spans.len() - 1;
    run.trace.spans.truncate(1);
    let root = &mut run.trace.spans[0];
    root.description.clone_from(&run.probe.title);
    root.status = span_status(&run.outcome);
    root.data.clear();
}

/// Ends a run as broken because this host was suspended for a time during it. Removes the failures and the exchange
/// that would blame the target, and the contacts by which the network of this host is judged.
pub fn end_as_suspended(run: &mut Run, suspended: Duration) {
    let seconds = suspended.as_secs_f64();
    let message =
        format!("this host was suspended for {seconds:.1} s during this run: nothing is known about the target");
    run.outcome = Outcome::Broken(Fault { kind: FaultKind::Suspended, message, backtrace: Vec::new() });
    run.earlier.clear();
    run.evidence = None;
    run.trace.contacts.clear();
    run.trace.spans[0].status = span_status(&run.outcome);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Level, LimitKind, LogLine};

    #[test]
    fn a_discarded_report_has_nothing_but_the_fault_and_the_identity() {
        let identity = Identity { title: "Shop".to_owned(), ..Identity::default() };
        let fault = Fault { kind: FaultKind::Host, message: "s3same".to_owned(), backtrace: Vec::new() };
        let mut run = broken_run(&Arc::new(identity), fault, Instant::now(), &Secrets::default());
        let root = run.trace.spans[0].clone();
        run.trace.spans[0].data.push(("key".into(), "s3same".into()));
        run.trace.spans[0].description = "s3same".to_owned();
        run.trace.spans.push(crate::trace::Span { parent: Some(0), description: "s3same".to_owned(), ..root });
        run.tags.insert("s3same".to_owned(), "s3same".to_owned());
        let message = "s3same".to_owned();
        run.warnings.push(crate::run::Failure { reason: String::new(), message, mismatches: Vec::new() });
        let at = run.lateness;
        run.log.push(LogLine { at, level: Level::Info, message: "s3same".to_owned() });
        let kind = FaultKind::Limit(LimitKind::Cpu);
        discard_report(&mut run, Fault { kind, message: "too long".to_owned(), backtrace: Vec::new() });
        assert!(!format!("{run:?}").contains("s3same"), "{run:?}");
        assert_eq!((run.trace.spans.len(), run.trace.dropped), (1, 1));
        assert_eq!(run.trace.spans[0].description, "Shop");
        assert_eq!(run.outcome.why(), Some(("cpu", "too long")));
    }
}
