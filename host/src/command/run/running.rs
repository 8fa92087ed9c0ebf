//! The probes while they run: those that are loaded later are added, and another configuration can take over.

use std::sync::Arc;
use std::time::SystemTime;

use sentrynet::config::{ChangedHostKey, Level, Source};
use sentrynet::schedule::{Change, Job, ScheduleHandle};
use sentrynet::sink::Sinks;
use sentrynet::time_format::rfc3339;
use sentrynet::{PendingProbes, Progress, ReadyProbe, ReadyProbes, Replaced};
use tokio::sync::{mpsc, oneshot};

use super::reload::{self, Refusal, Reloaded};
use crate::logging::print_diagnostics;
use crate::service::ServiceManager;

/// The probes, and all that has to know about their changes.
pub struct Running {
    pending: PendingProbes,
    source: Source,
    /// The number of runs that may be in progress at once.
    in_flight: usize,
    sinks: Arc<Sinks>,
    schedule: ScheduleHandle,
    service: Arc<ServiceManager>,
    /// The number of configurations that took over.
    reloads: u64,
    /// The number of configurations that were refused.
    refused: u64,
    /// True if Sentry knows that the latest configuration was refused.
    is_refusal_reported: bool,
}

type Reloading = oneshot::Receiver<Result<Reloaded, Refusal>>;

impl Running {
    pub fn new(
        pending: PendingProbes,
        source: Source,
        in_flight: usize,
        sinks: Arc<Sinks>,
        schedule: ScheduleHandle,
        service: Arc<ServiceManager>,
    ) -> Self {
        let (reloads, refused, is_refusal_reported) = (0, 0, false);
        Self { pending, source, in_flight, sinks, schedule, service, reloads, refused, is_refusal_reported }
    }

    /// Adds the probes of third parties to the schedule as they are loaded, reports those that cannot be loaded, and
    /// reloads the configuration at each request.
    pub async fn run(mut self, mut requests: mpsc::Receiver<()>) {
        let mut reloading: Option<Reloading> = None;
        loop {
            tokio::select! {
                progress = self.pending.next() => self.handle(progress),
                Some(()) = requests.recv(), if reloading.is_none() => reloading = self.start_reload(),
                ended = wait_for(&mut reloading) => {
                    reloading = None;
                    self.end_reload(ended);
                }
            }
        }
    }

    fn handle(&mut self, progress: Progress) {
        match progress {
            Progress::Failed(failed) => {
                print_diagnostics(&self.source, Level::Error, &failed.problems);
                self.sinks.report(failed.run);
            }
            Progress::Ready(ready) => self.add(ready, Vec::new()),
        }
    }

    /// Removes and adds probes.
    fn add(&self, ReadyProbes { probes, monitors, warnings }: ReadyProbes, removed: Vec<usize>) {
        print_diagnostics(&self.source, Level::Warning, &warnings);
        if let Some(monitors) = monitors {
            self.sinks.set_monitors(&monitors);
        }
        let mut changes: Vec<_> = removed.into_iter().map(Change::Remove).collect();
        changes.extend(jobs(probes));
        self.schedule.change(changes);
    }

    fn start_reload(&mut self) -> Option<Reloading> {
        let Some(path) = self.source.path.clone() else {
            const MESSAGE: &str = "the configuration is not reloaded: standard input cannot be read again";
            tracing::warn!("{MESSAGE}");
            self.service.reloading();
            self.service.ready(MESSAGE);
            return None;
        };
        self.service.reloading();
        Some(reload::start(path, self.pending.replacer()))
    }

    fn end_reload(&mut self, ended: Result<Result<Reloaded, Refusal>, oneshot::error::RecvError>) {
        const FAILED: &str = "the thread that reloads failed, or the system refused it";
        let status = match ended.unwrap_or_else(|_| Err(Refusal::failed(FAILED))) {
            Ok(reloaded) => self.take_over(reloaded),
            Err(refusal) => self.refuse(&refusal),
        };
        self.service.ready(&status);
    }

    /// Lets a configuration take over. Returns the status for the service manager.
    fn take_over(&mut self, Reloaded { source, replacement }: Reloaded) -> String {
        let Replaced { ready, removed, built_in_probes, changes, host_keys, in_flight } =
            self.pending.replace(replacement);
        self.source = source;
        self.sinks.set_built_in_probes(built_in_probes);
        self.add(ready, removed);
        (self.reloads, self.is_refusal_reported) = (self.reloads + 1, false);
        tracing::info!(
            added = changes.added.len(),
            removed = changes.removed.len(),
            changed = changes.changed.len(),
            unchanged = changes.unchanged,
            reloads = self.reloads,
            refused = self.refused,
            "the configuration was reloaded: {changes}"
        );
        self.warn_of_restarts(&host_keys, in_flight);
        let probes = changes.added.len() + changes.changed.len() + changes.unchanged;
        let noun = if probes == 1 { "probe" } else { "probes" };
        format!("{probes} {noun}, configuration of {}", now())
    }

    fn warn_of_restarts(&self, host_keys: &[ChangedHostKey], in_flight: usize) {
        for ChangedHostKey { key, .. } in host_keys.iter().filter(|changed| changed.needs_restart) {
            tracing::warn!(setting = key, "`{key}` has changed and needs a restart: the previous value stays in use");
        }
        let is_named = host_keys.iter().any(|changed| changed.key == "limits.in_flight");
        if in_flight > self.in_flight && !is_named {
            let most = self.in_flight;
            tracing::warn!(
                in_flight = most,
                "at most {most} runs at once until the next start, which allows {in_flight} for this many probes"
            );
        }
    }

    /// Reports that a configuration is not used. Returns the status for the service manager.
    fn refuse(&mut self, refusal: &Refusal) -> String {
        self.refused += 1;
        tracing::error!(
            reloads = self.reloads,
            refused = self.refused,
            "the new configuration was refused, and the previous one goes on"
        );
        if !std::mem::replace(&mut self.is_refusal_reported, true) {
            self.sinks.report_refused_configuration(&self.source.name, &refusal.text);
        }
        format!("the configuration of {} was refused: {}", now(), refusal.summary)
    }
}

/// Returns the changes that put probes on schedule.
pub fn jobs(probes: Vec<ReadyProbe>) -> Vec<Change> {
    probes.into_iter().map(|ReadyProbe { probe, every, burst }| Change::Set(Job { probe, every, burst })).collect()
}

/// Waits for a reload to end; for ever if there is none.
async fn wait_for(reloading: &mut Option<Reloading>) -> Result<Result<Reloaded, Refusal>, oneshot::error::RecvError> {
    match reloading {
        Some(reloading) => reloading.await,
        None => std::future::pending().await,
    }
}

/// Returns the time by UTC.
fn now() -> String {
    rfc3339(SystemTime::now())
}
