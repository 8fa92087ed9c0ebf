//! The runs of probes that could not be run at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::redaction::Secrets;
use crate::run::{Fault, Identity, Outcome, Run};
use crate::sandbox::outcome::span_status;
use crate::trace::{Recorder, Status};

/// Returns a broken run without spans of its own, for a fault that prevented the run that was due at `due`.
pub fn broken_run(identity: &Arc<Identity>, fault: Fault, due: Instant, secrets: &Secrets) -> Run {
    let recorder = Recorder::start(identity.probe.clone(), identity.title.clone());
    let outcome = Outcome::Broken(fault);
    let trace = recorder.finish(span_status(&outcome), Status::Cancelled);
    let mut run = Run {
        probe: Arc::clone(identity),
        outcome,
        trace,
        lateness: due.elapsed(),
        skipped: 0,
        attempts: 1,
        earlier: Vec::new(),
        evidence: None,
        tags: BTreeMap::new(),
        log: Vec::new(),
    };
    secrets.redact_run(&mut run, Vec::new());
    run
}
