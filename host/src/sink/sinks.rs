//! All sinks of a process, and the assessor before them.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::Sink;
use super::console::{Console, ConsoleOptions};
use super::in_order::InOrder;
use super::report::{ReportOptions, Reports};
use super::sentry::{Sentry, StartError as SentryStartError};
use crate::assessment::{AssessedRun, Assessor, ConnectivityChange, Decision, ErrorAction};
use crate::config::{Config, Module, Monitor};
use crate::run::{Identity, Run};

/// Assesses runs and reports them to every sink.
///
/// Each run is first assessed, under a lock that is common to all runs. If a decision follows from the run, all sinks
/// get the decision under the same lock. Then the run itself is reported to all sinks, without the lock unless the
/// error of the run is held.
pub struct Sinks {
    shared: Arc<Shared>,
    /// `None` if nothing is sent.
    sentry: Option<Arc<Sentry>>,
    /// `None` if no report is written.
    reports: Option<Arc<Reports>>,
    _ticker: AbortOnDropHandle<()>,
}

/// The sinks that [`Sinks::start`] creates in addition to those for Sentry.
#[derive(Default)]
pub struct SinkOptions {
    /// Shows runs on standard output; `None` shows none.
    pub console: Option<ConsoleOptions>,
    /// Where the console writes; `None` writes to standard output. Colours depend on standard output in both cases.
    pub console_output: Option<Box<dyn Write + Send>>,
    /// Writes reports when the sinks are flushed; `None` writes none.
    pub reports: Option<ReportOptions>,
    /// Shows and reports the runs in the order of these probes, each of which runs once; `None` does so as they end.
    pub order: Option<Vec<Arc<Identity>>>,
    /// Reports panics of this process to Sentry too. Replaces the panic hook of the process by one that first calls the
    /// previous hook.
    pub report_panics: bool,
}

/// The reason why the sinks cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The sink for Sentry cannot be started.
    #[error(transparent)]
    Sentry(#[from] SentryStartError),
}

struct Shared {
    assessor: Mutex<Assessor>,
    sinks: Vec<Arc<dyn Sink>>,
}

/// The interval at which the assessor is called without a run: for decisions that follow from elapsed time alone, and
/// so that it knows for which time this process runs.
const TICK_INTERVAL: Duration = Duration::from_secs(1);
/// The time by which a sink's flush may exceed its timeout before it is cancelled.
const FLUSH_TOLERANCE: Duration = Duration::from_millis(250);

impl Sinks {
    /// Starts the sinks that a configuration and the options ask for: Sentry or a Spotlight or both, and the console.
    /// `probes` is the number of probes whose runs will be reported. Must be called within a tokio runtime, on which
    /// the sinks spawn their tasks.
    ///
    /// # Errors
    ///
    /// Returns [`StartError::Sentry`] if no HTTP client can be created for Sentry.
    pub fn start(config: &Config, probes: usize, options: SinkOptions) -> Result<Self, StartError> {
        let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
        // Sentry comes first: a run that is shown is in the spool already.
        let sentry = Sentry::start(&config.sentry)?.map(Arc::new);
        if let Some(sentry) = &sentry {
            if options.report_panics {
                let secrets = config.secrets.clone();
                sentry.report_panics(move |text| secrets.redact(text).into_owned());
            }
            sinks.push(Arc::clone(sentry) as Arc<dyn Sink>);
        }
        let reports = add_local(options, &mut sinks);
        let built_in = config.probes.iter().filter(|probe| matches!(probe.module, Module::BuiltIn(_))).count();
        Ok(Self { sentry, reports, ..Self::new(built_in.min(probes), sinks) })
    }

    /// Starts the sinks that the options ask for, without Sentry. `probes` is the number of probes whose runs will be
    /// reported. Must be called within a tokio runtime.
    pub fn start_local(probes: usize, options: SinkOptions) -> Self {
        let mut sinks = Vec::new();
        let reports = add_local(options, &mut sinks);
        Self { reports, ..Self::new(probes, sinks) }
    }

    /// Combines sinks. Each run is reported to them in this order. `built_in_probes` is the number of built-in probes
    /// whose runs will be reported: until all of them have run, errors wait for a comparison with other hosts, half a
    /// minute at most. Must be called within a tokio runtime.
    pub fn new(built_in_probes: usize, sinks: Vec<Arc<dyn Sink>>) -> Self {
        let shared = Arc::new(Shared { assessor: Mutex::new(Assessor::new(built_in_probes)), sinks });
        let ticker = tokio::spawn(tick(Arc::clone(&shared)));
        Self { shared, sentry: None, reports: None, _ticker: AbortOnDropHandle::new(ticker) }
    }

    /// Replaces the monitors that runs check in to. A place in the configuration that had a monitor before keeps its
    /// runs since the last check-in. The monitor of the host stays as it is.
    pub fn set_monitors(&self, monitors: &[Monitor]) {
        if let Some(sentry) = &self.sentry {
            sentry.set_monitors(monitors);
        }
    }

