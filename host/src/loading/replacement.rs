//! Loads another configuration beside the one that runs, and says what differs.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::configured_probes::ConfiguredProbes;
use super::naming::Naming;
use super::reloading::{ReferencedValues, dsn};
use super::strict::{LoadError, NamedProbes, load_and_name};
use crate::config::{
    self, ChangedHostKey, Config, Diagnostic, FileReferences, Module, Monitor, ParsedConfig, ProbeChanges,
    changed_host_keys, same_probes,
};
use crate::sandbox::Sandbox;

/// Loads another configuration beside the one that runs. It is a snapshot of that one.
pub struct Replacer {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) naming: Naming,
    pub(super) configured: ConfiguredProbes,
    pub(super) values: Arc<Mutex<ReferencedValues>>,
    pub(super) next_number: usize,
}

/// A configuration without errors that can [take over](super::PendingProbes::replace).
pub struct Replacement {
    /// The configuration and its probes, as far as they are loaded.
    pub(super) naming: Naming,
    pub(super) configured: ConfiguredProbes,
    pub(super) monitors: Vec<Monitor>,
    pub(super) warnings: Vec<Diagnostic>,
    /// The probes that are new or were loaded again, by their numbers.
    pub(super) loaded: HashSet<usize>,
    /// The probes that have other titles now.
    pub(super) renamed: Vec<usize>,
    /// The probes that are to be loaded in the background.
    pub(super) background: Vec<usize>,
    /// The probes of the old configuration that the new one does not have.
    pub(super) removed: Vec<usize>,
    pub(super) built_in_probes: usize,
    /// The components of all probes.
    pub(super) modules: HashSet<Module>,
    pub(super) next_number: usize,
    pub(super) references: Option<FileReferences>,
    pub(super) dsn: Option<String>,
    pub(super) changes: ProbeChanges,
    pub(super) host_keys: Vec<ChangedHostKey>,
    /// The number of runs at once that the configuration asks for.
    pub(super) in_flight: usize,
    /// The values of references stay as they are until this configuration has taken over or is dropped.
    pub(super) values: OwnedMutexGuard<ReferencedValues>,
}

/// What is to be done with the probes of a configuration before it takes over, by their numbers.
#[derive(Default)]
struct Plan {
    /// Probes that have to be loaded. Those that the old configuration has too keep their state.
    load: HashSet<usize>,
    /// Probes that were not loaded yet, and that are not waited for.
    background: Vec<usize>,
    /// Probes that go on as they are.
    keep: Vec<usize>,
}

impl Replacer {
    /// Loads a configuration, which `parse` returns. Probes that are the same as before are not loaded again, unless a
    /// file has changed that their settings name by `${file:PATH}`.
    ///
    /// All other probes are loaded before this function returns, also those of third parties. It computes for some time
    /// for a large configuration, and should run on a thread of its own, with a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns [`LoadError::Invalid`] with every error of the configuration and of the settings of probes that have to
    /// be loaded. The old configuration then goes on as it is.
    pub async fn load(self, parse: impl FnOnce() -> ParsedConfig) -> Result<Replacement, LoadError> {
        let mut values = Arc::clone(&self.values).lock_owned().await;
        let refreshed = values.parse_if_changed().map(|(_, parsed)| parsed.config);
        let parsed = parse();
        let earlier = values.secrets.latest().to_vec();
        // The new secrets are known before they are used, and before the messages of checks.
        values.secrets.set_latest(parsed.config.secrets.values(), Instant::now());
        match self.prepare(parsed, refreshed, values).await {
            Ok(replacement) => Ok(replacement),
            Err((error, mut values)) => {
                values.secrets.set_latest(earlier, Instant::now());
                Err(error)
            }
        }
    }

