//! A loaded probe, and its runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tokio::task::JoinError;

use crate::capability::cpu_clock::thread_cpu_time;
use crate::capability::log_buffer::LogBuffer;
use crate::capability::record_replay::RecordReplay;
use crate::capability::{ProbeContext, RunHandles};
use crate::config::{Limits, Retries};
use crate::file_version::FileVersion;
use crate::recording::{Component, Header, Recording};
use crate::redaction::{Allowance, RunSize};
use crate::run::evidence::Exchange;
use crate::run::{Failure, Fault, FaultKind, Identity, Outcome, Run};
use crate::sandbox::backtrace::with_last_log_lines;
use crate::sandbox::broken_run::{broken_run, discard_report, end_as_suspended};
use crate::sandbox::contract::CONTRACT_VERSION;
use crate::sandbox::cpu_estimate::CpuEstimate;
use crate::sandbox::cpu_timer::CpuTimer;
use crate::sandbox::executor::HomeRuntime;
use crate::sandbox::fault::{flood_failure, redaction_fault, with_advice};
use crate::sandbox::instance::store;
use crate::sandbox::loaded_component::LoadedComponent;
use crate::sandbox::outcome::{self, span_status};
use crate::trace::{Recorder, Status};

/// A probe that is ready to run: its component is loaded and has checked its settings. Cheap to clone.
#[derive(Clone)]
pub struct Probe(Arc<ProbeShared>);

/// The state that all runs of a probe share.
pub struct ProbeShared {
    /// The component.
    pub component: Arc<LoadedComponent>,
    /// The configuration of the probe, for the guest's calls.
    pub context: Arc<ProbeContext>,
    /// The settings for the guest, as JSON.
    pub settings: Box<str>,
    /// The limits of each attempt.
    pub limits: Arc<Limits>,
    /// The number of retries, and the delay before each.
    pub retries: Retries,
    /// The prediction of the next run's CPU time.
    pub cpu_estimate: CpuEstimate,
}

/// The priority with which redacting a large run waits for a CPU permit: that of a guest that has used this much CPU
/// time. Guests that have used more, and may compute endlessly, get permits later.
const REDACTION_PRIORITY: Duration = Duration::from_millis(20);

/// The result of one attempt.
struct Attempt {
    outcome: Outcome,
    warnings: Vec<Failure>,
    tags: BTreeMap<String, String>,
    evidence: Option<Exchange>,
}

impl Probe {
    /// Creates a probe.
    pub(super) fn new(shared: ProbeShared) -> Self {
        Self(Arc::new(shared))
    }

