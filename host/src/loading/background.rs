//! Loads third-party probes while others run: several at once, and each again until it can be loaded. Another
//! configuration can take over.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::attempt::{Attempt, FailedLoad};
use super::configured_probes::ConfiguredProbes;
use super::diagnostics::diagnostics;
use super::load_probe::load_probe;
use super::naming::Naming;
use super::reloading::{ReferencedValues, Reloader};
use super::replacement::{Replacement, Replacer};
use super::retry_delay::RetryDelay;
use crate::config::{self, ChangedHostKey, Diagnostic, FileReferences, Module, Monitor, ProbeChanges};
use crate::run::Identity;
use crate::sandbox::{Probe, Problem, Sandbox};

/// The probes of a running configuration: those that are being loaded, and what it takes to load them again. Dropping
/// this value ends their loading.
pub struct PendingProbes {
    sandbox: Arc<Sandbox>,
    directory: Arc<Path>,
    naming: Naming,
    configured: ConfiguredProbes,
    values: Arc<Mutex<ReferencedValues>>,
    sender: mpsc::UnboundedSender<Attempt>,
    attempts: mpsc::UnboundedReceiver<Attempt>,
    /// Failed attempts that were received together with others. The next calls of `next` return them.
    failed: VecDeque<Box<FailedLoad>>,
    /// Warnings that were returned before, in the format of `Debug`.
    known_warnings: HashSet<String>,
    /// The numbers of the probes that were loaded or renamed since [`PendingProbes::replacer`] was called last.
    changed: HashSet<usize>,
    /// The number of the next probe that is added.
    next_number: usize,
    tasks: JoinSet<()>,
}

/// The outcome of loading probes.
pub enum Progress {
    /// An attempt to load a probe failed.
    Failed(Box<FailedLoad>),
    /// Probes have been loaded.
    Ready(ReadyProbes),
}

/// Probes that have been loaded.
#[derive(Default)]
pub struct ReadyProbes {
    /// The probes. A probe that was returned before is among them if its title has changed, because another component
    /// has derived the same title.
    pub probes: Vec<ReadyProbe>,
    /// All monitors that are known by now, which replace those that were known before. `None` if they have errors,
    /// which are then among `warnings`: the monitors that were known before stay.
    pub monitors: Option<Vec<Monitor>>,
    /// Warnings about probes and titles.
    pub warnings: Vec<Diagnostic>,
}

/// A probe that has been loaded, with its schedule.
pub struct ReadyProbe {
    /// The probe.
    pub probe: Probe,
    /// The time from one start to the next.
    pub every: Duration,
    /// Consecutive runs at each start.
    pub burst: u32,
}

