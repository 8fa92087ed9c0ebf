//! A probe, and one run of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use wasmtime::Engine;

use crate::capability::bindings::ProbePre;
use crate::capability::bindings::exports::sentrynet::probe::prober::Trouble;
use crate::capability::bindings::sentrynet::probe::types::Failure as GuestFailure;
use crate::capability::log::Journal;
use crate::capability::{Context, Scope, cut};
use crate::config::{Limits, Retries};
use crate::run::{Failure, Fault, FaultKind, Identity, Mismatch, Outcome, Run};
use crate::sandbox::stay::{guard, store};
use crate::sandbox::threads::Threads;
use crate::secret::Secrets;
use crate::trace::{Recorder, Status};

/// A probe that is ready to run: its component loaded, its settings checked by it.
pub struct Probe {
    threads: Arc<Threads>,
    ready: Arc<Ready>,
}

/// What the runs of a probe share.
pub struct Ready {
    pub engine: Engine,
    pub component: ProbePre<Context>,
    pub scope: Arc<Scope>,
    pub settings: String,
    pub limits: Limits,
    pub retries: Retries,
    /// Runs in a row that have failed.
    pub failures: AtomicU32,
    pub secrets: Secrets,
}

impl Probe {
    pub fn new(threads: Arc<Threads>, ready: Ready) -> Self {
        Self { threads, ready: Arc::new(ready) }
    }

    pub fn identity(&self) -> &Arc<Identity> {
        &self.ready.scope.identity
    }

    /// Runs once. `due` is when it was to start.
    pub async fn run(&self, due: Instant) -> Run {
        let ready = Arc::clone(&self.ready);
        match self.threads.spawn(async move { ready.run(due).await }).await {
            Ok(run) => run,
            Err(error) => self.ready.broken(due, format!("the host failed: {error}; this is a bug, please report it")),
        }
    }
}

impl Ready {
    async fn run(&self, due: Instant) -> Run {
        let identity = &self.scope.identity;
        let lateness = due.elapsed();
        let recorder = Recorder::start(identity.probe.clone(), identity.title.clone());
        let log = Journal::new(recorder.epoch());
        let mut attempts = 1;
        let (mut outcome, mut tags) = self.attempt(attempts, &recorder, &log).await;
        let mut first = None;
        while let (true, Outcome::Failed(_)) = (attempts <= self.retries.times, &outcome) {
            tokio::time::sleep(self.retries.delay).await;
            attempts += 1;
            let (next, its_tags) = self.attempt(attempts, &recorder, &log).await;
            let before = std::mem::replace(&mut outcome, next);
            first.get_or_insert(before);
            tags = its_tags;
        }
        if let (Outcome::Passed, Some(Outcome::Failed(failure))) = (&outcome, first) {
            outcome = Outcome::PassedAfterRetry(failure);
        }
        let failures = match outcome {
            Outcome::Passed | Outcome::PassedAfterRetry(_) => {
                self.failures.store(0, Ordering::Relaxed);
                0
            }
            Outcome::Failed(_) => self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1),
            // Ours says nothing of the target.
            Outcome::Broken(_) => self.failures.load(Ordering::Relaxed),
        };
        let trace = recorder.finish(status(&outcome), Status::Cancelled);
        let probe = Arc::clone(identity);
        let mut run = Run { probe, outcome, trace, lateness, attempts, failures, tags, log: log.take() };
        self.secrets.strike_run(&mut run);
        run
    }

    /// One stay in the guest, in a sandbox of its own, and the tags that it set.
    async fn attempt(&self, number: u32, recorder: &Recorder, log: &Journal) -> (Outcome, BTreeMap<String, String>) {
        // Where it is tried but once, the run itself is the attempt.
        let most = self.retries.times + 1;
        let span = (most > 1).then(|| recorder.push("probe.attempt".into(), format!("Attempt {number} of {most}")));
        let (mut store, deadline) = store(&self.engine, &self.scope, recorder.clone(), log.clone(), self.limits);
        let ended = guard(deadline, self.limits, async {
            let guest = self.component.instantiate_async(&mut store).await?;
            guest.sentrynet_probe_prober().call_run(&mut store, &self.settings).await
        })
        .await;
        let outcome = match ended {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(Trouble::Failed(said))) => Outcome::Failed(failure(said)),
            Ok(Err(Trouble::Broken(message))) => Outcome::Broken(Fault {
                kind: FaultKind::Gave,
                message: cut(message, LONGEST_TEXT),
                backtrace: Vec::new(),
            }),
            Err(fault) => Outcome::Broken(fault),
        };
        if let Some(span) = span {
            recorder.set_status(span, status(&outcome));
            recorder.unwind(span, Status::Cancelled);
        }
        (outcome, std::mem::take(&mut store.data_mut().tags))
    }

    /// A run that did not come about.
    fn broken(&self, due: Instant, message: String) -> Run {
        let identity = &self.scope.identity;
        let recorder = Recorder::start(identity.probe.clone(), identity.title.clone());
        let outcome = Outcome::Broken(Fault { kind: FaultKind::Host, message, backtrace: Vec::new() });
        let trace = recorder.finish(status(&outcome), Status::Cancelled);
        let (lateness, failures) = (due.elapsed(), self.failures.load(Ordering::Relaxed));
        let (probe, tags, log) = (Arc::clone(identity), BTreeMap::new(), Vec::new());
        let mut run = Run { probe, outcome, trace, lateness, attempts: 1, failures, tags, log };
        self.secrets.strike_run(&mut run);
        run
    }
}

/// The root's status. A target that cannot be reached is told from one that answers wrongly.
fn status(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Passed | Outcome::PassedAfterRetry(_) => Status::Ok,
        Outcome::Failed(failure) => match failure.reason.as_str() {
            "timeout" => Status::DeadlineExceeded,
            "dns" | "connect" | "tls" => Status::Unavailable,
            _ => Status::InternalError,
        },
        Outcome::Broken(fault) => match fault.kind {
            FaultKind::Deadline => Status::DeadlineExceeded,
            FaultKind::Memory => Status::ResourceExhausted,
            FaultKind::Trap | FaultKind::Gave | FaultKind::Host => Status::Aborted,
        },
    }
}

/// What a guest says of a run, no longer than anybody reads.
fn failure(failure: GuestFailure) -> Failure {
    const MOST_MISMATCHES: usize = 100;
    const LONGEST_REASON: usize = 64;
    let mismatches = failure.mismatches.into_iter().take(MOST_MISMATCHES).map(|mismatch| Mismatch {
        subject: cut(mismatch.subject, LONGEST_TEXT),
        expected: cut(mismatch.expected, LONGEST_TEXT),
        actual: cut(mismatch.actual, LONGEST_TEXT),
    });
    Failure {
        reason: cut(failure.reason, LONGEST_REASON),
        message: cut(failure.message, LONGEST_TEXT),
        mismatches: mismatches.collect(),
    }
}

/// Bytes of one text of a guest's.
const LONGEST_TEXT: usize = 4096;