    /// Returns the probe's name, title and tags.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.0.context.identity
    }

    /// Returns this probe with another title, which must not contain secrets. It has another [`Identity`], so that its
    /// runs are assessed anew.
    #[must_use]
    pub fn with_title(&self, title: String) -> Self {
        let ProbeShared { component, context, settings, limits, retries, .. } = &*self.0;
        let identity = Identity { title, ..Identity::clone(&context.identity) };
        Self::new(ProbeShared {
            component: Arc::clone(component),
            settings: settings.clone(),
            limits: Arc::clone(limits),
            retries: *retries,
            cpu_estimate: CpuEstimate::new(context.built_in),
            context: Arc::new(context.with_identity(identity)),
        })
    }

    /// Returns this probe, which was loaded with other settings, in place of an earlier one: it keeps the title, the
    /// pointer, and what is counted for the probe. It also keeps the [`Identity`], unless the settings name other
    /// hosts, so that its outages continue.
    #[must_use]
    pub(crate) fn replacing(&self, earlier: &Self) -> Self {
        let (new, old) = (&*self.0, &*earlier.0);
        let Identity { title, pointer, .. } = Identity::clone(&old.context.identity);
        let identity = Identity { title, pointer, ..Identity::clone(&new.context.identity) };
        let identity =
            if identity == *old.context.identity { Arc::clone(&old.context.identity) } else { Arc::new(identity) };
        let context = ProbeContext {
            identity,
            refusals: Arc::clone(&old.context.refusals),
            warnings: Arc::clone(&old.context.warnings),
            span_ops: Arc::clone(&old.context.span_ops),
            lookups: old.context.lookups.clone(),
            ..ProbeContext::clone(&new.context)
        };
        Self::new(ProbeShared {
            component: Arc::clone(&new.component),
            settings: new.settings.clone(),
            limits: Arc::clone(&new.limits),
            retries: new.retries,
            cpu_estimate: CpuEstimate::new(context.built_in),
            context: Arc::new(context),
        })
    }

    /// Returns the version of the component's file that was read.
    pub(super) fn component_version(&self) -> FileVersion {
        self.0.component.version
    }

    /// Returns the context of the guest's calls, and the settings for the guest.
    pub(super) fn context_and_settings(&self) -> (&ProbeContext, &str) {
        (&self.0.context, &self.0.settings)
    }

    /// Runs the probe once. `due` is the time at which the run was to start. A panic of the host is a broken run.
    ///
    /// Must be called within a tokio runtime, on which the run's network exchanges take place. Dropping the returned
    /// future aborts the run.
    pub async fn run(&self, due: Instant) -> Run {
        match self.run_on_executor(|shared, home| async move { shared.run(due, &home).await }).await {
            Ok(run) => run,
            Err(error) => self.0.broken_run(due, format!("the host failed: {error}; this is a bug, please report it")),
        }
    }

    /// Runs the probe once, and records all calls of the guest with their results.
    ///
    /// # Errors
    /// Returns an error if the host panics.
    pub async fn record(&self) -> Result<(Run, Recording), JoinError> {
        let due = Instant::now();
        self.run_on_executor(|shared, home| async move { shared.record(due, &home).await }).await
    }

    /// Runs the probe once with the recorded results of all calls, and no access to the network.
    ///
    /// # Errors
    /// Returns an error if the host panics.
    pub async fn replay(&self, recording: Recording) -> Result<Run, JoinError> {
        self.run_on_executor(|shared, home| async move { shared.replay(recording, &home).await }).await
    }

    async fn run_on_executor<T, F>(&self, work: impl FnOnce(Arc<ProbeShared>, HomeRuntime) -> F) -> Result<T, JoinError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let shared = Arc::clone(&self.0);
        let on_guest_threads = shared.cpu_estimate.starts_on_guest_threads();
        self.0.component.executor.run(on_guest_threads, |home| work(shared, home)).await
    }
}

impl ProbeShared {
    async fn run(&self, due: Instant, home: &HomeRuntime) -> Run {
        let started = self.wait_to_start().await;
        let lateness = due.elapsed();
        let recorder = self.recorder();
        let log = LogBuffer::new(recorder.clone(), *self.limits);
        let handles = RunHandles::new(recorder, log, RecordReplay::default());
        let (mut run, mut exchanges) = self.run_attempts(home, lateness, &handles).await;
        self.check_suspension(&mut run, &mut exchanges, started).await;
        if RunSize::of(&run).is_large() {
            self.redact_large(&mut run, exchanges, home).await;
        } else {
            self.component.secrets.redact_run(&mut run, exchanges);
        }
        run
    }

    /// Redacts a run whose texts are large. This may take as much CPU time as an attempt. If it takes longer, the run
    /// is broken, and its report is discarded.
    async fn redact_large(&self, run: &mut Run, exchanges: Vec<Exchange>, home: &HomeRuntime) {
        // On the guest threads, a long redaction delays no other runs: it waits for a permit like a long computation.
        home.request_migration();
        tokio::task::yield_now().await;
        let _permit = self.component.executor.cpu_permits().acquire(REDACTION_PRIORITY).await;
        let allowance = Allowance::start(thread_cpu_time, self.limits.cpu);
        if self.component.secrets.redact_run_within(run, exchanges, &allowance).is_err() {
            discard_report(run, redaction_fault(&self.limits));
        }
    }