/// The result of replacing a configuration by another one.
pub struct Replaced {
    /// The probes to add, or to replace where their numbers are known; their monitors and warnings. All other probes go
    /// on as they are.
    pub ready: ReadyProbes,
    /// The numbers of the probes to end.
    pub removed: Vec<usize>,
    /// The number of built-in probes.
    pub built_in_probes: usize,
    /// What has become of the probes.
    pub changes: ProbeChanges,
    /// The keys of the host that have changed.
    pub host_keys: Vec<ChangedHostKey>,
    /// The number of runs at once that the configuration asks for, and that its probes can have. It may be more than
    /// [`Loading::in_flight`](super::Loading::in_flight).
    pub in_flight: usize,
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
        let mut pending = Self {
            sandbox: Arc::clone(sandbox),
            directory: Arc::from(config.directory.as_path()),
            configured: ConfiguredProbes::new(config, |number| naming.probe(number).is_some()),
            values: Arc::new(Mutex::new(ReferencedValues::new(config, references))),
            sender,
            attempts,
            failed: VecDeque::new(),
            known_warnings: warnings.iter().map(|warning| format!("{warning:?}")).collect(),
            changed: HashSet::new(),
            next_number: config.probes.len(),
            tasks: JoinSet::new(),
            naming,
        };
        let is_pending = |probe: &&config::Probe| pending.naming.probe(probe.number).is_none();
        let numbers: Vec<_> =
            pending.naming.config().probes.iter().filter(is_pending).map(|probe| probe.number).collect();
        pending.load_in_background(&numbers);
        pending.tasks.spawn(pending.reloader().run());
        pending
    }

    fn reloader(&self) -> Reloader {
        Reloader {
            sandbox: Arc::clone(&self.sandbox),
            directory: Arc::clone(&self.directory),
            configured: self.configured.clone(),
            values: Arc::clone(&self.values),
            sender: self.sender.clone(),
        }
    }

    /// Starts to load these probes, those of one component together.
    fn load_in_background(&mut self, numbers: &[usize]) {
        // Tasks that have ended are forgotten.
        while self.tasks.try_join_next().is_some() {}
        let mut groups: HashMap<Module, BTreeMap<usize, PendingProbe>> = HashMap::new();
        for configured in numbers.iter().filter_map(|number| self.configured.get(*number)) {
            let identity = self.sandbox.identity(&configured);
            let probe = PendingProbe { identity, failures: 0, last: Vec::new() };
            groups.entry(configured.module.clone()).or_default().insert(configured.number, probe);
        }
        for (module, pending) in groups {
            let loader = ModuleLoader {
                sandbox: Arc::clone(&self.sandbox),
                directory: Arc::clone(&self.directory),
                module,
                configured: self.configured.clone(),
                pending,
                sender: self.sender.clone(),
            };
            self.tasks.spawn(loader.run());
        }
    }

    /// Returns the number of probes that are not loaded yet.
    pub fn count(&self) -> usize {
        self.naming.config().probes.len() - self.naming.probes().count()
    }

    /// Waits until a probe is loaded, or an attempt to load one fails. When all are loaded, this happens again if
    /// settings name files with `${file:PATH}`: these probes are loaded again when a file has changed. Dropping the
    /// returned future loses no progress.
    pub async fn next(&mut self) -> Progress {
        /// The maximal number of attempts that are handled together. Probes that are ready at the same time are named
        /// together, because naming compares all titles.
        const MAX_TOGETHER: usize = 1000;
        loop {
            if let Some(failed) = self.failed.pop_front() {
                return Progress::Failed(failed);
            }
            let mut attempts = Vec::new();
            // The channel is open, since this value has a sender.
            self.attempts.recv_many(&mut attempts, MAX_TOGETHER).await;
            let (ready, warnings) = self.handle(attempts);
            if !ready.is_empty() {
                return Progress::Ready(self.name(ready, warnings));
            }
        }
    }

    /// Takes note of attempts. Returns the numbers of the probes that were loaded, and the warnings about them.
    fn handle(&mut self, attempts: Vec<Attempt>) -> (Vec<usize>, Vec<Diagnostic>) {
        let (mut ready, mut warnings) = (Vec::new(), Vec::new());
        for attempt in attempts {
            match attempt {
                Attempt::Failed(failed) => self.failed.push_back(failed),
                // The probe may have been removed meanwhile.
                Attempt::Ready { probe, warnings: of_probe } => {
                    if self.naming.add(&probe) {
                        self.configured.set_loaded(probe.identity().number);
                        ready.push(probe.identity().number);
                        warnings.extend(of_probe);
                    }
                }
            }
        }
        (ready, warnings)
    }

    /// Names all probes, and returns those that are ready or were renamed.
    fn name(&mut self, mut ready: Vec<usize>, mut warnings: Vec<Diagnostic>) -> ReadyProbes {
        let named = self.naming.name();
        ready.extend(named.renamed);
        ready.sort_unstable();
        ready.dedup();
        self.changed.extend(&ready);
        warnings.extend(named.warnings);
        let monitors = named.monitors.map_err(|errors| warnings.extend(errors)).ok();
        ReadyProbes { probes: ready_probes(&self.naming, &ready), monitors, warnings: self.unknown(warnings) }
    }

    /// Returns the warnings that were not returned before.
    fn unknown(&mut self, mut warnings: Vec<Diagnostic>) -> Vec<Diagnostic> {
        warnings.retain(|warning| self.known_warnings.insert(format!("{warning:?}")));
        warnings
    }

    /// Returns what loads another configuration beside this one, which goes on meanwhile. Only the last one may be
    /// used.
    pub fn replacer(&mut self) -> Replacer {
        self.changed.clear();
        Replacer {
            sandbox: Arc::clone(&self.sandbox),
            naming: self.naming.clone(),
            configured: self.configured.clone(),
            values: Arc::clone(&self.values),
            next_number: self.next_number,
        }
    }

    /// Replaces the configuration by another one that has been loaded. Takes a short time, in which only probes are
    /// looked at that differ.
    pub fn replace(&mut self, replacement: Replacement) -> Replaced {
        let Replacement { naming, configured, loaded, background, removed, mut values, .. } = replacement;
        // Probes that were loaded since `replacer` was called are taken over as they are now.
        let mut attempts = Vec::new();
        while let Ok(attempt) = self.attempts.try_recv() {
            attempts.push(attempt);
        }
        let (mut late, mut warnings) = self.handle(attempts);
        late.extend(self.changed.drain());
        let earlier = std::mem::replace(&mut self.naming, naming);
        late.retain(|number| !loaded.contains(number) && self.naming.copy(*number, &earlier));
        self.configured.exchange(&configured);
        for number in &late {
            self.configured.set_loaded(*number);
        }
        values.references = replacement.references.map(Arc::new);
        values.dsn = replacement.dsn;
        drop(values);
        self.next_number = replacement.next_number;
        self.sandbox.set_per_host(self.naming.config().per_host);
        self.load_in_background(&background);
        self.sandbox.retain_components(&replacement.modules);
        let known: HashSet<_> = replacement.warnings.iter().map(|warning| format!("{warning:?}")).collect();
        warnings.extend(self.unknown(replacement.warnings));
        self.known_warnings = known;
        let mut ready = if late.is_empty() {
            ReadyProbes { probes: Vec::new(), monitors: Some(replacement.monitors), warnings }
        } else {
            self.name(late, warnings)
        };
        let changed: Vec<_> = loaded.into_iter().chain(replacement.renamed).collect();
        ready.probes.extend(ready_probes(&self.naming, &changed));
        // A large configuration takes long to drop, and must not delay anything here.
        drop_on_thread((earlier, configured));
        Replaced {
            ready,
            removed,
            built_in_probes: replacement.built_in_probes,
            changes: replacement.changes,
            host_keys: replacement.host_keys,
            in_flight: replacement.in_flight,
        }
    }
}