    /// Goes on after the probes have changed, with this number of built-in ones, as [`Sinks::new`] says. What is known
    /// about a probe is kept for as long as it is loaded.
    pub fn set_built_in_probes(&self, built_in_probes: usize) {
        self.shared.assessor.lock().set_built_in_probes(built_in_probes);
    }

    /// Reports to Sentry that a new configuration was refused, and that the old one goes on. `text` has the errors in
    /// the configuration of this name, and no secrets.
    pub fn report_refused_configuration(&self, name: &str, text: &str) {
        if let Some(sentry) = &self.sentry {
            sentry.report_refused_configuration(name, text);
        }
    }

    /// Returns what Sentry has not accepted so far, in one line with the cause. `None` if it has accepted everything,
    /// or if nothing is sent to it.
    pub fn undelivered(&self) -> Option<String> {
        self.sentry.as_ref()?.undelivered()
    }

    /// Returns a sentence for each report that could not be written when the sinks were flushed.
    pub fn unwritten_reports(&self) -> Vec<String> {
        self.reports.as_ref().map(|reports| reports.problems()).unwrap_or_default()
    }

    /// Assesses a run that has just ended, and reports it to every sink.
    pub fn report(&self, run: Run) -> Arc<AssessedRun> {
        let mut assessor = self.shared.assessor.lock();
        let now = Instant::now();
        assessor.advance(now);
        let (assessed, decision) = assessor.assess(run, now);
        self.shared.log_and_distribute(decision);
        if assessed.assessment.error == Some(ErrorAction::Hold) {
            // The run is reported under the lock, so that no decision about its error comes before the report.
            self.shared.report(&assessed);
        } else {
            drop(assessor);
            self.shared.report(&assessed);
        }
        assessed
    }

    /// Decides about all errors that are held, and flushes all sinks concurrently. Returns as soon as all are done, and
    /// at most 250 ms after `timeout`.
    pub async fn flush(&self, timeout: Duration) {
        {
            let mut assessor = self.shared.assessor.lock();
            let now = Instant::now();
            assessor.advance(now);
            let decision = assessor.decide_now(now);
            self.shared.log_and_distribute(decision);
        }
        let mut flushing = JoinSet::new();
        for sink in &self.shared.sinks {
            let sink = Arc::clone(sink);
            flushing.spawn(async move { sink.flush(timeout).await });
        }
        // Ignores panics: the panic hook has logged them.
        let all = async { while flushing.join_next().await.is_some() {} };
        if tokio::time::timeout(timeout + FLUSH_TOLERANCE, all).await.is_err() {
            tracing::warn!(timeout = %timeout.as_secs_f64(), "not all sinks were flushed in time");
        }
    }
}

/// Adds the sinks on this machine that the options ask for. Returns the one that writes reports.
fn add_local(options: SinkOptions, sinks: &mut Vec<Arc<dyn Sink>>) -> Option<Arc<Reports>> {
    let SinkOptions { console, console_output, reports, order, .. } = options;
    let mut add = |sink: Arc<dyn Sink>| match &order {
        Some(order) => sinks.push(Arc::new(InOrder::new(order.clone(), sink))),
        None => sinks.push(sink),
    };
    if let Some(options) = console {
        add(Arc::new(Console::new(options, console_output)));
    }
    let reports = reports.map(|options| Arc::new(Reports::new(options)))?;
    add(Arc::clone(&reports) as Arc<dyn Sink>);
    Some(reports)
}

async fn tick(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(TICK_INTERVAL).await;
        let mut assessor = shared.assessor.lock();
        let now = Instant::now();
        assessor.advance(now);
        let decision = assessor.tick(now);
        shared.log_and_distribute(decision);
    }
}

impl Shared {
    /// Logs a decision and passes it to every sink. The caller holds the assessor's lock, so that decisions keep their
    /// order.
    fn log_and_distribute(&self, decision: Option<Decision>) {
        let Some(decision) = decision else { return };
        match &decision.connectivity {
            Some(ConnectivityChange::Offline(finding)) => tracing::warn!(
                silent_hosts = finding.silent,
                known_hosts = finding.known,
                "{finding}: errors of targets are not sent until one answers"
            ),
            Some(ConnectivityChange::Online { lasted, suppressed }) => tracing::info!(
                seconds = lasted.as_secs(),
                suppressed_errors = suppressed,
                "the network of this host is back after {} s: {suppressed} errors of targets were not sent",
                lasted.as_secs()
            ),
            None => {}
        }
        self.for_each_sink(|sink| sink.on_decision(&decision));
    }

    fn report(&self, assessed: &Arc<AssessedRun>) {
        self.for_each_sink(|sink| sink.report(assessed));
    }

    fn for_each_sink(&self, call: impl Fn(&dyn Sink)) {
        for sink in &self.sinks {
            // Ignores a panic: the panic hook has logged it, and locks of parking_lot are not poisoned.
            _ = catch_unwind(AssertUnwindSafe(|| call(&**sink)));
        }
    }
}

#[cfg(test)]
mod tests;