    async fn record(&self, due: Instant, home: &HomeRuntime) -> (Run, Recording) {
        let started = self.wait_to_start().await;
        let lateness = due.elapsed();
        let recorder = self.recorder();
        let log = LogBuffer::new(recorder.clone(), *self.limits);
        let record = RecordReplay::record(&recorder, &log);
        let handles = RunHandles::new(recorder, log, record.clone());
        let (mut run, mut exchanges) = self.run_attempts(home, lateness, &handles).await;
        self.check_suspension(&mut run, &mut exchanges, started).await;
        let mut recording = Recording { header: self.header(&run), entries: record.take_entries() };
        self.component.secrets.redact_recording(&mut recording, &mut run, exchanges);
        (run, recording)
    }

    async fn replay(&self, recording: Recording, home: &HomeRuntime) -> Run {
        let Recording { header, entries } = recording;
        let Identity { probe, title, .. } = &*self.context.identity;
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
        let same_component = *header.component.sha256 == *self.component.sha256;
        let replay = RecordReplay::replay(&recorder, &log, entries, same_component);
        let handles = RunHandles::new(recorder, log, replay);
        let (mut run, exchanges) = self.run_attempts(home, header.lateness, &handles).await;
        self.component.secrets.redact_replayed(&header.redacted_lengths, &mut run, exchanges);
        run
    }

    fn recorder(&self) -> Recorder {
        let Identity { probe, title, .. } = &*self.context.identity;
        Recorder::start_bounded(self.limits.spans, probe.clone(), title.clone())
    }

    /// Waits until it is known whether this host was suspended before the run. Returns the time at which the run
    /// starts.
    async fn wait_to_start(&self) -> Instant {
        self.component.suspensions.settle().await;
        Instant::now()
    }

    /// Ends a run that started at `started` as broken if this host was suspended during it, whatever its outcome: times
    /// that passed meanwhile say nothing about the target. What the target did is discarded, except for the spans.
    async fn check_suspension(&self, run: &mut Run, exchanges: &mut Vec<Exchange>, started: Instant) {
        self.component.suspensions.settle().await;
        let Some(suspended) = self.component.suspensions.suspended_since(started) else { return };
        end_as_suspended(run, suspended);
        exchanges.clear();
    }

    /// Makes attempts until one does not fail, or no retries are left. Returns the run, and the failed exchanges of all
    /// but the last attempt. Secrets are not yet redacted from either.
    async fn run_attempts(&self, home: &HomeRuntime, lateness: Duration, handles: &RunHandles) -> (Run, Vec<Exchange>) {
        let RunHandles { recorder, log, record_replay, .. } = handles;
        let mut attempts = 1;
        let mut last = self.run_attempt(home, attempts, handles.without_evidence()).await;
        let (mut earlier, mut exchanges) = (Vec::new(), Vec::new());
        while attempts <= self.retries.times {
            let Outcome::Failed(failure) = last.outcome else { break };
            earlier.push(failure);
            exchanges.extend(last.evidence);
            if !record_replay.is_replay() {
                tokio::time::sleep(self.retries.delay).await;
            }
            attempts += 1;
            last = self.run_attempt(home, attempts, handles.without_evidence()).await;
        }
        let Attempt { mut outcome, warnings, tags, evidence } = last;
        if let (Outcome::Passed, Some(first)) = (&outcome, earlier.first()) {
            outcome = Outcome::PassedAfterRetry(first.clone());
        }
        let mut trace = recorder.finish(span_status(&outcome), Status::Cancelled);
        record_replay.finish(&mut trace);
        let probe = Arc::clone(&self.context.identity);
        let log = log.take();
        let run = Run { probe, outcome, warnings, trace, lateness, skipped: 0, attempts, earlier, evidence, tags, log };
        (run, exchanges)
    }

