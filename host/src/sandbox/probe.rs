//! A probe, and one run of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tokio::task::JoinError;

use crate::capability::bindings::ProbePre;
use crate::capability::bindings::exports::sentrynet::probe::prober::Trouble;
use crate::capability::bindings::sentrynet::probe::types::Failure as GuestFailure;
use crate::capability::log_buffer::LogBuffer;
use crate::capability::record_replay::RecordReplay;
use crate::capability::{Context, ProbeContext, RunHandles, SharedState, truncate};
use crate::config::{Limits, Retries};
use crate::recording::{Component, Header, Recording};
use crate::redaction::Secrets;
use crate::run::evidence::Exchange;
use crate::run::{Failure, Fault, FaultKind, Identity, LimitKind, Mismatch, Outcome, Run};
use crate::sandbox::backtrace::with_last_words;
use crate::sandbox::component::CONTRACT_VERSION;
use crate::sandbox::cpu_estimate::CpuEstimate;
use crate::sandbox::cpu_timer::CpuTimer;
use crate::sandbox::executor::{GuestExecutor, HomeRuntime};
use crate::sandbox::fault::with_advice;
use crate::sandbox::instance::store;
use crate::trace::{Recorder, Status};

/// A probe that is ready to run: its component loaded, its settings checked by it. Cheap to clone.
#[derive(Clone)]
pub struct Probe(Arc<ProbeShared>);

/// What the runs of a probe share.
pub struct ProbeShared {
    pub program: Arc<LoadedComponent>,
    pub scope: Arc<ProbeContext>,
    pub settings: Box<str>,
    pub limits: Arc<Limits>,
    pub retries: Retries,
    pub habit: CpuEstimate,
}

/// What the probes of a component share.
pub struct LoadedComponent {
    pub component: ProbePre<Context>,
    /// In hexadecimal digits.
    pub sha256: Box<str>,
    pub threads: Arc<GuestExecutor>,
    pub secrets: Secrets,
    pub shared: Arc<SharedState>,
}

/// How one stay in the guest ended, and what it left.
struct Attempt {
    outcome: Outcome,
    tags: BTreeMap<String, String>,
    evidence: Option<Exchange>,
}

impl Probe {
    pub fn new(ready: ProbeShared) -> Self {
        Self(Arc::new(ready))
    }

    pub fn identity(&self) -> &Arc<Identity> {
        &self.0.scope.identity
    }

    /// What its guest's calls know of it, and the settings that it gets.
    pub(super) fn given(&self) -> (&ProbeContext, &str) {
        (&self.0.scope, &self.0.settings)
    }

    /// Runs once. `due` is when it was to start.
    pub async fn run(&self, due: Instant) -> Run {
        match self.on_executor(|ready, place| async move { ready.run(due, &place).await }).await {
            Ok(run) => run,
            Err(error) => self.0.broken(due, format!("the host failed: {error}; this is a bug, please report it")),
        }
    }

    /// Runs once, and keeps all that the guest did and was told.
    ///
    /// # Errors
    /// When the host failed.
    pub async fn record(&self) -> Result<(Run, Recording), JoinError> {
        let due = Instant::now();
        self.on_executor(|ready, place| async move { ready.record(due, &place).await }).await
    }

    /// Runs once more what was recorded, in a world that is the recording alone.
    ///
    /// # Errors
    /// When the host failed.
    pub async fn replay(&self, recording: Recording) -> Result<Run, JoinError> {
        self.on_executor(|ready, place| async move { ready.replay(recording, &place).await }).await
    }

    async fn on_executor<T, F>(&self, work: impl FnOnce(Arc<ProbeShared>, HomeRuntime) -> F) -> Result<T, JoinError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let ready = Arc::clone(&self.0);
        self.0.program.threads.run(self.0.habit.is_long(), |place| work(ready, place)).await
    }
}

impl ProbeShared {
    async fn run(&self, due: Instant, place: &HomeRuntime) -> Run {
        let lateness = due.elapsed();
        let recorder = self.recorder();
        let log = LogBuffer::new(recorder.clone(), *self.limits);
        let handles = RunHandles::new(recorder, log, RecordReplay::default());
        let (mut run, exchanges) = self.attempts(place, lateness, &handles).await;
        self.program.secrets.redact_run(&mut run, exchanges);
        run
    }