    /// Loads what has changed in a configuration. `refreshed` is the old one with the new contents of its files, if
    /// they have changed.
    async fn prepare(
        self,
        mut parsed: ParsedConfig,
        refreshed: Option<Config>,
        values: OwnedMutexGuard<ReferencedValues>,
    ) -> Result<Replacement, (LoadError, OwnedMutexGuard<ReferencedValues>)> {
        let references = parsed.references.take();
        parsed.config.secrets = values.secrets.shared().clone();
        let old_config = Arc::clone(self.naming.config());
        let old = self.latest_probes(&old_config, refreshed);
        let old: Vec<_> = old.iter().map(|probe| &**probe).collect();
        let mut same = same_probes(&old, &parsed.config.probes);
        let mut next_number = self.next_number;
        let plan = self.number(&mut parsed.config, &old, &mut same, &mut next_number);
        let needed = plan.files(&parsed.config);
        let missing = parsed.require_files(|path| needed.contains(path));
        let naming = |config: &Arc<Config>| self.names(config, &plan);
        let has_file = |probe: &config::Probe| probe.module.path().is_none_or(|path| !missing.contains(path));
        let is_loaded = |probe: &config::Probe| plan.load.contains(&probe.number) && has_file(probe);
        let loaded = load_and_name(parsed, &self.sandbox, naming, is_loaded).await;
        let NamedProbes { naming, renamed, monitors, warnings } = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return Err((error, values)),
        };
        let config = naming.config();
        let is_loaded = |number| naming.probe(number).is_some();
        let configured = ConfiguredProbes::new(config, is_loaded);
        let removed = old_config.probes.iter().map(|probe| probe.number);
        let changes = {
            let old: Vec<_> = old.iter().copied().zip(self.naming.titles()).collect();
            let new: Vec<_> = config.probes.iter().zip(naming.titles()).collect();
            ProbeChanges::new(&old, &new, &same)
        };
        Ok(Replacement {
            configured,
            monitors,
            warnings,
            loaded: plan.load,
            renamed,
            background: plan.background,
            removed: removed.filter(|number| naming.index(*number).is_none()).collect(),
            built_in_probes: built_in_probes(config),
            modules: config.probes.iter().map(|probe| probe.module.clone()).collect(),
            next_number,
            references,
            dsn: dsn(config),
            changes,
            host_keys: changed_host_keys(&old_config, config),
            in_flight: config.in_flight.min(config.probes.len()),
            values,
            naming,
        })
    }

    /// Returns the probes of the old configuration in its order, with the latest contents of files.
    fn latest_probes(&self, old: &Config, refreshed: Option<Config>) -> Vec<Arc<config::Probe>> {
        let refreshed = refreshed.map(|config| config.probes).unwrap_or_default().into_iter();
        let mut refreshed: HashMap<_, _> = refreshed.map(|probe| (probe.pointer.clone(), probe)).collect();
        let latest = |probe: &config::Probe| match refreshed.remove(&probe.pointer) {
            Some(latest) => Arc::new(config::Probe { number: probe.number, ..latest }),
            None => self.configured.get(probe.number).unwrap_or_else(|| Arc::new(probe.clone())),
        };
        old.probes.iter().map(latest).collect()
    }

    /// Returns the names of a configuration with the probes that are loaded already.
    fn names(&self, config: &Arc<Config>, plan: &Plan) -> Naming {
        // The titles of other probes are known once they are loaded.
        let title = |probe: &config::Probe| {
            let is_pending = plan.background.contains(&probe.number);
            if is_pending { self.sandbox.identity(probe).title.clone() } else { String::new() }
        };
        let mut naming = Naming::new(Arc::clone(config), title);
        plan.keep.iter().chain(&plan.load).for_each(|number| _ = naming.copy(*number, &self.naming));
        naming
    }

    /// Returns true if the file of a loaded probe's component has changed since it was read.
    fn has_other_component(&self, configured: &config::Probe, looked_at: &mut HashMap<Module, bool>) -> bool {
        let Some(probe) = self.naming.probe(configured.number) else { return false };
        if configured.module.path().is_none() {
            return false;
        }
        let is_changed = || self.sandbox.forget_if_changed(&configured.module, probe);
        *looked_at.entry(configured.module.clone()).or_insert_with(is_changed)
    }

    /// Gives each probe of a configuration its number: that of the old probe that is the same, or a new one. Removes
    /// probes from `same` whose component has changed, and those that were not loaded yet with their old settings.
    fn number(
        &self,
        config: &mut Config,
        old: &[&config::Probe],
        same: &mut [Option<usize>],
        next_number: &mut usize,
    ) -> Plan {
        let (mut plan, mut looked_at) = (Plan::default(), HashMap::new());
        for (probe, same) in config.probes.iter_mut().zip(same) {
            let known = same.and_then(|index| self.configured.get(old[index].number));
            let known = known.filter(|known| !self.has_other_component(known, &mut looked_at));
            let is_loaded = known.as_ref().is_some_and(|known| self.naming.probe(known.number).is_some());
            let has_other_values = known.as_ref().is_some_and(|known| has_other_values(known, probe));
            let kept = known.filter(|_| is_loaded || !has_other_values);
            let was_same = same.is_some();
            *same = same.filter(|_| kept.is_some());
            probe.number = match &kept {
                Some(kept) => kept.number,
                None => std::mem::replace(next_number, *next_number + 1),
            };
            match kept {
                Some(_) if !has_other_values => plan.keep.push(probe.number),
                // It was not loaded yet, and is not now.
                None if was_same && has_other_values => plan.background.push(probe.number),
                _ => _ = plan.load.insert(probe.number),
            }
        }
        plan
    }
}

/// Returns true if probes that are the same have other settings, because a file has changed, or settings that are
/// written at other places.
fn has_other_values(old: &config::Probe, new: &config::Probe) -> bool {
    old.settings != new.settings
        || old.interpolations != new.interpolations
        || old.group_settings.keys != new.group_settings.keys
}

impl Plan {
    /// Returns the files of the components that have to be loaded.
    fn files(&self, config: &Config) -> HashSet<PathBuf> {
        let loaded = config.probes.iter().filter(|probe| self.load.contains(&probe.number));
        loaded.filter_map(|probe| probe.module.path()).map(Path::to_owned).collect()
    }
}

/// Returns the number of built-in probes.
fn built_in_probes(config: &Config) -> usize {
    config.probes.iter().filter(|probe| matches!(probe.module, Module::BuiltIn(_))).count()
}