    /// Makes one attempt: one call of the guest's `run`, in a store of its own.
    async fn run_attempt(&self, home: &HomeRuntime, number: u32, handles: RunHandles) -> Attempt {
        let RunHandles { recorder, log, record_replay, evidence } = &handles;
        // Without retries, the attempt has no span of its own: the run's span is enough.
        let max_attempts = self.retries.times + 1;
        let name = || format!("Attempt {number} of {max_attempts}");
        let span = record_replay
            .begin_attempt(recorder, || (max_attempts > 1).then(|| recorder.push("probe.attempt".into(), name())));
        let permits = Arc::clone(self.component.executor.cpu_permits());
        let cpu_timer = CpuTimer::new(permits, home.clone(), self.cpu_estimate.starts_with_permit());
        let (mut store, guard) =
            store(&self.component, &self.context, handles.clone(), *self.limits, Arc::clone(&cpu_timer));
        let call = async {
            let guest = self.component.pre.instantiate_async(&mut store).await?;
            guest.sentrynet_probe_prober().call_run(&mut store, &self.settings).await
        };
        let returned = guard.await_call(call).await;
        let returned = match returned {
            Ok(Err(failure)) => guard.check_failure().map(|()| Err(failure)),
            returned => returned,
        };
        let returned = record_replay.limit_fault().map_or(returned, Err);
        self.cpu_estimate.record(cpu_timer.used());
        let fault = returned.as_ref().err().cloned();
        let outcome = match returned {
            Ok(returned) => outcome::from_guest(returned),
            Err(fault) => {
                // A replay receives nothing from a target, and takes the fault from the recording.
                let has_received = record_replay.is_replay() || store.data().accounting.quota.has_received();
                let flood = flood_failure(&fault, &self.limits).filter(|_| self.context.built_in && has_received);
                match flood {
                    Some(failure) => Outcome::Failed(failure),
                    None => Outcome::Broken(with_last_log_lines(with_advice(fault, &self.limits), log)),
                }
            }
        };
        record_replay.end_attempt(outcome.as_str(), fault.as_ref(), evidence);
        let warnings = std::mem::take(&mut store.data_mut().run_warnings);
        let has_passed = outcome.passed() && warnings.is_empty();
        let evidence =
            if has_passed { None } else { evidence.failed_exchange(recorder, span.unwrap_or(recorder.root())) };
        if let Some(span) = span {
            recorder.set_status(span, span_status(&outcome));
            recorder.pop_through(span, Status::Cancelled);
        }
        Attempt { outcome, warnings, tags: std::mem::take(&mut store.data_mut().tags), evidence }
    }

    /// Returns the header of a run's recording.
    fn header(&self, run: &Run) -> Header {
        let Identity { probe, title, tags, failures_before_error, pointer, .. } = &*self.context.identity;
        let variables = self.context.policy.variables();
        Header {
            host: env!("CARGO_PKG_VERSION").to_owned(),
            contract: CONTRACT_VERSION.to_owned(),
            component: Component { name: probe.clone(), sha256: self.component.sha256.to_string() },
            title: title.clone(),
            tags: BTreeMap::clone(tags),
            failures_before_error: *failures_before_error,
            pointer: pointer.clone(),
            // The host has serialised the settings, so they can be parsed.
            settings: serde_json::from_str(&self.settings).unwrap_or_default(),
            environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            redacted_lengths: BTreeSet::new(),
            log_refused: self.context.policy.grants.log_refused_by().map(str::to_owned),
            limits: json!(*self.limits),
            retries: self.retries.times,
            trace_id: run.trace.id,
            span_id: run.trace.spans[0].id,
            started: run.trace.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            lateness: run.lateness,
        }
    }

    /// Returns a broken run, for an error of the host that prevented the run.
    fn broken_run(&self, due: Instant, message: String) -> Run {
        let fault = Fault { kind: FaultKind::Host, message, backtrace: Vec::new() };
        broken_run(&self.context.identity, fault, due, &self.component.secrets)
    }
}