    async fn record(&self, due: Instant, place: &HomeRuntime) -> (Run, Recording) {
        let lateness = due.elapsed();
        let recorder = self.recorder();
        let log = LogBuffer::new(recorder.clone(), *self.limits);
        let tape = RecordReplay::record(&recorder, &log);
        let handles = RunHandles::new(recorder, log, tape.clone());
        let (mut run, exchanges) = self.attempts(place, lateness, &handles).await;
        let mut recording = Recording { header: self.header(&run), entries: tape.take_entries() };
        self.program.secrets.redact_recording(&mut recording, &mut run, exchanges);
        (run, recording)
    }

    async fn replay(&self, recording: Recording, place: &HomeRuntime) -> Run {
        let Recording { header, entries } = recording;
        let Identity { probe, title, .. } = &*self.scope.identity;
        let started = SystemTime::UNIX_EPOCH + header.started;
        let recorder = Recorder::start_as(
            self.limits.spans,
            header.trace_id,
            header.span_id,
            started,
            probe.clone(),
            title.clone(),
        );
        let log = LogBuffer::new(recorder.clone(), *self.limits);
        let tape = RecordReplay::replay(&recorder, &log, entries, *header.component.sha256 == *self.program.sha256);
        let handles = RunHandles::new(recorder, log, tape);
        let (mut run, exchanges) = self.attempts(place, header.lateness, &handles).await;
        self.program.secrets.redact_replayed(&header.struck, &mut run, exchanges);
        run
    }

    fn recorder(&self) -> Recorder {
        let Identity { probe, title, .. } = &*self.scope.identity;
        Recorder::start_bounded(self.limits.spans, probe.clone(), title.clone())
    }

    /// All attempts, until one is the last; and the exchanges that those before it failed over. Secrets are in there
    /// still.
    async fn attempts(&self, place: &HomeRuntime, lateness: Duration, handles: &RunHandles) -> (Run, Vec<Exchange>) {
        let RunHandles { recorder, log, record_replay: tape, .. } = handles;
        let mut attempts = 1;
        let mut last = self.attempt(place, attempts, handles.without_evidence()).await;
        let (mut earlier, mut exchanges) = (Vec::new(), Vec::new());
        while attempts <= self.retries.times {
            let Outcome::Failed(failure) = last.outcome else { break };
            earlier.push(failure);
            exchanges.extend(last.evidence);
            if !tape.is_replay() {
                tokio::time::sleep(self.retries.delay).await;
            }
            attempts += 1;
            last = self.attempt(place, attempts, handles.without_evidence()).await;
        }
        let Attempt { mut outcome, tags, evidence } = last;
        if let (Outcome::Passed, Some(first)) = (&outcome, earlier.first()) {
            outcome = Outcome::PassedAfterRetry(first.clone());
        }
        let mut trace = recorder.finish(status(&outcome), Status::Cancelled);
        tape.finish(&mut trace);
        let probe = Arc::clone(&self.scope.identity);
        let log = log.take();
        (Run { probe, outcome, trace, lateness, skipped: 0, attempts, earlier, evidence, tags, log }, exchanges)
    }

    /// What ran, for its recording.
    fn header(&self, run: &Run) -> Header {
        let Identity { probe, title, tags, failures_before_error, pointer } = &*self.scope.identity;
        let variables = self.scope.policy.variables();
        Header {
            host: env!("CARGO_PKG_VERSION").to_owned(),
            contract: CONTRACT_VERSION.to_owned(),
            component: Component { name: probe.clone(), sha256: self.program.sha256.to_string() },
            title: title.clone(),
            tags: BTreeMap::clone(tags),
            failures_before_error: *failures_before_error,
            pointer: pointer.clone(),
            // It was text of ours.
            settings: serde_json::from_str(&self.settings).unwrap_or_default(),
            environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            struck: BTreeSet::new(),
            log_refused: self.scope.policy.grants.log_refused_by().map(str::to_owned),
            limits: json!(*self.limits),
            retries: self.retries.times,
            trace_id: run.trace.id,
            span_id: run.trace.spans[0].id,
            started: run.trace.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            lateness: run.lateness,
        }
    }

