//! Loads third-party probes while others run: several at once, and each again until it can be loaded.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::attempt::{Attempt, FailedLoad};
use super::configured_probes::ConfiguredProbes;
use super::diagnostics::diagnostics;
use super::load_probe::load_probe;
use super::naming::Naming;
use super::reloading::Reloader;
use super::retry_delay::RetryDelay;
use crate::config::{self, Diagnostic, FileReferences, Module, Monitor};
use crate::run::Identity;
use crate::sandbox::{Probe, Problem, Sandbox};

/// Probes that are being loaded. Dropping this value ends their loading.
pub struct PendingProbes {
    naming: Naming,
    attempts: mpsc::UnboundedReceiver<Attempt>,
    /// Failed attempts that were received together with others. The next calls of `next` return them.
    failed: VecDeque<Box<FailedLoad>>,
    /// Warnings that were returned before, in the format of `Debug`.
    known_warnings: HashSet<String>,
    _tasks: JoinSet<()>,
}

/// The outcome of loading probes.
pub enum Progress {
    /// An attempt to load a probe failed.
    Failed(Box<FailedLoad>),
    /// Probes have been loaded.
    Ready(ReadyProbes),
}

/// Probes that have been loaded.
pub struct ReadyProbes {
    /// The probes, each with its index in [`Config::probes`](config::Config::probes). A probe that was returned before
    /// is among them if its title has changed, because another component has derived the same title.
    pub probes: Vec<(usize, Probe)>,
    /// All monitors that are known by now, which replace those that were known before. `None` if they have errors,
    /// which are then among `warnings`: the monitors that were known before stay.
    pub monitors: Option<Vec<Monitor>>,
    /// Warnings about probes and titles.
    pub warnings: Vec<Diagnostic>,
}

impl PendingProbes {
    /// Starts to load all probes of a configuration that are not loaded yet. `warnings` are those that are known
    /// already. Must be called within a tokio runtime.
    pub(super) fn start(
        sandbox: &Arc<Sandbox>,
        naming: Naming,
        references: Option<FileReferences>,
        warnings: &[Diagnostic],
    ) -> Self {
        let config = naming.config();
        let (sender, attempts) = mpsc::unbounded_channel();
        let configured_probes = ConfiguredProbes::new(&config.probes, |index| naming.probe(index).is_some());
        let mut groups: HashMap<&Module, BTreeMap<usize, PendingProbe>> = HashMap::new();
        for (index, configured) in config.probes.iter().enumerate().filter(|(index, _)| naming.probe(*index).is_none())
        {
            let identity = sandbox.identity(configured);
            let probe = PendingProbe { identity, failures: 0, last: Vec::new() };
            groups.entry(&configured.module).or_default().insert(index, probe);
        }
        let directory: Arc<Path> = Arc::from(config.directory.as_path());
        let mut tasks = JoinSet::new();
        for (module, pending) in groups {
            let (sandbox, directory, sender) = (Arc::clone(sandbox), Arc::clone(&directory), sender.clone());
            let (module, configured) = (module.clone(), configured_probes.clone());
            tasks.spawn(ModuleLoader { sandbox, directory, module, configured, pending, sender }.run());
        }
        if let Some(references) = references {
            let (sandbox, directory) = (Arc::clone(sandbox), Arc::clone(&directory));
            let reloader = Reloader::new(sandbox, directory, config, references, configured_probes, sender);
            tasks.spawn(reloader.run());
        }
        let known_warnings = warnings.iter().map(|warning| format!("{warning:?}")).collect();
        Self { naming, attempts, failed: VecDeque::new(), known_warnings, _tasks: tasks }
    }

    /// Returns the number of probes that are not loaded yet.
    pub fn count(&self) -> usize {
        self.naming.config().probes.len() - self.naming.probes().count()
    }