/// Returns those of the probes with these numbers that are loaded, with their schedules.
pub fn ready_probes(naming: &Naming, numbers: &[usize]) -> Vec<ReadyProbe> {
    let ready = |number: &usize| {
        let configured = &naming.config().probes[naming.index(*number)?];
        let (every, burst) = (configured.every, configured.burst);
        Some(ReadyProbe { probe: naming.probe(*number)?.clone(), every, burst })
    };
    numbers.iter().filter_map(ready).collect()
}

fn drop_on_thread(value: impl Send + 'static) {
    // If the system refuses the thread, the value is dropped here.
    _ = std::thread::Builder::new().name("reload".to_owned()).spawn(move || drop(value));
}

/// Loads the probes of one component.
struct ModuleLoader {
    sandbox: Arc<Sandbox>,
    directory: Arc<Path>,
    module: Module,
    configured: ConfiguredProbes,
    /// The probes that are not loaded yet, by their numbers.
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
        let configured: Vec<_> = self.pending.keys().filter_map(|number| self.configured.get(*number)).collect();
        let mut delay = RetryDelay::new(configured.iter().map(|probe| probe.every).min().unwrap_or_default());
        drop(configured);
        loop {
            let mut loading = JoinSet::new();
            let configured = self.configured.clone();
            self.pending.retain(|number, _| configured.get(*number).is_some());
            for configured in self.pending.keys().filter_map(|number| configured.get(*number)) {
                let (sandbox, directory) = (Arc::clone(&self.sandbox), Arc::clone(&self.directory));
                let load = load_probe(sandbox, directory, Arc::clone(&configured));
                loading.spawn(async move { (configured, load.await) });
            }
            let retry_delay = delay.take();
            let mut is_outdated = false;
            while let Some(ended) = loading.join_next().await {
                let Ok((configured, loaded)) = ended else { continue };
                match loaded {
                    // A file that the settings use has changed meanwhile, or another configuration has taken over.
                    Ok(_) if !self.configured.mark_loaded(&configured) => is_outdated = true,
                    Ok((probe, warnings)) => self.finish(&configured, probe, &warnings),
                    Err(problems) => self.fail(&configured, &problems, retry_delay),
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

    fn finish(&mut self, configured: &config::Probe, probe: Probe, warnings: &[Problem]) {
        let Some(PendingProbe { failures, .. }) = self.pending.remove(&configured.number) else { return };
        if failures > 0 {
            let title = &probe.identity().title;
            tracing::info!(probe = title, failures, "`{title}` is loaded, after {failures} failed attempts");
        }
        let warnings = diagnostics(configured, warnings).collect();
        // Sending fails only if the receiver is dropped, which also ends this task.
        _ = self.sender.send(Attempt::Ready { probe, warnings });
    }

    fn fail(&mut self, configured: &config::Probe, problems: &[Problem], retry_delay: Duration) {
        // The probe may no longer be configured.
        let is_configured = self.configured.get(configured.number).is_some();
        let Some(pending) = self.pending.get_mut(&configured.number).filter(|_| is_configured) else { return };
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
