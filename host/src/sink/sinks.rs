//! All sinks of a process, and the assessor before them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::Sink;
use super::console::{Console, ConsoleOptions};
use super::in_order::InOrder;
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
    _ticker: AbortOnDropHandle<()>,
}

/// The sinks that [`Sinks::start`] creates in addition to those for Sentry.
#[derive(Default)]
pub struct SinkOptions {
    /// Shows runs on standard output; `None` shows none.
    pub console: Option<ConsoleOptions>,
    /// Shows the runs in the order of these probes, each of which runs once; `None` shows them as they end.
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

/// The interval at which the assessor is called without a run, for decisions that follow from elapsed time alone.
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
        sinks.extend(console(options));
        let built_in = config.probes.iter().filter(|probe| matches!(probe.module, Module::BuiltIn(_))).count();
        Ok(Self { sentry, ..Self::new(built_in.min(probes), sinks) })
    }

    /// Starts the sinks that the options ask for, without Sentry. `probes` is the number of probes whose runs will be
    /// reported. Must be called within a tokio runtime.
    pub fn start_local(probes: usize, options: SinkOptions) -> Self {
        Self::new(probes, console(options).into_iter().collect())
    }

    /// Combines sinks. Each run is reported to them in this order. `built_in_probes` is the number of built-in probes
    /// whose runs will be reported: until all of them have run, errors wait for a comparison with other hosts, half a
    /// minute at most. Must be called within a tokio runtime.
    pub fn new(built_in_probes: usize, sinks: Vec<Arc<dyn Sink>>) -> Self {
        let shared = Arc::new(Shared { assessor: Mutex::new(Assessor::new(built_in_probes)), sinks });
        let ticker = tokio::spawn(tick(Arc::clone(&shared)));
        Self { shared, sentry: None, _ticker: AbortOnDropHandle::new(ticker) }
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

    /// Assesses a run that has just ended, and reports it to every sink.
    pub fn report(&self, run: Run) -> Arc<AssessedRun> {
        let mut assessor = self.shared.assessor.lock();
        let (assessed, decision) = assessor.assess(run, Instant::now());
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
            let decision = assessor.decide_now(Instant::now());
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

/// Returns the console that the options ask for.
fn console(options: SinkOptions) -> Option<Arc<dyn Sink>> {
    let console = Console::new(options.console?);
    Some(match options.order {
        Some(order) => Arc::new(InOrder::new(order, console)),
        None => Arc::new(console),
    })
}

async fn tick(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(TICK_INTERVAL).await;
        let mut assessor = shared.assessor.lock();
        let decision = assessor.tick(Instant::now());
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