    /// Waits until a probe is loaded, or an attempt to load one fails. Returns `None` when all are loaded, unless
    /// settings name files with `${file:PATH}`: these probes are loaded again when a file has changed. Dropping the
    /// returned future loses no progress.
    pub async fn next(&mut self) -> Option<Progress> {
        /// The maximal number of attempts that are handled together. Probes that are ready at the same time are named
        /// together, because naming compares all titles.
        const MAX_TOGETHER: usize = 1000;
        if let Some(failed) = self.failed.pop_front() {
            return Some(Progress::Failed(failed));
        }
        let mut attempts = Vec::new();
        if self.attempts.recv_many(&mut attempts, MAX_TOGETHER).await == 0 {
            return None;
        }
        let (mut ready, mut warnings) = (Vec::new(), Vec::new());
        for attempt in attempts {
            match attempt {
                Attempt::Failed(failed) => self.failed.push_back(failed),
                Attempt::Ready { index, probe, warnings: of_probe } => {
                    let probe = self.naming.probe(index).map_or(probe.clone(), |earlier| probe.replacing(earlier));
                    self.naming.add(index, probe);
                    ready.push(index);
                    warnings.extend(of_probe);
                }
            }
        }
        if ready.is_empty() {
            return self.failed.pop_front().map(Progress::Failed);
        }
        let named = self.naming.name();
        ready.extend(named.renamed);
        ready.sort_unstable();
        ready.dedup();
        let probes = ready.into_iter().filter_map(|index| Some((index, self.naming.probe(index)?.clone()))).collect();
        warnings.extend(named.warnings);
        let monitors = named.monitors.map_err(|errors| warnings.extend(errors)).ok();
        warnings.retain(|warning| self.known_warnings.insert(format!("{warning:?}")));
        Some(Progress::Ready(ReadyProbes { probes, monitors, warnings }))
    }
}

/// Loads the probes of one component.
struct ModuleLoader {
    sandbox: Arc<Sandbox>,
    directory: Arc<Path>,
    module: Module,
    configured: ConfiguredProbes,
    /// The probes that are not loaded yet, by their indices in the configuration.
    pending: BTreeMap<usize, PendingProbe>,
    sender: mpsc::UnboundedSender<Attempt>,
}

struct PendingProbe {
    /// The identity of the broken runs.
    identity: Arc<Identity>,
    /// The number of failed attempts.
    failures: u32,
    /// The problems of the last failed attempt.
    last: Vec<Diagnostic>,
}

impl ModuleLoader {
    /// Loads the probes until none is left. After an attempt in which some failed, waits before the next attempt: at
    /// first for the shortest `every` of the probes, and then longer each time.
    async fn run(mut self) {
        let every = self.pending.keys().map(|index| self.configured.get(*index).every).min().unwrap_or_default();
        let mut delay = RetryDelay::new(every);
        loop {
            let mut loading = JoinSet::new();
            for index in self.pending.keys() {
                let (index, configured) = (*index, self.configured.get(*index));
                let (sandbox, directory) = (Arc::clone(&self.sandbox), Arc::clone(&self.directory));
                let load = load_probe(sandbox, directory, Arc::clone(&configured));
                loading.spawn(async move { (index, configured, load.await) });
            }
            let retry_delay = delay.take();
            let mut is_outdated = false;
            while let Some(ended) = loading.join_next().await {
                let Ok((index, configured, loaded)) = ended else { continue };
                match loaded {
                    // A file that the settings use has changed meanwhile.
                    Ok(_) if !self.configured.mark_loaded(index, &configured) => is_outdated = true,
                    Ok((probe, warnings)) => self.finish(index, &configured, probe, &warnings),
                    Err(problems) => self.fail(index, &configured, &problems, retry_delay),
                }
            }
            if self.pending.is_empty() {
                return;
            }
            if is_outdated {
                continue;
            }
            tokio::time::sleep(retry_delay).await;
            self.sandbox.forget_error(&self.module);
        }
    }

    fn finish(&mut self, index: usize, configured: &config::Probe, probe: Probe, warnings: &[Problem]) {
        let Some(PendingProbe { failures, .. }) = self.pending.remove(&index) else { return };
        if failures > 0 {
            let title = &probe.identity().title;
            tracing::info!(probe = title, failures, "`{title}` is loaded, after {failures} failed attempts");
        }
        let warnings = diagnostics(configured, warnings).collect();
        // Sending fails only if the receiver is dropped, which also ends this task.
        _ = self.sender.send(Attempt::Ready { index, probe, warnings });
    }

    fn fail(&mut self, index: usize, configured: &config::Probe, problems: &[Problem], retry_delay: Duration) {
        let Some(pending) = self.pending.get_mut(&index) else { return };
        pending.failures += 1;
        let mut changed: Vec<_> = diagnostics(configured, problems).collect();
        if changed == pending.last {
            changed.clear();
        } else {
            pending.last.clone_from(&changed);
            let (title, seconds) = (&pending.identity.title, retry_delay.as_secs());
            tracing::warn!(
                probe = title,
                retry_seconds = seconds,
                "`{title}` could not be loaded: its runs are broken until it is loaded; trying again in {seconds} s"
            );
        }
        let run = self.sandbox.run_of_unloaded(&pending.identity, problems);
        _ = self.sender.send(Attempt::Failed(Box::new(FailedLoad { run, problems: changed })));
    }
}