    /// One stay in the guest, in a sandbox of its own.
    async fn attempt(&self, place: &HomeRuntime, number: u32, handles: RunHandles) -> Attempt {
        let RunHandles { recorder, log, record_replay: tape, evidence } = &handles;
        tape.begin_attempt();
        // Where it is tried but once, the run itself is the attempt.
        let most = self.retries.times + 1;
        let span = (most > 1).then(|| recorder.push("probe.attempt".into(), format!("Attempt {number} of {most}")));
        tape.end_local();
        let computing =
            CpuTimer::new(Arc::clone(self.program.threads.cpu_permits()), place.clone(), self.habit.is_very_long());
        let measured = Arc::clone(&computing);
        let (mut store, watch) = store(
            self.program.component.engine(),
            &self.scope,
            &self.program.shared,
            handles.clone(),
            *self.limits,
            measured,
        );
        let work = async {
            let guest = self.program.component.instantiate_async(&mut store).await?;
            guest.sentrynet_probe_prober().call_run(&mut store, &self.settings).await
        };
        let ended = watch.guard(work).await;
        let ended = tape.limit_fault().map_or(ended, Err);
        self.habit.record(computing.used());
        let fault = ended.as_ref().err().cloned();
        let outcome = match ended {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(Trouble::Failed(said))) => Outcome::Failed(failure(said)),
            Ok(Err(Trouble::Broken(message))) => Outcome::Broken(Fault {
                kind: FaultKind::ReportedByProbe,
                message: truncate(message, LONGEST_TEXT),
                backtrace: Vec::new(),
            }),
            Err(fault) => Outcome::Broken(with_last_words(with_advice(fault, &self.limits), log)),
        };
        let within = span.unwrap_or(recorder.root());
        tape.end_attempt(outcome.as_str(), fault.as_ref(), evidence);
        let evidence = if outcome.passed() { None } else { evidence.failed_exchange(recorder, within) };
        if let Some(span) = span {
            recorder.set_status(span, status(&outcome));
            recorder.pop_through(span, Status::Cancelled);
        }
        Attempt { outcome, tags: std::mem::take(&mut store.data_mut().tags), evidence }
    }

    /// A run that did not come about.
    fn broken(&self, due: Instant, message: String) -> Run {
        let identity = &self.scope.identity;
        let recorder = Recorder::start(identity.probe.clone(), identity.title.clone());
        let outcome = Outcome::Broken(Fault { kind: FaultKind::Host, message, backtrace: Vec::new() });
        let trace = recorder.finish(status(&outcome), Status::Cancelled);
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
        self.program.secrets.redact_run(&mut run, Vec::new());
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
            FaultKind::Limit(LimitKind::Deadline) => Status::DeadlineExceeded,
            FaultKind::Limit(_) => Status::ResourceExhausted,
            FaultKind::Trap | FaultKind::ReportedByProbe | FaultKind::Host | FaultKind::ReplayDiverged => {
                Status::Aborted
            }
        },
    }
}

/// What a guest says of a run, no longer than anybody reads.
fn failure(failure: GuestFailure) -> Failure {
    const MOST_MISMATCHES: usize = 100;
    const LONGEST_REASON: usize = 64;
    let mismatches = failure.mismatches.into_iter().take(MOST_MISMATCHES).map(|mismatch| Mismatch {
        subject: truncate(mismatch.subject, LONGEST_TEXT),
        expected: truncate(mismatch.expected, LONGEST_TEXT),
        actual: truncate(mismatch.actual, LONGEST_TEXT),
    });
    Failure {
        reason: truncate(failure.reason, LONGEST_REASON),
        message: truncate(failure.message, LONGEST_TEXT),
        mismatches: mismatches.collect(),
    }
}

/// Bytes of one text of a guest's.
const LONGEST_TEXT: usize = 4096;
